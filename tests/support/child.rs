//! A test program that starts itself once more: a server in a process of its own, whose memory, files and end are nobody else's.
//!
//! What the child runs is a test that is ignored, and does nothing unless [`is_child`].

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child as Process, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Iter, Receiver, TryIter},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a child may take to do as it is told.
const PATIENCE: Duration = Duration::from_secs(60);

/// Set for children.
const IS_CHILD: &str = "IS_CHILD_OF_TEST";

pub fn is_child() -> bool {
    std::env::var_os(IS_CHILD).is_some()
}

/// A line for the parent, apart from what the test harness prints.
pub fn say(line: &str) {
    println!("child: {line}");
}

pub struct Child {
    process: Process,
    said: Receiver<String>,
}

impl Child {
    /// Starts this test of the same program.
    pub fn start(test: &str, variables: &[(&str, &str)]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(IS_CHILD, "1")
            .envs(variables.iter().copied())
            .args(["--ignored", "--exact", "--nocapture", test])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (says, said) = mpsc::channel();
        std::thread::spawn(move || {
            // The harness may have begun a line of its own.
            let of_child =
                lines.map_while(Result::ok).filter_map(|line| Some(line.split_once("child: ")?.1.to_owned()));
            of_child.for_each(|line| drop(says.send(line)));
        });
        Self { process, said }
    }

    /// What it says next.
    #[track_caller]
    pub fn next(&self) -> String {
        self.said.recv_timeout(PATIENCE).unwrap()
    }

    /// What it has said, and nobody has taken yet.
    pub fn said(&self) -> TryIter<'_, String> {
        self.said.try_iter()
    }

    /// All that it has said to its end, and nobody has taken yet. Waits for that end.
    pub fn last_words(&self) -> Iter<'_, String> {
        self.said.iter()
    }

    /// `-TERM`, `-STOP`, `-CONT`.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Ends it without a goodbye. What it said before can still be taken.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            sleep(Duration::from_millis(10));
        }
    }

    /// The memory that it has in use, in KiB.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many files and sockets it has open.
    pub fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// The time that it has been computing.
    pub fn computed(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // After the name, which is in brackets and may contain anything, come state, …, utime and stime as 14th and 15th.
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        // A tick is a hundredth of a second, to every program on Linux.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
