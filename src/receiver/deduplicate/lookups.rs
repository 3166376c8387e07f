use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::Duplicate;
use crate::deduplicate::ClaimKey;

/// The result of a lookup; `None` until it ends.
type Found = watch::Sender<Option<Duplicate>>;

/// The running lookups in the claim store. All duplicates of a delivery share one lookup.
#[derive(Clone, Default)]
pub(super) struct Lookups(Arc<Mutex<HashMap<ClaimKey, Arc<Found>>>>);

impl Lookups {
    /// Begins to look up the key, or waits for the result of a running lookup.
    pub(super) async fn begin(&self, key: ClaimKey) -> Result<Lookup<'_>, Duplicate> {
        loop {
            let mut theirs = match self.lock().entry(key) {
                Entry::Occupied(running) => running.get().subscribe(),
                Entry::Vacant(place) => {
                    let found = Arc::clone(place.insert(Arc::default()));
                    return Ok(Lookup { lookups: self, key, found });
                }
            };
            // An error means that the lookup was cancelled.
            let found = theirs.wait_for(Option::is_some).await.ok().and_then(|found| *found);
            if let Some(duplicate) = found {
                return Err(duplicate);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClaimKey, Arc<Found>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running lookup. It ends when this is dropped.
pub(super) struct Lookup<'a> {
    lookups: &'a Lookups,
    key: ClaimKey,
    found: Arc<Found>,
}

impl Lookup<'_> {
    /// Ends the lookup. `found` is `None` if the key was free.
    pub(super) fn end(self, found: Option<Duplicate>) {
        self.found.send_replace(Some(match found {
            // If the key was free, this delivery has claimed it, so for the other deliveries the
            // key is running. Each delivery checks its own route.
            None | Some(Duplicate::OtherRoute) => Duplicate::Running,
            Some(duplicate) => duplicate,
        }));
    }
}

impl Drop for Lookup<'_> {
    fn drop(&mut self) {
        self.lookups.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    /// A store that many callers query, and that answers when the test lets it.
    #[derive(Clone, Default)]
    struct Store {
        lookups: Lookups,
        asked: Arc<AtomicUsize>,
        answers: Arc<watch::Sender<Option<Result<(), Duplicate>>>>,
    }

    impl Store {
        /// Returns when the call has begun.
        async fn ask(&self) -> JoinHandle<Result<(), Duplicate>> {
            let store = self.clone();
            let asking = tokio::spawn(async move {
                let lookup = store.lookups.begin(ClaimKey::new("", "", &[0; 32])).await?;
                store.asked.fetch_add(1, Ordering::Relaxed);
                let found = store.answers.subscribe().wait_for(Option::is_some).await.unwrap().unwrap();
                lookup.end(found.err());
                found
            });
            for _ in 0..3 {
                yield_now().await;
            }
            asking
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn duplicates_share_the_result_of_one_lookup() {
        for (found, by_others) in [
            (Ok(()), Duplicate::Running),
            (Err(Duplicate::Handled), Duplicate::Handled),
            (Err(Duplicate::Unknown), Duplicate::Unknown),
            (Err(Duplicate::OtherRoute), Duplicate::Running),
        ] {
            let store = Store::default();
            let first = store.ask().await;
            let others = [store.ask().await, store.ask().await];
            store.answers.send_replace(Some(found));
            assert_eq!(first.await.unwrap(), found);
            for other in others {
                assert_eq!(other.await.unwrap(), Err(by_others));
            }
            assert_eq!(store.asked(), 1);
            // It has ended, so the next call starts a new lookup.
            assert_eq!(store.ask().await.await.unwrap(), found);
            assert_eq!(store.asked(), 2);
        }
    }

    #[tokio::test]
    async fn another_lookup_starts_when_one_is_cancelled() {
        let store = Store::default();
        let first = store.ask().await;
        let [second, third] = [store.ask().await, store.ask().await];
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        store.answers.send_replace(Some(Ok(())));
        let mut found = [second.await.unwrap(), third.await.unwrap()];
        found.sort_by_key(Result::is_err);
        assert_eq!(found, [Ok(()), Err(Duplicate::Running)]);
        assert_eq!(store.asked(), 2);
    }
}
