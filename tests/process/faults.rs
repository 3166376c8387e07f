//! Tests of faults around a receiver: it is stopped or killed under load, its handlers panic, or
//! the clock jumps. Each test prints how many deliveries were sent, accepted, handled, lost and
//! doubled. A delivery is lost if it was answered 200 or 202 and never handled.
//!
//!     cargo test --all-features --test process -- faults:: --include-ignored --nocapture --test-threads 1
//!
//! `two_receivers` tests faults of Redis.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};
use twenty_webhook::{
    Receiver,
    deduplicate::MemoryStore,
    verify::{FixedClock, Signer},
};

use crate::support::{
    self, NOW, SECRET, builder_with,
    http1::Connection,
    program::Program,
    redis,
    stack::{self, Stack},
    target::{self, FRAMEWORKS, Target},
};

/// The responses to the deliveries of distinct events, and the number of completed handlers of each
/// event.
#[derive(Default)]
struct Tally {
    /// The responses by the number of the event. `None` is a missing response.
    answers: BTreeMap<usize, Vec<Option<u16>>>,
    handled: BTreeMap<usize, usize>,
}

impl Tally {
    fn answered(&self, is_meant: impl Fn(Option<u16>) -> bool) -> usize {
        self.answers.values().flatten().filter(|answer| is_meant(**answer)).count()
    }

    /// Returns the number of events that were answered with this status and never handled.
    fn lost(&self, status: u16) -> usize {
        let is_lost = |(number, answers): (&usize, &Vec<_>)| {
            answers.contains(&Some(status)) && !self.handled.contains_key(number)
        };
        self.answers.iter().filter(|of_event| is_lost(*of_event)).count()
    }

    fn doubled(&self) -> usize {
        self.handled.values().filter(|times| **times > 1).count()
    }

    fn count_handled(&mut self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            *self.handled.entry(number).or_default() += 1;
        }
    }

    fn report(&self, title: &str) {
        println!("{title}: {self}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |status| self.answered(|answer| answer == Some(status));
        let refused = self.answered(|answer| answer.is_some_and(|status| status >= 400));
        write!(
            f,
            "{} sent, {} answered 200, {} 202, {refused} rejected, {} not answered; {} handled, {} lost after 200, {} lost after 202, {} doubled",
            self.answered(|_| true),
            row(200),
            row(202),
            self.answered(|answer| answer.is_none()),
            self.handled.len(),
            self.lost(200),
            self.lost(202),
            self.doubled(),
        )
    }
}

/// Sends deliveries over 16 connections, each after the response to the previous one, until it is
/// stopped or the receiver no longer listens.
struct Load {
    address: SocketAddr,
    body: fn(usize) -> String,
    next: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    fn new(address: SocketAddr, body: fn(usize) -> String) -> Arc<Self> {
        Arc::new(Self { address, body, next: AtomicUsize::new(0), is_over: AtomicBool::new(false) })
    }

    fn begin(self: &Arc<Self>) -> JoinSet<Vec<(usize, Option<u16>)>> {
        (0..16).map(|_| Arc::clone(self).send()).collect()
    }

    async fn send(self: Arc<Self>) -> Vec<(usize, Option<u16>)> {
        let signer = Signer::new(SECRET).unwrap();
        let mut answers = Vec::new();
        while let Ok(mut connection) = Connection::try_open(self.address).await {
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let body = (self.body)(number);
            // The examples close each connection after the response.
            let answer = connection.post("/webhooks/twenty", signer.sign(&body).pairs(), body).await;
            answers.push((number, answer));
        }
        answers
    }

    async fn until_sent(&self, count: usize) {
        while self.next.load(Ordering::Relaxed) < count {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn tally(load: JoinSet<Vec<(usize, Option<u16>)>>) -> Tally {
    let mut tally = Tally::default();
    for (number, answer) in load.join_all().await.into_iter().flatten() {
        tally.answers.entry(number).or_default().push(answer);
    }
    tally
}

/// Returns the numbers of the events that the receiver reported as handled.
fn handled(lines: impl Iterator<Item = String>) -> Vec<usize> {
    lines.filter_map(|line| line.strip_prefix("handled ")?.parse().ok()).collect()
}

/// Makes every third handler slow, so that its delivery is answered 202 before it completes.
fn some_slow(number: usize) -> String {
    target::event(number, if number.is_multiple_of(3) { "slow" } else { "well" }, 500)
}

const SETTINGS: [(&str, &str); 2] = [("DEDUPLICATE", "100000"), ("ACKNOWLEDGE_MS", "100")];

async fn ended_in_mid_load(framework: &str, end: impl Fn(&mut Target)) -> Tally {
    let mut target = Target::start(&[&[("FRAMEWORK", framework)], &SETTINGS[..]].concat());
    let load = Load::new(target.address, some_slow);
    let sending = load.begin();
    load.until_sent(300).await;
    end(&mut target);
    let mut tally = tally(sending).await;
    tally.count_handled(handled(target.child.remaining_lines()));
    tally
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_loses_nothing() {
    for framework in FRAMEWORKS {
        let tally = ended_in_mid_load(framework, |target| assert!(target.terminate().success())).await;
        tally.report(&format!("{framework}, SIGTERM"));
        assert!(tally.answered(|answer| answer == Some(202)) > 0, "some were in the background");
        assert_eq!((tally.lost(200), tally.lost(202), tally.doubled()), (0, 0, 0));
    }
}

/// Only deliveries that were answered 202 and not yet handled are lost: that is the cost of early
/// acknowledgement. To avoid it, store the event in a queue before the response, as in the next
/// test.
#[tokio::test(flavor = "multi_thread")]
async fn sigkill_under_load_loses_only_background_handlers() {
    for framework in FRAMEWORKS {
        let tally = ended_in_mid_load(framework, |target| target.child.kill()).await;
        tally.report(&format!("{framework}, SIGKILL"));
        assert_eq!((tally.lost(200), tally.doubled()), (0, 0));
        // This is the maximum of slow handlers: on 16 connections, deliveries are acknowledged
        // after 100 ms, and their handlers take 600 ms.
        assert!(tally.lost(202) <= 16 * 6, "no more than were in the background");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_stream"]
async fn sigkill_under_load_loses_nothing_with_a_queue() {
    const EVENTS: usize = 1_000;
    fn body(number: usize) -> String {
        let id = format!("{number:08x}-0000-4000-8000-000000000000");
        support::data_text("person.created.json").replace("2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01", &id)
    }

    let redis = redis::Server::durable();
    let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("REDIS_URL", &redis.url())];
    let mut receiver = Program::start("redis_stream", &["receive"], &variables);
    let load = Load::new(receiver.address(), body);
    let sending = load.begin();
    load.until_sent(EVENTS).await;
    receiver.kill();
    let mut tally = tally(sending).await;
    let mut worker = Program::start("redis_stream", &["work", "worker"], &variables);
    worker.until("all events are handled", |_| redis.command::<usize>(&["XLEN", "twenty:events"]).unwrap() == 0);
    assert!(worker.terminate().success());
    tally.count_handled(worker.lines().iter().map(|line| {
        let id = line.split(' ').nth(1).unwrap();
        usize::from_str_radix(&id[..8], 16).unwrap()
    }));
    tally.report("axum with a queue, SIGKILL");
    assert!(tally.answered(|answer| answer == Some(200)) > EVENTS / 2);
    assert_eq!((tally.lost(200), tally.doubled()), (0, 0));
}

/// Each handler panics the first time. The delivery gets no response, and its duplicate is handled.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_handler_panicked_is_handled_again() {
    const EVENTS: usize = 300;
    for framework in FRAMEWORKS {
        for settings in [&SETTINGS[..1], &SETTINGS] {
            let mut target = Target::start(&[&[("FRAMEWORK", framework)], settings].concat());
            // The second half of the numbers are duplicates of the first half.
            let load = Load::new(target.address, |number| target::event(number % EVENTS, "panic", 500));
            let sending = load.begin();
            load.until_sent(2 * EVENTS).await;
            load.is_over.store(true, Ordering::Relaxed);
            let copies = tally(sending).await;
            let mut tally = Tally::default();
            for (number, answers) in copies.answers {
                tally.answers.entry(number % EVENTS).or_default().extend(answers);
            }
            assert!(target.terminate().success());
            tally.count_handled(handled(target.child.remaining_lines()));
            tally.report(&format!("{framework}, handlers panic the first time"));
            assert_eq!(tally.handled.len(), EVENTS);
            assert!(tally.answered(|answer| answer.is_none()) >= EVENTS);
            assert_eq!((tally.lost(200), tally.lost(202), tally.doubled()), (0, 0, 0));
        }
    }
}

/// The verifier's clock jumps while deliveries arrive, each of them several times. A delivery that
/// verifies is handled once, because the store's clock does not jump: a `MemoryStore` counts from
/// its creation, and Redis uses the clock of its machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_jumping_clock_loses_and_doubles_nothing() {
    const EVENTS: usize = 200;
    const COPIES: usize = 5;
    for (title, jumps, refuses) in [
        ("jumps within the tolerance", &[0, 240, -240, 120, -299, 299][..], false),
        ("jumps by hours and days", &[0, 3_600, 0, -3_600, 0, 86_400 * 400, -240, i64::MIN], true),
    ] {
        for stack in [Stack::Axum, Stack::ActixApp] {
            let clock = FixedClock::at(NOW);
            let verifier = builder_with(clock.clone()).build().unwrap();
            let server = stack.serve(Receiver::new(verifier).deduplicate(MemoryStore::new(10_000))).await;
            let (address, mut calls) = (server.address, server.calls);
            let handling = tokio::spawn(async move {
                let mut handled = Vec::new();
                while let Some(call) = calls.next_if_any().await {
                    let text = std::str::from_utf8(&call.body).unwrap();
                    let (_, number) = text.split_once("event ").unwrap();
                    handled.push(number.trim_end_matches(['"', '}']).parse().unwrap());
                    call.answer(200);
                }
                handled
            });
            let jumping = tokio::spawn({
                let jumps = jumps.to_vec();
                async move {
                    for jump in jumps.into_iter().cycle() {
                        let by = Duration::from_secs(jump.unsigned_abs());
                        clock.set(if jump < 0 { NOW.saturating_sub(by) } else { NOW.saturating_add(by) });
                        sleep(Duration::from_millis(3)).await;
                    }
                }
            });
            let mut sending = JoinSet::new();
            for first in 0..8 {
                sending.spawn(async move {
                    let mut answers = Vec::new();
                    for number in (first..EVENTS).step_by(8).flat_map(|number| [number; COPIES]) {
                        let request = support::http1::delivery(stack::event(&format!("event {number}")));
                        let answer = stack::post(address, request).await.unwrap();
                        answers.push((number, answer.map(|answer| answer.status)));
                    }
                    answers
                });
            }
            let mut tally = tally(sending).await;
            jumping.abort();
            server.running.stop().await;
            tally.count_handled(handling.await.unwrap());
            tally.report(&format!("{stack:?}, the clock {title}"));
            assert_eq!(tally.answered(|answer| answer == Some(401)) > 0, refuses);
            assert_eq!(tally.answered(|answer| !matches!(answer, Some(200 | 401))), 0);
            assert_eq!((tally.lost(200), tally.doubled()), (0, 0));
            // Few deliveries were rejected all five times.
            assert!(tally.handled.len() > EVENTS / 2);
        }
    }
}
