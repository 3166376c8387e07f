//! A process that a test started, ended by its own id.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    process::{Child, ChildStdout, Command, ExitStatus},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a process may take to react.
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

    /// Sends a signal: `-TERM`, `-HUP`, `-STOP` or `-CONT`.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
    }

    /// Kills the process. Its output is kept.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Waits until it exits. Returns `None` if it does not.
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

    /// Returns its memory in KiB.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Returns the number of its open files and sockets.
    pub fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap().count()
    }

    /// Returns its CPU time.
    pub fn computed(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // The fields follow the name, which is in brackets and can contain any character. `utime`
        // and `stime` are the 14th and the 15th field.
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        // On Linux, programs see a tick of a hundredth of a second.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a port on which nothing listens, below those that the system chooses (on Linux from
/// 32,768 on). It does not listen there to find out: a process that another thread starts would
/// keep that socket until its `exec`, so connections to the port would still succeed.
pub fn free_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = std::process::id().wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(count % 20_000).unwrap();
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            return port;
        }
    }
}
