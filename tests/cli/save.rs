//! Tests of `listen --save`: captures on disk.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use sha2::{Digest, Sha256};
use twenty_webhook::{testing::Delivery, verify::Signer};

use super::{Directory, Program, SECRET, TOOL, lines, listen, run, send, upstream::Upstream};

fn names(directory: &str) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Returns the end of the name of a body's verified capture, after its time.
fn ending(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    format!("-{}.http", digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[track_caller]
fn assert_endings(names: &[String], bodies: &[&[u8]]) {
    assert_eq!(names.len(), bodies.len(), "{names:?}");
    for (name, body) in names.iter().zip(bodies) {
        let (millis, rest) = name.split_at(13);
        assert!(millis.parse::<u64>().is_ok() && rest == ending(body), "{names:?}");
    }
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn saves_each_delivery_in_a_file_that_only_the_owner_can_read() {
    let directory = Directory::new();
    let captures = directory.path("new/captures");
    let (mut program, url) = listen(&["--save", &captures]);
    let ada = Delivery::sample("person.created");
    send(&url, &ada);
    send(&url, &ada);
    let forged = run(&["send", "person.created", "--forge", "wrong-secret", "--to", &url]);
    assert_eq!(forged.code, 1);
    let shown = lines(&mut program, 3);

    let found = names(&captures);
    assert_endings(&found[..2], &[ada.body(), ada.body()]);
    assert!(found.len() == 3 && found[2].ends_with("-unverified.http"), "{found:?}");
    assert_eq!(mode(&captures), 0o700);
    for (file, line) in found.iter().zip(&shown) {
        assert_eq!(mode(format!("{captures}/{file}")), 0o600);
        assert!(line.ends_with(&format!("  saved as {captures}/{file}")), "{line}");
    }
    let first = fs::read(format!("{captures}/{}", found[0])).unwrap();
    assert!(first.starts_with(b"POST /webhooks/twenty HTTP/1.1\r\ncaptured-at: "));
    assert!(first.ends_with(&[b"\r\n\r\n", &ada.body()[..]].concat()));

    let codes = found.iter().map(|file| run(&["verify", &format!("{captures}/{file}")]).code);
    assert_eq!(codes.collect::<Vec<_>>(), [0, 0, 1]);
}

/// A response promises that the delivery was received, so it is saved even if its line cannot be
/// printed, because the output is closed.
#[test]
fn saves_answered_deliveries_after_the_output_is_closed() {
    const COUNT: usize = 10;
    let directory = Directory::new();
    let captures = directory.path("captures");
    let mut listener = Command::new(TOOL)
        .args(["listen", "--addr", "127.0.0.1:0", "--save", &captures, "--show", "body"])
        .env("TWENTY_WEBHOOK_SECRET", SECRET)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    let mut log = BufReader::new(listener.stderr.take().unwrap());
    log.read_line(&mut greeting).unwrap();
    let url = greeting.trim_end().strip_prefix("listening on ").unwrap();
    // The first line fills the pipe, so the others wait.
    let title = format!("record.jobTitle={}", "x".repeat(100_000));
    let count = (COUNT - 1).to_string();
    for options in [["--set", &*title], ["--count", &count]] {
        let sent = run(&[&["send", "person.created", "--to", url][..], &options].concat());
        assert_eq!(sent.code, 0, "{sent:?}");
    }
    drop(listener.stdout.take());
    assert!(listener.wait().unwrap().success());
    assert_eq!(names(&captures).len(), COUNT);
}

#[test]
fn removes_the_oldest_captures() {
    let directory = Directory::new();
    directory.file("notes.txt", "");
    directory.file("0000000000001-notes.http", "");
    directory.file("0000000000007-0123456789ab.http", "");
    let captures = directory.path("");
    let (mut program, url) = listen(&["--save", &captures, "--keep", "2"]);
    let deliveries = ["person.created", "company.created", "note.created"].map(Delivery::sample);
    for delivery in &deliveries {
        send(&url, delivery);
    }
    lines(&mut program, 3);
    let names = names(&captures);
    assert_eq!([&*names[0], &names[3]], ["0000000000001-notes.http", "notes.txt"]);
    assert_endings(&names[1..3], &[deliveries[1].body(), deliveries[2].body()]);
}

#[test]
fn unverified_requests_remove_no_verified_capture() {
    let directory = Directory::new();
    let captures = directory.path("captures");
    let ada = Delivery::sample("person.created");
    for round in 0..2 {
        // After a restart, the listener still distinguishes verified captures from others.
        let (mut program, url) = listen(&["--save", &captures, "--keep", "2"]);
        if round == 0 {
            send(&url, &ada);
        }
        for forgery in ["unsigned", "wrong-secret", "tampered", "stale"] {
            run(&["send", "person.created", "--forge", forgery, "--to", &url]);
        }
        program.until("it shows all", |program| {
            program.lines().iter().filter(|line| line.contains("saved as")).count() == if round == 0 { 5 } else { 4 }
        });
        let names = names(&captures);
        let (unverified, verified): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| name.ends_with("-unverified.http"));
        assert_eq!(unverified.len(), 2);
        assert_endings(&verified, &[ada.body()]);
    }
}

/// A replayed duplicate has the signature of the first delivery.
#[test]
fn duplicates_are_not_saved_again() {
    let directory = Directory::new();
    let captures = directory.path("captures");
    let copy = |url: &str, file: &str| assert_eq!(run(&["replay", file, "--to", url]).code, 0);
    let options = ["--save", &captures, "--keep", "2"];

    let (mut first, url) = listen(&options);
    let ada = Delivery::sample("person.created");
    send(&url, &ada);
    lines(&mut first, 1);
    let [name] = &names(&captures)[..] else { panic!("not saved once") };
    let path = format!("{captures}/{name}");
    let removed = directory.file("removed", fs::read(&path).unwrap());
    let (mut second, second_url) = listen(&options);
    for (program, url) in [(&mut first, &url), (&mut second, &second_url)] {
        copy(url, &removed);
        let shown = lines(program, 1);
        assert!(shown.last().unwrap().ends_with(&format!("  saved as {path}")), "{shown:?}");
    }
    first.terminate();
    assert_eq!(&names(&captures), std::slice::from_ref(name));

    // Two other captures replace the first one. It is not saved again, even after a restart.
    let others = ["company.created", "note.created"].map(Delivery::sample);
    others.iter().for_each(|other| assert_eq!(send(&second_url, other), 0));
    lines(&mut second, 3);
    let kept = names(&captures);
    assert_endings(&kept, &[others[0].body(), others[1].body()]);
    second.terminate();
    let (mut third, url) = listen(&options);
    copy(&url, &removed);
    let shown = lines(&mut third, 2);
    assert!(shown[0].contains("  200  verified  person.created"), "{shown:?}");
    assert!(shown[1].starts_with("    not saved: it is older than all captures"), "{shown:?}");
    assert_eq!(names(&captures), kept);
}

#[test]
fn files_left_by_an_earlier_process_do_not_matter() {
    let directory = Directory::new();
    directory.file(".twenty-webhook-trial", "");
    let captures = directory.path("");
    let (mut program, url) = listen(&["--save", &captures]);
    send(&url, &Delivery::sample("person.created"));
    assert!(lines(&mut program, 1)[0].contains("saved as"));
    assert_eq!(names(&captures).len(), 2, "and it leaves nothing itself");
}

#[test]
fn an_unwritable_directory_is_reported_at_the_start() {
    let directory = Directory::new();
    let file = directory.file("file", "");
    for place in [file.clone(), format!("{file}/captures"), "/proc/captures".to_owned()] {
        let done = run(&["listen", "--addr", "127.0.0.1:0", "--save", &place]);
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.log.contains(&place) && done.log.contains("cannot write there"), "{done:?}");
    }
}

#[test]
fn a_full_disk_is_reported_and_loses_no_delivery() {
    let directory = Directory::new();
    let captures = directory.path("captures");
    // A file of this process can have at most one or two blocks.
    let script =
        format!("trap '' XFSZ; ulimit -f 4; exec {TOOL} listen --addr 127.0.0.1:0 --secret {SECRET} --save {captures}");
    let mut program = Program::start_executable(Path::new("/bin/sh"), &["-c", &script], &[]);
    let url = format!("http://{}/", program.address());
    let long = Delivery::sample("note.created").set("record.filler", "x".repeat(20_000)).unwrap();
    assert_eq!(send(&url, &long), 0);
    assert_eq!(send(&url, &Delivery::from_body("{}")), 0);
    let shown = lines(&mut program, 3);
    assert!(shown[0].contains("  200  verified  note.created"), "{shown:?}");
    assert!(shown[1].starts_with("    not saved: "), "{shown:?}");
    assert!(shown[2].contains("saved as"), "{shown:?}");
    // An incomplete capture is deleted.
    assert_endings(&names(&captures), &[b"{}"]);
}

#[test]
fn credentials_are_not_saved() {
    let directory = Directory::new();
    let (mut program, url) = listen(&["--save", &directory.path("")]);
    let capture =
        directory.file("in", "authorization: Bearer credential\ncookie: credential\nx-other: credential\n\n{}");
    assert_eq!(run(&["replay", "--resign", &capture, "--to", &url]).code, 0);
    lines(&mut program, 1);
    let found: Vec<_> = names(&directory.path("")).into_iter().filter(|name| name.ends_with(".http")).collect();
    assert_endings(&found, &[b"{}"]);
    let saved = fs::read_to_string(directory.path(&found[0])).unwrap();
    assert_eq!(saved.matches("credential").count(), 1, "{saved}");
}

/// The sender of a delivery gives up before the target answers, and then the listener ends.
#[test]
fn saves_a_delivery_that_is_being_forwarded_at_the_end() {
    let directory = Directory::new();
    let captures = directory.path("captures");
    let upstream = Upstream::start(200, Duration::from_secs(3));
    let (mut program, _) = listen(&["--save", &captures, "--forward-to", &upstream.url]);
    let delivery = Delivery::sample("person.created").sign(&Signer::new(SECRET).unwrap());
    let headers: String = delivery.headers().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{headers}content-length: {}\r\n\r\n", delivery.body().len());
    let mut sender = TcpStream::connect(program.address()).unwrap();
    sender.write_all(&[head.as_bytes(), delivery.body()].concat()).unwrap();
    program.until("it is forwarded", |_| upstream.requests().len() == 1);
    drop(sender);
    assert!(program.terminate().success());
    assert_eq!(fs::read_dir(&captures).unwrap().count(), 1);
    assert_eq!(program.lines().len(), 1);
}
