//! The body of a `Verified` cannot be changed.

fn change(verified: twenty_webhook::Verified) {
    *verified.body() = "another".into(); //~ E0594
}

fn main() {}
