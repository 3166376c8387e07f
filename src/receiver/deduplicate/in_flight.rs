//! Tracks deliveries in flight, to recognise duplicates before the claim store is queried.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::deduplicate::ClaimKey;

/// The maximum number of duplicates in flight. Further ones are rejected, because an attacker who
/// captured deliveries can replay them any number of times, and each one waits for the store or for
/// a handler.
const DUPLICATES: usize = 100;

/// The deliveries of a receiver that are in flight.
#[derive(Clone)]
pub(super) struct InFlight(Arc<Mutex<Deliveries>>);

struct Deliveries {
    keys: HashSet<ClaimKey>,
    duplicates: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        // The capacity fits the usual number of deliveries, so that admitting one does not
        // allocate.
        Self(Arc::new(Mutex::new(Deliveries { keys: HashSet::with_capacity(64), duplicates: 0 })))
    }
}

impl InFlight {
    /// Admits a delivery. Returns `None` if too many duplicates are in flight. `is_duplicate` marks
    /// a known duplicate, even if the other delivery is no longer in flight.
    pub(super) fn admit(&self, key: ClaimKey, is_duplicate: bool) -> Option<Admitted> {
        let mut deliveries = self.lock();
        let key = if !is_duplicate && deliveries.keys.insert(key) {
            Some(key)
        } else {
            deliveries.duplicates =
                deliveries.duplicates.checked_add(1).filter(|duplicates| *duplicates <= DUPLICATES)?;
            None
        };
        Some(Admitted { in_flight: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, Deliveries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery in flight, until this is dropped.
pub(in crate::receiver) struct Admitted {
    in_flight: InFlight,
    /// `None` for a duplicate.
    key: Option<ClaimKey>,
}

impl Admitted {
    pub(in crate::receiver) fn is_duplicate(&self) -> bool {
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
            None => deliveries.duplicates = deliveries.duplicates.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_have_their_own_limit() {
        let in_flight = InFlight::default();
        let key = |number: usize| ClaimKey::new("", "", &number.to_be_bytes());
        let first = in_flight.admit(key(0), false).unwrap();
        assert!(!first.is_duplicate());
        let mut duplicates: Vec<_> =
            (0..DUPLICATES).map(|place| in_flight.admit(key(0), place == 0).unwrap()).collect();
        assert!(duplicates.iter().all(Admitted::is_duplicate));
        assert!(in_flight.admit(key(0), false).is_none());
        assert!(in_flight.admit(key(1), true).is_none(), "the duplicates of all deliveries share one limit");
        let others: Vec<_> = (1..10 * DUPLICATES).map(|number| in_flight.admit(key(number), false).unwrap()).collect();
        assert!(
            others.iter().all(|other| !other.is_duplicate()),
            "duplicates do not count towards a limit for first deliveries"
        );
        duplicates.pop();
        assert!(in_flight.admit(key(0), false).unwrap().is_duplicate());
        drop(first);
        assert!(!in_flight.admit(key(0), false).unwrap().is_duplicate());
    }
}
