//! Reads a record into a type of each kind, in one of a few envelopes. The event contains what
//! `serde_json` reads from the record without the reported members.
//!
//! The input is a character that chooses the type, a character that chooses the envelope, and the
//! record's text. `0` chooses the first one, `1` the second one, and so on in the order of ASCII.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oracle::ENVELOPES;
use twenty_webhook_fuzz::verified;

#[path = "../../tests/support/handwritten.rs"]
mod handwritten;
#[path = "../../tests/support/oracle.rs"]
mod oracle;
#[path = "../../tests/support/types.rs"]
mod types;

fuzz_target!(|input: &[u8]| {
    let [kind, envelope, record @ ..] = input else { return };
    let Ok(record) = str::from_utf8(record) else { return };
    let place = |character: &u8, count: usize| usize::from(character.wrapping_sub(b'0')) % count;
    let compare = types::KINDS[place(kind, types::KINDS.len())];
    let envelope = &ENVELOPES[place(envelope, ENVELOPES.len())];
    compare(record, envelope, &verified(envelope.around(record).as_bytes()));
});
