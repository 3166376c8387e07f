//! Tests of `send`: what it posts and what it reports.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use serde_json::Value;
use twenty_webhook::{
    Verifier, WebhookEvent,
    event::record::Person,
    testing::{Delivery, Forgery},
};

use super::{
    Directory, Program, SECRET, TOOL, lines, listen, run, run_with, stub::Stub, support::process::free_port,
    upstream::Upstream,
};

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[test]
fn posts_as_twenty_does() {
    let upstream = Upstream::start(200, Duration::ZERO);
    let arguments = ["send", "person.updated", "--to", &upstream.url, "--set", "record.jobTitle=CTO"];
    let done = run(&[&arguments[..], &["--set", "record.name.firstName=null"]].concat());
    assert_eq!((done.code, &*done.log), (0, ""));
    assert!(done.output.starts_with("200 in ") && done.output.lines().count() == 1, "{done:?}");

    let [request] = &upstream.requests()[..] else { panic!("not one") };
    assert_eq!(request.line, "POST /hooks?token=a HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(request.header("user-agent").unwrap().starts_with("axios/"));
    let verified = Verifier::new(SECRET).unwrap().verify(request.headers.clone(), request.body.clone()).unwrap();
    let event = WebhookEvent::<Person>::from_verified(verified).unwrap();
    assert_eq!(event.name, "person.updated");
    assert_eq!(event.record.job_title.as_deref(), Some("CTO"));
    assert_eq!(json(&request.body)["record"]["name"]["firstName"], Value::Null);
    let age =
        event.event_date.unwrap().as_millisecond() - i64::try_from(event.verified().timestamp().as_millis()).unwrap();
    assert!(age.abs() < 10_000, "sent as of now");
}

#[test]
fn count_sends_different_events() {
    let upstream = Upstream::start_for(5, 200, Duration::from_millis(10));
    let done = run(&["send", "company.created", "--to", &upstream.url, "--count", "100", "--concurrency", "5"]);
    assert_eq!((done.code, &*done.log), (0, ""), "no progress bar in a pipe");
    let requests = upstream.requests();
    let each = |member: &dyn Fn(&Value) -> &Value| {
        requests.iter().map(|request| member(&json(&request.body)).to_string()).collect::<HashSet<_>>().len()
    };
    assert_eq!(requests.len(), 100);
    assert_eq!(each(&|body| &body["record"]["id"]), 100);
    assert_eq!(each(&|body| &body["eventDate"]), 100);
    assert_eq!(upstream.most_at_once(), 5);
    let lines: Vec<&str> = done.output.lines().collect();
    assert!(lines[0].starts_with("100 deliveries in "), "{done:?}");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["200", "100"]);
    assert!(
        lines[2].starts_with("latency  p50 ") && lines[2].contains("  p99 ") && lines[2].contains("  max "),
        "{done:?}"
    );
    // By default, it sends no more requests at the same time than Twenty does.
    let upstream = Upstream::start_for(20, 200, Duration::from_millis(20));
    run(&["send", "metadata.fieldMetadata.updated", "--to", &upstream.url, "--count", "60"]);
    assert_eq!((upstream.requests().len(), upstream.most_at_once()), (60, 20));
}

#[test]
fn a_file_is_sent_unchanged() {
    let directory = Directory::new();
    let body = b"{ \"eventName\": \"rocket.launched\", \"record\": {\"id\": \"1\", \"n\": 1.50} }\r\n";
    let file = directory.file("body.json", body);
    let capture = directory.file("a.http", [b"x: y\n\n", &body[..]].concat());
    let odd = directory.file("odd.json", b"\xff\0 no JSON");
    let upstream = Upstream::start(200, Duration::ZERO);
    for what in [&*file, &capture, &odd] {
        assert_eq!(run(&["send", what, "--to", &upstream.url]).code, 0);
    }
    let bodies: Vec<_> = upstream.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [&body[..], body, b"\xff\0 no JSON"]);
    let done = run_with(&["send", "-", "--to", &upstream.url], &[("TWENTY_WEBHOOK_SECRET", SECRET)], b"{}");
    assert_eq!((done.code, &upstream.requests()[3].body[..]), (0, &b"{}"[..]));

    // If a file is sent several times, the bodies differ, and the rest of the text is unchanged.
    assert_eq!(run(&["send", &file, "--count", "2", "--to", &upstream.url]).code, 0);
    let texts: Vec<_> =
        upstream.requests().drain(4..).map(|request| String::from_utf8(request.body).unwrap()).collect();
    assert_ne!(texts[0], texts[1]);
    assert!(texts[0].contains("\"n\": 1.50"), "{texts:?}");
    let done = run(&["send", &odd, "--count", "2", "--to", &upstream.url]);
    assert!(done.code == 2 && done.log.contains("not JSON"), "{done:?}");
    assert_eq!(upstream.requests().len(), 6, "nothing was sent");
}

#[test]
fn warns_about_an_unknown_object() {
    let upstream = Upstream::start(200, Duration::ZERO);
    let done = run(&["send", "rocket.launched", "--to", &upstream.url]);
    assert!(done.code == 0 && done.log.contains("rocket is not a standard object"), "{done:?}");
    assert_eq!(json(&upstream.requests()[0].body)["eventName"], "rocket.launched");
}

/// The bodies of 4xx and 5xx are shown, truncated, with an indent, and without control characters.
#[test]
fn the_body_of_an_error_is_shown() {
    let long = format!("{}{}", "a".repeat(499), "b".repeat(100_000));
    let cases = [
        (200, "fine", ""),
        (302, "elsewhere", ""),
        (400, "", ""),
        (400, "{\"message\":\"no such field\"}", "  {\"message\":\"no such field\"}\n"),
        (500, "one\r\n200 in 1 ms\u{1b}[2J\u{9b}\u{202e}", "  one\n  200 in 1 ms\\u{1b}[2J\\u{9b}\\u{202e}\n"),
        (503, &long, &format!("  {}b\n  …\n", "a".repeat(499))),
        (599, &"é\n".repeat(21), &format!("{}  …\n", "  é\n".repeat(20))),
    ];
    for (status, body, expected) in cases {
        let stub = Stub::saying(status, body);
        let done = run(&["send", "person.created", "--to", &stub.url]);
        let shown = done.output.split_once(&format!("the body of the {status}:\n")).map_or("", |(_, shown)| shown);
        assert_eq!(shown, expected, "{done:?}");
        let capture = "x: y\n\n{}";
        let replayed = run_with(&["replay", "-", "--to", &stub.url], &[], capture.as_bytes());
        assert!(replayed.output.ends_with(expected), "{replayed:?}");
    }
}

#[cfg(unix)]
#[test]
fn prints_a_summary_when_interrupted() {
    for signal in ["-INT", "-TERM"] {
        let begun = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&begun);
        let stub = Stub::start(move |_| {
            // The first two requests are answered, and the others are not.
            if count.fetch_add(1, Ordering::SeqCst) >= 2 {
                thread::sleep(Duration::from_secs(60));
            }
            (200, Vec::new(), String::new())
        });
        let arguments =
            ["send", "person.created", "--to", &stub.url, "--count", "100", "--concurrency", "1", "--secret", SECRET];
        let mut program = Program::start_executable(Path::new(TOOL), &arguments, &[]);
        program.until("the third one waits", |_| begun.load(Ordering::SeqCst) >= 3);
        program.signal(signal);
        assert_eq!(program.wait().code(), Some(1), "{signal}");
        let log = program.log();
        let missing = log
            .strip_prefix("interrupted: ")
            .and_then(|log| log.strip_suffix(" of 100 deliveries were not answered\n"));
        let answered = 100 - missing.unwrap().parse::<u32>().unwrap();
        let lines = program.lines();
        assert!((2..100).contains(&answered), "{log}");
        assert!(lines[0].starts_with(&format!("{answered} deliveries in ")), "{lines:?}");
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["200", "2"]);
    }
}

#[test]
fn forgeries_are_rejected() {
    let (mut program, url) = listen(&["--format", "json"]);
    for forgery in Forgery::ALL {
        let done = run(&["send", "person.created", "--to", &url, "--forge", forgery.as_str()]);
        assert!(done.code == 1 && done.output.starts_with("401 in "), "{forgery}: {done:?}");
        assert_eq!(done.output.lines().count(), 1, "{done:?}");
    }
    let shown = lines(&mut program, 4);
    let rejections: Vec<_> = shown.iter().map(|line| json(line.as_bytes())["rejection"].to_string()).collect();
    for (refusal, expected) in rejections.iter().zip(["no secret gives", "older than", "unsigned", "no secret gives"]) {
        assert!(refusal.contains(expected), "{rejections:?}");
    }
}

/// Starts a server that answers each request with these bytes and then closes its half of the
/// connection.
fn answering(answer: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, answer) = (listener.local_addr().unwrap(), answer.to_owned());
    // The thread ends with the test program.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1 << 16]);
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
            // Waiting for the client ensures that it reads the answer before a reset.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    address
}

#[test]
fn counts_the_answers() {
    for (status, expected) in [(202, 0), (302, 1), (409, 1), (500, 1)] {
        let upstream = Upstream::start(status, Duration::ZERO);
        let done = run(&["send", "person.created", "--to", &upstream.url, "--count", "3"]);
        assert_eq!(done.code, expected, "{done:?}");
        assert!(done.output.contains(&format!("\n  {status} ")), "{done:?}");
        assert_eq!(done.output.contains("drops the body"), status == 302, "{done:?}");
    }
    let upstream = Upstream::start(401, Duration::ZERO);
    let done = run(&["send", "person.created", "--to", &upstream.url]);
    assert!(done.code == 1 && done.output.contains("\n401: ") && done.output.contains("listen"), "{done:?}");
    let nowhere = format!("http://127.0.0.1:{}/", free_port());
    let done = run(&["send", "person.created", "--to", &nowhere, "--count", "3"]);
    assert_eq!(done.code, 1);
    assert!(done.output.contains("\n  connection refused         3\n"), "{done:?}");
    assert!(done.output.contains("nothing listens there") && !done.output.contains("latency"), "{done:?}");
    let done = run(&["send", "person.created", "--to", "http://nowhere.invalid/"]);
    assert!(done.code == 1 && done.output.starts_with("no answer: "), "{done:?}");
}

#[test]
fn reports_where_a_redirect_leads() {
    for (status, is_followed) in [(301, true), (302, true), (307, true), (308, true), (200, false), (404, false)] {
        let target = answering(&format!(
            "HTTP/1.1 {status} a\r\nlocation: https://a.example/hooks/\r\ncontent-length: 0\r\n\r\n"
        ));
        let done = run(&["send", "person.created", "--to", &format!("http://{target}/")]);
        assert_eq!(done.output.contains("the redirect leads to https://a.example/hooks/: "), is_followed, "{done:?}");
        let (mut program, url) = listen(&["--forward-to", &format!("http://{target}/")]);
        run(&["send", "person.created", "--to", &url]);
        let shown = lines(&mut program, 1);
        assert_eq!(shown[0].contains(", a redirect to https://a.example/hooks/"), is_followed, "{shown:?}");
    }
    let target = answering("HTTP/1.1 302 a\r\ncontent-length: 0\r\n\r\n");
    let done = run(&["send", "person.created", "--to", &format!("http://{target}/")]);
    assert!(done.output.starts_with("302 in ") && !done.output.contains("leads to"), "{done:?}");
}

#[test]
fn reports_whether_a_target_speaks_http_or_https() {
    let (mut listener, _) = listen(&[]);
    let plain = listener.address();
    let closing = answering("");
    for target in [plain, closing] {
        let done = run(&["send", "person.created", "--to", &format!("https://{target}/")]);
        assert!(done.code == 1 && done.output.contains("use http://"), "{target}: {done:?}");
    }
    // A TLS server sends this alert to a client that does not use TLS.
    let tls = answering("\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{28}");
    let done = run(&["send", "person.created", "--to", &format!("http://{tls}/")]);
    assert!(done.code == 1 && done.output.contains("use https://"), "{done:?}");
}

/// Any response that is not 2xx causes exit code 1, and no panic, neither in `send` nor in a
/// listener that forwards.
#[test]
fn odd_answers_are_failures_without_a_panic() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", (0..40_000).map(|n| format!("x-{n}: a\r\n")).collect::<String>());
    let long = format!("HTTP/1.1 302 Found\r\nlocation: /{}\r\n\r\n", "a".repeat(50_000));
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 999 Odd\r\n\r\n",
        "HTTP/1.1 000 Odd\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: \u{9b}2J\u{202e}\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "no HTTP\r\n\r\n",
        "\0",
        &many,
        &long,
    ] {
        let target = answering(answer);
        let done = run(&["send", "person.created", "--to", &format!("http://{target}/")]);
        assert_eq!(done.code, 1, "{answer:.60}: {done:?}");
        let is_harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!done.output.contains(is_harmful) && done.output.len() < 1_000, "{answer:.60}: {done:?}");
        let (mut program, url) = listen(&["--forward-to", &format!("http://{target}/")]);
        assert_eq!(run(&["send", "person.created", "--to", &url]).code, 1, "{answer:.60}");
        let shown = lines(&mut program, 1);
        assert!(shown[0].contains("  verified  person.created") && shown[0].len() < 1_000, "{answer:.60}: {shown:?}");
        assert!(!program.log().contains("panicked"), "{answer:.60}: {}", program.log());
    }
}

#[test]
fn times_out_after_as_long_as_twenty() {
    let upstream = Upstream::start(200, Duration::from_secs(7));
    let done = run(&["send", "person.created", "--to", &upstream.url, "--count", "2"]);
    assert_eq!(done.code, 1);
    assert!(done.output.contains("\n  no answer in time          2\n"), "{done:?}");
    assert!(done.output.ends_with("\nno answer within 5 s, after which Twenty gives up\n"), "{done:?}");
}

/// Interim responses arrive faster than they are read, so there is always another one.
#[test]
fn gives_up_on_interim_answers_without_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1 << 16]);
        let answers = "HTTP/1.1 100 Continue\r\n\r\n".repeat(2_000);
        let begun = Instant::now();
        // The test ends even if the deadline does not work.
        while begun.elapsed() < Duration::from_secs(60) && stream.write_all(answers.as_bytes()).is_ok() {}
    });
    let done = run(&["send", "person.created", "--to", &format!("http://{address}/")]);
    assert!(done.code == 1 && done.output.starts_with("no answer within 5 s"), "{done:?}");
}

#[test]
fn the_axum_example_accepts_a_sample() {
    let mut program = Program::start("axum_receiver", &[], &[("TWENTY_WEBHOOK_SECRET", SECRET)]);
    let url = format!("http://{}/webhooks/twenty", program.address());
    let done = run(&["send", "person.created", "--to", &url, "--count", "25"]);
    assert_eq!(done.code, 0, "{done:?}");
    let printed: HashSet<_> = lines(&mut program, 25).into_iter().collect();
    assert_eq!(printed.len(), 25);
    let name = Delivery::sample("person.created");
    let name = &json(name.body())["record"]["name"]["firstName"];
    assert!(printed.iter().all(|line| line.starts_with("person.created ") && line.contains(name.as_str().unwrap())));
}

#[test]
fn https_requires_a_trusted_certificate() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let upstream = Upstream::serve("https", 200, Duration::ZERO, move |stream| {
        StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream)
    });
    let directory = Directory::new();
    let trusted = directory.file("trusted.pem", cert.pem());
    let another = generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let other = directory.file("other.pem", another);
    let send = |roots: &str| {
        let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("SSL_CERT_FILE", roots)];
        run_with(&["send", "person.created", "--to", &upstream.url], &variables, b"")
    };
    let done = send(&trusted);
    assert!(done.code == 0 && done.output.starts_with("200 in "), "{done:?}");
    assert_eq!(upstream.requests().len(), 1);
    let done = send(&other);
    assert!(done.code == 1 && done.output.contains("certificate"), "{done:?}");
    assert_eq!(upstream.requests().len(), 1);
}
