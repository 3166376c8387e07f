//! Power cuts lose no accepted event.

use std::collections::{HashMap, HashSet};

use super::{
    super::super::store::{End, Lease, Put, Store},
    disk::Random,
    *,
};

/// The number of power cuts on each disk.
const LIVES: u64 = 4;

#[derive(Default)]
struct Promises {
    /// Events whose puts were answered.
    stored: HashSet<u64>,
    /// Events whose completion was requested. They may be gone.
    perhaps_completed: HashSet<u64>,
    /// Events whose completion was answered. They must not come back.
    completed: HashSet<u64>,
    lost: u64,
    came_back: u64,
    checks: u64,
    cuts: u64,
}

impl Promises {
    /// Works until the power is cut.
    async fn work(&mut self, store: &RedbStore, random: &mut Random, next: &mut u64) {
        let mut numbers: HashMap<ClaimKey, u64> = HashMap::new();
        for number in 0..*next {
            numbers.insert(key(number), number);
        }
        let mut running: Vec<(Lease, u64)> = Vec::new();
        for _ in 0..200 {
            // Several puts run concurrently, so that they share a transaction.
            let count = 1 + random.below(6);
            let new: Vec<_> = (0..count).map(|more| *next + more).collect();
            *next += count;
            let puts = join_all(new.iter().map(|&number| store.put(event(number))).collect()).await;
            for (number, put) in new.into_iter().zip(puts) {
                numbers.insert(key(number), number);
                match put {
                    Ok(Put::Stored) => _ = self.stored.insert(number),
                    Ok(Put::Duplicate) => {}
                    Err(_) => return,
                }
            }
            let (mut ends, mut ended) = (Vec::new(), Vec::new());
            for (lease, number) in running.drain(..) {
                let end = match random.below(4) {
                    0 => End::Retry { delay: Duration::from_secs(1) },
                    1 => End::Release,
                    _ => End::Complete,
                };
                let is_complete = matches!(end, End::Complete);
                if is_complete {
                    self.perhaps_completed.insert(number);
                }
                ends.push((lease, end));
                ended.push((number, is_complete));
            }
            // With a limit of 0, the take only ends events.
            let limit = usize::try_from(random.below(5)).unwrap();
            let Ok(taken) = store.take(Take { ends, ..take(limit) }).await else { return };
            for ((number, is_complete), is_held) in ended.into_iter().zip(taken.ended) {
                if is_complete && is_held {
                    self.completed.insert(number);
                }
            }
            running.extend(taken.events.iter().map(|taken| (taken.lease, numbers[&taken.event.key])));
        }
    }

    /// Compares the stored events with the accepted ones, without changing their state.
    async fn check(&mut self, store: &RedbStore) -> Result<(), InboxError> {
        // All pending events are taken and released, a few at a time.
        let mut pending = HashSet::new();
        let mut leases = Vec::new();
        loop {
            let mut taken = store.take(take(1)).await?;
            if taken.events.is_empty() {
                taken = store.take(Take { alone: true, ..take(1) }).await?;
            }
            let Some(taken) = taken.events.pop() else { break };
            pending.insert(taken.event.key);
            leases.push(taken.lease);
        }
        for lease in leases {
            assert!(store.end(lease, End::Release).await?);
        }
        // Delayed events are not due, so their keys are checked instead.
        for &number in &self.stored {
            self.checks += 1;
            let is_pending = pending.contains(&key(number));
            if self.completed.contains(&number) {
                self.came_back += u64::from(is_pending);
            }
            let is_known = is_pending || store.put(event(number)).await? == Put::Duplicate;
            self.lost += u64::from(!is_known);
        }
        Ok(())
    }
}

/// Returns the content of a disk after a cut.
type Left = fn(&Disk, &mut Random) -> Disk;

/// Cuts the power of one disk several times.
async fn life(disk: Disk, left: Left, seed: u64, promises: &mut Promises) {
    let mut random = Random(seed);
    let clock = clock();
    let mut next = 0;
    let mut disk = disk;
    for _ in 0..LIVES {
        disk.cut_after(1 + random.below(120));
        promises.cuts += 1;
        // The power may be cut during the repair, too.
        if let Ok(store) = open(&disk, BOUNDS, &clock) {
            promises.work(&store, &mut random, &mut next).await;
        }
        disk = left(&disk, &mut random);
        // The check uses a copy of the disk, whose power stays on.
        let found = open(&disk.after_kill(), BOUNDS, &clock);
        let checked = match found {
            Ok(store) => promises.check(&store).await,
            Err(error) => Err(error),
        };
        // A damaged file may still open.
        if let Err(error) = checked {
            promises.lost += u64::try_from(promises.stored.len()).unwrap().max(1);
            eprintln!("seed {seed}: {error}: {:?}", std::error::Error::source(&error));
            return;
        }
    }
}

fn lives(count: u64, left: Left, disk: impl Fn() -> Disk) -> Promises {
    let mut all = Promises::default();
    for seed in 0..count {
        let mut promises = Promises::default();
        block_on(life(disk(), left, seed, &mut promises));
        if promises.lost + promises.came_back > 0 && all.lost + all.came_back == 0 {
            eprintln!("first loss with seed {seed}");
        }
        all.lost += promises.lost;
        all.came_back += promises.came_back;
        all.checks += promises.checks;
        all.cuts += promises.cuts;
    }
    all
}

/// Returns the number of disks. `INBOX_POWER_CUTS` sets the number of cuts.
fn disks() -> u64 {
    std::env::var("INBOX_POWER_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(300) / LIVES
}

#[test]
fn a_power_cut_breaks_no_promise() {
    let Promises { lost, came_back, checks, cuts, .. } = lives(disks(), Disk::after_cut, created);
    eprintln!("{cuts} cuts, {checks} checks");
    assert_eq!((lost, came_back), (0, 0), "in {checks} checks after {cuts} cuts");
    assert!(checks > cuts, "something was stored");
}

/// Control: a disk that reports a sync that did not happen loses events.
#[test]
fn the_simulation_detects_a_disk_that_does_not_sync() {
    let lying = || {
        let disk = Disk::lying();
        file::initialise(disk.clone(), CACHE).unwrap();
        disk
    };
    assert!(lives(20, Disk::after_cut, lying).lost > 0);
}

/// A snapshot by the file system contains everything that was written before it, like the file of a
/// killed process.
#[test]
fn a_snapshot_breaks_no_promise() {
    let Promises { lost, came_back, checks, cuts, .. } = lives(disks() / 3, |disk, _| disk.after_kill(), created);
    assert_eq!((lost, came_back), (0, 0), "in {checks} checks after {cuts} snapshots");
    assert!(checks > cuts, "something was stored");
}

/// Control: a file is copied in parts while events are stored and completed. The result shows why a
/// file in use must not be copied.
#[test]
fn a_copy_of_a_file_in_use_can_be_damaged() {
    const EVENTS: u64 = 32;

    let mut damaged = 0;
    for cut in 1..8 {
        let disk = created();
        let store = open(&disk, BOUNDS, &clock()).unwrap();
        let first = block_on(async {
            for number in 0..EVENTS {
                store.put(event(number)).await.unwrap();
            }
            let content = disk.content();
            let first = content[..content.len() / 8 * cut].to_vec();
            for number in EVENTS..2 * EVENTS {
                store.put(event(number)).await.unwrap();
                let taken = store.take(take(1)).await.unwrap().events;
                assert!(store.end(taken[0].lease, End::Complete).await.unwrap());
            }
            first
        });
        let copy = [&first, &disk.content()[first.len()..]].concat();
        let is_known = async |copied: RedbStore| {
            for number in 0..EVENTS {
                if !matches!(copied.put(event(number)).await, Ok(Put::Duplicate)) {
                    return false;
                }
            }
            true
        };
        let is_good = open(&Disk::with_content(copy), BOUNDS, &clock()).is_ok_and(|copied| block_on(is_known(copied)));
        damaged += u64::from(!is_good);
    }
    eprintln!("{damaged} of 7 copies are damaged");
    assert!(damaged > 0);
}

/// The file gets its name after it is completely on disk, so it always opens. Before that, no file
/// has this name.
#[test]
fn a_power_cut_during_creation_leaves_no_file_or_one_that_opens() {
    let operations = created().operations();
    let mut random = Random(1);
    let mut created = 0;
    for cut in 0..=operations + 3 {
        for _ in 0..8 {
            let disk = Disk::default();
            disk.cut_after(cut);
            if file::initialise(disk.clone(), CACHE).is_ok() {
                created += 1;
                // The steps of `create` before the file gets its name.
                if redb::StorageBackend::sync_data(&disk).is_ok() {
                    let found = open(&disk.after_cut(&mut random), BOUNDS, &clock());
                    assert!(found.is_ok(), "cut after {cut} operations: {found:?}");
                }
            }
        }
    }
    assert!(created > 0 && created < (operations + 4) * 8);
}
