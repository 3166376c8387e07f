//! The outcomes of accepted events under faults: rows of the table in `docs/inbox.md`.

use std::{collections::BTreeMap, ops::Range, sync::Mutex};

use tokio::time::{Instant, sleep};

use super::{
    super::super::{
        Attempt, Inbox, InboxErrorKind, InboxFailure, RetryPolicy, Worker,
        model::{self, NOW, Outcome},
    },
    *,
};
use crate::WebhookEvent;

/// A time limit that is long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often each event was handled.
type Handled = Arc<Mutex<BTreeMap<u64, u32>>>;

/// Returns an inbox that does not handle events directly, so that losses of the store are visible.
fn inbox(disk: &Disk, clock: &FixedClock) -> Result<Inbox, InboxError> {
    let settings = Inbox::builder().clock(clock.clone()).on_failure(InboxFailure::Reject);
    Ok(Inbox::new(Arc::new(open(disk, BOUNDS, clock)?), settings))
}

/// Starts a worker. The first attempt of every third event fails.
fn work(inbox: &Inbox, handled: &Handled) -> Worker {
    let handler = async |handled: Handled, event: WebhookEvent, attempt: Attempt| {
        let number: u64 = event.raw_record().unwrap().get("n").unwrap().parse().unwrap();
        if number.is_multiple_of(3) && attempt.number == 1 {
            return Err("the first attempt");
        }
        *handled.lock().unwrap().entry(number).or_default() += 1;
        Ok(())
    };
    let policy = RetryPolicy::exponential(Duration::from_millis(100)..=Duration::from_millis(300));
    inbox.worker(Arc::clone(handled)).fallback(handler).retry(policy).start().unwrap()
}

/// Sends events concurrently. Returns the accepted events.
async fn send(inbox: &Inbox, numbers: Range<u64>) -> Vec<u64> {
    let accept = |number| inbox.accept(model::event(number).verified);
    let accepted = join_all(numbers.clone().map(|number| Box::pin(accept(number))).collect()).await;
    numbers.zip(accepted).filter_map(|(number, accepted)| accepted.ok().map(|_| number)).collect()
}

/// Waits until all events are handled, while the clock advances.
async fn outcome(inbox: &Inbox, clock: &FixedClock, sent: u64, accepted: &[u64], handled: &Handled) -> Outcome {
    let begun = Instant::now();
    loop {
        let stats = inbox.stats().await.unwrap();
        if stats.ready + stats.delayed + stats.running == 0 {
            return Outcome::new(sent, accepted, &handled.lock().unwrap(), stats.dead);
        }
        assert!(begun.elapsed() < PATIENCE, "{stats:?}");
        sleep(Duration::from_millis(5)).await;
        clock.advance(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_disk_that_is_full_for_a_while_loses_nothing() {
    let (disk, clock) = (created(), clock());
    let inbox = inbox(&disk, &clock).unwrap();
    let handled = Handled::default();
    let worker = work(&inbox, &handled);
    let mut accepted = send(&inbox, 0..100).await;
    disk.set_full(true);
    assert!(send(&inbox, 100..200).await.is_empty());
    disk.set_full(false);
    accepted.extend(send(&inbox, 200..300).await);
    let outcome = outcome(&inbox, &clock, 300, &accepted, &handled).await;
    outcome.report("redb, disk full and freed again");
    assert_eq!((outcome.accepted, outcome.lost, outcome.doubled, outcome.dead), (200, 0, 0, 0));
    drop(worker);
}

/// Deliveries arrive, and attempts are delayed, while the clock jumps by hours, days and more than
/// a year.
#[tokio::test]
async fn a_clock_that_jumps_loses_nothing() {
    const JUMPS: [i64; 8] = [0, 3_600, 0, -3_600, 86_400, -86_400, 400 * 86_400, -400 * 86_400];

    let (disk, clock) = (created(), clock());
    let inbox = inbox(&disk, &clock).unwrap();
    let handled = Handled::default();
    let worker = work(&inbox, &handled);
    let begun = Instant::now();
    let show = |jump: i64| {
        let by = Duration::from_secs(jump.unsigned_abs());
        let now = NOW.saturating_add(begun.elapsed());
        clock.set(if jump < 0 { now.saturating_sub(by) } else { now.saturating_add(by) });
    };
    let mut accepted = Vec::new();
    for (number, jump) in (0..300).zip(JUMPS.into_iter().cycle()) {
        show(jump);
        accepted.extend(send(&inbox, number..number + 1).await);
        sleep(Duration::from_millis(5)).await;
    }
    show(0);
    let outcome = outcome(&inbox, &clock, 300, &accepted, &handled).await;
    outcome.report("redb, clock jumping by up to 400 days");
    assert_eq!((outcome.handled, outcome.lost, outcome.doubled, outcome.dead), (300, 0, 0, 0));
    drop(worker);
}

/// A file that a newer version wrote is rejected, and that version still finds its events.
#[tokio::test]
async fn an_older_version_changes_nothing_in_a_newer_file() {
    fn set_schema(disk: &Disk, schema: u64) {
        let database = file::builder(CACHE).create_with_backend(disk.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        transaction.open_table(meta).unwrap().insert("schema", schema).unwrap();
        transaction.commit().unwrap();
    }

    let (disk, clock) = (created(), clock());
    let accepted = send(&inbox(&disk, &clock).unwrap(), 0..100).await;
    let disk = disk.after_kill();
    set_schema(&disk, super::super::tables::SCHEMA + 1);
    let refused = inbox(&disk, &clock).unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::NewerVersion);
    set_schema(&disk, super::super::tables::SCHEMA);
    let (inbox, handled) = (inbox(&disk, &clock).unwrap(), Handled::default());
    let worker = work(&inbox, &handled);
    let outcome = outcome(&inbox, &clock, 100, &accepted, &handled).await;
    outcome.report("redb, opened by an older version in between");
    assert_eq!((outcome.handled, outcome.lost, outcome.doubled, outcome.dead), (100, 0, 0, 0));
    drop(worker);
}

/// A directory in which even root cannot create a file.
#[cfg(target_os = "linux")]
#[cfg(unix)]
#[test]
fn a_path_that_is_not_a_file_is_rejected_without_waiting() {
    let directory = std::env::temp_dir();
    let pipe = directory.join(format!("twenty-pipe-{}", std::process::id()));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&directory, &pipe, std::path::Path::new("/dev/null")] {
        let opened = [Inbox::open(path), Inbox::builder().open_read_only(path)];
        for opened in opened {
            let refused = opened.unwrap_err();
            assert_eq!(refused.kind(), InboxErrorKind::Settings, "{refused}");
            assert_eq!(refused.to_string(), "the inbox's path is not a file");
        }
    }
    std::fs::remove_file(pipe).unwrap();
}

#[test]
fn a_read_only_directory_is_rejected() {
    let refused = Inbox::open("/proc/inbox.redb").unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Unavailable);
    assert_eq!(refused.to_string(), "cannot create the inbox's file");
}
