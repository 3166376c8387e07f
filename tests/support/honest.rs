//! Sends genuine deliveries to a receiver, without an attack and during one.

use std::{
    fmt, fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    http1::Connection,
    target::{Target, delivery, event},
};

/// How long genuine deliveries are measured before an attack.
const CALM: Duration = Duration::from_millis(200);

/// For tests that require the process's limit of open files, and the machine, for themselves.
pub static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The number of attackers, and the duration of an attack that is not stopped.
#[derive(Clone, Copy)]
pub struct Size {
    pub connections: usize,
    pub duration: Duration,
}

/// Returns the number of attackers: at most half of the files that the process may open.
pub fn attackers(wanted: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let files: usize = files.split_whitespace().nth(3).unwrap().parse().unwrap();
    wanted.min(files / 2)
}

/// Sends deliveries one after the other until it is stopped, each over a new connection. All must
/// be answered 200.
pub struct Honest {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<Vec<Duration>>,
}

impl Honest {
    pub fn begin(address: SocketAddr) -> Self {
        // Each event in this program has a different number.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let task = tokio::spawn(async move {
            let mut took = Vec::new();
            while !until.load(Ordering::Relaxed) || took.is_empty() {
                let request = delivery(event(NUMBER.fetch_add(1, Ordering::Relaxed), "well", 1_500));
                let start = Instant::now();
                let mut connection = Connection::open(address).await;
                connection.send(request.bytes()).await;
                let answer = connection.answer().await.expect("an answer");
                assert_eq!(answer.status, 200, "a genuine delivery");
                took.push(start.elapsed());
                sleep(Duration::from_millis(10)).await;
            }
            took
        });
        Self { is_over, task }
    }

    pub async fn end(self) -> Vec<Duration> {
        self.is_over.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// Measurements before an attack, during it and after it.
pub struct Attacked {
    title: String,
    calm: Vec<Duration>,
    attacked: Vec<Duration>,
    /// The memory in KiB: before the attack, the maximum during it, and after it.
    memory: [u64; 3],
}

impl Attacked {
    /// Attacks for as long as `attack` takes, while genuine deliveries are sent. Afterwards nothing
    /// of the attack may be left except memory that the allocator keeps. The memory may grow by at
    /// most `memory` KiB.
    pub async fn by(target: &Target, title: &str, memory: u64, attack: impl Future<Output = ()>) -> Self {
        let calm = Honest::begin(target.address);
        sleep(CALM).await;
        let calm = calm.end().await;
        let before = target.settled_for_good().await;
        let memory_before = target.child.memory();

        let honest = Honest::begin(target.address);
        let mut most = memory_before;
        {
            let mut attack = std::pin::pin!(attack);
            loop {
                tokio::select! {
                    () = &mut attack => break,
                    () = sleep(Duration::from_millis(20)) => most = most.max(target.child.memory()),
                }
            }
        }
        let attacked = honest.end().await;
        target.settled(&before).await;
        let this =
            Self { title: title.to_owned(), calm, attacked, memory: [memory_before, most, target.child.memory()] };
        println!("{this}");
        assert!(most <= memory_before + memory, "memory grew from {memory_before} to {most} KiB");
        this
    }
}

impl fmt::Display for Attacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let half = |took: &[Duration]| {
            let mut took = took.to_vec();
            took.sort_unstable();
            took[took.len() / 2]
        };
        let slowest = |took: &[Duration]| took.iter().max().copied().unwrap();
        let Self { title, calm, attacked, memory: [before, most, after] } = self;
        write!(
            f,
            "{title}: {} genuine deliveries answered, with {:.1} times the median latency of {} before the attack ({:?}) \
             and a maximum of {:?}; memory {before} KiB before, at most {most} KiB during, {after} KiB after the attack",
            attacked.len(),
            half(attacked).as_secs_f64() / half(calm).as_secs_f64(),
            calm.len(),
            half(calm),
            slowest(attacked),
        )
    }
}
