//! Lets a duplicate wait for the delivery that is being handled.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

use super::{Attempt, Deduplication, Duplicate, held::Held};
use crate::deduplicate::ClaimKey;

/// The interval at which a waiting duplicate queries the store.
const ASK_AGAIN: Duration = Duration::from_millis(100);

impl Deduplication {
    /// Claims a delivery. If a duplicate is being handled, waits for the result: if its handler
    /// fails, this delivery may be the last one that arrives.
    ///
    /// `must_handle` returns whether the delivery must be handled even if the store fails and
    /// [`StoreFailure::Reject`](crate::deduplicate::StoreFailure::Reject) is set.
    pub(in crate::receiver) async fn claim(
        self: &Arc<Self>,
        attempt: &Attempt,
        mut must_handle: impl FnMut() -> bool,
    ) -> Result<Held, Duplicate> {
        let mut waiting = None;
        loop {
            match self.look_up(attempt, &mut must_handle).await {
                Err(Duplicate::Running) => {
                    if waiting.is_none() {
                        // A duplicate at another route must not take the place of a duplicate at
                        // the handler's own route.
                        let is_elsewhere = self.holders.is_held_by_another(attempt.key, attempt.route);
                        let place = (attempt.key, is_elsewhere);
                        waiting = Some(Listed::enter(&self.waited_for, place).ok_or(Duplicate::Running)?);
                    }
                }
                // The duplicate that made the lookup may be rejected. This one must be handled, so
                // it makes its own lookup.
                Err(Duplicate::Unknown) if must_handle() => continue,
                ended => return ended,
            }
            sleep(ASK_AGAIN).await;
        }
    }

    /// Claims a delivery, unless this process knows that it must not be handled now.
    async fn look_up(
        self: &Arc<Self>,
        attempt: &Attempt,
        must_handle: impl FnOnce() -> bool,
    ) -> Result<Held, Duplicate> {
        if let Some(duplicate) = self.holders.look(attempt.key, attempt.route) {
            return Err(duplicate);
        }
        if self.is_in_process() {
            return self.try_claim(attempt, must_handle).await;
        }
        // While one duplicate queries the store, the others wait for its result.
        let lookup = self.lookups.begin(attempt.key).await?;
        let claimed = self.try_claim(attempt, must_handle).await;
        lookup.end(claimed.as_ref().err().copied());
        claimed
    }
}

/// An entry of a key in a list of this process. A list has at most one entry for each key. Dropping
/// this removes the entry.
struct Listed<'a> {
    list: &'a Mutex<HashSet<(ClaimKey, bool)>>,
    key: (ClaimKey, bool),
}

impl<'a> Listed<'a> {
    fn enter(list: &'a Mutex<HashSet<(ClaimKey, bool)>>, key: (ClaimKey, bool)) -> Option<Self> {
        let is_first = list.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        // `then_some` would create and drop a second `Listed`, which would remove the entry of the
        // first.
        is_first.then(|| Self { list, key })
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
