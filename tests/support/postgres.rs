//! Private PostgreSQL servers, each with a socket in its own directory. Only processes that were
//! started here are ended.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a server may take to react.
const PATIENCE: Duration = Duration::from_secs(60);

/// The user that runs the server if the tests run as root, because PostgreSQL refuses to run as
/// root. Debian's package creates it.
const USER: &str = "postgres";

pub(crate) struct Server {
    directory: PathBuf,
    settings: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// Starts a server with additional settings, such as `["max_connections=5"]`. It does not wait
    /// for the disk, so committed data survives a crash of its process, but not of the machine.
    pub(crate) fn start(settings: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // A socket's path can have at most 107 bytes.
        let directory = std::env::temp_dir().join(format!("twenty-pg-{}-{count}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        if is_root() {
            succeeds(Command::new("chown").arg(USER).arg(&directory));
        }
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let mut server = Self { directory, settings, process: None };
        let options = ["--no-sync", "--auth=trust", "--username=postgres", "--wal-segsize=1", "--encoding=UTF8"];
        succeeds(server.command("initdb").args(options).args(["--locale=C", "--pgdata"]).arg(server.data()));
        server.restart();
        server
    }

    /// Returns the URL for the superuser.
    pub(crate) fn url(&self) -> String {
        self.url_of(USER, "postgres")
    }

    pub(crate) fn url_of(&self, user: &str, database: &str) -> String {
        let socket = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://{user}@{socket}/{database}")
    }

    /// Runs statements. Returns the rows, with columns separated by `|`.
    #[track_caller]
    pub(crate) fn sql(&self, statements: &str) -> Vec<String> {
        let output = self.psql(statements);
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn psql(&self, statements: &str) -> std::process::Output {
        let options = ["--quiet", "--no-align", "--tuples-only", "--no-psqlrc", "--set=ON_ERROR_STOP=1"];
        let mut psql = Command::new(program("psql"));
        psql.args(options).arg("--dbname").arg(self.url()).arg("--command").arg(statements).output().unwrap()
    }

    /// Copies a schema into a new database, like a backup that is restored.
    pub(crate) fn restore(&self, schema: &str, database: &str) {
        self.sql(&format!("CREATE DATABASE {database}"));
        let mut dump = Command::new(program("pg_dump"));
        let dump = dump.arg(format!("--schema={schema}")).arg("--dbname").arg(self.url()).output().unwrap();
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        let file = self.directory.join("dump");
        fs::write(&file, dump.stdout).unwrap();
        let url = self.url_of(USER, database);
        let options = ["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname"];
        succeeds(Command::new(program("psql")).args(options).arg(url).arg("--file").arg(file));
    }

    /// Kills the server's process and those that serve connections.
    pub(crate) fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        for id in children(process.id()) {
            _ = Command::new("kill").args(["-KILL", &id]).stderr(Stdio::null()).status();
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Ends the server as in an emergency: connections are closed, and nothing more is written.
    pub(crate) fn stop_at_once(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        succeeds(Command::new("kill").args(["-QUIT", &process.id().to_string()]));
        let begun = Instant::now();
        while process.try_wait().unwrap().is_none() {
            if begun.elapsed() > PATIENCE {
                process.kill().unwrap();
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Starts the server again with the data on its disk.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let begun = Instant::now();
        loop {
            let mut command = self.command("postgres");
            command.arg("-D").arg(self.data()).arg("-k").arg(&self.directory);
            for setting in ["listen_addresses=", "fsync=off", "shared_buffers=16MB", "log_min_messages=fatal"] {
                command.args(["-c", setting]);
            }
            for setting in &self.settings {
                command.args(["-c", setting]);
            }
            let log = fs::File::options().create(true).append(true).open(self.directory.join("log")).unwrap();
            let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
            while process.try_wait().unwrap().is_none() {
                if self.psql("SELECT 1").status.success() {
                    self.process = Some(process);
                    return;
                }
                assert!(begun.elapsed() < PATIENCE, "the server does not start: {}", self.log());
                sleep(Duration::from_millis(20));
            }
            // Processes of the killed server may still be running.
            assert!(begun.elapsed() < PATIENCE, "the server ends: {}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    /// Freezes the server, with all connections open.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("a running server").id();
        succeeds(Command::new("kill").args([signal, &id.to_string()]));
        for id in children(id) {
            _ = Command::new("kill").args([signal, &id]).stderr(Stdio::null()).status();
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"]).arg(program(name));
            command
        } else {
            Command::new(program(name))
        };
        command.current_dir(&self.directory);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_at_once();
        _ = fs::remove_dir_all(&self.directory);
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// Returns the path of a program of the server. Debian installs these outside `PATH`.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists());
    found.max().unwrap_or_else(|| Path::new(name).to_owned())
}

/// Returns the ids of the processes that this process started.
fn children(id: u32) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    children.split_whitespace().map(str::to_owned).collect()
}

#[track_caller]
fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
