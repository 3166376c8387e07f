//! The deliveries that the inspector keeps in memory, within bounds, and the news about them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::broadcast;

use super::entry::Entry;

/// The maximum number of deliveries of a kind, and of their bytes.
pub(super) const VERIFIED: Limits = Limits { count: 4_000, bytes: 64 << 20 };
const BY_ANYBODY: Limits = Limits { count: 1_000, bytes: 16 << 20 };

/// The number of messages that can wait for a slow browser. If it misses one, it must fetch the
/// list again.
const NEWS: usize = 256;

/// The message that the list must be fetched again.
pub(super) const RESYNC: &str = r#"{"resync":true}"#;

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

/// Clones share the deliveries.
#[derive(Clone)]
pub(in super::super) struct Store(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    news: broadcast::Sender<Arc<str>>,
}

struct State {
    /// The verified deliveries, without replays.
    verified: Kept,
    /// Deliveries that anybody can send: unverified deliveries, and replays of verified ones.
    /// They have their own bounds, so that they cannot displace what Twenty sent.
    by_anybody: Kept,
    /// The digests of what was signed in the deliveries in `verified`.
    signed: HashSet<[u8; 32]>,
    keys: HashMap<String, Key>,
    next: u64,
    /// The number of deliveries that were dropped to stay within the bounds.
    dropped: u64,
    /// The status that is shown in addition to the deliveries, as JSON.
    status: Option<Arc<str>>,
}

/// The order of arrival.
type Key = (jiff::Timestamp, u64);

struct Kept {
    entries: BTreeMap<Key, Arc<Entry>>,
    bytes: usize,
    limits: Limits,
}

impl Store {
    pub(super) fn new() -> Self {
        Self::bounded(VERIFIED, BY_ANYBODY)
    }

    fn bounded(verified: Limits, by_anybody: Limits) -> Self {
        let kept = |limits| Kept { entries: BTreeMap::new(), bytes: 0, limits };
        let (verified, by_anybody) = (kept(verified), kept(by_anybody));
        let (signed, keys) = (HashSet::new(), HashMap::new());
        let state = State { verified, by_anybody, signed, keys, next: 0, dropped: 0, status: None };
        Self(Arc::new(Shared { state: Mutex::new(state), news: broadcast::Sender::new(NEWS) }))
    }

    /// Adds a delivery, drops the oldest ones of the same kind when there are too many, and reports
    /// both to the browsers.
    pub(super) fn add(&self, entry: impl Into<Arc<Entry>>) -> Arc<Entry> {
        let entry = entry.into();
        let removed = self.state().add(Arc::clone(&entry));
        let removed: Vec<_> = removed.iter().map(|entry| entry.id.as_str()).collect();
        let removed = serde_json::to_string(&removed).unwrap_or_default();
        self.notify(&format!(r#"{{"added":{},"dropped":{removed}}}"#, entry.summary));
        entry
    }

    /// Adds earlier deliveries, except those whose ids are already in the store. Notifies the
    /// browsers to fetch the list again.
    pub(super) fn add_history(&self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            let mut state = self.state();
            if !state.keys.contains_key(&entry.id) {
                state.add(Arc::new(entry));
            }
        }
        self.notify(RESYNC);
    }

    /// Removes deliveries, and reports it.
    #[cfg(any(feature = "postgres", feature = "redb"))]
    pub(super) fn remove(&self, ids: &[String]) {
        let removed: Vec<&String> = ids.iter().filter(|id| self.state().remove(id)).collect();
        if !removed.is_empty() {
            self.notify(&serde_json::json!({ "removed": removed }).to_string());
        }
    }

    /// Sets the status, and sends it to the browsers if it has changed.
    #[cfg(any(feature = "postgres", feature = "redb"))]
    pub(super) fn set_status(&self, status: &serde_json::Value) {
        let status: Arc<str> = status.to_string().into();
        let before = self.state().status.replace(Arc::clone(&status));
        if before.as_ref() != Some(&status) {
            self.notify(&format!(r#"{{"inbox":{status}}}"#));
        }
    }

    pub(super) fn status(&self) -> Option<Arc<str>> {
        self.state().status.clone()
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.state().keys.contains_key(id)
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Entry>> {
        let state = self.state();
        let key = state.keys.get(id)?;
        state.verified.entries.get(key).or_else(|| state.by_anybody.entries.get(key)).cloned()
    }

    /// Returns all deliveries, in the order of arrival.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        let state = self.state();
        let mut all: Vec<_> = state.verified.entries.iter().chain(&state.by_anybody.entries).collect();
        all.sort_unstable_by_key(|(key, _)| **key);
        all.into_iter().map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// Returns the previous delivery of the same record. Only verified deliveries have a record.
    pub(super) fn previous(&self, entry: &Entry) -> Option<Arc<Entry>> {
        let record = entry.record.as_ref()?;
        let state = self.state();
        let key = state.keys.get(&entry.id)?;
        let mut before = state.verified.entries.range(..*key).rev();
        before.find(|(_, other)| other.record.as_ref() == Some(record)).map(|(_, other)| Arc::clone(other))
    }

    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Returns a receiver of the news. Each message is a JSON text.
    pub(super) fn news(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.news.subscribe()
    }

    fn notify(&self, news: &str) {
        // This fails if no browser is connected.
        let _ = self.0.news.send(news.into());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(any(feature = "postgres", feature = "redb"))]
impl Kept {
    fn remove(&mut self, key: &Key) -> Option<Arc<Entry>> {
        let entry = self.entries.remove(key)?;
        self.bytes = self.bytes.saturating_sub(entry.size());
        Some(entry)
    }
}

impl State {
    #[cfg(any(feature = "postgres", feature = "redb"))]
    fn remove(&mut self, id: &str) -> bool {
        let Some(key) = self.keys.remove(id) else { return false };
        if let Some(entry) = self.verified.remove(&key) {
            entry.signed.map(|signed| self.signed.remove(&signed));
        }
        self.by_anybody.remove(&key);
        true
    }

    /// Adds a delivery. Returns the deliveries that were dropped.
    fn add(&mut self, entry: Arc<Entry>) -> Vec<Arc<Entry>> {
        let key = (entry.at, self.next);
        self.next = self.next.saturating_add(1);
        self.keys.insert(entry.id.clone(), key);
        let is_replay = entry.signed.is_some_and(|signed| self.signed.contains(&signed));
        let is_twentys = entry.is_verified && !is_replay;
        if is_twentys {
            self.signed.extend(entry.signed);
        }
        let kept = if is_twentys { &mut self.verified } else { &mut self.by_anybody };
        kept.bytes = kept.bytes.saturating_add(entry.size());
        kept.entries.insert(key, entry);
        let mut removed = Vec::new();
        // The last delivery stays, so that a delivery that was just reported exists.
        while kept.entries.len() > 1 && (kept.entries.len() > kept.limits.count || kept.bytes > kept.limits.bytes) {
            let Some((_, oldest)) = kept.entries.pop_first() else { break };
            kept.bytes = kept.bytes.saturating_sub(oldest.size());
            self.keys.remove(&oldest.id);
            if is_twentys {
                oldest.signed.map(|signed| self.signed.remove(&signed));
            }
            self.dropped = self.dropped.saturating_add(1);
            removed.push(oldest);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn entry(number: u64, at: i64, is_verified: bool, length: usize) -> Entry {
        Entry {
            id: format!("{number}"),
            at: jiff::Timestamp::from_millisecond(at).unwrap(),
            is_verified,
            body: Some(vec![0; length].into()),
            ..Entry::default()
        }
    }

    impl Store {
        /// Returns the ids of the verified deliveries and of the others, each with the digest of
        /// what was signed.
        fn ids(&self) -> [BTreeMap<String, Option<[u8; 32]>>; 2] {
            let state = self.state();
            [&state.verified, &state.by_anybody]
                .map(|kept| kept.entries.values().map(|entry| (entry.id.clone(), entry.signed)).collect())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// For any deliveries, in any order: the newest of each kind are in the store, within both
        /// bounds or a single one. Every id leads to its delivery, and each dropped delivery is
        /// reported. Replays of a verified delivery count as deliveries that anybody can send.
        #[test]
        fn the_newest_of_each_kind_stay_within_the_bounds(
            added in vec((proptest::option::of(0..8_u8), 0..50_i64, 0..400_usize), 0..80),
        ) {
            let limits = Limits { count: 5, bytes: 2_000 };
            let store = Store::bounded(limits, limits);
            let mut news = store.news();
            let mut listed = BTreeSet::new();
            for (number, (signed, at, length)) in added.into_iter().enumerate() {
                let number = number as u64;
                let entry = entry(number, at, signed.is_some(), length);
                let signed = signed.map(|signed| [signed; 32]);
                let [verified, by_anybody] = store.ids();
                let is_replay = signed.is_some() && verified.values().any(|kept| *kept == signed);
                store.add(Entry { summary: format!("\"{number}\""), signed, ..entry });
                let now = store.ids();
                if signed.is_some() && !is_replay {
                    prop_assert_eq!(&now[1], &by_anybody, "no delivery that anybody can send is dropped");
                } else {
                    prop_assert_eq!(&now[0], &verified, "no verified delivery is dropped");
                }
                let message: serde_json::Value = serde_json::from_str(&news.try_recv().unwrap()).unwrap();
                listed.insert(message["added"].as_str().unwrap().to_owned());
                for id in message["dropped"].as_array().unwrap() {
                    prop_assert!(listed.remove(id.as_str().unwrap()));
                }
                let all = store.all();
                prop_assert_eq!(&all.iter().map(|e| e.id.clone()).collect::<BTreeSet<_>>(), &listed);
                prop_assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at));
                prop_assert!(all.iter().all(|e| store.get(&e.id).is_some_and(|found| found.id == e.id)));
                for kept in &now {
                    let bytes: usize = kept.keys().map(|id| store.get(id).unwrap().size()).sum();
                    prop_assert!(kept.len() <= 1 || (kept.len() <= 5 && bytes <= 2_000));
                }
                let kept = store.0.state.lock().unwrap();
                prop_assert_eq!(kept.keys.len(), all.len());
                prop_assert_eq!(&kept.signed, &now[0].values().copied().flatten().collect::<HashSet<_>>());
                prop_assert_eq!(kept.dropped + all.len() as u64, number + 1);
            }
        }
    }

    #[test]
    fn a_delivery_is_compared_with_the_previous_delivery_of_its_record() {
        let store = Store::new();
        for (number, record) in ["a", "b", "a", "b", "a"].iter().enumerate() {
            let record = Some((*record).to_owned());
            store.add(Entry { record, ..entry(number as u64, 10 * number as i64, true, 1) });
        }
        let previous = |id: &str| store.previous(&store.get(id).unwrap()).map(|entry| entry.id.clone());
        let all = ["0", "1", "2", "3", "4"].map(previous);
        assert_eq!(all, [None, None, Some("0".into()), Some("1".into()), Some("2".into())]);
        store.add(entry(5, 60, true, 1));
        assert_eq!(previous("5"), None, "events without a record have nothing in common");
    }
}
