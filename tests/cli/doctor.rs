//! Tests of each check of `doctor`, with a Twenty and a receiver that have only one defect.

use std::{sync::Arc, time::Duration};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use twenty_webhook::{
    Verifier, WebhookEvent,
    verify::{Clock, SystemClock},
};

use super::{
    Directory, Done, SECRET, lines, listen_with, run_with,
    stub::{Answer, Stub},
    upstream::{Request, Upstream},
};

pub(crate) const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.a-made-up-key.s1gnature";
const WEBHOOK: &str = "49ea428c-b5f4-4188-8099-1306c664b192";
/// A part of the target's address that must not be printed.
const IN_ADDRESS: &str = "?token=in-the-address";

/// Returns the fixture's first webhook with another target and secret.
fn webhook(target: &str) -> Value {
    let mut webhooks: Value = serde_json::from_slice(&std::fs::read("tests/real/api/webhooks.json").unwrap()).unwrap();
    let mut webhook = webhooks[0].take();
    webhook["targetUrl"] = json!(target);
    webhook["secret"] = json!(SECRET);
    webhook
}

fn twenty(webhooks: &Value) -> Stub {
    let webhooks = webhooks.to_string();
    Stub::start(move |request| {
        assert_eq!(request.header("authorization"), Some(&*format!("Bearer {TOKEN}")));
        (200, vec![("date", date(0))], webhooks.clone())
    })
}

/// Returns a `Date` header whose clock is fast by this many seconds.
fn date(ahead: i64) -> String {
    let now = i64::try_from(SystemClock.now().as_millis()).unwrap();
    let time = jiff::Timestamp::from_second(now / 1000 + ahead).unwrap();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap()
}

/// Starts a receiver that verifies, and whose clock is fast by this many seconds.
fn receiver(ahead: i64) -> Stub {
    Stub::start(move |request| {
        let status = match &request.line {
            line if line.starts_with("GET ") => 405,
            _ if verifies(request) => 200,
            _ => 401,
        };
        (status, vec![("date", date(ahead))], String::new())
    })
}

fn verifies(request: &Request) -> bool {
    Verifier::new(SECRET).unwrap().verify(request.headers.clone(), request.body.clone()).is_ok()
}

struct Doctor<'a> {
    twenty: &'a Stub,
    arguments: Vec<String>,
    variables: Vec<(&'a str, &'a str)>,
}

impl<'a> Doctor<'a> {
    fn new(twenty: &'a Stub) -> Self {
        Self { twenty, arguments: Vec::new(), variables: Vec::new() }
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    fn run(&self) -> Done {
        let directory = Directory::new();
        let token = directory.file("token", TOKEN);
        let mut arguments = vec!["doctor", "--url", &self.twenty.url, "--token-file", &token];
        arguments.extend(self.arguments.iter().map(String::as_str));
        let done = run_with(&arguments, &self.variables, b"");
        for hidden in [TOKEN, SECRET, "in-the-address"] {
            assert!(!format!("{done:?}").contains(hidden), "{hidden}: {done:?}");
        }
        done
    }

    /// Returns the exit code, and the checks with their status and text. Both formats have the same
    /// checks.
    #[track_caller]
    fn checks(&self) -> (i32, Vec<(String, String, String)>) {
        let json = Self { arguments: self.arguments.clone(), variables: self.variables.clone(), ..*self };
        let done = json.with(&["--format", "json"]).run();
        assert_eq!(done.log, "");
        let lines = done.output.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let is_good = matches!(&*text("status"), "ok" | "skip");
            assert_eq!(text("advice").is_empty(), is_good, "advice where something is wrong: {line}");
            // On a busy machine, the delivery may be slow.
            let is_slow = text("check") == "delivery" && text("status") == "warn";
            (text("check"), if is_slow { "ok".to_owned() } else { text("status") }, text("text"))
        });
        (done.code, lines.collect())
    }

    /// Returns the only check that is not `ok`, as `check status`, and its text. Checks that the
    /// exit code is consistent.
    #[track_caller]
    fn finding(&self) -> (String, String) {
        let (code, checks) = self.checks();
        // These checks report the loopback addresses of the test.
        let is_of_loopback = |check: &str| matches!(check, "scheme" | "address");
        let odd: Vec<_> = checks.iter().filter(|(check, status, _)| status != "ok" && !is_of_loopback(check)).collect();
        let [(check, status, text)] = odd[..] else { panic!("not one: {checks:?}") };
        assert_eq!(code, i32::from(status == "fail"), "{checks:?}");
        (format!("{check} {status}"), text.clone())
    }
}

fn names(checks: &[(String, String, String)]) -> Vec<String> {
    checks.iter().map(|(check, status, _)| format!("{check} {status}")).collect()
}

#[test]
fn a_correct_setup_passes_all_checks() {
    let receiver = receiver(0);
    let target = format!("{}/hooks{IN_ADDRESS}", receiver.url);
    let twenty = twenty(&json!([webhook(&target)]));
    let mut doctor = Doctor::new(&twenty).with(&["--target", &target, "--send", "--events", "person.created,pet.*"]);
    doctor.variables.push(("TWENTY_WEBHOOK_SECRET", SECRET));
    let (code, checks) = doctor.checks();
    assert_eq!(
        names(&checks),
        [
            "api ok",
            "token ok",
            "webhook ok",
            "secret ok",
            "operations ok",
            "scheme warn",
            "address warn",
            "connection ok",
            "path ok",
            "clock ok",
            "delivery ok",
            "forgery ok"
        ]
    );
    assert_eq!(code, 0, "a warning is no failure");

    let requests = receiver.requests();
    let [get, genuine, forged] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((&*get.line, get.body.len()), ("GET /hooks?token=in-the-address HTTP/1.1", 0));
    let verified = Verifier::new(SECRET).unwrap().verify(genuine.headers.clone(), genuine.body.clone()).unwrap();
    let event: WebhookEvent = WebhookEvent::from_verified(verified).unwrap();
    assert_eq!(event.name, "twentyWebhookDoctor.checked");
    assert_eq!(event.webhook_id.unwrap(), WEBHOOK, "as that webhook would send it");
    assert_eq!(event.workspace_id.unwrap(), "20202020-1c25-4d02-bf25-6aeccf7ea419");
    assert_eq!(forged.body, genuine.body);
    assert!(!verifies(forged));

    // The text format has a line for each check, and advice below the checks that are not `ok`.
    let done = doctor.run();
    assert_eq!(done.output.lines().filter(|line| !line.starts_with(' ')).count(), checks.len(), "{done:?}");
    assert!(
        done.output.contains("warn address      127.0.0.1 is a private address\n                  Twenty's safe"),
        "{done:?}"
    );
}

#[test]
fn without_a_target_it_connects_only_to_the_api() {
    let receiver = receiver(0);
    let mut unsigned = webhook("hooks.example.com/x");
    unsigned["secret"] = json!("");
    let twenty = twenty(&json!([webhook(&receiver.url), unsigned]));
    let (code, checks) = Doctor::new(&twenty).checks();
    let expected = [
        "api ok",
        "token ok",
        "webhook ok",
        "webhook ok",
        "secret ok",
        "operations ok",
        "secret fail",
        "operations ok",
        "scheme warn",
        "address warn",
        "scheme ok",
        "clock ok",
    ];
    assert_eq!((code, names(&checks)), (1, expected.map(str::to_owned).to_vec()));
    assert!(receiver.requests().is_empty());
}

#[test]
fn problems_of_the_api_are_reported() {
    let rest =
        |status: u16, message: &str| (status, json!({ "statusCode": status, "messages": [message] }).to_string());
    for ((status, body), expected) in [
        (rest(403, "Missing authentication token"), "token fail"),
        (rest(401, "Token has expired."), "token fail"),
        (rest(401, &format!("Token invalid. {TOKEN}")), "token fail"),
        (rest(400, "Entity performing the request does not have permission"), "token fail"),
        (rest(400, "Too many requests."), "token fail"),
        (rest(500, "Internal error"), "api fail"),
        ((200, "<html>".to_owned()), "api fail"),
        ((200, "{}".to_owned()), "api fail"),
        ((200, format!("[{{\"id\":1,\"secret\":\"{SECRET}\"}}]")), "api fail"),
    ] {
        let (code, checks) = Doctor::new(&Stub::saying(status, &body)).checks();
        assert_eq!(code, 1);
        assert!(names(&checks).contains(&expected.to_owned()), "{body}: {checks:?}");
        assert!(names(&checks).contains(&"webhook skip".to_owned()), "{checks:?}");
    }
    // The target is checked nevertheless.
    let receiver = receiver(0);
    let (_, checks) = Doctor::new(&Stub::saying(500, "")).with(&["--target", &receiver.url, "--send"]).checks();
    let ends = ["connection ok", "path ok", "clock skip", "delivery skip"].map(str::to_owned);
    assert!(names(&checks).ends_with(&ends), "{checks:?}");
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn falls_back_to_graphql_without_a_rest_route() {
    let receiver = receiver(0);
    let webhooks = json!({ "data": { "webhooks": [webhook(&receiver.url)] } }).to_string();
    let twenty = Stub::start(move |request| match &*request.line {
        "POST /metadata HTTP/1.1" => (200, vec![("date", date(0))], webhooks.clone()),
        _ => (404, vec![("date", date(0))], json!({ "statusCode": 404, "message": "Cannot GET" }).to_string()),
    });
    let (code, checks) = Doctor::new(&twenty).with(&["--target", &receiver.url]).checks();
    assert!(code == 0 && names(&checks).contains(&"webhook ok".to_owned()), "{checks:?}");
}

#[test]
fn problems_of_the_webhook_are_reported() {
    let receiver = receiver(0);
    let target = format!("{}/hooks{IN_ADDRESS}", receiver.url);
    let with = |member: &str, value: Value| {
        let mut webhook = webhook(&target);
        webhook[member] = value;
        json!([webhook])
    };
    let secret = [("TWENTY_WEBHOOK_SECRET", "the receiver's own")];
    type Case<'a> = (Value, &'a [&'a str], &'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: Vec<Case<'_>> = vec![
        (with("secret", json!("")), &[], &[], "secret fail", "has no secret"),
        (with("secret", json!(null)), &[], &[], "secret fail", "has no secret"),
        (with("secret", json!(SECRET)), &[], &secret, "secret fail", "a different secret"),
        (with("operations", json!([])), &[], &[], "operations fail", "no event"),
        (with("operations", json!(["person.created"])), &["pet.created"], &[], "operations fail", "not pet.created"),
        (with("operations", json!(["*.*"])), &["workflowRun.updated"], &[], "operations fail", "workflowRun.updated"),
        (with("operations", json!(["*.*"])), &["timelineActivity.created"], &[], "operations fail", "never sends"),
        (json!([]), &[], &[], "webhook fail", "no webhook"),
        (json!([webhook("https://elsewhere.example.com/")]), &[], &[], "webhook fail", "none of the 1"),
        (with("targetUrl", json!(target.replace('?', "/?"))), &[], &[], "webhook fail", "the slash at the end"),
        (with("targetUrl", json!(target.replace("http:", "https:"))), &[], &[], "webhook fail", "the scheme"),
        (with("deletedAt", json!("2026-11-26T08:31:21.134Z")), &[], &[], "webhook fail", "no webhook"),
        (json!([webhook(&target), webhook(&target)]), &[], &[], "webhook warn", "2 webhooks"),
    ];
    for (webhooks, events, variables, check, text) in cases {
        let twenty = twenty(&webhooks);
        let mut doctor = Doctor::new(&twenty).with(&["--target", &target]);
        if let [event] = events {
            doctor = doctor.with(&["--events", event]);
        }
        doctor.variables.extend_from_slice(variables);
        let (found, message) = doctor.finding();
        assert!(found == check && message.contains(text), "{check} {text}: {found} {message}");
    }
}

/// The target may be unreachable, or have another path.
#[test]
fn problems_of_the_target_are_reported() {
    type Respond = fn(&Request) -> Answer;
    let cases: Vec<(&str, Respond, &str, &str)> = vec![
        (
            "/hooks",
            |_| {
                (
                    301,
                    vec![("date", date(0)), ("location", "https://a.example.com/hooks?token=in-the-address".into())],
                    String::new(),
                )
            },
            "redirect fail",
            "301, a redirect to https://a.example.com/hooks?…",
        ),
        ("/hooks", |_| (303, vec![("date", date(0))], String::new()), "redirect fail", "303"),
        (
            "/hooks",
            |_| (308, vec![("date", date(0)), ("location", "/hooks/".into())], String::new()),
            "redirect warn",
            "308",
        ),
        ("/hooks", |_| (404, vec![("date", date(0))], String::new()), "path warn", "404"),
        ("/hooks", |_| (502, vec![("date", date(0))], String::new()), "path warn", "502"),
        (
            "/hooks",
            |request| {
                (if request.line.contains("/hooks/") { 405 } else { 404 }, vec![("date", date(0))], String::new())
            },
            "path fail",
            "/hooks/?… answers with another status",
        ),
        (
            "/hooks/",
            |request| {
                (if request.line.contains("/hooks/") { 404 } else { 405 }, vec![("date", date(0))], String::new())
            },
            "path fail",
            "/hooks?… answers with another status",
        ),
    ];
    for (path, respond, check, text) in cases {
        let receiver = Stub::start(respond);
        let target = format!("{}{path}{IN_ADDRESS}", receiver.url);
        let twenty = twenty(&json!([webhook(&target)]));
        let (found, message) = Doctor::new(&twenty).with(&["--target", &target]).finding();
        assert!(found == check && message.contains(text), "{check} {text}: {found} {message}");
        assert!(receiver.requests().iter().all(|request| request.line.starts_with("GET ")));
    }
    let target = "http://127.0.0.1:9/hooks";
    let twenty = twenty(&json!([webhook(target)]));
    let (_, checks) = Doctor::new(&twenty).with(&["--target", target]).checks();
    assert!(names(&checks).contains(&"connection fail".to_owned()), "{checks:?}");
    let (code, checks) = Doctor::new(&twenty).with(&["--target", "https://nowhere.invalid/"]).checks();
    assert!(code == 1 && names(&checks).contains(&"address fail".to_owned()), "{checks:?}");
}

#[test]
fn an_untrusted_certificate_is_reported() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![cert.der().clone()], key).unwrap());
    let receiver = Upstream::serve("https", 405, Duration::ZERO, move |stream| {
        StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream)
    });
    let directory = Directory::new();
    let CertifiedKey { cert: other, .. } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let roots = directory.file("roots.pem", other.pem());
    let twenty = twenty(&json!([webhook(&receiver.url)]));
    let mut doctor = Doctor::new(&twenty).with(&["--target", &receiver.url]);
    // This certificate is unrelated, so that there is a trusted root at all.
    doctor.variables.push(("SSL_CERT_FILE", &roots));
    let (found, message) = doctor.finding();
    assert_eq!(found, "certificate fail", "{message}");
}

#[test]
fn clock_differences_are_reported() {
    for (ahead, expected) in [(-7200, "clock fail"), (400, "clock fail"), (100, "clock warn")] {
        let receiver = receiver(ahead);
        let twenty = twenty(&json!([webhook(&receiver.url)]));
        let (found, message) = Doctor::new(&twenty).with(&["--target", &receiver.url]).finding();
        assert!(
            found == expected && message.starts_with("Twenty's and the receiver's clocks differ by "),
            "{found} {message}"
        );
    }
}

#[test]
fn problems_of_the_receiver_are_reported() {
    type Respond = fn(&Request) -> u16;
    let cases: Vec<(Respond, &str, &str)> = vec![
        (|_| 200, "forgery fail", "was answered 200"),
        (|_| 401, "delivery fail", "was answered 401"),
        (|request| if verifies(request) { 500 } else { 401 }, "delivery fail", "was answered 500"),
        (|request| if verifies(request) { 404 } else { 401 }, "delivery fail", "was answered 404"),
        (|request| if verifies(request) { 202 } else { 403 }, "forgery warn", "was answered 403"),
    ];
    for (respond, check, text) in cases {
        let receiver = Stub::start(move |request| {
            let status = if request.line.starts_with("GET ") { 405 } else { respond(request) };
            (status, vec![("date", date(0))], String::new())
        });
        let twenty = twenty(&json!([webhook(&receiver.url)]));
        let (found, message) = Doctor::new(&twenty).with(&["--target", &receiver.url, "--send"]).finding();
        assert!(found == check && message.contains(text), "{check} {text}: {found} {message}");
    }
    // Without the webhook's secret, `doctor` cannot sign.
    let receiver = receiver(0);
    let mut unsigned = webhook(&receiver.url);
    unsigned["secret"] = json!("");
    let twenty = twenty(&json!([unsigned]));
    let (_, checks) = Doctor::new(&twenty).with(&["--target", &receiver.url, "--send"]).checks();
    assert!(names(&checks).contains(&"delivery skip".to_owned()), "{checks:?}");
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn a_receiver_of_this_crate_passes_all_checks() {
    let (mut program, url) = listen_with(&[], &[("TWENTY_WEBHOOK_SECRET", SECRET)]);
    let twenty = twenty(&json!([webhook(&url)]));
    let (code, checks) = Doctor::new(&twenty).with(&["--target", &url, "--send"]).checks();
    assert!(code == 0 && names(&checks).ends_with(&["delivery ok".to_owned(), "forgery ok".to_owned()]), "{checks:?}");
    let shown = lines(&mut program, 2).join("\n");
    assert!(shown.contains("twentyWebhookDoctor.checked"), "{shown}");
}

#[test]
fn send_requires_a_target() {
    let twenty = twenty(&json!([]));
    let done = Doctor::new(&twenty).with(&["--send"]).run();
    assert!(done.code == 2 && done.log.contains("--target"), "{done:?}");
    assert!(twenty.requests().is_empty());
}

#[test]
fn a_password_in_a_targets_address_is_not_printed() {
    for (address, expected) in [
        ("https://ada:a-passw0rd@a.example.com/hooks", "https://…@a.example.com/hooks"),
        ("ada:a-passw0rd@a.example.com/hooks", "…@a.example.com/hooks"),
        ("https://ada:x/a-passw0rd@a.example.com/hooks", "https://…"),
    ] {
        let twenty = twenty(&json!([webhook(address)]));
        for format in ["pretty", "json"] {
            let done = Doctor::new(&twenty).with(&["--format", format]).run();
            assert!(done.output.contains(expected) && !format!("{done:?}").contains("a-passw0rd"), "{done:?}");
        }
    }
}

#[test]
fn only_the_first_webhooks_are_checked() {
    let receiver = receiver(0);
    let webhooks: Vec<_> = (0..3000).map(|_| webhook(&receiver.url)).collect();
    let twenty = twenty(&json!(webhooks));
    for arguments in [&[][..], &["--target", &receiver.url]] {
        let (_, checks) = Doctor::new(&twenty).with(arguments).checks();
        let more = "2950 more webhooks are not checked: only the first 50 are checked";
        assert_eq!(checks.iter().filter(|(_, status, text)| status == "skip" && text == more).count(), 1, "{checks:?}");
        assert_eq!(checks.iter().filter(|(check, ..)| check == "secret").count(), 50);
        let done = Doctor::new(&twenty).with(arguments).run();
        assert!(done.output.len() < 100_000, "{}", done.output.len());
    }
    let mut long = webhook(&receiver.url);
    long["id"] = json!("i".repeat(100_000));
    long["operations"] = json!(vec!["person.created"; 10_000]);
    let twenty = self::twenty(&json!([long]));
    for format in ["pretty", "json"] {
        let done = Doctor::new(&twenty).with(&["--format", format]).run();
        assert!(done.output.len() < 10_000, "{}", done.output.len());
    }
}
