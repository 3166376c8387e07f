use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use crate::deduplicate::ClaimKey;

/// The one copy a key that is on a list of this process, until it is dropped.
pub(super) struct Listed<'a> {
    list: &'a Mutex<HashSet<(ClaimKey, bool)>>,
    key: (ClaimKey, bool),
}

impl<'a> Listed<'a> {
    pub(super) fn enter(list: &'a Mutex<HashSet<(ClaimKey, bool)>>, key: (ClaimKey, bool)) -> Option<Self> {
        let is_first = list.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        // Not `then_some`: what that made for nothing, it would drop, and with it the first one's entry.
        is_first.then(|| Self { list, key })
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
