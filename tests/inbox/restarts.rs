//! Tests of the file when a process ends and another one opens it.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use twenty_webhook::{
    WebhookEvent,
    inbox::{Attempt, DeadReason},
};

use super::*;

/// Runs one life of a process, which is killed while it works: the runtime and all of its tasks
/// end, and no event is released.
fn life(path: &Path, live: impl AsyncFnOnce(Inbox)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let inbox = Inbox::builder().open(path).unwrap();
    runtime.block_on(live(inbox));
    runtime.shutdown_background();
}

/// Copies the file in the state in which a killed process leaves it, with running events.
fn kill(path: &Path) -> PathBuf {
    let copy = super::path("killed");
    std::fs::copy(path, &copy).unwrap();
    copy
}

#[test]
fn accepted_events_are_handled_after_a_restart() {
    let path = path("restart");
    life(&path, async |inbox| {
        for number in 0..100 {
            inbox.accept(note(number)).await.unwrap();
        }
    });
    let log = Log::default();
    life(&path, async |inbox| {
        let handler = async |log: Log<bytes::Bytes>, event: WebhookEvent| log.push(event.body().clone());
        let worker = inbox.worker(log.clone()).fallback(handler).start().unwrap();
        until_empty(&inbox).await;
        _ = worker.shutdown(SECONDS(10)).await;
    });
    let mut handled = log.entries();
    handled.sort();
    handled.dedup();
    assert_eq!((log.entries().len(), handled.len()), (100, 100));
}

/// Kills the process when this many events are running. Returns its file.
fn interrupted(path: &Path, log: &Log<(usize, u32)>, runs: u64) -> PathBuf {
    let mut killed = PathBuf::new();
    life(path, async |inbox| {
        let worker = inbox
            .worker(log.clone())
            .fallback(async |log: Log<(usize, u32)>, event: WebhookEvent, attempt: Attempt| {
                let number = event.raw_record().unwrap().get("position").unwrap().parse().unwrap();
                log.push((number, attempt.number));
                std::future::pending::<()>().await;
            })
            .concurrency(4)
            .start()
            .unwrap();
        until_stats(&inbox, |stats| stats.running == runs).await;
        until(async || log.entries().len() as u64 >= runs).await;
        killed = kill(path);
        drop(worker);
    });
    killed
}

/// Events of killed processes are reclaimed, and a kill uses up no attempt.
#[test]
fn an_event_that_ran_during_a_kill_runs_again_and_the_attempt_does_not_count() {
    let path = path("orphans");
    life(&path, async |inbox| {
        for number in 0..3 {
            inbox.accept(note(number)).await.unwrap();
        }
    });
    let log = Log::default();
    let killed = interrupted(&path, &log, 3);
    let again = Log::default();
    life(&killed, async |inbox| {
        let stats = inbox.stats().await.unwrap();
        assert_eq!((stats.ready, stats.running), (3, 0));
        let handler = async |again: Log<u32>, _: WebhookEvent, attempt: Attempt| again.push(attempt.number);
        let worker = inbox.worker(again.clone()).fallback(handler).start().unwrap();
        until_empty(&inbox).await;
        drop(worker);
    });
    assert_eq!(again.entries(), [1, 1, 1]);
}

/// An event that ends the process costs no other event. From its second interruption on, each event
/// runs alone, and only the event that ends the process each time becomes a dead letter.
#[test]
fn an_event_that_ends_the_process_becomes_the_only_dead_letter() {
    const POISON: usize = 2;

    let mut path = path("poison");
    life(&path, async |inbox| {
        for number in 0..6 {
            inbox.accept(note(number)).await.unwrap();
        }
    });
    let log = Log::<usize>::default();
    let mut deaths = 0;
    loop {
        let mut killed = None;
        life(&path, async |inbox| {
            let poisoned = Arc::new(tokio::sync::Notify::new());
            // In the first two lives, all events run at the same time until the process ends.
            let runs_alone = deaths >= 2;
            let handler = move |(log, poisoned): (Log<usize>, Arc<tokio::sync::Notify>), event: WebhookEvent| async move {
                let number: usize = event.raw_record().unwrap().get("position").unwrap().parse().unwrap();
                if number == POISON {
                    poisoned.notify_one();
                }
                if number == POISON || !runs_alone {
                    std::future::pending::<()>().await;
                }
                log.push(number);
            };
            let state = (log.clone(), Arc::clone(&poisoned));
            let worker = inbox.worker(state).fallback(handler).concurrency(6).start().unwrap();
            tokio::select! {
                () = poisoned.notified() => {
                    // The other running events were claimed in the same step, so nothing is being
                    // written.
                    killed = Some(kill(&path));
                }
                () = until_empty(&inbox) => {}
            }
            drop(worker);
        });
        match killed {
            Some(killed) => {
                path = killed;
                deaths += 1;
                assert!(deaths < 20);
            }
            None => break,
        }
    }
    let mut handled = log.entries();
    handled.sort_unstable();
    assert_eq!(handled, [0, 1, 3, 4, 5]);
    assert_eq!(deaths, 5);
    life(&path, async |inbox| {
        let letter = inbox.dead_letters().next().await.unwrap().unwrap();
        assert_eq!(letter.body(), note(POISON).body());
        assert_eq!((letter.reason(), letter.attempts(), letter.interruptions()), (DeadReason::Interrupted, 0, 5));
        assert_eq!(inbox.stats().await.unwrap().dead, 1);
    });
}

const CHILD: &str = "TWENTY_WEBHOOK_TEST_INBOX_CHILD";

/// Not a test: the process that [`kills_lose_no_accepted_event`] kills. It accepts and handles
/// events as fast as it can, and prints a line for each.
#[test]
fn child_that_is_killed() {
    let Ok(arguments) = std::env::var(CHILD) else { return };
    let (path, first) = arguments.split_once('|').unwrap();
    let first: usize = first.parse().unwrap();
    let log_line = |what: &str, number: usize| {
        let mut out = std::io::stdout().lock();
        // The line is written by one call and not through the test harness, so that it is not split.
        out.write_all(format!("{what} {number}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    };
    life(Path::new(path), async |inbox| {
        let handler = move |event: WebhookEvent| async move {
            let number = event.raw_record().unwrap().get("position").unwrap().parse().unwrap();
            log_line("handled", number);
        };
        let _worker = inbox.worker(()).fallback(handler).start().unwrap();
        for number in first.. {
            inbox.accept(note(number)).await.unwrap();
            log_line("accepted", number);
        }
    });
}

#[test]
fn kills_lose_no_accepted_event() {
    let path = path("kills");
    let (mut accepted, mut handled) = (BTreeSet::new(), Vec::new());
    const KILLS: usize = 8;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "restarts::child_that_is_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{}|{}", path.display(), kill * 1_000_000))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut left = 40 + 37 * i32::try_from(kill).unwrap();
        let mut line = String::new();
        // The last line before a kill may be incomplete.
        while lines.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            // The test harness may have written the beginning of the line.
            let words: Vec<_> = line.trim_end().split(' ').collect();
            match words[..] {
                [.., "accepted", number] => _ = accepted.insert(number.parse::<usize>().unwrap()),
                [.., "handled", number] => handled.push(number.parse::<usize>().unwrap()),
                _ => {}
            }
            line.clear();
            left -= 1;
            if left == 0 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
    }
    let log = Log::default();
    life(&path, async |inbox| {
        let handler = async |log: Log<usize>, event: WebhookEvent| {
            log.push(event.raw_record().unwrap().get("position").unwrap().parse().unwrap());
        };
        let worker = inbox.worker(log.clone()).fallback(handler).start().unwrap();
        until_empty(&inbox).await;
        _ = worker.shutdown(SECONDS(10)).await;
        assert_eq!(inbox.stats().await.unwrap().dead, 0);
    });
    handled.extend(log.entries());
    let times = handled.len();
    let handled: BTreeSet<_> = handled.into_iter().collect();
    let lost: Vec<_> = accepted.difference(&handled).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", accepted.len());
    assert!(accepted.len() > 100 && times - handled.len() <= KILLS * 16, "{times} of {}", handled.len());
}

const ABORTING: &str = "TWENTY_WEBHOOK_TEST_INBOX_ABORTING";
/// The number of the event that aborts its process.
const ABORTS: usize = 20;

/// Not a test: the process of [`an_event_that_aborts_the_process_costs_no_other_event`].
#[test]
fn child_that_aborts() {
    let Ok(path) = std::env::var(ABORTING) else { return };
    life(Path::new(&path), async |inbox| {
        let handler = async |event: WebhookEvent| {
            let number: usize = event.raw_record().unwrap().get("position").unwrap().parse().unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
            if number == ABORTS {
                std::process::abort();
            }
            let mut out = std::io::stdout().lock();
            out.write_all(format!("handled {number}\n").as_bytes()).unwrap();
            out.flush().unwrap();
        };
        let _worker = inbox.worker(()).fallback(handler).start().unwrap();
        until_empty(&inbox).await;
    });
}

/// The test uses real processes, and more events than run at the same time.
#[test]
fn an_event_that_aborts_the_process_costs_no_other_event() {
    const EVENTS: usize = 100;

    let path = path("aborts");
    life(&path, async |inbox| {
        for number in 0..EVENTS {
            inbox.accept(note(number)).await.unwrap();
        }
    });
    let (mut handled, mut aborts) = (Vec::new(), 0);
    loop {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "restarts::child_that_aborts", "--nocapture", "--test-threads=1"])
            .env(ABORTING, &path)
            .output()
            .unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        // The test harness may have written the beginning of the line.
        let numbers = lines.lines().filter_map(|line| line.split_once("handled ")?.1.parse::<usize>().ok());
        handled.extend(numbers);
        if output.status.success() {
            break;
        }
        aborts += 1;
        assert!(aborts < 20);
    }
    let distinct: BTreeSet<_> = handled.iter().copied().collect();
    let doubled = handled.len() - distinct.len();
    let lost = EVENTS - 1 - distinct.len();
    println!(
        "redb, an event that aborts the process: {EVENTS} sent, {EVENTS} accepted, {} handled, 1 dead, {lost} lost, \
         {doubled} doubled; {aborts} aborts",
        distinct.len()
    );
    // An event that ran at the same time may have been handled, and runs again. From the second
    // abort on, each event runs alone.
    assert!(lost == 0 && !distinct.contains(&ABORTS) && doubled <= 2 * 15, "{handled:?}");
    life(&path, async |inbox| {
        let letter = inbox.dead_letters().next().await.unwrap().unwrap();
        assert_eq!((letter.reason(), letter.interruptions(), aborts), (DeadReason::Interrupted, 5, 5));
        assert_eq!(inbox.stats().await.unwrap().dead, 1);
    });
}
