//! Random operations, done by the file and by the plain store in memory.

use proptest::{collection::vec, prelude::*};

use super::{
    super::super::{
        DeadReason, EventId,
        memory::MemoryInbox,
        store::{End, Lease, Store, Taken, Which},
    },
    *,
};

#[derive(Clone, Debug)]
enum Operation {
    Put(u64),
    Take {
        limit: usize,
        turn: u64,
        busy: Vec<u64>,
        alone: bool,
    },
    /// Of the leases so far, this one; some are stale.
    End(usize, u8),
    Advance(u64),
    SetBack(u64),
    Redrive(Option<u64>),
    Purge(Option<u64>),
    Erase(u64),
    Maintain,
    Begin,
    /// The process is killed.
    Kill,
    /// The file is closed and opened.
    Reopen,
    Find(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    let number = 0_u64..12;
    prop_oneof![
        6 => number.clone().prop_map(Operation::Put),
        8 => (1_usize..5, 0_u64..4, vec(0_u64..4, 0..2), prop::bool::weighted(0.3))
            .prop_map(|(limit, turn, busy, alone)| Operation::Take { limit, turn, busy, alone }),
        8 => (0_usize..40, 0_u8..6).prop_map(|(lease, end)| Operation::End(lease, end)),
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
        1 => Just(Operation::Reopen),
        1 => number.prop_map(Operation::Find),
    ]
}

fn record(number: u64) -> RecordKey {
    RecordKey::of_id(&number.to_string())
}

fn which(number: Option<u64>) -> Which {
    number.map_or(Which::All, |number| Which::One(key(number).into()))
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

/// What both have to agree on.
fn facts(taken: &Taken) -> impl PartialEq + std::fmt::Debug {
    let events = taken.events.iter();
    let events: Vec<_> = events.map(|taken| (taken.event.key, taken.attempts, taken.interruptions)).collect();
    (events, taken.unreadable.len(), taken.suspects, taken.left_busy, taken.next_due)
}

struct Both {
    disk: Disk,
    file: RedbStore,
    memory: MemoryInbox,
    clock: FixedClock,
    bounds: Bounds,
    leases: Vec<(Lease, Lease)>,
}

impl Both {
    fn new(bounds: Bounds) -> Self {
        let (disk, clock) = (created(), clock());
        let file = open(&disk, bounds, &clock).unwrap();
        let memory = MemoryInbox::new(bounds, Arc::new(clock.clone()));
        Self { disk, file, memory, clock, bounds, leases: Vec::new() }
    }

    fn open_again(&mut self) {
        // What the old one still writes while it closes goes to the old disk.
        self.disk = self.disk.after_kill();
        self.file = open(&self.disk, self.bounds, &self.clock).unwrap();
        self.memory.interrupt();
    }

    async fn run(&mut self, operation: Operation) -> Result<(), TestCaseError> {
        let Self { file, memory, clock, leases, .. } = self;
        match operation {
            Operation::Put(number) => {
                let put = [file.put(event(number)).await, memory.put(event(number)).await];
                let put = put.map(|put| put.map_err(|error| error.kind()));
                prop_assert_eq!(put[0], put[1]);
            }
            Operation::Take { limit, turn, busy, alone } => {
                let limit = if alone { 1 } else { limit };
                let busy = busy.into_iter().map(record).collect();
                let take = Take { turn, busy, alone, ..take(limit) };
                let (in_file, in_memory) = (file.take(take.clone()).await.unwrap(), memory.take(take).await.unwrap());
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
                clock.set(crate::verify::Clock::now(clock).saturating_sub(Duration::from_millis(millis)));
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
            Operation::Kill | Operation::Reopen => self.open_again(),
            Operation::Find(number) => {
                let id = EventId::from(key(number));
                let found = [file.dead_letter(id).await.unwrap(), memory.dead_letter(id).await.unwrap()];
                prop_assert_eq!(format!("{:?}", found[0]), format!("{:?}", found[1]));
            }
        }
        self.compare().await
    }

    async fn compare(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.file.stats().await.unwrap(), self.memory.stats().await.unwrap());
        let letters = |letters: Vec<_>| format!("{letters:?}");
        for (after, limit) in [(0, 100), (3, 2)] {
            let in_file = self.file.dead_letters(after, limit).await.unwrap();
            prop_assert_eq!(letters(in_file), letters(self.memory.dead_letters(after, limit).await.unwrap()));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_file_does_what_the_store_in_memory_does(
        operations in vec(operation(), 1..60),
        max_pending in prop_oneof![3 => Just(1_000), 1 => 1_u64..6],
    ) {
        let bounds = Bounds { max_pending, ..BOUNDS };
        block_on(async {
            let mut both = Both::new(bounds);
            for operation in operations {
                both.run(operation).await?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}
