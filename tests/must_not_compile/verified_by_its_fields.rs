//! A `Verified` cannot be created from its fields.

use twenty_webhook::Verified;

fn main() {
    let _ = |verified: Verified| Verified { body: "".into(), ..verified }; //~ E0451
}
