//! Evidence comes from a verification, and stays what it is.

use twenty_webhook::{Verified, verify::Timestamp};

fn main() {
    let time = Timestamp::from_millis(0);
    let _ = Verified::new("{}".into(), time, time, "id".into(), 0, None); //~ E0624
    let _ = Verified::default(); //~ E0599
    let _ = Verified::from("{}"); //~ E0308
    let _: Verified = serde_json::from_str("{}").unwrap(); //~ E0277
}

fn change(mut verified: Verified) {
    verified.body = "another".into(); //~ E0616
}
