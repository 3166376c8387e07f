//! Compares a durable store with the store in memory, by performing random operations on both.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::{collection::vec, prelude::*};

use super::{
    DeadLetter, DeadReason, EventId, InboxBuilder, RecordKey, StoredEvent,
    memory::MemoryInbox,
    store::{Bounds, End, Lease, PAGE_BYTES, Store, StoreFuture, Take, Taken, Which},
};
use crate::{
    deduplicate::ClaimKey,
    verify::{Clock, FixedClock, Secret, Signer, Timestamp, Verifier},
};

/// A store that is compared with the model.
pub(super) trait Subject {
    fn store(&self) -> &dyn Store;

    /// Kills the process, and opens the store again. All running events were interrupted.
    async fn kill(&mut self);
}

pub(super) const BOUNDS: Bounds = Bounds {
    max_pending: 1_000,
    max_bytes: 1 << 30,
    remember_for: InboxBuilder::DEFAULT_REMEMBER_FOR,
    keep_dead_for: InboxBuilder::DEFAULT_KEEP_DEAD_LETTERS_FOR,
};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_790_932_471_733);

pub(super) fn clock() -> FixedClock {
    FixedClock::at(NOW)
}

/// Returns the event with this number. Every fifth event has no record, and the others are about
/// one of four records.
pub(super) fn event(number: u64) -> StoredEvent {
    padded_event(number, 0)
}

/// Returns an event whose body ends with this many spaces.
fn padded_event(number: u64, spaces: usize) -> StoredEvent {
    let body = format!(r#"{{"eventName":"note.created","record":{{"id":"{}","n":{number}}}}}"#, number % 5);
    let body = body + &" ".repeat(spaces);
    let verifier = Verifier::builder().secret(Secret::new("secret").unwrap()).clock(clock());
    let verifier = verifier.body_limit(PAGE_BYTES).build().unwrap();
    let verified = verifier.verify(Signer::new("secret").unwrap().sign_at(NOW, &body).pairs(), body).unwrap();
    let record = if number % 5 == 4 { RecordKey::NONE } else { RecordKey::of_body(verified.body()) };
    StoredEvent { key: key(number), record, accepted_at: NOW, verified }
}

pub(super) fn key(number: u64) -> ClaimKey {
    ClaimKey::new("", "", &number.to_be_bytes())
}

pub(super) fn take(limit: usize) -> Take {
    let longest_delay = Duration::from_secs(3600);
    Take { ends: Vec::new(), limit, turn: 1, busy: [].into(), alone: false, longest_delay }
}

/// Ends one event.
pub(super) trait EndOne: Store {
    fn end(&self, lease: Lease, end: End) -> StoreFuture<'_, bool> {
        let take = Take::only_to_end(vec![(lease, end)]);
        Box::pin(async { self.take(take).await.map(|taken| taken.ended == [true]) })
    }
}

impl<S: Store + ?Sized> EndOne for S {}

/// The outcome of events under a fault: a row of the table of faults in `docs/inbox.md`.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) sent: u64,
    pub(super) accepted: usize,
    pub(super) handled: usize,
    pub(super) dead: u64,
    pub(super) lost: usize,
    /// The number of events that were handled more than once.
    pub(super) doubled: usize,
}

impl Outcome {
    /// Creates the outcome. Requires that no dead letter was handled.
    pub(super) fn new(sent: u64, accepted: &[u64], handled: &BTreeMap<u64, u32>, dead: u64) -> Self {
        let missing = accepted.iter().filter(|number| !handled.contains_key(number)).count();
        Self {
            sent,
            accepted: accepted.len(),
            handled: handled.len(),
            dead,
            lost: missing.saturating_sub(usize::try_from(dead).unwrap()),
            doubled: handled.values().filter(|times| **times > 1).count(),
        }
    }

    pub(super) fn report(&self, fault: &str) {
        let Self { sent, accepted, handled, dead, lost, doubled } = self;
        println!(
            "{fault}: {sent} sent, {accepted} accepted, {handled} handled, {dead} dead, {lost} lost, {doubled} doubled"
        );
    }
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Put(u64),
    Take {
        /// Indexes of leases, and how their events end, as in `End`.
        ends: Vec<(usize, u8)>,
        limit: usize,
        turn: u64,
        busy: Vec<u64>,
        alone: bool,
    },
    /// The index of a lease among all leases so far, some of which are stale, and how the event
    /// ends.
    End(usize, u8),
    Advance(u64),
    SetBack(u64),
    Redrive(Option<u64>),
    Purge(Option<u64>),
    Erase(u64),
    Maintain,
    Begin,
    /// Kills the process.
    Kill,
    Find(u64),
}

pub(super) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 1..60)
}

/// Limits, some of which the operations reach.
pub(super) fn bounds() -> impl Strategy<Value = Bounds> {
    let max_pending = prop_oneof![3 => Just(BOUNDS.max_pending), 1 => 1_u64..6];
    let max_bytes = prop_oneof![3 => Just(BOUNDS.max_bytes), 1 => 200_u64..2_000];
    let remember_for = prop_oneof![Just(BOUNDS.remember_for), Just(Duration::ZERO)];
    (max_pending, max_bytes, remember_for).prop_map(|(max_pending, max_bytes, remember_for)| Bounds {
        max_pending,
        max_bytes,
        remember_for,
        ..BOUNDS
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let number = 0_u64..12;
    let end = (0_usize..40, 0_u8..6);
    prop_oneof![
        6 => number.clone().prop_map(Operation::Put),
        8 => (vec(end.clone(), 0..3), 1_usize..5, 0_u64..4, vec(0_u64..4, 0..2), prop::bool::weighted(0.3))
            .prop_map(|(ends, limit, turn, busy, alone)| Operation::Take { ends, limit, turn, busy, alone }),
        8 => end.prop_map(|(lease, end)| Operation::End(lease, end)),
        3 => (0_u64..100_000).prop_map(Operation::Advance),
        1 => (0_u64..3).prop_map(|days| Operation::Advance(days * 86_400_000)),
        1 => (0_u64..40).prop_map(|days| Operation::Advance(days * 86_400_000)),
        1 => (0_u64..100_000_000).prop_map(Operation::SetBack),
        2 => prop::option::of(number.clone()).prop_map(Operation::Redrive),
        1 => prop::option::of(number.clone()).prop_map(Operation::Purge),
        1 => (0_u64..4).prop_map(Operation::Erase),
        2 => Just(Operation::Maintain),
        1 => Just(Operation::Begin),
        3 => Just(Operation::Kill),
        1 => number.prop_map(Operation::Find),
    ]
}

fn record(number: u64) -> RecordKey {
    RecordKey::of_id(&number.to_string())
}

fn which(number: Option<u64>) -> Which {
    number.map_or(Which::SomeAfter(0), |number| Which::One(key(number).into()))
}

fn end(kind: u8) -> End {
    let dead = |reason| End::Dead { reason, message: "why".into() };
    match kind {
        0 => End::Complete,
        1 => End::Release,
        2 => End::Retry { delay: Duration::from_secs(10) },
        3 => End::Retry { delay: Duration::from_secs(3_000) },
        4 => dead(DeadReason::Permanent),
        _ => dead(DeadReason::Interrupted),
    }
}

/// The facts on which both stores must agree.
fn facts(taken: &Taken) -> impl PartialEq + std::fmt::Debug {
    let events = taken.events.iter();
    let events: Vec<_> = events.map(|taken| (taken.event.key, taken.attempts, taken.interruptions)).collect();
    (taken.ended.clone(), events, taken.unreadable.len(), taken.suspects, taken.left_busy, taken.next_due)
}

struct Both<S> {
    subject: S,
    memory: MemoryInbox,
    clock: FixedClock,
    /// Pairs of leases from the same take: the store's and the model's.
    leases: Vec<(Lease, Lease)>,
}

/// Long dead letters take several pages, and each letter is in one of them.
pub(super) async fn pages_of_long_dead_letters_are_short(store: &impl Store) {
    for number in 0..5 {
        store.put(padded_event(number, PAGE_BYTES * 2 / 3)).await.unwrap();
    }
    for taken in store.take(take(5)).await.unwrap().events {
        let end = End::Dead { reason: DeadReason::Permanent, message: "why".into() };
        assert!(store.end(taken.lease, end).await.unwrap());
    }
    let (mut after, mut pages) = (0, Vec::new());
    while let page @ [.., (last, _)] = &*store.dead_letters(after, 16).await.unwrap() {
        after = *last;
        pages.push(page.len());
    }
    assert_eq!(pages, [2, 2, 1]);
}

/// Performs the operations with both stores, and compares all results.
pub(super) async fn compare<S: Subject>(
    open: impl AsyncFnOnce(Bounds, FixedClock) -> S,
    bounds: Bounds,
    operations: Vec<Operation>,
) -> Result<(), TestCaseError> {
    let clock = clock();
    let subject = open(bounds, clock.clone()).await;
    let memory = MemoryInbox::new(bounds, Arc::new(clock.clone()));
    let mut both = Both { subject, memory, clock, leases: Vec::new() };
    for operation in operations {
        both.run(operation).await?;
    }
    Ok(())
}

impl<S: Subject> Both<S> {
    async fn run(&mut self, operation: Operation) -> Result<(), TestCaseError> {
        let Self { subject, memory, clock, leases } = self;
        let file = subject.store();
        match operation {
            Operation::Put(number) => {
                let put = [file.put(event(number)).await, memory.put(event(number)).await];
                let put = put.map(|put| put.map_err(|error| error.kind()));
                prop_assert_eq!(put[0], put[1]);
            }
            Operation::Take { ends, limit, turn, busy, alone } => {
                let limit = if alone { 1 } else { limit };
                let busy = busy.into_iter().map(record).collect();
                let mut take = Take { turn, busy, alone, ..take(limit) };
                let mut ends_in_memory = Vec::new();
                for (lease, kind) in ends {
                    let Some(&(in_file, in_memory)) = leases.iter().rev().nth(lease % leases.len().max(1)) else {
                        continue;
                    };
                    if take.ends.iter().all(|(other, _)| *other != in_file) {
                        take.ends.push((in_file, end(kind)));
                        ends_in_memory.push((in_memory, end(kind)));
                    }
                }
                let in_file = file.take(take.clone()).await.unwrap();
                let in_memory = memory.take(Take { ends: ends_in_memory, ..take }).await.unwrap();
                prop_assert_eq!(facts(&in_file), facts(&in_memory));
                let pairs = in_file.events.iter().zip(&in_memory.events);
                leases.extend(pairs.map(|(in_file, in_memory)| (in_file.lease, in_memory.lease)));
            }
            Operation::End(lease, kind) => {
                let Some(&(in_file, in_memory)) = leases.iter().rev().nth(lease % leases.len().max(1)) else {
                    return Ok(());
                };
                let ended =
                    (file.end(in_file, end(kind)).await.unwrap(), memory.end(in_memory, end(kind)).await.unwrap());
                prop_assert_eq!(ended.0, ended.1);
            }
            Operation::Advance(millis) => clock.advance(Duration::from_millis(millis)),
            Operation::SetBack(millis) => {
                clock.set(clock.now().saturating_sub(Duration::from_millis(millis)));
            }
            Operation::Redrive(number) => {
                let which = which(number);
                prop_assert_eq!(file.redrive(which).await.unwrap(), memory.redrive(which).await.unwrap());
            }
            Operation::Purge(number) => {
                let which = which(number);
                prop_assert_eq!(file.purge(which).await.unwrap(), memory.purge(which).await.unwrap());
            }
            Operation::Erase(number) => {
                let record = record(number);
                prop_assert_eq!(file.erase(record).await.unwrap(), memory.erase(record).await.unwrap());
            }
            Operation::Maintain => {
                prop_assert!(!file.maintain().await.unwrap());
                memory.maintain().await.unwrap();
            }
            Operation::Begin => {
                file.begin().await.unwrap();
                memory.begin().await.unwrap();
            }
            Operation::Kill => {
                subject.kill().await;
                memory.interrupt();
            }
            Operation::Find(number) => {
                let id = EventId::from(key(number));
                let found = [file.dead_letter(id).await.unwrap(), memory.dead_letter(id).await.unwrap()];
                prop_assert_eq!(format!("{:?}", found[0]), format!("{:?}", found[1]));
            }
        }
        self.compare().await
    }

    async fn compare(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.subject.store().stats().await.unwrap(), self.memory.stats().await.unwrap());
        // Positions must have the same order, but need not be equal.
        let mut after = (0, 0);
        for limit in [100, 2] {
            let in_store = self.subject.store().dead_letters(after.0, limit).await.unwrap();
            let in_memory = self.memory.dead_letters(after.1, limit).await.unwrap();
            let letters = |letters: &[(u64, DeadLetter)]| {
                letters.iter().map(|(_, letter)| format!("{letter:?}")).collect::<Vec<_>>()
            };
            prop_assert_eq!(letters(&in_store), letters(&in_memory));
            let (Some(first), Some(first_in_memory)) = (in_store.first(), in_memory.first()) else { break };
            after = (first.0, first_in_memory.0);
        }
        Ok(())
    }
}
