use std::{
    collections::HashMap,
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

enum Lookup<'a> {
    Ours(Ours<'a>),
    Theirs(watch::Receiver<Option<Duplicate>>),
}

impl Lookups {
    /// Looks up the key, or waits for the result of a running lookup.
    pub(super) async fn share<T, F>(&self, key: ClaimKey, look_up: impl FnOnce() -> F) -> Result<T, Duplicate>
    where
        F: Future<Output = Result<T, Duplicate>>,
    {
        loop {
            let mut theirs = match self.begin(key) {
                Lookup::Ours(ours) => {
                    let found = look_up().await;
                    ours.notify(match found {
                        // If the key was free, this delivery has claimed it, so for the other
                        // deliveries the key is running. Each delivery checks its own route.
                        Ok(_) | Err(Duplicate::OtherRoute) => Duplicate::Running,
                        Err(duplicate) => duplicate,
                    });
                    return found;
                }
                Lookup::Theirs(theirs) => theirs,
            };
            // An error means that the lookup was cancelled.
            let found = theirs.wait_for(Option::is_some).await.ok().and_then(|found| *found);
            if let Some(duplicate) = found {
                return Err(duplicate);
            }
        }
    }

    fn begin(&self, key: ClaimKey) -> Lookup<'_> {
        let mut lookups = self.lock();
        match lookups.get(&key) {
            Some(found) => Lookup::Theirs(found.subscribe()),
            None => {
                let found = Arc::new(watch::Sender::new(None));
                lookups.insert(key, Arc::clone(&found));
                Lookup::Ours(Ours { lookups: self, key, found })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClaimKey, Arc<Found>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This delivery's lookup. It ends when this is dropped.
struct Ours<'a> {
    lookups: &'a Lookups,
    key: ClaimKey,
    found: Arc<Found>,
}

impl Ours<'_> {
    fn notify(self, found: Duplicate) {
        self.found.send_replace(Some(found));
    }
}

impl Drop for Ours<'_> {
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
                let look_up = || async {
                    store.asked.fetch_add(1, Ordering::Relaxed);
                    let mut answers = store.answers.subscribe();
                    answers.wait_for(Option::is_some).await.unwrap().unwrap()
                };
                store.lookups.share(ClaimKey::new("", "", &[0; 32]), look_up).await
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
