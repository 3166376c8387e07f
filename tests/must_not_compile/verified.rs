//! A `Verified` is created only by verification, and cannot be changed.

use twenty_webhook::Verified;

fn main() {
    let _ = Verified::new; //~ E0624
    let _ = Verified::default(); //~ E0599
    let _ = Verified::from("{}"); //~ E0308
    let _: Verified = serde_json::from_str("{}").unwrap(); //~ E0277
}

fn change(mut verified: Verified) {
    verified.body = "another".into(); //~ E0616
}
