//! Evidence comes from a verification.

use twenty_webhook::{Verified, verify::Timestamp};

fn main() {
    let time = Timestamp::from_millis(0);
    let _ = Verified { body: "".into(), timestamp: time, fresh_until: time, keys_id: "".into(), secret_index: 0, nonce: None, by: None }; //~ E0451
}
