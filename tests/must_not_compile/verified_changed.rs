//! Evidence stays what it is.

fn change(verified: twenty_webhook::Verified) {
    *verified.body() = "another".into(); //~ E0594
}

fn main() {}
