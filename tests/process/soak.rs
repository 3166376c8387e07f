//! Runs receivers under a long, mixed load. Valid deliveries are handled exactly once, others are
//! rejected, and no memory, connections or tasks are left over.
//!
//!     cargo test --release --all-features --test process --no-run
//!     SOAK_SECONDS=3600 nice cargo test --release --all-features --test process -- soak:: --ignored --nocapture
//!
//! Without `SOAK_SECONDS` it takes 20 seconds; without `--ignored` it takes a few seconds. `RATE`
//! is the number of requests per second to both receivers together. Its default of 60 leaves the
//! machine usable. One receiver uses axum and the other one actix-web, each in a separate process.
//!
//! The last run of an hour, on 2026-11-27 with `RATE=700`, on two cores that other programs used as
//! well: 2,151,408 requests, all answered as expected; 1,153,593 events accepted, each handled
//! once; 39,425 events whose sender disconnected after the last byte, of which 32,756 were handled,
//! none twice; 214 s of CPU time. Memory after the first third and at the end: 36.1 and 35.7 MB in
//! axum, 27.7 and 30.3 MB in actix-web. At the end there were as many tasks, files and unverified
//! bytes as at the beginning.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use twenty_webhook::verify::{Signer, Timestamp};

use crate::support::{
    self, SIGNATURE,
    http1::{Answer, Connection, Leave, Leaving, Request, unsigned},
    target::{FRAMEWORKS, State, Target, delivery, event},
};

/// The number of concurrent senders for each receiver. Some of them wait for a deadline.
const LANES: usize = 48;

/// How many deliveries the receivers remember. This number is reached soon.
const REMEMBERED: usize = 10_000;

/// How many recent deliveries may be sent again as duplicates.
const RECENT: usize = 2_000;

/// Numbers from this one on are never signed, so never handled.
const FORGED: usize = 1 << 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_leaked() {
    soak_both(5, 60, 20).await;
}

mod at_length {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long: the gate runs it"]
    async fn nothing_is_lost_doubled_or_leaked() {
        let variable = |name, default| std::env::var(name).map_or(default, |number| number.parse().unwrap());
        soak_both(variable("SOAK_SECONDS", 20), variable("RATE", 60), 100).await;
    }
}

/// Runs both receivers. A load must have at least `least` requests.
async fn soak_both(seconds: u64, rate: u64, least: usize) {
    let duration = Duration::from_secs(seconds);
    let [axum, actix] = FRAMEWORKS.map(|framework| soak(framework, duration, rate / 2));
    let (axum, actix) = tokio::join!(axum, actix);
    println!("{axum}\n{actix}");
    axum.check(least);
    actix.check(least);
}

async fn soak(framework: &'static str, duration: Duration, rate: u64) -> Report {
    let remembered = REMEMBERED.to_string();
    let mut target = Target::start(&[
        ("FRAMEWORK", framework),
        ("DEDUPLICATE", &remembered),
        ("ACKNOWLEDGE_MS", "300"),
        ("BODY_DEADLINE_MS", "2000"),
    ]);
    let load = Arc::new(Load { address: target.address, ledger: Mutex::default() });
    load.new_one("well", 0, &mut None).await;
    let before = target.state().await;

    let start = Instant::now();
    let lane_period = Duration::from_secs(LANES as u64) / u32::try_from(rate).unwrap();
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        lanes.spawn(Arc::clone(&load).lane(lane as u64, lane_period, start + duration));
    }
    let mut samples = Vec::new();
    let sample_period = (duration / 60).max(Duration::from_millis(500));
    while !lanes.is_empty() {
        tokio::select! {
            ended = lanes.join_next() => ended.into_iter().for_each(|lane| lane.unwrap()),
            () = sleep(sample_period) => {}
        }
        if start.elapsed() < duration && start.elapsed() >= sample_period * u32::try_from(samples.len() + 1).unwrap() {
            samples.push(Sample {
                at: start.elapsed(),
                memory: target.child.memory(),
                files: target.child.files(),
                sent: load.ledger().sent,
            });
        }
        load.ledger().take_down(target.child.unread_lines());
    }
    let took = start.elapsed();
    let after = target.settled(&before).await;
    let computed = target.child.computed();
    let memory = target.child.memory();
    assert!(target.terminate().success());
    load.ledger().take_down(target.child.remaining_lines());
    let ledger = std::mem::take(&mut *load.ledger());
    Report { framework, took, computed, memory, before, after, samples, ledger }
}

struct Load {
    address: SocketAddr,
    ledger: Mutex<Ledger>,
}

/// The expected treatment of an event.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// The delivery was answered 200 or 202.
    Accepted,
    /// The sender did not wait for the response.
    Unknown,
    /// The delivery was never signed, or never complete.
    Refused,
}

/// An event of which duplicates may be sent.
#[derive(Clone, Copy)]
struct Sent {
    number: usize,
    does: &'static str,
    filler: usize,
}

impl Sent {
    fn delivery(self) -> Request {
        // Each delivery gets a new signature, as when Twenty sends an event again.
        delivery(event(self.number, self.does, self.filler))
    }
}

/// The numbers of requests sent, responses and handled events.
#[derive(Default)]
struct Ledger {
    sent: usize,
    fates: Vec<Fate>,
    handled: Vec<u8>,
    refused_but_handled: usize,
    recent: VecDeque<Sent>,
    /// The number of each response to each kind of request.
    answers: BTreeMap<(&'static str, String), usize>,
    wrong: usize,
    /// The latencies of new deliveries on connections that were kept alive, in microseconds.
    latencies: Vec<u128>,
    abandoned: Option<String>,
}

impl Ledger {
    fn take_down(&mut self, said: impl Iterator<Item = String>) {
        for line in said {
            match line.split_once(' ') {
                Some(("handled", number)) => match self.handled.get_mut(number.parse::<usize>().unwrap()) {
                    Some(handled) => *handled += 1,
                    None => self.refused_but_handled += 1,
                },
                Some(("abandoned", number)) => self.abandoned = Some(number.to_owned()),
                _ => panic!("{line}"),
            }
        }
    }

    fn count(&self, is_meant: impl Fn(Fate, u8) -> bool) -> usize {
        self.fates.iter().zip(&self.handled).filter(|(fate, handled)| is_meant(**fate, **handled)).count()
    }
}

impl Load {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    async fn lane(self: Arc<Self>, lane: u64, period: Duration, until: Instant) {
        let mut dice = Dice(0x2545_f491_4f6c_dd1d ^ (lane << 32));
        let mut connection = None;
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        sleep(Duration::from_millis(dice.below(1_000) as u64)).await;
        while Instant::now() < until {
            ticks.tick().await;
            self.act(&mut dice, &mut connection).await;
        }
    }

    async fn act(&self, dice: &mut Dice, connection: &mut Option<Connection>) {
        let filler = dice.below(3_000);
        match dice.below(100) {
            0..45 => self.new_one("well", filler, connection).await,
            45 => self.new_one("well", 300_000, connection).await,
            46..58 => self.late_duplicate(dice, connection).await,
            58..63 => self.two_at_once(filler).await,
            63..66 => self.new_one("slow", filler, connection).await,
            66..69 => self.at_the_second_attempt("fail", filler, connection).await,
            69..71 => self.at_the_second_attempt("panic", filler, connection).await,
            71..85 => self.forged(dice, filler, connection).await,
            85..87 => self.too_long(dice).await,
            87..94 => self.truncated(dice, filler).await,
            94..96 => self.stalled(dice, filler).await,
            96..98 => self.gone_after_the_last_byte(dice, filler).await,
            _ => self.no_request(dice).await,
        }
    }

    fn number(&self, fate: Fate) -> usize {
        let mut ledger = self.ledger();
        ledger.fates.push(fate);
        ledger.handled.push(0);
        ledger.fates.len() - 1
    }

    /// Records a response; `None` is a connection that was closed without one. Counts it as wrong
    /// unless it is in `right`.
    fn answered(&self, what: &'static str, answer: Option<&Answer>, right: &[Option<u16>]) {
        let status = answer.map(|answer| answer.status);
        let mut ledger = self.ledger();
        ledger.sent += 1;
        *ledger.answers.entry((what, status.map_or("closed".into(), |status| status.to_string()))).or_default() += 1;
        ledger.wrong += usize::from(!right.contains(&status));
    }

    /// Posts over a connection that is kept as long as the server keeps it.
    async fn post(&self, request: &Request, kept: &mut Option<Connection>) -> Option<Answer> {
        let mut answer = None;
        if let Some(connection) = kept {
            connection.send(request.bytes()).await;
            answer = connection.answer().await;
        }
        if answer.is_none() {
            let mut connection = Connection::open(self.address).await;
            connection.send(request.bytes()).await;
            answer = connection.answer().await;
            *kept = Some(connection);
        }
        if answer.as_ref().is_none_or(|answer| answer.header("connection") == Some("close")) {
            *kept = None;
        }
        answer
    }

    async fn new_one(&self, does: &'static str, filler: usize, connection: &mut Option<Connection>) {
        let sent = Sent { number: self.number(Fate::Accepted), does, filler };
        let request = sent.delivery();
        let start = Instant::now();
        let answer = self.post(&request, connection).await;
        let took = start.elapsed();
        self.answered(does, answer.as_ref(), &[Some(200), Some(202)]);
        let mut ledger = self.ledger();
        if does == "well" {
            ledger.latencies.push(took.as_micros());
        }
        if answer.is_some_and(|answer| answer.status == 200) {
            ledger.recent.push_back(sent);
            if ledger.recent.len() > RECENT {
                ledger.recent.pop_front();
            }
        }
    }

    async fn late_duplicate(&self, dice: &mut Dice, connection: &mut Option<Connection>) {
        let sent = {
            let ledger = self.ledger();
            ledger.recent[dice.below(ledger.recent.len())]
        };
        let answer = self.post(&sent.delivery(), connection).await;
        self.answered("late duplicate", answer.as_ref(), &[Some(200)]);
    }

    async fn two_at_once(&self, filler: usize) {
        let sent = Sent { number: self.number(Fate::Accepted), does: "well", filler };
        let (one, other) = (sent.delivery(), sent.delivery());
        let (mut kept, mut kept_too) = (None, None);
        let answers = tokio::join!(self.post(&one, &mut kept), self.post(&other, &mut kept_too));
        for answer in [answers.0, answers.1] {
            self.answered("one of two at once", answer.as_ref(), &[Some(200), Some(202)]);
        }
    }

    async fn at_the_second_attempt(&self, does: &'static str, filler: usize, connection: &mut Option<Connection>) {
        let sent = Sent { number: self.number(Fate::Accepted), does, filler };
        // A new connection is used, because `post` would send a delivery again that a kept
        // connection did not answer.
        let mut fresh = Connection::open(self.address).await;
        fresh.send(sent.delivery().bytes()).await;
        let right = if does == "fail" { Some(500) } else { None };
        self.answered(does, fresh.answer().await.as_ref(), &[right]);
        let answer = self.post(&sent.delivery(), connection).await;
        self.answered("second attempt", answer.as_ref(), &[Some(200), Some(202)]);
    }

    async fn forged(&self, dice: &mut Dice, filler: usize, connection: &mut Option<Connection>) {
        let body = event(FORGED, "well", filler);
        let signed_with =
            |secret, time| unsigned(&body).with_all(Signer::new(secret).unwrap().sign_at(time, &body).pairs());
        let now: Timestamp = SystemTime::now().into();
        let (what, request) = match dice.below(5) {
            0 => ("any signature", delivery(&body).changed(SIGNATURE, "0".repeat(64))),
            1 => ("changed after signing", delivery(&body).body(body.to_ascii_uppercase())),
            2 => ("signed with another secret", signed_with("another", now)),
            3 => ("stale", signed_with(support::SECRET, now.saturating_sub(Duration::from_secs(400)))),
            _ => ("unsigned", unsigned(&body)),
        };
        let answer = self.post(&request, connection).await;
        self.answered(what, answer.as_ref(), &[Some(401)]);
    }

    async fn too_long(&self, dice: &mut Dice) {
        let request = delivery(vec![b' '; 100]);
        let (what, request) = match dice.below(4) {
            0 => {
                let body = vec![b' '; (2 << 20) + 1];
                ("too long, in chunks", delivery(&body).chunked(64 << 10))
            }
            _ => ("declared too long", request.changed("content-length", "52428800").body(vec![b' '; 64 << 10])),
        };
        self.answered(what, self.post(&request, &mut None).await.as_ref(), &[Some(413)]);
    }

    /// Returns the beginning of a delivery, without at least its last byte.
    fn part_of_one(&self, dice: &mut Dice, filler: usize) -> Vec<u8> {
        let number = self.number(Fate::Refused);
        let mut bytes = delivery(event(number, "well", filler)).bytes();
        bytes.truncate(1 + dice.below(bytes.len() - 1));
        bytes
    }

    async fn truncated(&self, dice: &mut Dice, filler: usize) {
        let part = self.part_of_one(dice, filler);
        Leaving::send(self.address, part).await.leave(dice.leave());
        self.ledger().sent += 1;
    }

    async fn stalled(&self, dice: &mut Dice, filler: usize) {
        let number = self.number(Fate::Refused);
        let request = delivery(event(number, "well", filler));
        let mut bytes = request.bytes();
        bytes.truncate(request.head_bytes().len() + dice.below(filler));
        let mut connection = Connection::open(self.address).await;
        connection.send(bytes).await;
        self.answered("stalled", connection.answer().await.as_ref(), &[Some(408)]);
    }

    async fn gone_after_the_last_byte(&self, dice: &mut Dice, filler: usize) {
        let number = self.number(Fate::Unknown);
        let request = delivery(event(number, "well", filler));
        Leaving::send(self.address, request.bytes()).await.leave(dice.leave());
        self.ledger().sent += 1;
    }

    async fn no_request(&self, dice: &mut Dice) {
        let garbage: &[u8] = match dice.below(3) {
            0 => b"",
            1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            _ => b"POST\r\n\r\n",
        };
        let mut connection = Connection::open(self.address).await;
        connection.send(garbage).await;
        connection.finish().await;
        self.answered("no request", connection.answer().await.as_ref(), &[Some(400), None]);
    }
}

/// Marsaglia's xorshift, with the same numbers each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % (end.max(1) as u64)).unwrap()
    }

    fn leave(&mut self) -> Leave {
        if self.below(2) == 0 { Leave::Fin } else { Leave::Reset }
    }
}

struct Sample {
    at: Duration,
    memory: u64,
    files: usize,
    sent: usize,
}

struct Report {
    framework: &'static str,
    took: Duration,
    computed: Duration,
    /// The memory at the end, in KiB.
    memory: u64,
    before: State,
    after: State,
    samples: Vec<Sample>,
    ledger: Ledger,
}

impl Report {
    /// Returns the samples after the first third. By then, all stores are full.
    fn settled(&self) -> &[Sample] {
        &self.samples[self.samples.len() / 3..]
    }

    /// Returns the growth of memory in these samples, in KiB per hour, by least squares.
    fn slope(&self) -> f64 {
        let points: Vec<_> = self.settled().iter().map(|s| (s.at.as_secs_f64() / 3_600.0, s.memory as f64)).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let sum = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
        sum(&|point| (point.0 - x) * (point.1 - y)) / sum(&|point| (point.0 - x).powi(2))
    }

    fn lost(&self) -> usize {
        self.ledger.count(|fate, handled| fate == Fate::Accepted && handled == 0)
    }

    fn doubled(&self) -> usize {
        self.ledger.count(|_, handled| handled > 1)
    }

    fn refused_but_handled(&self) -> usize {
        self.ledger.refused_but_handled + self.ledger.count(|fate, handled| fate == Fate::Refused && handled > 0)
    }

    fn check(&self, least: usize) {
        assert!(self.ledger.sent > least, "a load");
        assert_eq!(self.ledger.wrong, 0, "answered differently than expected");
        assert_eq!(self.lost(), 0, "lost");
        assert_eq!(self.doubled(), 0, "doubled");
        assert_eq!(self.refused_but_handled(), 0, "rejected, but handled");
        assert_eq!(self.ledger.abandoned.as_deref(), Some("0"), "abandoned");
        // The limit is generous, because the first third of a short run is too short to fill
        // everything.
        let settled = self.settled().first().expect("samples").memory;
        assert!(self.memory <= settled + (24 << 10), "memory grew from {settled} to {} KiB", self.memory);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { framework, took, computed, memory, before, after, samples, ledger } = self;
        let seconds = took.as_secs_f64();
        writeln!(
            f,
            "\n{framework}: {} sent in {seconds:.0} s, {:.1} s of computing",
            ledger.sent,
            computed.as_secs_f64()
        )?;
        for ((what, answer), count) in &ledger.answers {
            writeln!(f, "  {what:<28}{answer:>8}{count:>9}")?;
        }
        let mut row = |what: &str, value: String| writeln!(f, "  {what:<36}{value:>9}");
        row("answered differently than expected", ledger.wrong.to_string())?;
        row("accepted", ledger.count(|fate, _| fate == Fate::Accepted).to_string())?;
        row("  handled once", ledger.count(|fate, handled| fate == Fate::Accepted && handled == 1).to_string())?;
        row("  lost", self.lost().to_string())?;
        row("disconnected after the last byte", ledger.count(|fate, _| fate == Fate::Unknown).to_string())?;
        row("  handled", ledger.count(|fate, handled| fate == Fate::Unknown && handled > 0).to_string())?;
        row("doubled", self.doubled().to_string())?;
        row("rejected, but handled", self.refused_but_handled().to_string())?;
        let mut latencies = ledger.latencies.clone();
        latencies.sort_unstable();
        for (name, part) in [("median", 2), ("99 %", 100), ("99.9 %", 1000)] {
            let at = latencies.len() - 1 - (latencies.len() - 1) / part;
            row(&format!("latency, {name}, ms"), format!("{:.1}", latencies[at] as f64 / 1000.0))?;
        }
        writeln!(f, "  before {before:?}\n  after  {after:?}")?;
        writeln!(f, "  {:>8}{:>10}{:>8}{:>10}", "s", "sent", "KiB", "files")?;
        for sample in samples.iter().step_by((samples.len() / 12).max(1)) {
            writeln!(
                f,
                "  {:>8.0}{:>10}{:>8}{:>10}",
                sample.at.as_secs_f64(),
                sample.sent,
                sample.memory,
                sample.files
            )?;
        }
        writeln!(f, "  at the end {memory} KiB; slope after the first third {:+.0} KiB an hour", self.slope())
    }
}
