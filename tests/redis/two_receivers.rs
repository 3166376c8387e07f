//! Tests two receivers under load that share one Redis, while it works, is killed, is frozen, is
//! slow or answers with errors. No delivery is rejected or lost. Deliveries that are handled twice
//! are counted and explained.
//!
//!     cargo build --release --all-features --example redis_receiver
//!     DELIVERIES=100000 CONNECTIONS=256 cargo test --release --all-features --test redis -- two_receivers:: --ignored --nocapture
//!
//! Without the variables, and in a debug build, the load is small. The receivers are processes that
//! run the example `redis_receiver`. They print a line for each event that they handle, and the
//! tests count these lines.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, task::JoinSet, time::sleep};
use twenty_webhook::verify::Signer;

use crate::support::{
    data_text,
    http1::Connection,
    process::free_port,
    program::Program,
    proxy::{Mode, Proxy},
    redis::Server,
};

const SECRET: &str = "dev-secret";

/// The number of deliveries of each body.
const COPIES: usize = 5;

/// How long Redis is unavailable, and how long the receivers may take to reconnect afterwards.
const AWAY: Duration = Duration::from_secs(3);
const FOUND_AGAIN: Duration = Duration::from_secs(2);

/// What happens to Redis when a third of the deliveries has been sent.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Well,
    /// Redis works, and the duplicates of a body follow each other directly instead of being
    /// shuffled.
    WellAndCopiesAtOnce,
    /// SIGKILL, then a restart without data.
    Emptied,
    /// SIGKILL, then a restart with the append-only file.
    Restored,
    /// SIGSTOP, then SIGCONT.
    Frozen,
    /// Each answer takes 100 ms: less than the store's deadline, so nothing may be handled twice.
    Slow,
    /// Each answer takes 800 ms: more than the deadline.
    TooSlow,
    /// Redis has no memory left, and may not evict keys.
    OutOfMemory,
    /// Redis becomes the replica of a server that does not exist, so it rejects writes.
    ReadOnly,
    /// Redis answers every command with this error.
    Answers(&'static str),
}

impl Fate {
    /// Returns whether Redis works correctly all the time.
    fn is_well(self) -> bool {
        matches!(self, Self::Well | Self::WellAndCopiesAtOnce | Self::Slow)
    }

    /// Returns whether Redis finally has its earlier entries, but not the last completions before
    /// the failure.
    fn forgets_the_last(self) -> bool {
        matches!(self, Self::Restored | Self::TooSlow | Self::OutOfMemory | Self::ReadOnly | Self::Answers(_))
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_receiver"]
async fn nothing_is_handled_twice_when_redis_works() {
    run(Fate::Well, "Redis works").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_receiver"]
async fn nothing_is_handled_twice_when_duplicates_arrive_together() {
    run(Fate::WellAndCopiesAtOnce, "Redis works, and the duplicates arrive together").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_receiver"]
async fn nothing_is_lost_when_redis_is_killed_and_comes_back_empty() {
    run(Fate::Emptied, "Redis is killed, and restarted empty").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_receiver"]
async fn nothing_is_lost_when_redis_is_killed_and_comes_back_with_its_file() {
    run(Fate::Restored, "Redis is killed, and restarted with its append-only file").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_receiver"]
async fn nothing_is_lost_when_redis_is_frozen_and_continues() {
    run(Fate::Frozen, "Redis is frozen, and continues").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_receiver"]
async fn nothing_is_handled_twice_when_redis_is_slow() {
    run(Fate::Slow, "Redis answers after 100 ms").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_receiver"]
async fn nothing_is_lost_when_redis_exceeds_the_deadline() {
    run(Fate::TooSlow, "Redis answers after 800 ms, beyond the deadline").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_receiver"]
async fn nothing_is_lost_when_redis_is_out_of_memory() {
    run(Fate::OutOfMemory, "Redis is out of memory for a while").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_receiver"]
async fn nothing_is_lost_when_redis_is_read_only() {
    run(Fate::ReadOnly, "Redis is read-only for a while").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_receiver"]
async fn nothing_is_lost_when_redis_is_loading() {
    run(Fate::Answers("-LOADING Redis is loading the dataset in memory"), "Redis is loading").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server) and the built example redis_receiver"]
async fn nothing_is_lost_when_redis_is_busy() {
    let busy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    run(Fate::Answers(busy), "Redis is busy with a script").await;
}

async fn run(fate: Fate, title: &str) {
    // The tests run one after the other, so that each can use the whole machine.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _guard = ONE_AT_A_TIME.lock().await;

    let variable = |name, default| std::env::var(name).map_or(default, |number| number.parse().unwrap());
    let bodies = variable("DELIVERIES", 5_000) / COPIES;
    let connections = variable("CONNECTIONS", 32);
    let options: &[&str] = if fate == Fate::Restored { &["--appendonly", "yes"] } else { &[] };
    let mut redis = Server::start(options);
    let proxy = Proxy::start(redis.port()).await;
    let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("REDIS_URL", &proxy.url())];
    let mut receivers = [0, 1].map(|_| Program::start("redis_receiver", &[], &variables));
    let addresses = receivers.each_mut().map(Program::address);

    let load = Arc::new(Load::new(bodies, fate));
    let start = Instant::now();
    let sending = tokio::spawn(Arc::clone(&load).send(addresses, connections));
    let away = match fate {
        Fate::Well | Fate::WellAndCopiesAtOnce => None,
        _ => Some(befall(fate, &load, &mut redis, &proxy, &receivers).await),
    };
    let answers = sending.await.unwrap();
    let took = start.elapsed();

    // Handlers of acknowledged deliveries may still run. A receiver waits for them when it ends.
    for receiver in &mut receivers {
        assert!(receiver.terminate().success(), "{}", receiver.log());
    }
    let handled = Handled::count(bodies, &receivers, away.as_ref(), fate);
    let report = Report { title, load: &load, answers, handled, took };
    println!("{report}");
    report.check(connections);
}

/// Waits for a third of the deliveries, then makes Redis unavailable for a while. Returns how many
/// lines each receiver had printed before, and some time after Redis was available again.
async fn befall(fate: Fate, load: &Load, redis: &mut Server, proxy: &Proxy, receivers: &[Program; 2]) -> Away {
    while load.sent() < load.order.len() / 3 {
        sleep(Duration::from_millis(5)).await;
    }
    // Commands are held back first, so that nothing is claimed or completed between the count and
    // the failure.
    proxy.hold().await;
    let gone = receivers.each_ref().map(|receiver| receiver.lines().len());
    let command = |redis: &Server, words: &[&str]| assert_eq!(redis.command::<String>(words).unwrap(), "OK");
    match fate {
        Fate::Well | Fate::WellAndCopiesAtOnce => {}
        Fate::Emptied | Fate::Restored => redis.kill(),
        Fate::Frozen => redis.freeze(),
        Fate::OutOfMemory => command(redis, &["CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1"]),
        Fate::ReadOnly => command(redis, &["REPLICAOF", "127.0.0.1", &free_port().to_string()]),
        Fate::Slow | Fate::TooSlow | Fate::Answers(_) => {}
    }
    proxy.set(match fate {
        Fate::Slow => Mode::Delay(Duration::from_millis(100)),
        Fate::TooSlow => Mode::Delay(Duration::from_millis(800)),
        Fate::Answers(line) => Mode::Answer(line),
        _ => Mode::Pass,
    });
    let away = Instant::now();
    while away.elapsed() < AWAY && load.sent() < load.order.len() * 2 / 3 {
        sleep(Duration::from_millis(5)).await;
    }
    match fate {
        Fate::Well | Fate::WellAndCopiesAtOnce => {}
        Fate::Emptied | Fate::Restored => redis.restart(),
        Fate::Frozen => redis.thaw(),
        Fate::OutOfMemory => command(redis, &["CONFIG", "SET", "maxmemory", "0"]),
        Fate::ReadOnly => command(redis, &["REPLICAOF", "NO", "ONE"]),
        Fate::Slow | Fate::TooSlow | Fate::Answers(_) => proxy.set(Mode::Pass),
    }
    sleep(FOUND_AGAIN).await;
    let back = receivers.each_ref().map(|receiver| receiver.lines().len());
    load.held_from.store(usize::MAX, Ordering::Relaxed);
    Away { gone, back }
}

struct Away {
    gone: [usize; 2],
    back: [usize; 2],
}

/// The deliveries, in the order in which they are sent.
struct Load {
    bodies: Vec<String>,
    order: Vec<usize>,
    next: AtomicUsize,
    /// Deliveries from this index on wait until Redis is available again, so that some arrive after
    /// that.
    held_from: AtomicUsize,
}

impl Load {
    fn new(bodies: usize, fate: Fate) -> Self {
        let mut order: Vec<_> = (0..bodies * COPIES).map(|i| i / COPIES).collect();
        if fate != Fate::WellAndCopiesAtOnce {
            shuffle(&mut order);
        }
        let template = data_text("person.created.json");
        let bodies = (0..bodies).map(|i| template.replace("2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01", &id(i))).collect();
        let held_from = match fate {
            Fate::Well | Fate::WellAndCopiesAtOnce => usize::MAX,
            _ => order.len() * 2 / 3,
        };
        Self { bodies, order, next: AtomicUsize::new(0), held_from: AtomicUsize::new(held_from) }
    }

    fn sent(&self) -> usize {
        self.next.load(Ordering::Relaxed).min(self.order.len())
    }

    /// Sends all deliveries over this number of connections. Each connection sends the next one
    /// when it has received an answer.
    async fn send(self: Arc<Self>, addresses: [SocketAddr; 2], at_a_time: usize) -> Answers {
        let mut sending = JoinSet::new();
        for number in 0..at_a_time {
            sending.spawn(Arc::clone(&self).send_one_by_one(addresses[number % 2]));
        }
        let mut all = Answers::default();
        while let Some(answers) = sending.join_next().await {
            all.add(answers.unwrap());
        }
        all
    }

    async fn send_one_by_one(self: Arc<Self>, address: SocketAddr) -> Answers {
        let signer = Signer::new(SECRET).unwrap();
        let mut answers = Answers::default();
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(&body) = self.order.get(next) else { return answers };
            while next >= self.held_from.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(5)).await;
            }
            let text = &self.bodies[body];
            let start = Instant::now();
            // The example closes each connection after its answer.
            let mut connection = Connection::open(address).await;
            // Each delivery gets a new signature, as when Twenty sends an event again.
            let answer = connection.post("/webhooks/twenty", signer.sign(text).pairs(), text).await;
            answers.slowest = answers.slowest.max(start.elapsed());
            match answer {
                Some(status) => {
                    *answers.by_status.entry(status).or_default() += 1;
                    if status == 409 {
                        *answers.rejected_duplicates.entry(body).or_default() += 1;
                    }
                }
                None => answers.broken += 1,
            }
        }
    }
}

/// Returns a well-formed id for each number.
fn id(number: usize) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// Shuffles by the algorithm of Fisher and Yates, in the same order each time.
fn shuffle(items: &mut [usize]) {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for last in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(last, usize::try_from(state % (last as u64 + 1)).unwrap());
    }
}

/// The answers to the deliveries.
#[derive(Default)]
struct Answers {
    by_status: BTreeMap<u16, usize>,
    /// Connections that were closed without an answer.
    broken: usize,
    /// The number of duplicates of each body that were answered with 409.
    rejected_duplicates: BTreeMap<usize, usize>,
    slowest: Duration,
}

impl Answers {
    fn add(&mut self, other: Self) {
        for (status, count) in other.by_status {
            *self.by_status.entry(status).or_default() += count;
        }
        for (body, count) in other.rejected_duplicates {
            *self.rejected_duplicates.entry(body).or_default() += count;
        }
        self.broken += other.broken;
        self.slowest = self.slowest.max(other.slowest);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    Before,
    Away,
    After,
}

/// The time at which a handler completed, and its receiver.
type Handling = (When, usize);

/// The events that the receivers handled.
#[derive(Default)]
struct Handled {
    bodies: usize,
    lost: usize,
    doubled: usize,
    /// Repeated handlings of a body, by reason.
    extra: BTreeMap<Reason, usize>,
}

/// The reason why a body was handled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// The duplicate arrived while Redis could not be queried.
    RedisWasAway,
    /// One receiver handled the delivery while Redis was unavailable, and the other one handled it
    /// then or later. Only the first receiver remembers it.
    HandledApart,
    /// Redis lost the entry.
    RedisForgot,
    /// The delivery was handled when Redis became unavailable, so the claim could not be completed,
    /// and its lease ended.
    NotCompleted,
    /// A bug in this crate.
    None,
}

impl Reason {
    /// Returns the reason for `again`, if `first` came before it.
    fn of(first: Handling, again: Handling, fate: Fate) -> Self {
        let is_elsewhere = first.1 != again.1;
        match (first.0, again.0) {
            _ if fate.is_well() => Self::None,
            (When::Before, When::Away) => Self::RedisWasAway,
            (When::Away, When::Away | When::After) if is_elsewhere => Self::HandledApart,
            (When::Before, When::After) if fate == Fate::Emptied => Self::RedisForgot,
            (When::Before, When::After) if fate.forgets_the_last() && is_elsewhere => Self::NotCompleted,
            _ => Self::None,
        }
    }
}

impl Handled {
    fn count(bodies: usize, receivers: &[Program; 2], away: Option<&Away>, fate: Fate) -> Self {
        let numbers: BTreeMap<_, _> = (0..bodies).map(|number| (id(number), number)).collect();
        let mut handlings: Vec<Vec<Handling>> = vec![Vec::new(); bodies];
        for (receiver, program) in receivers.iter().enumerate() {
            for (line, text) in program.lines().iter().enumerate() {
                let number = numbers[text.split(' ').nth(1).unwrap()];
                let when = match away {
                    Some(away) if line >= away.back[receiver] => When::After,
                    Some(away) if line >= away.gone[receiver] => When::Away,
                    _ => When::Before,
                };
                handlings[number].push((when, receiver));
            }
        }
        let mut handled = Self { bodies, ..Self::default() };
        for of_body in &mut handlings {
            of_body.sort_unstable();
            match &of_body[..] {
                [] => handled.lost += 1,
                [_] => {}
                [_, ..] => handled.doubled += 1,
            }
            for (index, &again) in of_body.iter().enumerate().skip(1) {
                // `None` is the greatest reason: a single unexplained pair is enough.
                let reason = of_body[..index].iter().map(|&first| Reason::of(first, again, fate)).max().unwrap();
                *handled.extra.entry(reason).or_default() += 1;
            }
        }
        handled
    }
}

struct Report<'a> {
    title: &'a str,
    load: &'a Load,
    answers: Answers,
    handled: Handled,
    took: Duration,
}

impl Report<'_> {
    /// Returns the number of deliveries that were answered with another status than 200, 202 and
    /// 409.
    fn refused(&self) -> usize {
        self.answers.by_status.iter().filter(|(status, _)| ![200, 202, 409].contains(*status)).map(|(_, n)| n).sum()
    }

    fn check(&self, connections: usize) {
        assert_eq!(self.refused(), 0, "refused");
        assert_eq!(self.answers.broken, 0, "not answered");
        assert_eq!(self.handled.lost, 0, "lost");
        let of = |reason| self.handled.extra.get(&reason).copied().unwrap_or_default();
        assert_eq!(of(Reason::None), 0, "handled twice without a reason");
        assert!(of(Reason::NotCompleted) <= connections, "no more than were running when Redis became unavailable");
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, load, answers, handled, took } = self;
        let sent = load.order.len();
        writeln!(f, "\n{title}")?;
        let mut row = |what: &str, number: usize| writeln!(f, "  {what:<52}{number:>8}");
        row("deliveries sent", sent)?;
        for (status, count) in &answers.by_status {
            row(&format!("  answered {status}"), *count)?;
        }
        row("  not answered", answers.broken)?;
        row("distinct bodies", handled.bodies)?;
        let but_one = answers.rejected_duplicates.values().filter(|count| **count >= COPIES - 1).count();
        row("  of which all copies but one were answered 409", but_one)?;
        row("  handled", handled.bodies - handled.lost)?;
        row("  lost", handled.lost)?;
        row("  handled more than once", handled.doubled)?;
        row("handlings too many", handled.extra.values().sum())?;
        for (reason, count) in &handled.extra {
            let reason = match reason {
                Reason::RedisWasAway => "  handled before, and again while Redis was away",
                Reason::HandledApart => "  by one while Redis was away, and by the other",
                Reason::RedisForgot => "  handled before Redis came back empty, and after",
                Reason::NotCompleted => "  handled when Redis went, and after it was back",
                Reason::None => "  WITHOUT A REASON",
            };
            row(reason, *count)?;
        }
        let rate = sent as f64 / took.as_secs_f64();
        write!(
            f,
            "  {:.1} s, {rate:.0} a second, slowest answer {:.2} s",
            took.as_secs_f64(),
            answers.slowest.as_secs_f64()
        )
    }
}
