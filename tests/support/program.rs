//! Programs in separate processes, on loopback, ended by their own process ids.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

#[cfg(unix)]
use std::os::fd::OwnedFd;

use super::process::{PATIENCE, Process};

pub(crate) struct Program {
    name: String,
    process: Process,
    directory: PathBuf,
}

impl Program {
    /// Starts an example with arguments and variables. If it listens, the system chooses the port.
    pub(crate) fn start(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_executable(&executable(name), arguments, variables)
    }

    /// Starts an example with this socket, as systemd does.
    #[cfg(unix)]
    pub(crate) fn start_with_socket(name: &str, socket: &TcpListener, variables: &[(&str, &str)]) -> Self {
        // A shell moves the socket to descriptor 3, because this requires no unsafe code. The
        // process id stays the same.
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0""#]).arg(executable(name));
        command.stdin(OwnedFd::from(socket.try_clone().unwrap()));
        Self::start_command(command, name, variables)
    }

    /// Starts a program.
    pub(crate) fn start_executable(path: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(path);
        command.args(arguments).stdin(Stdio::null());
        Self::start_command(command, &path.file_name().unwrap().to_string_lossy(), variables)
    }

    fn start_command(mut command: Command, name: &str, variables: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("twenty-webhook-{name}-{}-{count}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let process = Process::start(
            command
                .env_remove("TWENTY_WEBHOOK_SECRET")
                .env_remove("TWENTY_WEBHOOK_PREVIOUS_SECRET")
                .env("LISTEN_ADDR", "127.0.0.1:0")
                .envs(variables.iter().copied())
                .stdout(File::create(directory.join("output")).unwrap())
                .stderr(File::create(directory.join("log")).unwrap()),
        );
        Self { name: name.to_owned(), process, directory }
    }

    /// Returns its address, as soon as it has printed it.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let mut found = None;
        self.until("it listens", |program| {
            let log = program.log();
            let rest = log.split_once("listening on http://").and_then(|(_, rest)| rest.split_once('/'));
            found = rest.map(|(address, _)| address.parse().unwrap());
            found.is_some()
        });
        found.unwrap()
    }

    /// Returns the complete lines that it has printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let output = self.read("output");
        let (whole, _) = output.rsplit_once('\n').unwrap_or_default();
        if whole.is_empty() { Vec::new() } else { whole.split('\n').map(str::to_owned).collect() }
    }

    /// Returns its standard error.
    pub(crate) fn log(&self) -> String {
        self.read("log")
    }

    fn read(&self, file: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join(file)).unwrap()).into_owned()
    }

    /// Waits for `done` while the program runs.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(self.process.has_ended().is_none(), "{} ended before {what}: {}", self.name, self.log());
            assert!(start.elapsed() < PATIENCE, "timed out waiting until {what}: {}: {}", self.name, self.log());
            sleep(Duration::from_millis(10));
        }
    }

    /// Sends SIGTERM and waits for the exit.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.wait()
    }

    /// Waits for the exit.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait_for_end().unwrap_or_else(|| panic!("{} does not end: {}", self.name, self.log()))
    }
}

impl Deref for Program {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Program {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.process.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Returns the path of an example: tests are in `target/debug/deps/test-…`, and examples are in
/// `target/debug/examples/name`.
fn executable(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "build it first: cargo build --all-features --example {name}");
    path
}
