use proptest::prelude::*;

use super::*;

fn key(number: u64) -> ClaimKey {
    ClaimKey::from_parts("test", "keys", [number.to_be_bytes()])
}

fn token(number: usize) -> Token {
    (number as u128).to_be_bytes()
}

/// A model of the table, as simple as possible.
struct Model {
    capacity: usize,
    /// The entries in the order of their last change.
    entries: Vec<Entry>,
    forgotten: u64,
}

#[derive(Debug)]
struct Entry {
    key: ClaimKey,
    token: Token,
    expires: u64,
    state: State,
}

impl Model {
    fn at(&mut self, key: ClaimKey, now: u64) -> Option<usize> {
        self.entries.retain(|entry| entry.expires > now);
        self.entries.iter().position(|entry| entry.key == key)
    }

    fn insert(&mut self, entry: Entry) -> Result<(), Full> {
        if self.entries.len() == self.capacity {
            let oldest = self.entries.iter().position(|entry| entry.state == State::Completed).ok_or(Full)?;
            self.entries.remove(oldest);
            self.forgotten += 1;
        }
        self.entries.push(entry);
        Ok(())
    }

    fn claim(&mut self, key: ClaimKey, token: Token, now: u64, expires: u64) -> Result<Option<State>, Full> {
        match self.at(key, now) {
            Some(at) => Ok(Some(self.entries[at].state)),
            None => self.insert(Entry { key, token, expires, state: State::Running }).map(|()| None),
        }
    }

    fn renew(&mut self, key: ClaimKey, token: Token, now: u64, expires: u64) -> bool {
        let Some(at) = self.at(key, now) else { return false };
        let mine = self.entries[at].token == token && self.entries[at].state == State::Running;
        if mine {
            let entry = self.entries.remove(at);
            self.entries.push(Entry { expires, ..entry });
        }
        mine
    }

    fn complete(&mut self, key: ClaimKey, token: Token, now: u64, expires: u64) -> Result<bool, Full> {
        match self.at(key, now) {
            Some(at) if self.entries[at].token != token => return Ok(false),
            Some(at) => _ = self.entries.remove(at),
            None => {}
        }
        self.insert(Entry { key, token, expires, state: State::Completed }).map(|()| true)
    }

    fn release(&mut self, key: ClaimKey, token: Token, now: u64) -> bool {
        let Some(at) = self.at(key, now) else { return false };
        let mine = self.entries[at].token == token && self.entries[at].state == State::Running;
        if mine {
            self.entries.remove(at);
        }
        mine
    }

    fn forget(&mut self, key: ClaimKey, now: u64) -> bool {
        self.at(key, now).map(|at| self.entries.remove(at)).is_some()
    }
}

impl Table {
    /// Panics unless queues, chains and unused slots are consistent.
    fn check(&mut self) {
        let mut used = 0;
        for state in [State::Running, State::Completed] {
            let (mut before, mut link) = (None, self.queue(state).oldest);
            while let Some(place) = link {
                let slot = *self.slot(place).unwrap();
                assert_eq!((slot.state, slot.older), (state, before));
                let mut chain = *self.bucket(slot.key).unwrap();
                while chain != Some(place) {
                    chain = self.slot(chain.expect("in the chain of its bucket")).unwrap().next;
                }
                (before, link) = (link, slot.newer);
                used += 1;
            }
            assert_eq!(self.queue(state).newest, before);
        }
        assert_eq!(used, self.len);
        let mut unused = 0;
        let mut link = self.unused;
        while let Some(place) = link {
            link = self.slot(place).unwrap().next;
            unused += 1;
        }
        assert_eq!(used + unused, self.slots.len());
        assert!(self.slots.len() <= self.capacity);
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Claim { key: u64, lease: u64 },
    Renew { claim: usize, lease: u64 },
    Complete { claim: usize, ttl: u64 },
    Release { claim: usize },
    Forget { key: u64 },
    Wait { time: u64 },
}

fn operations(
    keys: u64,
    leases: impl Strategy<Value = u64> + Clone,
    ttls: impl Strategy<Value = u64>,
) -> impl Strategy<Value = Vec<Operation>> {
    use Operation::*;

    let claim = 0_usize..8;
    let operation = prop_oneof![
        6 => (0..keys, leases.clone()).prop_map(|(key, lease)| Claim { key, lease }),
        2 => (claim.clone(), leases).prop_map(|(claim, lease)| Renew { claim, lease }),
        4 => (claim.clone(), ttls).prop_map(|(claim, ttl)| Complete { claim, ttl }),
        2 => claim.prop_map(|claim| Release { claim }),
        1 => (0..keys).prop_map(|key| Forget { key }),
        3 => (0_u64..60).prop_map(|time| Wait { time }),
    ];
    prop::collection::vec(operation, 1..400)
}

fn agree(capacity: usize, operations: Vec<Operation>) {
    let mut table = Table::new(capacity);
    let mut model = Model { capacity, entries: Vec::new(), forgotten: 0 };
    let mut now = 0;
    // every claim that was tried, the latest last; operations pick from these
    let mut claims = vec![(key(0), token(0))];
    for operation in operations {
        let pick = |back: usize| claims[claims.len().saturating_sub(back + 1)];
        match operation {
            Operation::Claim { key: number, lease } => {
                let (key, token) = (key(number), token(claims.len()));
                let expires = now + lease;
                assert_eq!(table.claim(key, token, now, expires), model.claim(key, token, now, expires));
                claims.push((key, token));
            }
            Operation::Renew { claim, lease } => {
                let (key, token) = pick(claim);
                assert_eq!(table.renew(key, token, now, now + lease), model.renew(key, token, now, now + lease));
            }
            Operation::Complete { claim, ttl } => {
                let (key, token) = pick(claim);
                assert_eq!(table.complete(key, token, now, now + ttl), model.complete(key, token, now, now + ttl));
            }
            Operation::Release { claim } => {
                let (key, token) = pick(claim);
                assert_eq!(table.release(key, token, now), model.release(key, token, now));
            }
            Operation::Forget { key: number } => {
                assert_eq!(table.forget(key(number), now), model.forget(key(number), now));
            }
            Operation::Wait { time } => now += time,
        }
        table.check();
        assert_eq!(table.forgotten(), model.forgotten);
    }
}

macro_rules! agree_with_the_model {
    ($cases:literal $(, #[$attribute:meta])*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases($cases))]

            /// If the table is so small that every entry is visited, the table agrees with the
            /// model for any durations.
            $(#[$attribute])*
            #[test]
            fn agrees_with_the_model(capacity in 1..=LOOK, operations in operations(12, 1_u64..100, 1_u64..300)) {
                agree(capacity, operations);
            }

            /// A table of any size agrees with the model for equal leases and equal times to live.
            $(#[$attribute])*
            #[test]
            fn agrees_with_the_model_for_equal_durations(
                capacity in 1_usize..40,
                operations in operations(60, Just(50), Just(400)),
            ) {
                agree(capacity, operations);
            }

            /// As long as the table is not full, the table agrees with the model for any durations.
            $(#[$attribute])*
            #[test]
            fn agrees_with_the_model_until_it_is_full(operations in operations(30, 1_u64..100, 1_u64..300)) {
                agree(400, operations);
            }
        }
    };
}

agree_with_the_model!(32);

mod at_length {
    use super::*;

    agree_with_the_model!(256, #[ignore = "long: the gate runs it"]);

    #[test]
    #[ignore = "long: the gate runs it"]
    fn no_operation_takes_longer_in_a_larger_table() {
        few_steps(1_000_000);
    }
}

/// Fills a table, uses it, and lets everything expire. Returns the maximum number of entries that
/// one operation visited.
fn most_steps(entries: u64) -> usize {
    const LEASE: u64 = 1_000;
    const TTL: u64 = 1_000_000_000;
    let mut table = Table::new(usize::try_from(entries).unwrap());
    let (slots, token) = (table.slots.as_ptr(), token(1));
    let mut most = 0;
    let mut claim = |table: &mut Table, number: u64, now: u64| {
        table.steps = 0;
        assert_eq!(table.claim(key(number), token, now, now + LEASE), Ok(None));
        most = most.max(table.steps);
        // one in eight crashes
        if !number.is_multiple_of(8) {
            table.steps = 0;
            assert_eq!(table.complete(key(number), token, now, now + TTL), Ok(true));
            most = most.max(table.steps);
        }
    };
    for number in 0..entries + entries / 4 {
        claim(&mut table, number, number);
    }
    assert!(table.forgotten() > 0, "it was full");
    for number in 0..1_000 {
        claim(&mut table, 2 * entries + number, 2 * TTL);
    }
    assert_eq!(table.slots.as_ptr(), slots, "the slots stay where they are");
    most
}

#[test]
fn no_operation_takes_longer_in_a_larger_table() {
    few_steps(1_000);
    few_steps(30_000);
}

#[track_caller]
fn few_steps(entries: u64) {
    // Two entries at the front of each queue, eight of each queue if the table is full, and the
    // rest from the chains of buckets.
    const BOUND: usize = 40;
    let most = most_steps(entries);
    println!("{entries} entries: {most} steps at most");
    assert!((4..=BOUND).contains(&most), "{most} steps with {entries} entries");
}

#[test]
fn expired_slots_are_reused_before_new_ones() {
    let mut table = Table::new(100_000);
    for now in 0..10_000 {
        assert_eq!(table.claim(key(now), token(1), now, now + 10), Ok(None));
        if now % 2 == 0 {
            assert_eq!(table.complete(key(now), token(1), now, now + 100), Ok(true));
        }
    }
    assert!(table.slots.len() < 100, "{} slots used for about 55 entries", table.slots.len());
}

#[test]
fn the_capacity_is_limited() {
    assert_eq!(Table::MAX_CAPACITY, if cfg!(target_pointer_width = "32") { 1 << 22 } else { 1 << 28 });
}

#[test]
fn an_entry_takes_at_most_80_bytes() {
    for capacity in [1_000_000, 1 << 20, (1 << 20) + 1, 100_000, 1] {
        let table = Table::new(capacity);
        assert_eq!(table.slots.capacity(), capacity);
        let bytes = table.slots.capacity() * size_of::<Slot>() + table.buckets.len() * size_of::<Option<Place>>();
        assert!(bytes <= 80 * capacity, "{} bytes per entry", bytes / capacity);
    }
}
