//! Values that have no effect unless they are used.
#![deny(unused_must_use)]

use std::time::Duration;

use twenty_webhook::{
    Receiver, Verifier,
    deduplicate::{ClaimKey, ClaimStore, MemoryStore, StoreError, StoreErrorKind},
    tower::{EventRouter, WebhookLayer, WebhookService},
    verify::Verification,
};

fn unused(verifier: Verifier, verification: Verification) {
    verification; //~ unused_must_use
    verifier.begin(verifier.parse_headers([("", "")]).unwrap()).unwrap(); //~ unused_must_use
    verifier.verify([("", "")], ""); //~ unused_must_use
    Verifier::builder(); //~ unused_must_use
    verifier.diagnose([("", "")], ""); //~ unused_must_use
    WebhookLayer::new(verifier.clone()); //~ unused_must_use
    WebhookService::new((), verifier.clone()); //~ unused_must_use
    Receiver::new(verifier).body_deadline(Duration::ZERO); //~ unused_must_use
    EventRouter::<(), (), ()>::new(); //~ unused_must_use
}

fn finalized(verification: Verification) {
    verification.finalize(); //~ unused_must_use
}

async fn claimed(store: MemoryStore) {
    store.claim(ClaimKey::new("", "", b"{}"), Duration::ZERO).await.unwrap(); //~ unused_must_use
    StoreError::new(StoreErrorKind::Full, "full"); //~ unused_must_use
}

async fn drained(receiver: Receiver) {
    receiver.drain(Duration::ZERO).await; //~ unused_must_use
}

fn main() {}
