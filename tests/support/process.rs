//! A process that a test started, ended by its own id.

use std::{
    fs,
    process::{Child, ChildStdout, Command, ExitStatus},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a process may take to do as it is told.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Process(Child);

impl Process {
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program())))
    }

    pub fn stdout(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("a pipe")
    }

    /// `-TERM`, `-HUP`, `-STOP`, `-CONT`.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
    }

    /// Ends it without a goodbye. What it printed stays.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Waits for its end; `None` when it does not come.
    pub fn wait_for_end(&mut self) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let status = self.has_ended();
            if status.is_some() || start.elapsed() > PATIENCE {
                return status;
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// The memory that it has in use, in KiB.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many files and sockets it has open.
    pub fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap().count()
    }

    /// The time that it has been computing.
    pub fn computed(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // After the name, which is in brackets and may contain anything, come state, …, utime and
        // stime as 14th and 15th.
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        // A tick is a hundredth of a second, to every program on Linux.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
