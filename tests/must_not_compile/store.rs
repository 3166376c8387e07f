//! A claim cannot be copied or created without a store. Clocks and stores must be `Send` and
//! `Sync`.

use std::{cell::Cell, rc::Rc};
use twenty_webhook::{
    Receiver, Verifier,
    deduplicate::{Claim, ClaimKey},
    verify::{Clock, Timestamp},
};

#[derive(Debug)]
struct Local(Rc<Cell<u64>>);

impl Clock for Local { //~ E0277
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.get())
    }
}

fn copied(claim: &Claim) -> Claim {
    claim.clone() //~ E0308
}

fn forged(key: ClaimKey) -> ClaimKey {
    ClaimKey(*key.as_bytes()) //~ E0423
}

fn without_secret() -> Receiver {
    Receiver::new("secret") //~ E0308
}

fn main() {
    let _ = Verifier::builder().secret("text"); //~ E0308
}
