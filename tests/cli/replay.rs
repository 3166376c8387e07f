//! Tests of `replay` and `sign`.

use std::{fs, time::Duration};

use twenty_webhook::{Verifier, testing::Delivery};

use super::{Directory, SECRET, lines, listen, listen_with, run, run_with, send, upstream::Upstream};

#[test]
fn replays_as_captured_or_with_a_new_signature() {
    let directory = Directory::new();
    let captures = directory.path("captures");
    let (mut program, url) = listen(&["--save", &captures]);
    let deliveries = ["person.created", "company.deleted"].map(Delivery::sample);
    deliveries.iter().for_each(|delivery| assert_eq!(send(&url, delivery), 0));
    lines(&mut program, 2);
    let mut files: Vec<_> = fs::read_dir(&captures).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();

    let upstream = Upstream::start(200, Duration::ZERO);
    let done = run_with(&[&["replay", "--to", &upstream.url][..], &files].concat(), &[], b"");
    assert_eq!(done.code, 0, "no secret is needed: {done:?}");
    for ((request, delivery), file) in upstream.requests().iter().zip(&deliveries).zip(&files) {
        assert_eq!(&request.body, delivery.body());
        let captured = fs::read_to_string(file).unwrap();
        for name in ["x-twenty-webhook-timestamp", "x-twenty-webhook-signature", "x-twenty-webhook-nonce"] {
            assert!(captured.contains(&format!("{name}: {}\r\n", request.header(name).unwrap())), "{name}");
        }
        assert_eq!(request.header("captured-at"), None);
    }

    // An old capture is rejected as it is, and accepted with a new signature.
    let old = fs::read_to_string(files[0]).unwrap();
    let (before, after) = old.split_once("x-twenty-webhook-timestamp: ").unwrap();
    let old = directory.file(
        "old.http",
        format!("{before}x-twenty-webhook-timestamp: 1{}", &after[1..]).replace("timestamp: 17", "timestamp: 16"),
    );
    let done = run(&["replay", &old, "--to", &url]);
    assert!(done.code == 1 && done.output.starts_with("401 in ") && done.output.contains("--resign"), "{done:?}");
    let done = run(&["replay", &old, "--to", &url, "--resign"]);
    assert!(done.code == 0 && done.output.starts_with("200 in "), "{done:?}");
    let done = run_with(&["replay", &old, "--to", &url, "--resign"], &[], b"");
    assert!(done.code == 2 && done.log.contains("TWENTY_WEBHOOK_SECRET"), "{done:?}");
}

#[test]
fn nothing_is_sent_when_a_capture_cannot_be_read() {
    let directory = Directory::new();
    let upstream = Upstream::start(200, Duration::ZERO);
    let good = directory.file("good.http", "x: y\n\n{}");
    let cut = directory.file("cut.http", "content-length: 3\n\n{}");
    for bad in [&*cut, &directory.path("none.http"), &directory.file("body.json", "{}")] {
        let done = run(&["replay", &good, bad, "--to", &upstream.url]);
        assert!(done.code == 2 && done.log.contains(bad), "{done:?}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

/// Any capture causes a response or an error, and no panic, which `run` would detect.
#[test]
fn heads_of_any_size_are_sent_or_rejected() {
    let directory = Directory::new();
    let upstream = Upstream::start(200, Duration::ZERO);
    let distinct = |count| (0..count).map(|number| format!("x-{number}: a\n")).collect::<String>();
    let named = format!("connection: {}\n", vec!["a"; 500_000].join(","));
    for (head, is_sent) in [
        (distinct(1_000), true),
        (distinct(1_001), false),
        (distinct(40_000), false),
        ("x: a\n".repeat(1_000), true),
        ("x: a\n".repeat(40_000), false),
        (format!("{named}{}", distinct(900)), true),
        (format!("x: {}\n", "a".repeat(2 << 20)), false),
        (format!("{}: a\n", "x".repeat(70_000)), false),
        ("GET / HTTP/1.1\n".to_owned(), true),
        ("CONNECT a:1 HTTP/1.1\n".to_owned(), true),
    ] {
        let file = directory.file("a.http", format!("{head}\n"));
        let before = upstream.requests().len();
        for resign in [&["--resign"][..], &[]] {
            let done = run(&[&["replay", &file, "--to", &upstream.url], resign].concat());
            assert_eq!(done.code == 0, is_sent, "{head:.60}: {done:?}");
            assert!(done.log.len() + done.output.len() < 1_000, "{head:.60}");
        }
        assert_eq!(upstream.requests().len() - before, if is_sent { 2 } else { 0 }, "{head:.60}");
    }
}

#[test]
fn a_verifier_accepts_what_sign_prints() {
    let directory = Directory::new();
    let body = b"{\"eventName\":\"person.created\"}\r\n\xff";
    let file = directory.file("body.json", body);
    let done = run(&["sign", &file]);
    assert_eq!((done.code, &*done.log), (0, ""));
    let headers: Vec<_> = done.output.lines().map(|line| line.split_once(": ").unwrap()).collect();
    assert!(Verifier::new(SECRET).unwrap().verify(headers, body.to_vec()).is_ok());

    let at = |time: &str| run(&["sign", &file, "--timestamp", time]).output;
    let signature = |output: &str| output.lines().nth(1).unwrap().to_owned();
    assert!(at("1790932471733").starts_with("x-twenty-webhook-timestamp: 1790932471733\n"));
    assert_eq!(signature(&at("1790932471733")), signature(&at("2026-10-02T09:14:31.733Z")));
    let capture = directory.file("a.http", "x: y\n\n{}");
    let done = run(&["sign", &capture]);
    assert!(done.code == 2 && done.log.contains("replay --resign"), "{done:?}");
}

/// Each command handles a fork's deliveries.
#[test]
fn each_command_accepts_a_forks_prefix() {
    const PREFIX: [&str; 2] = ["--header-prefix", "X-Aston-Webhook"];
    let directory = Directory::new();
    let saved = directory.path("captures");
    let (mut program, url) = listen(&[&["--save", &saved], &PREFIX[..]].concat());
    let forked = |arguments: &[&str]| run(&[arguments, &PREFIX].concat());

    let (mut unset, _) = listen_with(&PREFIX, &[]);
    unset.until("it shows how to try it", |listen| listen.log().ends_with(" --header-prefix X-Aston-Webhook\n"));

    assert_eq!(forked(&["send", "person.created", "--to", &url]).code, 0);
    assert_eq!(run(&["send", "person.created", "--to", &url]).code, 1, "these are Twenty's own names");
    let shown = lines(&mut program, 3);
    assert!(shown[0].contains("200  verified  person.created") && shown[1].contains("401  rejected"), "{shown:?}");

    let mut captures: Vec<_> = fs::read_dir(&saved).unwrap().map(|entry| entry.unwrap().path()).collect();
    captures.sort();
    let capture = captures[0].to_str().unwrap();
    assert!(fs::read_to_string(capture).unwrap().contains("\r\nx-aston-webhook-signature: "));
    let done = forked(&["verify", capture]);
    assert!(done.code == 0 && done.output.starts_with("verifies"), "{done:?}");
    let done = run(&["verify", capture]);
    assert!(done.code == 1 && done.output.contains("x-aston-webhook-"), "{done:?}");
    assert_eq!(forked(&["replay", "--resign", capture, "--to", &url]).code, 0);

    let body = directory.file("body.json", "{}");
    let signed = forked(&["sign", &body, "--timestamp", "1790932471733"]).output;
    let value = |name: &str| {
        let mut headers = signed.lines().map(|line| line.split_once(": ").unwrap());
        headers.find(|header| header.0 == format!("x-aston-webhook-{name}")).unwrap().1
    };
    let done = forked(&["verify", &body, "--timestamp", value("timestamp"), "--signature", value("signature")]);
    assert!(done.code == 0 && done.output.contains("09:14:31.733Z, the delivery's timestamp"), "{done:?}");
}
