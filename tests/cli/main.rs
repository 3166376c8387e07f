//! Runs the command-line tool as users do: as a separate process, over sockets.

mod stub;
#[path = "../support/mod.rs"]
mod support;
mod upstream;

mod captures;
mod doctor;
#[cfg(all(feature = "postgres", feature = "redb"))]
mod inbox;
#[cfg(all(feature = "postgres", feature = "redb"))]
mod inbox_ui;
mod listen;
mod print;
mod repeated;
mod replay;
mod save;
mod send;
mod show;
mod types;
mod ui;
mod usage;
mod verify;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use support::program::Program;
use twenty_webhook::{testing::Delivery, verify::Signer};

const SECRET: &str = "dev-secret";
const TOOL: &str = env!("CARGO_BIN_EXE_twenty-webhook");

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The result of a completed command.
#[derive(Debug)]
struct Done {
    code: i32,
    output: String,
    log: String,
}

/// Runs the tool with a secret in its environment.
fn run(arguments: &[&str]) -> Done {
    run_with(arguments, &[("TWENTY_WEBHOOK_SECRET", SECRET)], b"")
}

#[track_caller]
fn run_with(arguments: &[&str], variables: &[(&str, &str)], input: &[u8]) -> Done {
    let mut process = Command::new(TOOL)
        .args(arguments)
        .env_remove("TWENTY_WEBHOOK_SECRET")
        .env_remove("TWENTY_WEBHOOK_PREVIOUS_SECRET")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The tool may exit without reading its input.
    let _ = process.stdin.take().unwrap().write_all(input);
    let id = process.id().to_string();
    let (sender, receiver) = mpsc::channel();
    let waiting = thread::spawn(move || sender.send(process.wait_with_output().unwrap()));
    let done = receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-KILL", &id]).status();
        panic!("{arguments:?} does not end");
    });
    waiting.join().unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = done.status.code().unwrap_or_else(|| panic!("{arguments:?} was ended by a signal: {done:?}"));
    let done = Done { code, output: text(done.stdout), log: text(done.stderr) };
    assert!(!done.log.contains("panicked"), "{arguments:?}: {}", done.log);
    done
}

/// Starts `listen` on a port that the system chooses. Returns the program and the URL for
/// deliveries.
fn listen(arguments: &[&str]) -> (Program, String) {
    listen_with(arguments, &[("TWENTY_WEBHOOK_SECRET", SECRET)])
}

fn listen_with(arguments: &[&str], variables: &[(&str, &str)]) -> (Program, String) {
    let arguments = [&["listen", "--addr", "127.0.0.1:0"], arguments].concat();
    let mut program = Program::start_executable(Path::new(TOOL), &arguments, variables);
    let url = format!("http://{}/webhooks/twenty", program.address());
    (program, url)
}

/// Returns all lines when there are this many.
fn lines(program: &mut Program, count: usize) -> Vec<String> {
    program.until(&format!("it prints {count} lines"), |program| program.lines().len() >= count);
    program.lines()
}

/// Sends a signed body. Returns the exit code.
#[track_caller]
fn send(url: &str, delivery: &Delivery) -> i32 {
    post(url, &Signer::new(SECRET).unwrap(), delivery.body())
}

#[track_caller]
fn post(url: &str, signer: &Signer, body: &[u8]) -> i32 {
    let headers = signer.sign(body).pairs();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let capture = [headers.as_bytes(), b"\n", body].concat();
    run_with(&["replay", "-", "--to", url], &[], &capture).code
}

/// A directory for one test, which is deleted with this value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("twenty-webhook-cli-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().unwrap()
    }

    /// Creates a file. Returns its path.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
