//! Binds each delivery to a route of this process.
//!
//! The path is not signed, so an attacker can replay a captured delivery to any route behind the
//! same middleware. If that route's handler answers 200 to everything, it would complete a delivery
//! whose own handler failed. Therefore the first route whose handler runs holds the delivery, and
//! keeps it after a failure.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    mem,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Duplicate;
use crate::deduplicate::ClaimKey;

/// How many failed deliveries stay bound to their routes. Beyond that, the oldest one becomes free
/// for all routes.
const FAILED: usize = 100_000;

/// The longest time for which a failed delivery stays bound. Adding it to the current time cannot
/// overflow.
const MAX_KEPT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A request's method and path. Different spellings of one path are different routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route(u64);

impl Route {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        // The hash has a random key, so that an attacker cannot find two paths with the same hash.
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(HASHER.hash_one((method, path)))
    }
}

#[derive(Clone)]
pub(super) struct Holders(Arc<Mutex<Table>>);

struct Table {
    holders: HashMap<ClaimKey, Held>,
    /// Failed deliveries, in the order of their first failure.
    failed: VecDeque<(ClaimKey, Instant)>,
}

struct Held {
    route: Route,
    is_running: bool,
    /// Until when the route keeps the delivery after a failure. `None` before the first failure.
    kept_until: Option<Instant>,
}

/// How a handler ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Completed,
    Failed,
    /// The route has no handler for it, so any route may handle it.
    NotFound,
}

impl Default for Holders {
    fn default() -> Self {
        // The capacity fits the usual number of deliveries, so that an insertion does not allocate.
        Self(Arc::new(Mutex::new(Table { holders: HashMap::with_capacity(64), failed: VecDeque::new() })))
    }
}

impl Holders {
    /// Returns why a delivery at `route` is a duplicate, or `None` if the store must decide.
    pub(super) fn look(&self, key: ClaimKey, route: Route) -> Option<Duplicate> {
        self.lock().holders.get(&key)?.look(route)
    }

    /// Returns whether the handler of another route is running.
    pub(super) fn is_held_by_another(&self, key: ClaimKey, route: Route) -> bool {
        self.lock().holders.get(&key).is_some_and(|held| held.is_running && held.route != route)
    }

    /// Binds the delivery to `route`, which keeps it for `keep_for` after a failure.
    pub(super) fn take(&self, key: ClaimKey, route: Route, keep_for: Duration) -> Result<Holder, Duplicate> {
        match self.lock().holders.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Held { route, is_running: true, kept_until: None });
            }
            Entry::Occupied(mut entry) => {
                let held = entry.get_mut();
                if let Some(duplicate) = held.look(route) {
                    return Err(duplicate);
                }
                let kept_until = held.kept_until.filter(|_| held.route == route);
                *held = Held { route, is_running: true, kept_until };
            }
        }
        Ok(Holder { holders: self.clone(), key, keep_for, end: End::Failed })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Implements [`Holders::look`].
    fn look(&self, route: Route) -> Option<Duplicate> {
        if self.is_running {
            return Some(Duplicate::Running);
        }
        let is_kept = self.kept_until.is_some_and(|until| until > Instant::now());
        (is_kept && self.route != route).then_some(Duplicate::OtherRoute)
    }
}

impl Table {
    fn end(&mut self, key: ClaimKey, end: End, keep_for: Duration) {
        let Entry::Occupied(mut entry) = self.holders.entry(key) else { return };
        let held = entry.get_mut();
        held.is_running = false;
        let is_over = match end {
            End::Completed => true,
            // After an earlier failure, the route keeps the delivery.
            End::NotFound => held.kept_until.is_none(),
            End::Failed => {
                // Only the first failure is recorded: duplicates do not become fresh again, and a
                // delivery that fails often must not displace others.
                if held.kept_until.is_none()
                    && let Some(until) = Instant::now().checked_add(keep_for.min(MAX_KEPT))
                {
                    held.kept_until = Some(until);
                    self.failed.push_back((key, until));
                }
                false
            }
        };
        if is_over {
            entry.remove();
        }
        self.forget();
    }

    /// Removes failures whose duplicates no longer verify, and the oldest ones if there are too
    /// many.
    fn forget(&mut self) {
        while let Some(&(key, until)) = self.failed.front()
            && (until <= Instant::now() || self.failed.len() > FAILED)
        {
            self.failed.pop_front();
            let Some(held) = self.holders.get_mut(&key).filter(|held| held.kept_until == Some(until)) else { continue };
            held.kept_until = None;
            if !held.is_running {
                self.holders.remove(&key);
            }
        }
    }
}

/// A delivery that a route's handler is handling. Dropping it without a result counts as a failure.
pub(super) struct Holder {
    holders: Holders,
    key: ClaimKey,
    keep_for: Duration,
    end: End,
}

impl Holder {
    pub(super) fn completed(&mut self) {
        self.end = End::Completed;
    }

    pub(super) fn not_found(&mut self) {
        self.end = End::NotFound;
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.holders.lock().end(self.key, mem::replace(&mut self.end, End::Failed), self.keep_for);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> ClaimKey {
        ClaimKey::new("", "", &number.to_be_bytes())
    }

    const KEEP: Duration = Duration::from_secs(600);

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_kept_for_its_route_for_a_limited_time() {
        let holders = Holders::default();
        let [here, there] = [Route::new("POST", "/here"), Route::new("POST", "/there")];
        for _ in 0..3 {
            drop(holders.take(key(0), here, KEEP));
            assert_eq!(holders.look(key(0), there), Some(Duplicate::OtherRoute));
            assert_eq!(holders.look(key(0), here), None);
            tokio::time::advance(KEEP / 4).await;
        }
        tokio::time::advance(KEEP / 4).await;
        assert_eq!(holders.look(key(0), there), None);
        let mut held = holders.take(key(0), there, KEEP).ok().unwrap();
        held.completed();
        drop(held);
        let table = holders.lock();
        assert_eq!((table.holders.len(), table.failed.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_kept_with_any_body_deadline() {
        let holders = Holders::default();
        let [here, there] = [Route::new("POST", "/here"), Route::new("POST", "/there")];
        drop(holders.take(key(0), here, Duration::MAX));
        assert_eq!(holders.look(key(0), there), Some(Duplicate::OtherRoute));
        assert_eq!(holders.lock().failed.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivery_that_fails_often_does_not_displace_others() {
        let holders = Holders::default();
        let [here, there] = [Route::new("POST", "/here"), Route::new("GET", "/here")];
        for _ in 0..3 {
            for number in 0..FAILED {
                drop(holders.take(key(number), here, KEEP));
            }
        }
        assert_eq!(holders.look(key(0), there), Some(Duplicate::OtherRoute));
        drop(holders.take(key(FAILED), here, KEEP));
        assert_eq!(holders.look(key(0), there), None, "the first to fail is forgotten");
        assert_eq!(holders.look(key(1), there), Some(Duplicate::OtherRoute));
        let table = holders.lock();
        assert_eq!((table.holders.len(), table.failed.len()), (FAILED, FAILED));
    }
}
