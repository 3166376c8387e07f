//! Which deliveries are under way, to tell copies from the others before the claim store is asked.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::deduplicate::ClaimKey;

/// How many copies may be under way at once. Further ones are refused: somebody who captured
/// deliveries can send any number of copies, and they wait for the store or for a handler.
const COPIES: usize = 100;

/// The deliveries of a receiver that are under way.
#[derive(Clone)]
pub(super) struct InFlight(Arc<Mutex<Deliveries>>);

struct Deliveries {
    keys: HashSet<ClaimKey>,
    copies: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        // With room for the usual number of deliveries, so that admitting one takes no memory.
        Self(Arc::new(Mutex::new(Deliveries { keys: HashSet::with_capacity(64), copies: 0 })))
    }
}

impl InFlight {
    /// Admits a delivery; `None` when too many copies are under way. `is_copy`: it is known to be
    /// one, even if no other is under way.
    pub(super) fn admit(&self, key: ClaimKey, is_copy: bool) -> Option<Admitted> {
        let mut deliveries = self.lock();
        let key = if !is_copy && deliveries.keys.insert(key) {
            Some(key)
        } else {
            deliveries.copies = deliveries.copies.checked_add(1).filter(|copies| *copies <= COPIES)?;
            None
        };
        Some(Admitted { in_flight: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, Deliveries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery under way, until this is dropped.
pub(in crate::receiver) struct Admitted {
    in_flight: InFlight,
    /// `None` for a copy.
    key: Option<ClaimKey>,
}

impl Admitted {
    pub(in crate::receiver) fn is_copy(&self) -> bool {
        self.key.is_none()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut deliveries = self.in_flight.lock();
        match &self.key {
            Some(key) => {
                deliveries.keys.remove(key);
            }
            None => deliveries.copies = deliveries.copies.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_a_bound_of_their_own() {
        let in_flight = InFlight::default();
        let key = |number: usize| ClaimKey::new("", "", &number.to_be_bytes());
        let first = in_flight.admit(key(0), false).unwrap();
        assert!(!first.is_copy());
        let mut copies: Vec<_> = (0..COPIES).map(|place| in_flight.admit(key(0), place == 0).unwrap()).collect();
        assert!(copies.iter().all(Admitted::is_copy));
        assert!(in_flight.admit(key(0), false).is_none());
        assert!(in_flight.admit(key(1), true).is_none(), "one bound for the copies of all deliveries");
        let others: Vec<_> = (1..10 * COPIES).map(|number| in_flight.admit(key(number), false).unwrap()).collect();
        assert!(others.iter().all(|other| !other.is_copy()), "no copy takes the room of a first delivery");
        copies.pop();
        assert!(in_flight.admit(key(0), false).unwrap().is_copy());
        drop(first);
        assert!(!in_flight.admit(key(0), false).unwrap().is_copy());
    }
}
