//! Kills the inbox examples under load repeatedly with SIGKILL, and restarts them. All
//! deliveries that were answered 2xx are handled, and only events that ran at a kill are handled
//! again.
//!
//!     cargo build --all-features --examples
//!     STORM_KILLS=150 cargo test --all-features --test process -- storms:: --ignored --nocapture --test-threads 1
//!
//! Without `STORM_KILLS` there are a few kills, as in the gate.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt, fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redb::{ReadableDatabase, ReadableTable};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};
use twenty_webhook::{
    inbox::{Inbox, Stats},
    verify::Signer,
};

use crate::support::{SECRET, http1::Connection, postgres::Server, program::Program};

const LANES: usize = 12;

/// The number of events that the examples' workers handle at the same time.
const CONCURRENCY: usize = 16;

/// How long the handling of all accepted events may finally take.
const PATIENCE: Duration = Duration::from_secs(300);

mod at_length {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long: the gate runs it"]
    async fn kills_of_axum_with_redb_lose_nothing() {
        storm("inbox_receiver", Place::file()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long: the gate runs it"]
    async fn kills_of_actix_web_with_redb_lose_nothing() {
        storm("actix_inbox", Place::file()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long, and starts a private postgres: the gate runs it"]
    async fn kills_of_axum_with_postgres_lose_nothing() {
        storm("inbox_receiver", Place::Table(Server::start(&[]))).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long, and starts a private postgres: the gate runs it"]
    async fn kills_of_actix_web_with_postgres_lose_nothing() {
        storm("actix_inbox", Place::Table(Server::start(&[]))).await;
    }
}

/// The storage of the inbox.
enum Place {
    File(PathBuf),
    Table(Server),
}

impl Place {
    fn file() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("storm-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        Self::File(directory.join("inbox.redb"))
    }

    /// Returns the value of the examples' variable `INBOX`.
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Table(server) => server.url(),
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "redb",
            Self::Table(_) => "PostgreSQL",
        }
    }

    /// Returns the events that ran when the process was killed. Reads the storage without the
    /// inbox's code.
    async fn running(&self) -> HashSet<usize> {
        match self {
            Self::File(path) => {
                let copy = path.with_extension("copy");
                if fs::copy(path, &copy).is_err() {
                    // The process was killed before it created the file.
                    return HashSet::new();
                }
                let running = running_in(&copy);
                fs::remove_file(copy).unwrap();
                running
            }
            Self::Table(server) => {
                // The server completes the statements of the killed process.
                let connected = "SELECT FROM pg_stat_activity WHERE application_name = 'twenty-webhook'";
                while !server.sql(&format!("SELECT 1 WHERE EXISTS ({connected})")).is_empty() {
                    sleep(Duration::from_millis(10)).await;
                }
                if server.sql("SELECT 1 WHERE to_regclass('twenty_webhook.inbox') IS NOT NULL").is_empty() {
                    return HashSet::new();
                }
                // Ends their leases as if a minute had passed.
                let rows = server.sql(
                    "UPDATE twenty_webhook.inbox SET due = due - 60000 WHERE state = 2 \
                     RETURNING substring(encode(event, 'escape') FROM '\"id\":\"[^\"]*')",
                );
                rows.iter().map(|row| number_in(row)).collect()
            }
        }
    }

    /// Returns the statistics, which can be read while another process works.
    async fn stats(&self) -> Stats {
        let inbox = match self {
            Self::File(path) => Inbox::builder().open_read_only(path).unwrap(),
            Self::Table(server) => Inbox::connect(&server.url()).await.unwrap(),
        };
        inbox.stats().await.unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::File(path) = self {
            _ = fs::remove_dir_all(path.parent().unwrap());
        }
    }
}

fn running_in(path: &std::path::Path) -> HashSet<usize> {
    const RUNNING: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("running");
    const EVENTS: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("events");

    let mut builder = redb::Builder::new();
    let builder = builder.set_concurrency_mode(redb::ConcurrencyMode::SingleWriter).set_cache_size(16 << 20);
    let database = builder.open(path).unwrap();
    let transaction = database.begin_read().unwrap();
    let Ok(running) = transaction.open_table(RUNNING) else { return HashSet::new() };
    let events = transaction.open_table(EVENTS).unwrap();
    let places = running.iter().unwrap().map(|entry| entry.unwrap().0.value());
    let event = |place| String::from_utf8_lossy(events.get(place).unwrap().unwrap().value()).into_owned();
    places.map(|place| number_in(&event(place))).collect()
}

fn body(number: usize) -> String {
    let id = format!("{number:08x}-0000-4000-8000-000000000000");
    format!(r#"{{"eventName":"note.created","record":{{"id":"{id}","title":"{}"}}}}"#, "x".repeat(number % 1_500))
}

/// Returns the number of the event whose body contains this text.
fn number_in(body: &str) -> usize {
    usize::from_str_radix(&body.split_once(r#""id":""#).unwrap().1[..8], 16).unwrap()
}

/// The responses to each event. `None` is a missing response.
type Answers = BTreeMap<usize, Vec<Option<u16>>>;

/// Sends each event once, as Twenty does. Every second unanswered event is sent again.
struct Load {
    address: watch::Receiver<Option<SocketAddr>>,
    is_over: watch::Receiver<bool>,
    next: AtomicUsize,
    answers: Mutex<Answers>,
}

impl Load {
    async fn lane(self: Arc<Self>) {
        let signer = Signer::new(SECRET).unwrap();
        let mut again = None;
        while !*self.is_over.borrow() {
            sleep(Duration::from_millis(5)).await;
            let Some(address) = *self.address.borrow() else { continue };
            let Ok(mut connection) = Connection::try_open(address).await else { continue };
            while !*self.is_over.borrow() {
                let number = again.take().unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed));
                let body = body(number);
                let answer = connection.post("/webhooks/twenty", signer.sign(&body).pairs(), body).await;
                self.answers.lock().unwrap().entry(number).or_default().push(answer);
                if answer.is_none() {
                    again = number.is_multiple_of(2).then_some(number);
                    break;
                }
                sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// One life of the process.
#[derive(Default)]
struct Life {
    handled: Vec<usize>,
    /// The events that ran at its end.
    running: HashSet<usize>,
}

fn handled(program: &Program) -> Vec<usize> {
    let lines = program.lines();
    let number = |line: &String| usize::from_str_radix(&line.strip_prefix("handled note.created ")?[..8], 16).ok();
    lines.iter().map(|line| number(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

async fn storm(example: &'static str, place: Place) {
    let kills = std::env::var("STORM_KILLS").map_or(12, |kills| kills.parse().unwrap());
    let (listens, address) = watch::channel(None);
    let (end, is_over) = watch::channel(false);
    let load = Arc::new(Load { address, is_over, next: AtomicUsize::new(0), answers: Mutex::default() });
    let mut lanes: JoinSet<()> = (0..LANES).map(|_| Arc::clone(&load).lane()).collect();
    let name = place.name();
    let start = || {
        let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("INBOX", &*name), ("HANDLER_MS", "5")];
        Program::start(example, &[], &variables)
    };
    let mut lives = Vec::new();
    for kill in 0..kills {
        let mut program = start();
        // Every fourth process is killed while it starts.
        if kill % 4 == 3 {
            sleep(Duration::from_millis(kill * 7 % 60)).await;
        } else {
            listens.send_replace(Some(program.address()));
            sleep(Duration::from_millis(kill * 131 % 700)).await;
        }
        program.kill();
        lives.push(Life { handled: handled(&program), running: place.running().await });
    }
    let mut program = start();
    listens.send_replace(Some(program.address()));
    sleep(Duration::from_millis(200)).await;
    end.send_replace(true);
    while let Some(lane) = lanes.join_next().await {
        lane.unwrap();
    }
    // The last process is not killed.
    let begun = Instant::now();
    let stats = loop {
        let stats = place.stats().await;
        if stats.ready + stats.delayed + stats.running == 0 {
            break stats;
        }
        assert!(begun.elapsed() < PATIENCE, "it is not done: {stats:?}");
        sleep(Duration::from_millis(50)).await;
    };
    assert!(program.terminate().success());
    lives.push(Life { handled: handled(&program), ..Life::default() });
    let answers = std::mem::take(&mut *load.answers.lock().unwrap());
    let report = Report::new(example, place.kind(), &answers, &lives, stats.dead);
    println!("{report}");
    report.check();
}

struct Report {
    title: String,
    kills: usize,
    /// The number of requests.
    sent: usize,
    unanswered: usize,
    rejected: usize,
    /// The number of accepted events.
    accepted: usize,
    handled: usize,
    /// Events that were handled, and perhaps stored, without a response 2xx.
    handled_unanswered: usize,
    lost: usize,
    /// The number of handlers that ran at the kills.
    interrupted: usize,
    /// Events that ran at the end of a life in which they had been handled, and were handled again.
    again: usize,
    /// Events that were handled again without this reason.
    doubled: usize,
    dead: u64,
}

impl Report {
    fn new(example: &str, kind: &str, answers: &Answers, lives: &[Life], dead: u64) -> Self {
        let is_accepted = |answers: &[Option<u16>]| answers.contains(&Some(200));
        let accepted: BTreeSet<_> =
            answers.iter().filter(|(_, answers)| is_accepted(answers)).map(|(number, _)| *number).collect();
        let mut last: BTreeMap<usize, &Life> = BTreeMap::new();
        let (mut again, mut doubled) = (0, 0);
        for life in lives {
            let mut here = HashSet::new();
            for &number in &life.handled {
                doubled += usize::from(!here.insert(number));
                match last.insert(number, life) {
                    Some(before) if before.running.contains(&number) => again += 1,
                    // A repetition within this life has been counted already.
                    Some(before) => doubled += usize::from(!std::ptr::eq(before, life)),
                    None => {}
                }
            }
        }
        let all = || answers.values().flatten();
        Self {
            title: format!("{example}, {kind}"),
            kills: lives.len() - 1,
            sent: all().count(),
            unanswered: all().filter(|answer| answer.is_none()).count(),
            rejected: all().filter(|answer| answer.is_some_and(|status| status != 200)).count(),
            accepted: accepted.len(),
            handled: last.len(),
            handled_unanswered: last.keys().filter(|number| !accepted.contains(number)).count(),
            lost: accepted.iter().filter(|number| !last.contains_key(number)).count(),
            interrupted: lives.iter().map(|life| life.running.len()).sum(),
            again,
            doubled,
            dead,
        }
    }

    fn check(&self) {
        assert!(self.accepted > 20 * self.kills, "a load");
        assert_eq!((self.lost, self.doubled, self.dead), (0, 0, 0), "lost, doubled, dead");
        assert!(self.interrupted > 0 && self.interrupted <= CONCURRENCY * self.kills, "{}", self.interrupted);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, kills, sent, unanswered, rejected, accepted, handled, .. } = self;
        let Self { handled_unanswered, lost, interrupted, again, doubled, dead, .. } = self;
        write!(
            f,
            "{title}: {kills} kills; {sent} sent, {accepted} events accepted, {rejected} rejected, \
             {unanswered} not answered; {handled} handled, {handled_unanswered} of them never answered, \
             {dead} dead, {lost} lost; {interrupted} ran at a kill, {again} of them had been handled already \
             and were handled again, {doubled} doubled without that reason"
        )
    }
}
