//! Any record, signed, read into types of every kind: each holds what `serde_json` reads from it without exactly what it reports.
#![no_main]

#[path = "../../tests/support/types.rs"]
mod types;

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use twenty_webhook_fuzz::verified;

fuzz_target!(|record: &str| {
    // Twenty writes nothing else; what is no JSON is the matter of `events`.
    if serde_json::from_str::<IgnoredAny>(record).is_ok() {
        types::compare_each_once(record, &verified(types::body(record).as_bytes()));
    }
});
