//! Starts processes on their own cores, measures their CPU time and memory, and ends them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// The core of the sender, and of Redis.
pub const SENDER: usize = 0;
/// The core of the server under test.
pub const SERVER: usize = 1;

/// Keeps this thread, and the threads that it starts, on one core.
pub fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).expect("two cores are needed");
}

/// Raises the limit of connections, for this process and its children, as far as the machine
/// allows.
pub fn allow_connections() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("the soft limit may be raised to the hard one");
}

/// A process that is killed on drop.
pub struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Returns the CPU time of all threads that still run.
    pub fn cpu(&self) -> Duration {
        cpu_of(self.0.id())
    }

    /// Returns the peak resident memory, in bytes.
    pub fn peak_rss(&self) -> u64 {
        status(self.0.id(), "VmHWM")
    }

    /// Returns the number of open files, including connections.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0.id())).expect("the process runs").count()
    }

    /// Returns the resident memory, in bytes.
    pub fn rss(&self) -> u64 {
        status(self.0.id(), "VmRSS")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the CPU time of a process, as the kernel's scheduler counted it.
fn cpu_of(id: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("the process runs");
    let nanoseconds = tasks.map(|task| {
        let path = task.expect("a thread").path().join("schedstat");
        let text = fs::read_to_string(path).expect("a kernel with schedstat");
        text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).expect("nanoseconds on the processor")
    });
    Duration::from_nanos(nanoseconds.sum())
}

fn status(id: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("a kernel that counts");
    line.trim_matches([':', '\t', ' ']).split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).expect("kB") * 1024
}

/// Returns the resident memory of this process, in bytes.
pub fn own_rss() -> u64 {
    status(std::process::id(), "VmRSS")
}

/// A server under test. It is another process of this program, with one route.
pub struct Server {
    pub route: String,
    pub process: Process,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(route: &str, redis_url: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let mut process = Process::start(command.args(["serve", route, redis_url]).stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().expect("piped")).read_line(&mut line).expect("an address");
        let address = line.trim().parse().unwrap_or_else(|_| panic!("{route} does not listen"));
        Self { route: route.to_owned(), process, address }
    }
}

/// A private Redis on loopback, without persistence.
pub struct Redis {
    pub process: Process,
    port: u16,
    directory: PathBuf,
}

impl Redis {
    pub fn start(core: usize) -> Self {
        let directory = std::env::temp_dir().join(format!("twenty-webhook-peers-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let port = free_port();
        let mut command = Command::new("taskset");
        command
            .args(["-c", &core.to_string(), "redis-server", "--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"])
            .arg(&directory)
            .stdout(Stdio::null());
        let redis = Self { process: Process::start(&mut command), port, directory };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns the number of keys, without expired ones, which `DBSIZE` counts until Redis removes
    /// them.
    pub fn keys(&self) -> u64 {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut connection = client.get_connection().expect("connected");
        redis::cmd("EVAL").arg("return #redis.call('KEYS', '*')").arg(0).query(&mut connection).expect("answered")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Returns a port that was free at the time of the call.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
