//! What does nothing unless it is gone on with.
#![deny(unused_must_use)]

use twenty_webhook::{
    Receiver, Verifier,
    tower::{EventRouter, WebhookLayer},
    verify::Verification,
};

fn unused(verifier: Verifier, verification: Verification) {
    verification; //~ unused_must_use
    verifier.begin(verifier.headers([("", "")]).unwrap()).unwrap(); //~ unused_must_use
    verifier.verify([("", "")], ""); //~ unused_must_use
    Verifier::builder(); //~ unused_must_use
    verifier.diagnose([("", "")], ""); //~ unused_must_use
    WebhookLayer::new(verifier.clone()); //~ unused_must_use
    Receiver::new(verifier).body_deadline(std::time::Duration::ZERO); //~ unused_must_use
    EventRouter::<(), (), ()>::new(); //~ unused_must_use
}

fn finalized(verification: Verification) {
    verification.finalize(); //~ unused_must_use
}

async fn drained(receiver: Receiver) {
    receiver.drain(std::time::Duration::ZERO).await; //~ unused_must_use
}

fn main() {}
