//! Reads a record into a type that follows a script. The event contains what `serde_json` reads
//! from the record without the reported members.
//!
//! The input is a character that chooses the envelope as for `types`, the script, a line end, and
//! the record's text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oracle::ENVELOPES;
use twenty_webhook_fuzz::verified;

#[path = "../../tests/support/oracle.rs"]
#[expect(dead_code, reason = "only `types` compares two types side by side")]
mod oracle;
#[path = "../../tests/support/scripted.rs"]
mod scripted;

fuzz_target!(|input: &[u8]| {
    let [envelope, input @ ..] = input else { return };
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (script, record) = (&input[..end], &input[end + 1..]);
    let Ok(record) = str::from_utf8(record) else { return };
    let envelope = &ENVELOPES[usize::from(envelope.wrapping_sub(b'0')) % ENVELOPES.len()];
    scripted::compare(record, script, envelope, &verified(envelope.around(record).as_bytes()));
});
