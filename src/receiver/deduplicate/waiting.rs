//! A duplicate waits for the delivery that is being handled.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

use super::{Deduplication, Duplicate, Route, held::Held};
use crate::deduplicate::ClaimKey;

/// How often a duplicate that waits asks again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

impl Deduplication {
    /// Claims a delivery, and waits for a copy that is being handled: it may fail, and then this
    /// may be the only one left.
    ///
    /// `fresh_for`: how long a copy can be taken for fresh from now on, the time in which it
    /// arrives included. `must_handle`: whether it has to be handled even if the store fails and
    /// [`StoreFailure::Reject`](crate::deduplicate::StoreFailure::Reject) is set.
    pub(in crate::receiver) async fn claim(
        self: &Arc<Self>,
        key: ClaimKey,
        route: Route,
        fresh_for: Duration,
        mut must_handle: impl FnMut() -> bool,
    ) -> Result<Held, Duplicate> {
        let mut waiting = None;
        loop {
            let claimed = match self.holders.look(key, route) {
                Some(duplicate) => Err(duplicate),
                None if self.is_in_process() => self.try_claim(key, route, fresh_for, &mut must_handle).await,
                // While one copy asks, nothing is known to run: the others learn what it finds.
                None => self.lookups.share(key, || self.try_claim(key, route, fresh_for, &mut must_handle)).await,
            };
            match claimed {
                Err(Duplicate::Running) if waiting.is_none() => {
                    // A copy that was sent to another route must not take the place of one that the
                    // handler's own route gets.
                    let place = (key, self.holders.is_held_by_another(key, route));
                    waiting = Some(Listed::enter(&self.waited_for, place).ok_or(Duplicate::Running)?);
                }
                Err(Duplicate::Running) => {}
                // The copy that asked need not be handled; this one has to be, and asks for itself.
                Err(Duplicate::Unknown) if must_handle() => continue,
                ended => return ended,
            }
            sleep(ASK_AGAIN).await;
        }
    }
}

/// The one copy a key that is on a list of this process, until it is dropped.
struct Listed<'a> {
    list: &'a Mutex<HashSet<(ClaimKey, bool)>>,
    key: (ClaimKey, bool),
}

impl<'a> Listed<'a> {
    fn enter(list: &'a Mutex<HashSet<(ClaimKey, bool)>>, key: (ClaimKey, bool)) -> Option<Self> {
        let is_first = list.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        // Not `then_some`: what that made for nothing, it would drop, and with it the first one's
        // entry.
        is_first.then(|| Self { list, key })
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
