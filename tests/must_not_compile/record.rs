//! A record is a type that implements `DeserializeOwned`.

use twenty_webhook::{Verified, WebhookEvent};

struct NotRead;

fn read(verified: Verified) {
    let _ = WebhookEvent::<NotRead>::from_verified(verified.clone()); //~ E0599
}

fn main() {}
