//! Private Redis servers on loopback without persistence, each ended by its own process id.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::{FromRedisValue, RedisResult};

use super::process::{Process, free_port};

/// How long a server may take to react.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    port: u16,
    options: Vec<String>,
    directory: PathBuf,
    process: Option<Process>,
}

impl Server {
    /// Starts a server that writes to its disk before it answers.
    pub(crate) fn durable() -> Self {
        Self::start(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts a server with additional options of the command line, such as `["--maxmemory",
    /// "2mb"]`.
    pub(crate) fn start(options: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("twenty-webhook-redis-{}-{count}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { port: free_port(), options, directory, process: None };
        server.restart();
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command over a new connection.
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        self.command_at(&self.url(), words)
    }

    pub(crate) fn command_at<T: FromRedisValue>(&self, url: &str, words: &[&str]) -> RedisResult<T> {
        let mut connection = redis::Client::open(url)?.get_connection_with_timeout(PATIENCE)?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query(&mut connection)
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts the server again on the same port, with the data on its disk. By default there is
    /// none.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut process = Process::start(
            Command::new("redis-server")
                .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"])
                .arg(&self.directory)
                .args(&self.options)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::inherit()),
        );
        until("the server accepts connections", || {
            assert!(process.has_ended().is_none(), "the server has ended");
            std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
        });
        self.process = Some(process);
    }

    /// Freezes the process: connections stay open, and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        self.process.as_ref().expect("a running server").signal(signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Starts three nodes that share the slots.
pub(crate) fn cluster() -> Vec<Server> {
    const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    let nodes: Vec<_> = SLOTS
        .iter()
        .map(|(first, last)| {
            let bus = free_port().to_string();
            let options = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "1000"];
            let node = Server::start(&options);
            let () = node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]).unwrap();
            (node, bus)
        })
        .collect();
    for (node, bus) in &nodes {
        let () = nodes[0].0.command(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), bus]).unwrap();
    }
    let nodes: Vec<_> = nodes.into_iter().map(|(node, _)| node).collect();
    for node in &nodes {
        until("the cluster is whole", || {
            let info: String = node.command(&["CLUSTER", "INFO"]).unwrap();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        });
    }
    nodes
}

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "timed out waiting until {what}");
        sleep(Duration::from_millis(10));
    }
}
