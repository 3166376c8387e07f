//! Tests of `listen`: what it shows, answers and forwards.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use twenty_webhook::{testing::Delivery, verify::Signer};

use super::{
    Directory, Program, SECRET, TOOL, lines, listen, listen_with, post, run, run_with, send,
    support::process::free_port, upstream::Upstream,
};

fn ada() -> Delivery {
    Delivery::sample("person.updated").set("record.name", json!({"firstName": "Ada", "lastName": "Lovelace"})).unwrap()
}

/// Returns what it prints at the start when it has a secret.
fn greeting(url: &str) -> String {
    let origin = url.strip_suffix("/webhooks/twenty").unwrap();
    format!(
        "listening on {url}\n\
         Twenty on another machine requires a tunnel, such as cloudflared tunnel --url {origin}\n\
         Twenty's safe mode blocks private addresses except those in OUTBOUND_HTTP_ALLOWED_INTERNAL_HOSTS\n"
    )
}

/// Returns the line without its time.
#[track_caller]
fn without_time(line: &str) -> &str {
    let (time, rest) = line.split_once("  ").unwrap();
    assert!(time.len() == 9 && time.ends_with('Z'), "{line}");
    rest
}

#[test]
fn shows_a_line_for_each_delivery() {
    let (mut program, url) = listen(&[]);
    let changed = ada().set("updatedFields", ["jobTitle", "city"]).unwrap();
    assert_eq!(send(&url, &changed), 0);
    // The delivery is sent to any path, and a second time.
    assert_eq!(send(&url.replace("/webhooks/twenty", "/?a=b"), &changed), 0);
    assert_eq!(send(&url, &changed), 0);
    assert_eq!(send(&url, &Delivery::from_body("{}")), 0);
    assert_eq!(send(&url, &Delivery::from_body("no JSON")), 1);
    let shown = lines(&mut program, 5);
    let shown: Vec<&str> = shown.iter().map(|line| without_time(line)).collect();
    let event = "200  verified  person.updated  Ada Lovelace  changed: jobTitle, city";
    assert_eq!(shown[0], event);
    assert_eq!(shown[1], format!("{event}  duplicate, received once before"));
    assert_eq!(shown[2], format!("{event}  duplicate, received twice before"));
    assert_eq!(shown[3], "200  verified  -  -");
    assert!(shown[4].starts_with("400  rejected  ") && shown[4].contains("JSON"), "{shown:?}");
    assert_eq!(program.log(), greeting(&url), "and not the secret");
}

#[test]
fn shows_one_json_object_per_line() {
    let (mut program, url) = listen(&["--format", "json"]);
    let delivery = ada().set("updatedFields", ["jobTitle"]).unwrap();
    send(&url, &delivery);
    send(&url, &delivery);
    post(&url, &Signer::new("another").unwrap(), ada().body());
    let shown: Vec<Value> = lines(&mut program, 3).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let record: Value = serde_json::from_slice(delivery.body()).unwrap();
    let time = |value: &Value| value["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(time(&shown[0]) <= time(&shown[2]));
    let expected = json!({
        "time": shown[0]["time"], "status": 200, "verified": true, "event": "person.updated",
        "recordId": record["record"]["id"], "displayName": "Ada Lovelace", "updatedFields": ["jobTitle"],
    });
    assert_eq!(shown[0], expected);
    assert_eq!(shown[1]["repetition"], 1);
    assert_eq!((&shown[2]["verified"], &shown[2]["status"]), (&json!(false), &json!(401)));
    assert!(shown[2]["rejection"].as_str().unwrap().contains("signature"));
    assert!(shown[2]["causes"][0]["advice"].as_str().unwrap().contains("secret"));
    assert_eq!(shown[2]["event"], Value::Null, "what is not verified is not read");
}

#[test]
fn explains_why_a_delivery_is_rejected() {
    let (mut program, url) = listen(&[]);
    assert_eq!(post(&url, &Signer::new(format!("{SECRET} ")).unwrap(), ada().body()), 1);
    let count = lines(&mut program, 3).len();
    assert_eq!(send(&url, &ada()), 0);
    let shown = lines(&mut program, count + 1);
    // A forged request that arrived first does not make the delivery a duplicate.
    assert!(shown[4].contains("verified") && !shown[4].contains("duplicate"), "{shown:?}");
    assert_eq!(without_time(&shown[0]), "401  rejected  no secret gives this signature for this timestamp and body");
    assert!(shown[1].starts_with("    1. ") && shown[1].contains("white space"), "{shown:?}");
    assert!(shown[2].starts_with("       "), "{shown:?}");
}

/// Sends a raw request. Returns the status and the shown lines.
#[track_caller]
fn raw(arguments: &[&str], request: &[u8], count: usize) -> (u16, Vec<String>) {
    exchange(arguments, request, count, |_| {})
}

/// Sends a raw request and closes its half of the connection, for requests that are truncated. A
/// server may drop a complete request when its sender disconnects.
#[track_caller]
fn raw_cut(arguments: &[&str], request: &[u8], count: usize) -> (u16, Vec<String>) {
    exchange(arguments, request, count, |stream| stream.shutdown(Shutdown::Write).unwrap())
}

#[track_caller]
fn exchange(arguments: &[&str], request: &[u8], count: usize, end: impl Fn(&TcpStream)) -> (u16, Vec<String>) {
    let (mut program, _) = listen(arguments);
    let mut stream = TcpStream::connect(program.address()).unwrap();
    stream.write_all(request).unwrap();
    end(&stream);
    let mut status = String::new();
    BufReader::new(&stream).read_line(&mut status).unwrap();
    let lines = lines(&mut program, count);
    (status.split(' ').nth(1).unwrap().parse().unwrap(), lines)
}

/// Returns the headers of a body that is signed now.
fn signed(body: &str) -> String {
    let pairs = Signer::new(SECRET).unwrap().sign(body).pairs();
    pairs.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

#[test]
fn answers_as_the_receivers_do() {
    let (status, shown) = raw(&[], b"POST / HTTP/1.1\r\nhost: a\r\n\r\n", 3);
    assert_eq!(status, 401);
    assert!(shown[1].contains("neither a signature nor a timestamp header"), "{shown:?}");

    let put = format!("PUT / HTTP/1.1\r\n{}content-length: 2\r\n\r\n{{}}", signed("{}"));
    let (status, shown) = raw(&[], put.as_bytes(), 1);
    assert_eq!(status, 405);
    assert_eq!(without_time(&shown[0]), "405  rejected  PUT: verified, but its method is not POST");
    let (_, shown) = raw(&["--format", "json"], put.as_bytes(), 1);
    let shown: Value = serde_json::from_str(&shown[0]).unwrap();
    let members = ["method", "status", "verified"].map(|member| shown[member].clone());
    assert_eq!(members, [json!("PUT"), json!(405), json!(true)]);
}

/// The listener accepts longer bodies than a receiver does by default, and says so.
#[test]
fn a_body_that_receivers_reject_by_default_is_marked() {
    for (padding, is_marked) in [(2_000_000, false), (2_100_000, true)] {
        let body = format!(r#"{{"eventName":"person.created","record":{{"id":"{}"}}}}"#, "x".repeat(padding));
        let head = format!("POST / HTTP/1.1\r\n{}content-length: {}\r\n\r\n", signed(&body), body.len());
        let request = head + &body;
        let (status, shown) = raw(&[], request.as_bytes(), if is_marked { 2 } else { 1 });
        assert_eq!(status, 200);
        let mark = format!("the body has {} bytes, and receivers accept 2097152 by default", body.len());
        assert_eq!(shown.iter().any(|line| line.contains(&mark)), is_marked, "{padding}");
        let (_, shown) = raw(&["--format", "json"], request.as_bytes(), 1);
        let shown: Value = serde_json::from_str(&shown[0]).unwrap();
        assert_eq!(shown["longBody"], if is_marked { json!(body.len()) } else { Value::Null });
    }
}

#[test]
fn truncated_bodies_are_neither_diagnosed_nor_saved() {
    let directory = Directory::new();
    let captures = directory.path("");
    let post = |headers: &str, length: usize, sent: usize| {
        let body = "x".repeat(sent);
        let request = format!("POST / HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n{body}");
        let (status, shown) = raw_cut(&["--save", &captures], request.as_bytes(), 1);
        assert_eq!(shown.len(), 1, "{shown:?}");
        (status, without_time(&shown[0]).to_owned())
    };
    let expected = |status: u16, why: &str| (status, format!("{status}  rejected  {why}"));
    assert_eq!(post(&signed("x"), 100, 50), expected(400, "truncated body"));
    assert_eq!(post(&signed("x"), 99_999_999, 1), expected(413, "body is longer than the limit"));
    // Only a limited part of a body is read if the head is rejected.
    let (status, shown) = post("", 200_000, 150_000);
    assert!(status == 401 && !shown.contains("saved"), "{shown}");
    assert_eq!(std::fs::read_dir(&captures).unwrap().count(), 0);
}

#[test]
fn shows_a_delivery_whose_sender_disconnected() {
    let upstream = Upstream::start(200, Duration::from_secs(1));
    let (mut program, _) = listen(&["--forward-to", &upstream.url]);
    let mut stream = TcpStream::connect(program.address()).unwrap();
    let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{}content-length: 2\r\n\r\n{{}}", signed("{}"));
    stream.write_all(request.as_bytes()).unwrap();
    program.until("it forwards", |_| upstream.requests().len() == 1);
    drop(stream);
    let shown = lines(&mut program, 1);
    assert!(shown[0].contains("  200  verified  -  -  forwarded: 200 in "), "{shown:?}");
}

#[test]
fn a_record_cannot_forge_a_line() {
    let hostile = "Ada\n10:00:00Z  200  verified  person.created  Eve\r\u{1b}[2J\u{9b}31m\u{202e}\u{2028}";
    let delivery = ada().set("record.name.firstName", hostile).unwrap();
    let delivery = delivery.set("updatedFields", ["a\nb\u{1b}[31m"]).unwrap();
    let delivery = delivery.set("eventName", "person.\u{1b}]0;title\u{7}\ncreated").unwrap();
    for arguments in [&["--color", "never"][..], &["--color", "always"], &["--format", "json"]] {
        let (mut program, url) = listen(arguments);
        assert_eq!(send(&url, &delivery), 0);
        assert_eq!(send(&url, &ada()), 0);
        let shown = lines(&mut program, 2);
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown[0].contains("Eve") && !shown[1].contains("Eve"), "{shown:?}");
        // The output may contain only the tool's own colours.
        let bare = shown[0].replace("\u{1b}[0m", "").replace("\u{1b}[1m", "").replace("\u{1b}[2m", "");
        let bare = bare.replace("\u{1b}[32m", "").replace("\u{1b}[1m", "");
        assert!(!bare.contains(|c: char| c.is_control() || "\u{202e}\u{2028}".contains(c)), "{bare:?}");
    }
}

#[test]
fn a_long_name_does_not_fill_the_screen() {
    let (mut program, url) = listen(&[]);
    let long = ada().set("record.name.firstName", "x".repeat(100_000)).unwrap();
    send(&url, &long.set("updatedFields", ["y".repeat(100_000)]).unwrap());
    let shown = lines(&mut program, 1);
    assert!(shown[0].len() < 300 && shown[0].contains("xx…") && shown[0].contains("yy…"), "{shown:?}");
}

#[test]
fn uses_colours_only_where_they_are_wanted() {
    let secret = ("TWENTY_WEBHOOK_SECRET", SECRET);
    let force = ("CLICOLOR_FORCE", "1");
    for (arguments, variables, expected) in [
        (&[][..], &[secret][..], false),
        (&["--color", "always"], &[secret, ("NO_COLOR", "1")], true),
        (&["--color", "never"], &[secret, force], false),
        (&[], &[secret, force], true),
        (&[], &[secret, ("NO_COLOR", "1")], false),
        (&["--format", "json", "--color", "always"], &[secret], false),
    ] {
        let (mut program, url) = listen_with(arguments, variables);
        send(&url, &ada());
        let shown = lines(&mut program, 1);
        assert_eq!(shown[0].contains('\u{1b}'), expected, "{arguments:?} {variables:?}: {shown:?}");
    }
}

#[test]
fn generates_a_secret_and_shows_how_to_use_it() {
    let (mut program, url) = listen_with(&[], &[]);
    program.until("it tells the command", |program| program.log().contains(" send "));
    let log = program.log();
    assert!(log.contains("Settings > APIs & Webhooks"), "{log}");
    let command: Vec<&str> = log.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(command[0], TOOL);
    let done = run_with(&command[1..], &[], b"");
    assert_eq!(done.code, 0, "{done:?}");
    let secret = command.last().unwrap();
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
    assert!(without_time(&lines(&mut program, 1)[0]).starts_with("200  verified  person.created"));
    // Each start generates another secret.
    let (mut another, _) = listen_with(&[], &[]);
    another.until("it tells the command", |program| program.log().contains(" send "));
    assert!(!another.log().contains(secret));
    assert_eq!(send(&url, &ada()), 1, "and no other is accepted");
}

#[test]
fn accepts_the_previous_secret() {
    let variables = [("TWENTY_WEBHOOK_SECRET", "new-secret"), ("TWENTY_WEBHOOK_PREVIOUS_SECRET", SECRET)];
    let (mut program, url) = listen_with(&[], &variables);
    assert_eq!(send(&url, &ada()), 0);
    assert_eq!(post(&url, &Signer::new("new-secret").unwrap(), ada().body()), 0);
    let shown = lines(&mut program, 2);
    assert!(shown[0].ends_with("signed with the previous secret"), "{shown:?}");
    assert!(!shown[1].contains("previous"), "{shown:?}");
}

#[test]
fn forwards_verified_deliveries_byte_for_byte() {
    let upstream = Upstream::start(204, Duration::ZERO);
    let (mut program, _) = listen(&["--forward-to", &upstream.url]);
    let body =
        "{ \"eventName\" : \"person.created\",\r\n\"record\":{\"jobTitle\":\"\\u00e9é\\ud83d\\ude00\"},\"n\":1.0 }\n";
    let pairs = Signer::new(SECRET).unwrap().sign(body).pairs();
    let mut request = "POST /elsewhere HTTP/1.1\r\nhost: hooks.example.com\r\nconnection: keep-alive, x-hop\r\n\
                       x-hop: a\r\nkeep-alive: timeout=5\r\nte: trailers\r\nproxy-connection: close\r\n\
                       content-type: application/json\r\nx-trace: b\r\ntransfer-encoding: chunked\r\n"
        .to_owned();
    pairs.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
    let (first, rest) = body.split_at(40);
    request += &format!("\r\n{:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n", first.len(), rest.len());
    let mut stream = TcpStream::connect(program.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).unwrap();
    assert_eq!(answer, "HTTP/1.1 204 No Content\r\n");

    let [forwarded] = &upstream.requests()[..] else { panic!("not forwarded once") };
    assert_eq!(forwarded.line, "POST /hooks?token=a HTTP/1.1");
    assert_eq!(forwarded.body, body.as_bytes());
    let mut names: Vec<&str> = forwarded.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let signature = ["x-twenty-webhook-nonce", "x-twenty-webhook-signature", "x-twenty-webhook-timestamp"];
    let [before, behind] = [&["content-length", "content-type", "host", "via"][..], &["x-trace"]];
    assert_eq!(names, [before, behind, &signature].concat());
    for (name, value) in &pairs {
        assert_eq!(forwarded.header(name), Some(value.as_str()));
    }
    assert_ne!(forwarded.header("host"), Some("hooks.example.com"));
    let shown = lines(&mut program, 1);
    assert!(
        shown[0].contains("  204  verified  person.created") && shown[0].contains("  forwarded: 204 in "),
        "{shown:?}"
    );
}

#[test]
fn forwards_only_verified_deliveries_and_returns_the_targets_status() {
    let upstream = Upstream::start(503, Duration::ZERO);
    let (mut program, url) = listen(&["--forward-to", &upstream.url, "--format", "json"]);
    for forgery in ["tampered", "stale", "unsigned", "wrong-secret"] {
        let done = run(&["send", "person.created", "--to", &url, "--forge", forgery]);
        assert_eq!(done.code, 1, "{forgery}: {done:?}");
        assert!(done.output.starts_with("401 in "), "{forgery}: {done:?}");
    }
    send(&url, &Delivery::from_body("no JSON"));
    lines(&mut program, 5);
    assert_eq!(upstream.requests().len(), 0);
    let done = run(&["send", "person.created", "--to", &url]);
    assert!(done.code == 1 && done.output.starts_with("503 in "), "{done:?}");
    assert_eq!(upstream.requests().len(), 1);
    let shown: Value = serde_json::from_str(&lines(&mut program, 6)[5]).unwrap();
    assert_eq!((&shown["status"], &shown["verified"]), (&json!(503), &json!(true)));
    assert_eq!(shown["forwarded"]["status"], 503);
}

#[test]
fn shows_that_the_target_is_unreachable() {
    let (mut program, url) = listen(&["--forward-to", &format!("http://127.0.0.1:{}/", free_port())]);
    let done = run(&["send", "person.created", "--to", &url]);
    assert!(done.output.starts_with("502 in "), "{done:?}");
    let shown = lines(&mut program, 1);
    assert!(shown[0].contains("  not forwarded: connection refused: nothing listens there"), "{shown:?}");
}

#[test]
fn does_not_forward_to_itself() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let target = format!("http://localhost:{port}/x");
    let done = run(&["listen", "--addr", &address, "--forward-to", &target]);
    assert!(done.code == 2 && done.log.contains("is the address of this listener"), "{done:?}");
}

/// Returns the shown lines without their times, when there are this many.
fn shown(program: &mut Program, count: usize) -> Vec<String> {
    lines(program, count).iter().map(|line| without_time(line).to_owned()).collect()
}

const LOOP: &str = "508  rejected  this listener has already forwarded the delivery: --forward-to leads back here";

#[test]
fn rejects_a_delivery_that_it_has_already_forwarded() {
    // These spellings of its own address cannot be found by comparing texts.
    for host in ["127.9", "127.0.9", "0x7f.9", "2130706441", "[::ffff:127.0.0.9]"] {
        let port = free_port();
        let (address, target) = (format!("127.0.0.9:{port}"), format!("http://{host}:{port}/x"));
        let arguments = ["listen", "--addr", &address, "--forward-to", &target, "--secret", SECRET];
        let mut program = Program::start_executable(Path::new(TOOL), &arguments, &[]);
        let url = format!("http://{}/", program.address());
        let done = run(&["send", "person.created", "--to", &url]);
        assert!(done.output.starts_with("508 in "), "{host}: {done:?}");
        let shown = shown(&mut program, 2);
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown[0].starts_with(LOOP), "{shown:?}");
        assert!(shown[1].starts_with("508  verified  person.created") && !shown[1].contains("duplicate"), "{shown:?}");
    }
}

#[test]
fn a_loop_through_another_listener_ends() {
    let directory = Directory::new();
    let port = free_port();
    let (mut second, second_url) = listen(&["--forward-to", &format!("http://127.0.0.9:{port}/")]);
    let address = format!("127.0.0.9:{port}");
    let captures = directory.path("captures");
    let arguments =
        ["listen", "--addr", &address, "--forward-to", &second_url, "--secret", SECRET, "--save", &captures];
    let mut first = Program::start_executable(Path::new(TOOL), &arguments, &[]);
    let url = format!("http://{}/", first.address());
    let done = run(&["send", "person.created", "--to", &url]);
    assert!(done.output.starts_with("508 in "), "{done:?}");
    let shown_first = shown(&mut first, 2);
    assert!(shown_first.len() == 2 && shown_first[0].starts_with(LOOP), "{shown_first:?}");
    assert!(shown_first[1].contains("forwarded: 508"), "{shown_first:?}");
    assert_eq!(shown(&mut second, 1).len(), 1);
    assert_eq!(std::fs::read_dir(&captures).unwrap().count(), 1, "the returned delivery is not saved again");
}

#[test]
fn a_chain_of_listeners_is_not_a_loop() {
    let upstream = Upstream::start(200, Duration::ZERO);
    let directory = Directory::new();
    let captures = directory.path("captures");
    let (mut last, last_url) = listen(&["--forward-to", &upstream.url, "--save", &captures]);
    let (_middle, middle_url) = listen(&["--forward-to", &last_url]);
    let (_first, first_url) = listen(&["--forward-to", &middle_url]);
    for _ in 0..2 {
        assert_eq!(send(&first_url, &ada()), 0);
    }
    lines(&mut last, 2);
    let [request, _] = &upstream.requests()[..] else { panic!("not forwarded once each") };
    let via = request.headers.iter().filter(|(name, _)| name == "via");
    assert_eq!(via.count(), 3, "each names itself");

    // The first listener forwarded the captured delivery before, and its replay is not a loop.
    let capture = std::fs::read_dir(&captures).unwrap().next().unwrap().unwrap().path();
    assert!(std::fs::read_to_string(&capture).unwrap().contains("\r\nvia: "));
    assert_eq!(run(&["replay", capture.to_str().unwrap(), "--to", &first_url]).code, 0);
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn the_method_is_shown_saved_and_replayed() {
    let directory = Directory::new();
    let upstream = Upstream::start(405, Duration::ZERO);
    let signed = signed("{}");
    // The method, the headers and the finding.
    for (number, (method, headers, expected)) in [
        ("GET", "", "1. the request is not a delivery: its method is GET, and it is not signed"),
        ("HEAD", "", "1. the request is not a delivery: its method is HEAD, and it is not signed"),
        ("M-SEARCH", "", "1. the request is not a delivery: its method is M-SEARCH, and it is not signed"),
        ("GET", &signed, "1. the body is empty and the method is GET: a redirect or a browser sent this request"),
    ]
    .into_iter()
    .enumerate()
    {
        let captures = directory.path(&number.to_string());
        let request = format!("{method} /a?b=c HTTP/1.1\r\nhost: a\r\n{headers}\r\n");
        let (_, shown) = raw(&["--save", &captures], request.as_bytes(), 3);
        assert!(without_time(&shown[0]).starts_with(&format!("401  rejected  {method}: ")), "{shown:?}");
        assert_eq!(shown[1].trim(), expected);
        assert!(!shown.iter().any(|line| line.starts_with("    2. ")), "{shown:?}");

        let capture = std::fs::read_dir(&captures).unwrap().next().unwrap().unwrap().path();
        let saved = std::fs::read_to_string(&capture).unwrap();
        assert!(saved.starts_with(&format!("{method} /a?b=c HTTP/1.1\r\n")), "{saved}");
        let capture = capture.to_str().unwrap();
        let done = run(&["verify", capture]);
        assert!(done.code == 1 && done.output.contains(&format!("\n{expected}\n")), "{done:?}");
        let done = run(&["replay", capture, "--to", &upstream.url]);
        assert!(done.code == 1 && done.log.contains(&format!("was captured as {method}")), "{done:?}");
        assert_eq!(upstream.requests()[number].line, format!("{method} /hooks?token=a HTTP/1.1"));
    }
}

#[test]
fn a_port_without_a_host_means_loopback() {
    let mut program = Program::start_executable(Path::new(TOOL), &["listen", "--addr", ":0", "--secret", SECRET], &[]);
    assert!(program.address().ip().is_loopback());
}

#[test]
fn suggests_commands_with_an_address_that_accepts_connections() {
    for (any, local) in [("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "[::1]")] {
        let mut program = Program::start_executable(Path::new(TOOL), &["listen", "--addr", any], &[]);
        program.until("it suggests a command", |program| program.log().contains(" --secret "));
        let origin = format!("http://{local}:{}", program.address().port());
        for command in [
            format!("cloudflared tunnel --url {origin}\n"),
            format!("send person.created --to {origin}/webhooks/twenty "),
        ] {
            assert!(program.log().contains(&command), "{}", program.log());
        }
    }
}

#[test]
fn ends_on_a_signal() {
    for (signal, half_a_request) in [("-TERM", &b""[..]), ("-INT", b""), ("-TERM", b"POST / HT")] {
        let (mut program, url) = listen(&[]);
        assert_eq!(send(&url, &ada()), 0);
        let mut open = TcpStream::connect(program.address()).unwrap();
        open.write_all(half_a_request).unwrap();
        lines(&mut program, 1);
        program.signal(signal);
        assert_eq!(program.wait().code(), Some(0), "{signal}");
    }
}

/// Starts a listener whose output is not read. Returns the process, its log after the greeting, and
/// its address.
fn listen_unread(options: &[&str]) -> (Child, BufReader<ChildStderr>, String) {
    let mut process = Command::new(TOOL)
        .args(["listen", "--addr", "127.0.0.1:0", "--secret", SECRET])
        .args(options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap());
    let mut text = String::new();
    log.read_line(&mut text).unwrap();
    let url = text.trim().strip_prefix("listening on ").unwrap().to_owned();
    for line in greeting(&url).lines().skip(1) {
        text.clear();
        log.read_line(&mut text).unwrap();
        assert_eq!(text.trim(), line);
    }
    (process, log, url)
}

#[test]
fn ends_when_its_output_is_closed() {
    let (mut process, mut log, url) = listen_unread(&[]);
    let url = url.as_str();
    drop(process.stdout.take());
    // The delivery is answered as usual.
    assert_eq!(send(url, &ada()), 0);
    assert_eq!(process.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

/// The output is not read, so the printer is blocked. Unverified requests are still answered
/// without a delay, and leave capacity for verified deliveries.
#[test]
fn unverified_requests_delay_no_response() {
    let (mut process, mut log, url) = listen_unread(&[]);
    let url = url.as_str();
    // A pipe holds 64 KiB, and each line has hundreds of bytes.
    let done = run(&["send", "person.created", "--forge", "unsigned", "--count", "600", "--to", url]);
    assert!(done.output.contains("  401                      600\n"), "{done:?}");
    let done = run(&["send", "company.created", "--count", "20", "--to", url]);
    assert_eq!(done.code, 0, "{done:?}");

    let mut output = process.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        text
    });
    let kill = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
    assert!(kill.success() && process.wait().unwrap().success());
    let shown = reading.join().unwrap();
    assert_eq!(shown.matches("  200  verified  company.created").count(), 20);
    let mut notes = String::new();
    log.read_to_string(&mut notes).unwrap();
    let count = |line: &str| {
        line.strip_suffix(" unverified requests came too fast: not shown, not saved")?.parse::<usize>().ok()
    };
    let omitted: Option<usize> = notes.lines().map(count).sum();
    assert_eq!(shown.matches("  401  rejected").count() + omitted.unwrap(), 600, "{notes}");
}

/// The printer is blocked by a line that is longer than a pipe's capacity, so the queue does not
/// become shorter.
#[test]
fn long_forged_bodies_are_bounded_and_delay_no_response() {
    let (mut process, _log, url) = listen_unread(&["--format", "json"]);
    let url = url.as_str();
    assert_eq!(send(url, &ada().set("record.name.firstName", "x".repeat(300_000)).unwrap()), 0);
    let forger = Signer::new("another").unwrap();
    let long = vec![b' '; (1 << 20) - 1];
    for _ in 0..10 {
        assert_eq!(post(url, &forger, &long), 1);
    }
    // Each delivery is answered, although nothing has been shown yet.
    let done = run(&["send", "company.created", "--count", "20", "--to", url]);
    assert_eq!(done.code, 0, "{done:?}");

    let output = BufReader::new(process.stdout.take().unwrap());
    let shown: Vec<Value> = output.lines().take(31).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let kill = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert!(process.wait().is_ok());
    let forged: Vec<_> = shown.iter().filter(|line| line["verified"] == json!(false)).collect();
    let diagnosed = forged.iter().map(|line| line["causes"].is_array());
    assert_eq!(diagnosed.collect::<Vec<_>>(), [[true; 4].as_slice(), &[false; 6]].concat());
    assert!(forged[4]["rejection"].as_str().unwrap().contains("too many long requests at a time"), "{:?}", forged[4]);
}

#[test]
fn ends_on_a_signal_even_if_nobody_reads_its_output() {
    let (mut process, _log, url) = listen_unread(&["--format", "json"]);
    let url = url.as_str();
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    // The pipe and the queue cannot hold all of these deliveries. The senders do not read the
    // responses.
    let signer = Signer::new(SECRET).unwrap();
    let delivery = Delivery::sample("person.created").sign(&signer);
    let mut request = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n", delivery.body().len());
    for (name, value) in delivery.headers() {
        request += &format!("{name}: {value}\r\n");
    }
    let request = [format!("{request}\r\n").as_bytes(), delivery.body()].concat();
    let connections: Vec<_> = (0..500)
        .map(|_| {
            let mut connection = TcpStream::connect(address).unwrap();
            connection.write_all(&request).unwrap();
            connection
        })
        .collect();
    let kill = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = process.stdout.take().unwrap();
    // If the process did not end, this would wait forever.
    assert!(process.wait().is_ok());
    drop((connections, output));
}

#[test]
fn reports_that_the_port_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = run(&["listen", "--addr", &address]);
    assert_eq!(done.code, 2);
    assert!(done.log.contains(&address) && done.log.contains("--addr"), "{done:?}");
}
