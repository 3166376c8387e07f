//! Tests of `inbox` with a file and with PostgreSQL: while a receiver runs, after it was killed,
//! and without one.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;
use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};
use twenty_webhook::{
    Verifier, WebhookEvent,
    inbox::{HandlerError, Inbox, PermanentExt as _, Worker},
    verify::Signer,
};

use super::{Directory, Done, PATIENCE, SECRET, listen, run, run_with};
use crate::support::{data_text, postgres};

/// A receiver whose handler fails permanently.
pub(super) struct Receiver {
    runtime: Runtime,
    inbox: Inbox,
    _worker: Worker,
}

impl Receiver {
    fn start(open: impl AsyncFnOnce() -> Inbox) -> Self {
        async fn fails(_: WebhookEvent) -> Result<(), HandlerError> {
            Err("no such \u{1b}[31mproject").permanent()
        }
        let runtime = Runtime::new().unwrap();
        let (inbox, worker) = runtime.block_on(async {
            let inbox = open().await;
            let worker = inbox.worker(()).fallback(fails).start().unwrap();
            (inbox, worker)
        });
        Self { runtime, inbox, _worker: worker }
    }

    pub(super) fn in_file(path: &str) -> Self {
        Self::start(async || Inbox::open(path).unwrap())
    }

    pub(super) fn in_postgres(url: &str) -> Self {
        Self::start(async || Inbox::connect(url).await.unwrap())
    }

    /// Accepts events and waits until all of them are dead letters. Returns their ids.
    pub(super) fn dead_letters(&self, count: usize) -> Vec<String> {
        let note = data_text("note.created.json");
        let body = |number| note.replace("\"title\":\"", &format!("\"title\":\"{number} "));
        self.dead_letters_of(&(0..count).map(body).collect::<Vec<_>>())
    }

    /// Does the same with these bodies.
    pub(super) fn dead_letters_of(&self, bodies: &[String]) -> Vec<String> {
        let verifier = Verifier::new(SECRET).unwrap();
        let count = bodies.len();
        self.runtime.block_on(async {
            for body in bodies {
                let headers = Signer::new(SECRET).unwrap().sign(body).pairs();
                self.inbox.accept(verifier.verify(headers, body.clone()).unwrap()).await.unwrap();
            }
            let all_are_dead = async {
                while self.inbox.stats().await.unwrap().dead < count as u64 {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(PATIENCE, all_are_dead).await.unwrap();
            let (mut letters, mut ids) = (self.inbox.dead_letters(), Vec::new());
            while let Some(letter) = letters.next().await.unwrap() {
                ids.push(letter.id().to_string());
            }
            assert_eq!(ids.len(), count);
            ids
        })
    }
}

#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    let done = run(arguments);
    assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
    done.output
}

fn stats(place: &str) -> Value {
    serde_json::from_str(&succeeds(&["inbox", "stats", place, "--format", "json"])).unwrap()
}

/// `stats` and `list` work while the receiver runs.
fn reads(place: &str, ids: &[String]) {
    let counts = stats(place);
    assert_eq!((&counts["dead"], &counts["ready"]), (&ids.len().into(), &0.into()), "{counts}");
    assert_eq!(counts.get("oldestPending"), None);
    let output = succeeds(&["inbox", "stats", place]);
    assert!(output.contains("dead letters") && output.ends_with("oldest pending  none\n"), "{output}");

    let list = succeeds(&["inbox", "list", place]);
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 1 + ids.len(), "{list}");
    for (line, id) in lines[1..].iter().zip(ids) {
        assert!(line.starts_with(id) && line.contains("  permanent    note.created  no such "), "{line}");
    }
    assert!(!list.contains('\u{1b}'), "{list:?}");

    let list = succeeds(&["inbox", "list", place, "--format", "json"]);
    let entries: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), ids.len());
    for (entry, id) in entries.iter().zip(ids) {
        assert_eq!((&entry["id"], &entry["attempts"]), (&id.as_str().into(), &1.into()), "{entry}");
        assert_eq!(entry["reason"], "permanent");
        let body: Value = serde_json::from_str(&data_text("note.created.json")).unwrap();
        assert_eq!(entry["recordId"], body["record"]["id"]);
    }
}

/// `show` writes a capture that `verify` and `replay` read.
fn shows(place: &str, id: &str) {
    let capture = succeeds(&["inbox", "show", place, id]);
    let directory = Directory::new();
    let file = directory.path("capture.http");
    succeeds(&["inbox", "show", place, id, "--output", &file]);
    assert_eq!(fs::read_to_string(&file).unwrap(), capture);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions()) & 0o777, 0o600);
    let again = run(&["inbox", "show", place, id, "--output", &file]);
    assert!(again.code == 2 && again.log.contains("capture.http"), "{again:?}");
    let secret = &[("TWENTY_WEBHOOK_SECRET", SECRET)][..];
    let verified = run_with(&["verify", "-"], secret, capture.as_bytes());
    assert!(verified.code == 0 && verified.output.contains("when it was captured"), "{verified:?}");
    let (_listener, url) = listen(&[]);
    let replayed = run_with(&["replay", "-", "--to", &url], secret, capture.as_bytes());
    assert_eq!(replayed.code, 0, "{replayed:?}");
}

fn is_none(Done { code, output, log }: Done) {
    assert!(code == 1 && log.contains("no dead letter has the id"), "{log}");
    assert!(!output.contains('{'), "{output}");
}

const UNKNOWN: &str = "00000000000000000000000000000000";

/// `redrive` and `purge` change one dead letter or all, or report that there is none.
fn changes(place: &str, ids: &[String]) {
    is_none(run(&["inbox", "show", place, UNKNOWN]));
    is_none(run(&["inbox", "purge", place, UNKNOWN]));
    assert!(succeeds(&["inbox", "purge", place, &ids[0]]).starts_with("purged 1 dead letter\n"));
    is_none(run(&["inbox", "redrive", place, &ids[0], &ids[1]]));
    let counts = stats(place);
    assert_eq!((&counts["dead"], &counts["ready"]), (&(ids.len() - 2).into(), &1.into()), "{counts}");
    assert!(counts["oldestPending"].as_str().unwrap().ends_with('Z'), "{counts}");
    let redriven = succeeds(&["inbox", "redrive", place, "--all"]);
    assert!(redriven.starts_with(&format!("made {} dead letter", ids.len() - 2)), "{redriven}");
    assert!(redriven.ends_with(" ready again\n"), "{redriven}");
    assert_eq!(stats(place)["ready"], ids.len() - 1);
    assert!(succeeds(&["inbox", "purge", place, "--all"]).starts_with("purged 0 dead letters\n"));
    let done = run(&["inbox", "list", place]);
    assert!(done.code == 0 && done.log.contains("no dead letters"), "{done:?}");
}

#[test]
fn reads_a_file_while_the_receiver_runs_and_changes_it_afterwards() {
    let directory = Directory::new();
    let file = directory.path("inbox.redb");
    let receiver = Receiver::in_file(&file);
    let ids = receiver.dead_letters(20);
    reads(&file, &ids);
    shows(&file, &ids[3]);
    for command in ["redrive", "purge"] {
        let done = run(&["inbox", command, &file, "--all"]);
        assert!(done.code == 2 && done.log.contains("Stop the receiver first"), "{done:?}");
    }
    assert_eq!(stats(&file)["dead"], 20);
    drop(receiver);
    changes(&file, &ids);
}

/// A killed process leaves a file like the copy of an open file.
#[test]
fn reads_a_file_whose_receiver_was_killed() {
    let directory = Directory::new();
    let file = directory.path("inbox.redb");
    let receiver = Receiver::in_file(&file);
    let ids = receiver.dead_letters(3);
    let left = directory.path("left.redb");
    fs::copy(&file, &left).unwrap();
    reads(&left, &ids);
    changes(&left, &ids);
}

#[test]
fn rejects_files_that_are_not_inboxes_and_creates_none() {
    let directory = Directory::new();
    let (none, other) = (directory.path("none.redb"), directory.file("other", "not an inbox".repeat(1000)));
    let empty = directory.file("empty", "");
    for command in [&["stats"][..], &["list"], &["show", UNKNOWN], &["redrive", "--all"], &["purge", "--all"]] {
        for place in [&none, &other, &empty] {
            let arguments = [&["inbox", command[0], place], &command[1..]].concat();
            let done = run(&arguments);
            assert!(done.code == 2 && done.log.contains(place.as_str()), "{done:?}");
            let is_missing = place != &other;
            assert_eq!(done.log.contains("does not exist, or is empty"), is_missing, "{done:?}");
            assert_eq!(done.log.contains("is damaged, or is not an inbox"), !is_missing, "{done:?}");
        }
    }
    assert!(!Path::new(&none).exists());
    assert!(run(&["inbox", "purge", &none]).log.contains("--all"));
    assert_eq!(fs::metadata(&empty).unwrap().len(), 0);
    for arguments in
        [&["inbox", "redrive", &none][..], &["inbox", "purge", &none, UNKNOWN, "--all"], &["inbox", "show", &none, "1"]]
    {
        assert_eq!(run(arguments).code, 2, "{arguments:?}");
    }
}

/// Runs the tool with files limited to `blocks` of 512 bytes, as on a full disk, and appends its
/// output to `file`. Returns the exit code.
#[cfg(target_os = "linux")]
fn run_limited(blocks: u64, file: &str, arguments: &[&str]) -> i32 {
    let output = fs::File::options().create(true).append(true).open(file).unwrap();
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command = std::process::Command::new("sh");
    // In POSIX mode, bash also counts blocks of 512 bytes.
    command.args(["-c", &limited, super::TOOL]).args(arguments).env("POSIXLY_CORRECT", "1").stdout(output);
    command.status().unwrap().code().unwrap()
}

/// A part of the output must not look complete.
#[test]
#[cfg(target_os = "linux")]
fn reports_output_that_cannot_be_written() {
    const BLOCK: usize = 512;
    let directory = Directory::new();
    let file = directory.path("inbox.redb");
    let receiver = Receiver::in_file(&file);
    let ids = receiver.dead_letters(2);
    let capture = succeeds(&["inbox", "show", &file, &ids[0]]);
    let head = capture.find("\r\n\r\n").unwrap() + 4;
    for arguments in [
        &["stats", &file][..],
        &["stats", &file, "--format", "json"],
        &["list", &file],
        &["list", &file, "--format", "json"],
        &["show", &file, &ids[0]],
    ] {
        let arguments = [&["inbox"], arguments].concat();
        assert_eq!(run_limited(0, &directory.path("nothing"), &arguments), 2, "{arguments:?}");
    }
    // The disk is full after the head or within the body.
    for room in [head, head + 1, capture.len() - 1, capture.len()] {
        let blocks = room.div_ceil(BLOCK);
        let before = "x".repeat(blocks * BLOCK - room);
        let (path, code) = (directory.file("capture", before), if room == capture.len() { 0 } else { 2 });
        assert_eq!(run_limited(blocks as u64, &path, &["inbox", "show", &file, &ids[0]]), code, "{room}");
    }
    // A new file is either complete or not created.
    let new = directory.path("new.http");
    let show = ["inbox", "show", &file, &ids[0], "--output", &new];
    let blocks = (capture.len() - 1) / BLOCK;
    assert_eq!(run_limited(blocks as u64, &directory.path("nothing"), &show), 2);
    assert!(!Path::new(&new).exists());
    assert_eq!(run(&show).code, 0);
}

/// An unsupported URL can contain a password.
#[test]
fn an_error_about_an_unsupported_url_does_not_repeat_it() {
    for place in [
        "Postgres://ada:hunter2@localhost/crm",
        "postgres+ssl://ada:hunter2@localhost/crm",
        "\"postgres://ada:hunter2@localhost/crm\"",
        " postgres://ada:hunter2@localhost/crm",
        "\u{feff}postgres://ada:hunter2@localhost/crm",
        "DATABASE_URL=postgres://ada:hunter2@localhost/crm",
        "mysql://ada:hunter2@localhost/crm",
        "jdbc:postgresql://localhost/crm?user=ada&password=hunter2",
        "host=localhost user=ada password=hunter2",
        "host=localhost user=ada password = hunter2",
    ] {
        for command in [&["stats"][..], &["list"], &["show", UNKNOWN], &["purge", "--all"], &["ui"]] {
            for (argument, input) in [(place, ""), ("-", place)] {
                let arguments = [&["inbox", command[0], argument], &command[1..]].concat();
                let done = run_with(&arguments, &[], input.as_bytes());
                assert!(done.code == 2 && done.log.contains("postgres://user:password@host/database"), "{done:?}");
                assert!(!done.log.contains("hunter2"), "{done:?}");
            }
        }
    }
    let done = run_with(&["inbox", "stats", "-"], &[], b"\n");
    assert!(done.code == 2 && done.log.contains("standard input is empty"), "{done:?}");
}

/// The tool cannot do what the library's error advises.
#[test]
fn a_url_that_requires_tls_is_rejected() {
    for command in [&["stats"][..], &["purge", "--all"], &["ui"]] {
        let url = "postgres://ada:hunter2@localhost/crm?sslmode=require";
        let done = run(&[&["inbox", command[0], url], &command[1..]].concat());
        assert!(done.code == 2 && done.log.contains("this tool connects without TLS"), "{done:?}");
        assert!(!done.log.contains("connect_with_tls") && !done.log.contains("hunter2"), "{done:?}");
    }
}

#[test]
fn reads_the_place_from_standard_input() {
    let directory = Directory::new();
    let file = directory.path("inbox.redb");
    let receiver = Receiver::in_file(&file);
    receiver.dead_letters(1);
    let done = run_with(&["inbox", "stats", "-", "--format", "json"], &[], format!("{file}\n").as_bytes());
    assert!(done.code == 0 && done.output.contains("\"dead\":1"), "{done:?}");
}

#[test]
#[ignore = "needs postgres (Debian package postgresql)"]
fn reads_and_changes_postgresql_while_the_receiver_runs() {
    let server = postgres::Server::start(&[]);
    let url = server.url();
    let done = run(&["inbox", "stats", &url]);
    assert!(done.code == 2 && done.log.contains("the inbox's table is missing"), "{done:?}");
    assert_eq!(server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'twenty_webhook'"), ["0"]);

    let receiver = Receiver::in_postgres(&url);
    let ids = receiver.dead_letters(20);
    reads(&url, &ids);
    shows(&url, &ids[3]);
    let Receiver { runtime, inbox, _worker: worker } = receiver;
    runtime.block_on(worker.shutdown(Duration::from_secs(10)));
    changes(&url, &ids);
    drop(inbox);

    let done = run(&["inbox", "stats", &url, "--table", "other"]);
    assert_eq!(done.code, 2, "{done:?}");
}
