//! Tests of `verify` and `replay` with the output of other tools: `tests/captures`, and files that
//! the tests create.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use twenty_webhook::verify::{Signer, Timestamp};

use super::{Directory, Done, SECRET, run, run_with, support::data, upstream::Upstream};

/// Returns the secret of the deliveries in `tests/captures`.
fn real_secret() -> String {
    let vectors: Value = serde_json::from_slice(&data("vectors.json")).unwrap();
    vectors[0]["secret"].as_str().unwrap().to_owned()
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "captures", name].iter().collect()
}

fn verify(name: &str) -> Done {
    run_with(&["verify", path(name).to_str().unwrap()], &[("TWENTY_WEBHOOK_SECRET", &real_secret())], b"")
}

/// The number of deliveries in each file. All are genuine.
const GENUINE: [(&str, usize); 24] = [
    ("chromium-devtools-protocol.json", 2),
    ("chromium.har", 2),
    ("curl-http2-trace.txt", 1),
    ("curl-session.txt", 1),
    ("curl-trace-ascii.txt", 1),
    ("curl-trace.txt", 1),
    ("express-console-log-parsed.txt", 2),
    ("express-console-log.txt", 2),
    ("express-headers-body.json", 2),
    ("express-pino.jsonl", 11),
    ("express-raw-body.json", 2),
    ("lambda-alb-base64.json", 1),
    ("lambda-alb-multi-value-base64.json", 1),
    ("lambda-alb-multi-value.json", 1),
    ("lambda-alb.json", 1),
    ("lambda-function-url-base64.json", 1),
    ("lambda-function-url.json", 1),
    ("lambda-http-api-base64.json", 1),
    ("lambda-http-api.json", 1),
    ("lambda-rest-base64.json", 1),
    ("lambda-rest.json", 1),
    ("nginx-default.log", 3),
    ("nginx-json.log", 3),
    ("tshark-json.json", 2),
];

#[test]
fn captures_of_real_tools_verify() {
    for (name, count) in GENUINE {
        let done = verify(name);
        assert_eq!((done.code, &*done.log), (0, ""), "{name}: {done:?}");
        assert_eq!(done.output.matches("verifies: the delivery is genuine").count(), count, "{name}: {done:?}");
        assert!(!done.output.contains("does not verify"), "{name}: {done:?}");
        assert_eq!(
            done.output.contains(&format!("{count} verified, 0 did not verify\n")),
            count > 1,
            "{name}: {done:?}"
        );
    }
    let mut names: Vec<_> = fs::read_dir(path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| !GENUINE.iter().any(|(genuine, _)| name == genuine));
    names.sort();
    let others = [
        "curl-verbose-without-body.txt",
        "forms",
        "lambda-events",
        "lossy",
        "make",
        "make-more",
        "nginx-without-body.log",
        "tshark-ek.json",
        "tshark-follow.txt",
    ];
    assert_eq!(names, others);
}

#[test]
fn incomplete_captures_are_reported() {
    for (name, kind) in
        [("curl-verbose-without-body.txt", "curl's output"), ("nginx-without-body.log", "a server's log")]
    {
        let done = verify(name);
        assert!(done.code == 2 && done.log.contains(kind), "{done:?}");
        assert!(
            done.log.contains("no body in a known form was found near them") && !done.log.contains("--timestamp"),
            "{done:?}"
        );
    }
    // The file has dots for the bytes that are not ASCII. Only the first delivery has such bytes.
    let done = verify("tshark-follow.txt");
    let words: Vec<&str> = done.output.split_whitespace().collect();
    assert!(done.code == 1 && words.join(" ").contains("a dot for each byte that is not ASCII"), "{done:?}");
    assert_eq!(verify("tshark-ek.json").output.matches("verifies: ").count(), 2);
}

#[test]
fn captures_of_real_tools_are_replayed_with_their_original_bodies() {
    for (name, count) in GENUINE {
        let upstream = Upstream::start(200, Duration::ZERO);
        let done = run(&["replay", path(name).to_str().unwrap(), "--to", &upstream.url]);
        assert_eq!(done.code, 0, "{name}: {done:?}");
        let requests = upstream.requests();
        assert_eq!(requests.len(), count, "{name}");
        let bodies = ["opportunity.updated", "person.created"].map(|event| data(&format!("{event}.json")));
        for request in requests {
            assert!(bodies.iter().any(|body| *body == request.body), "{name}");
            assert!(request.header("x-twenty-webhook-signature").is_some(), "{name}");
        }
    }
}

const BODY: &str = r#"{"eventName":"person.created","record":{"id":"1","name":{"firstName":"Zoë's \"🚀\""}}}"#;
const TIME: &str = "1790932471733";

fn signature() -> String {
    let signed_at = Timestamp::from_millis(TIME.parse().unwrap());
    Signer::new(SECRET).unwrap().sign_at(signed_at, BODY).pairs()[1].1.to_string()
}

fn lines() -> String {
    format!("x-twenty-webhook-timestamp: {TIME}\nx-twenty-webhook-signature: {}\n", signature())
}

/// Returns a genuine delivery in forms in which users have it.
fn forms() -> Vec<(&'static str, Vec<u8>)> {
    let (lines, signature) = (lines(), signature());
    let headers = json!({"X-Twenty-Webhook-Timestamp": TIME, "X-Twenty-Webhook-Signature": signature});
    let parsed: Value = serde_json::from_str(BODY).unwrap();
    let list = json!([{"name": "x-twenty-webhook-timestamp", "value": TIME}, {"name": "x-twenty-webhook-signature", "value": signature}]);
    let quoted = lines.lines().map(|line| format!("> {line}\n")).collect::<String>();
    let utf16: Vec<u8> = format!("\u{feff}POST / HTTP/1.1\r\n{}\r\n{BODY}\r\n", lines.replace('\n', "\r\n"))
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let escaped = BODY.replace('\\', "\\x5C").replace('"', "\\x22");
    let chunked = format!("{:x};a=b\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    [
        ("express", json!({"headers": headers, "body": parsed}).to_string()),
        ("har", json!({"log": {"entries": [{"request": {"method": "POST", "headers": list, "postData": {"text": BODY}}}]}}).to_string()),
        ("multi-value", json!({"multiValueHeaders": {"x-twenty-webhook-timestamp": [TIME], "x-twenty-webhook-signature": [signature]}, "body": BODY}).to_string()),
        ("wsgi", json!({"HTTP_X_TWENTY_WEBHOOK_TIMESTAMP": TIME, "HTTP_X_TWENTY_WEBHOOK_SIGNATURE": signature, "body": BODY}).to_string()),
        ("log-line", format!("2026-10-02T09:14:31Z abc INFO Invoke {}\n", json!({"headers": headers, "body": BODY}))),
        ("docker-log", json!({"log": format!("{}\n", json!({"headers": headers, "body": BODY})), "stream": "stdout"}).to_string()),
        ("curl-v", format!("* Connected\n> POST / HTTP/1.1\n{quoted}> \n{BODY}\n* upload completely sent off\n< HTTP/1.1 401 Unauthorized\n< \nno\n")),
        ("pseudo", format!(":method: POST\n:path: /\n{lines}\n{BODY}\n")),
        ("no-version", format!("POST http://localhost/\n{lines}\n{BODY}\n")),
        ("comment", format!("@host = localhost\n\n### person\n# a comment\n// another\nPOST http://localhost/\n{lines}\n{BODY}\n\n###\n")),
        ("fence", format!("\n\nThis is it:\n\n```http\nPOST / HTTP/1.1\n{lines}\n{BODY}\n```\n")),
        ("blank-line-first", format!("\n\nPOST / HTTP/1.1\n{lines}\n{BODY}")),
        ("response-behind", format!("POST / HTTP/1.1\n{lines}content-length: {}\n\n{BODY}HTTP/1.1 401 Unauthorized\n\n", BODY.len())),
        ("response-behind-unknown-length", format!("POST / HTTP/1.1\n{lines}\n{BODY}\n\nHTTP/1.1 401 Unauthorized\n\nno")),
        ("chunked", format!("POST / HTTP/1.1\n{lines}transfer-encoding: chunked\n\n{chunked}")),
        ("dechunked", format!("POST / HTTP/1.1\n{lines}transfer-encoding: chunked\n\n{BODY}")),
        ("wrong-length", format!("POST / HTTP/1.1\n{lines}content-length: 7\n\n{BODY}")),
        ("nginx", format!("1.2.3.4 \"POST / HTTP/1.1\" 401 {TIME} {signature} \"{escaped}\"\n")),
        ("command", format!("curl -X POST https://a/ \\\n {} --data-raw '{}'\n", lines.lines().map(|line| format!("-H '{line}' \\\n")).collect::<String>(), BODY.replace('\'', "'\\''"))),
    ]
    .map(|(name, text)| (name, text.into_bytes()))
    .into_iter()
    .chain([("utf-16", utf16)])
    .collect()
}

#[test]
fn forms_of_a_genuine_delivery_verify() {
    let directory = Directory::new();
    for (name, content) in forms() {
        let file = directory.file(name, content);
        let done = run(&["verify", &file]);
        assert!(done.code == 0 && done.output.starts_with("verifies: "), "{name}: {done:?}");
        // With another secret, the format is not blamed.
        let done = run_with(&["verify", &file], &[("TWENTY_WEBHOOK_SECRET", "another")], b"");
        let cause = match name {
            "wrong-length" => "but was sent with 7",
            "express" => "the file contains the parsed body",
            "nginx" => "the format is unknown",
            // The declared length shows that the body is complete.
            "response-behind" => "no known mistake was found",
            _ => "the capture may differ from the bytes that Twenty signed",
        };
        assert!(done.code == 1 && done.output.contains(cause), "{name}: {done:?}");
        let words: Vec<&str> = done.output.split_whitespace().collect();
        assert!(
            words.join(" ").contains("copy it from this webhook in Twenty again")
                || words.join(" ").to_lowercase().contains("copy the secret from this webhook in twenty again"),
            "{name}: {done:?}"
        );
    }
}

/// Exit code 0 means that all deliveries of a file are genuine, in every format.
#[test]
fn a_second_delivery_of_a_file_is_not_hidden() {
    let directory = Directory::new();
    let tampered = |content: &[u8]| {
        let text = str::from_utf8(content).ok()?.replace("Zo", "No");
        // The second delivery has its own signature, or that of the genuine delivery.
        Some([text.replace(&signature(), &signature().replace('a', "b")), text])
    };
    for (name, genuine) in forms() {
        let Some([other, same]) = tampered(&genuine) else { continue };
        let genuine = String::from_utf8(genuine).unwrap();
        for between in ["\n", "\n\n2026-10-02 a line of a log\n\n"] {
            for (forgery, first) in [(&other, true), (&other, false), (&same, true), (&same, false)] {
                let (one, two) = if first { (&genuine, forgery) } else { (forgery, &genuine) };
                let done = run(&["verify", &directory.file(name, format!("{one}{between}{two}"))]);
                assert_ne!(done.code, 0, "{name}: {done:?}");
                assert!(done.output.contains(" of 2") || done.output.contains("could not be read"), "{name}: {done:?}");
            }
        }
    }
}

/// In these formats, no reader knows the structure of the text.
#[test]
fn several_deliveries_in_text_are_judged_in_order() {
    let directory = Directory::new();
    let one = |forged: bool| {
        let signature = if forged { signature().replace('a', "b") } else { signature() };
        format!(
            "Array\n(\n    [X-Twenty-Webhook-Timestamp] => {TIME}\n    \
             [X-Twenty-Webhook-Signature] => {signature}\n    [Host] => localhost\n)\n{BODY}\n"
        )
    };
    for forged in [vec![false, true], vec![true, false], vec![true, false, true], vec![false, true, false]] {
        let text: String = forged.iter().map(|forged| one(*forged)).collect();
        let done = run(&["verify", &directory.file("print_r.txt", text)]);
        let verdicts = done.output.lines().filter(|line| line.contains("verif") && line.contains(": "));
        let verdicts: Vec<bool> = verdicts.map(|line| line.starts_with("does not verify")).collect();
        assert_eq!((done.code, verdicts), (1, forged), "{done:?}");
    }
    // A delivery that is printed twice counts once.
    let twice = one(false).repeat(2);
    let done = run(&["verify", &directory.file("twice.txt", twice)]);
    assert!(done.code == 0 && done.output.starts_with("verifies: "), "{done:?}");
    // Deliveries that cannot be read are counted.
    let text = format!("{}\nx-twenty-webhook-signature: {}\n", one(false), signature().replace('a', "b"));
    let done = run(&["verify", &directory.file("rest.txt", text)]);
    assert!(done.code == 2 && done.output.contains("1 of 2 deliveries could not be read"), "{done:?}");
    assert!(done.output.ends_with("1 verified, 0 did not verify, 1 could not be read\n"), "{done:?}");
}

/// Reads JSON with short names for the headers, or with the body in separate strings.
#[test]
fn short_names_and_strings_are_read() {
    let directory = Directory::new();
    let parsed: Value = serde_json::from_str(BODY).unwrap();
    for content in [
        json!({"signature": signature(), "timestamp": TIME, "body": BODY}),
        json!({"sig": signature(), "ts": TIME.parse::<u64>().unwrap(), "payload": parsed}),
        json!({"events": [{"message": "START RequestId: a"}, {"message": format!("bad\t{}", json!({"headers": {
            "x-twenty-webhook-timestamp": TIME, "x-twenty-webhook-signature": signature()}, "body": BODY}))}]}),
        json!({"events": [{"message": lines()}, {"message": BODY}]}),
        json!({"Item": {"headers": {"M": {"x-twenty-webhook-timestamp": {"S": TIME},
            "x-twenty-webhook-signature": {"S": signature()}}}, "body": {"S": BODY}}}),
    ] {
        let done = run(&["verify", &directory.file("a.json", content.to_string())]);
        assert!(done.code == 0 && done.output.starts_with("verifies: "), "{content}: {done:?}");
    }
}

/// A request with other names does not verify in a receiver either, whatever surrounds it.
#[test]
fn headers_with_other_names_do_not_verify() {
    let directory = Directory::new();
    for prefix in ["x-original-x-", "HTTP_X_", "x_"] {
        let lines = lines().replace("x-twenty-webhook-", &format!("{prefix}twenty-webhook-"));
        let options: String = lines.lines().map(|line| format!(" -H '{line}'")).collect();
        let data = BODY.replace('\'', "'\\''");
        for request in [
            format!("POST / HTTP/1.1\n{lines}content-length: {}\n\n{BODY}", BODY.len()),
            format!("POST / HTTP/1.1\n{lines}\n{BODY}\nHTTP/1.1 401 Unauthorized\n\n"),
            format!("See:\n\n```http\nPOST / HTTP/1.1\n{lines}\n{BODY}\n```\n"),
            format!("curl http://a/{options} --data-raw '{data}'\n"),
        ] {
            let done = run(&["verify", &directory.file("a.txt", &request)]);
            let is_named = done.output.contains("1. headers were renamed") || done.output.contains("have other names");
            assert!(done.code == 1 && is_named, "{request}: {done:?}");
        }
    }
    // In a map of headers, only another spelling comes from the format.
    let map = |name: &str| {
        let value = |role: &str, value: &str| (format!("{name}{role}"), Value::from(value));
        let headers = Value::from_iter([value("timestamp", TIME), value("signature", &signature())]);
        directory.file("a.json", json!({"headers": headers, "body": BODY}).to_string())
    };
    assert_eq!(run(&["verify", &map("HTTP_X_TWENTY_WEBHOOK_")]).code, 0);
    assert_eq!(run(&["verify", &map("X-Original-X-Twenty-Webhook-")]).code, 1);
}

/// No reader finds the signature within a header's value that a receiver rejects.
#[test]
fn a_decorated_signature_does_not_verify() {
    let directory = Directory::new();
    for (start, end) in [("sha256=", ""), ("v1=", ""), ("<", ">"), ("", ";"), ("", " x"), ("", ", 0")] {
        let value = format!("{start}{}{end}", signature());
        let lines = lines().replace(&signature(), &value);
        let headers = json!({"x-twenty-webhook-timestamp": TIME, "x-twenty-webhook-signature": value});
        for file in [
            format!("POST / HTTP/1.1\n{lines}\n{BODY}"),
            format!("POST / HTTP/1.1\n{lines}\n{BODY}\nHTTP/1.1 401 Unauthorized\n\n"),
            json!({"headers": headers, "body": BODY}).to_string(),
        ] {
            let done = run(&["verify", &directory.file("a.txt", &file)]);
            assert!(done.code == 1 && done.output.starts_with("does not verify: signature"), "{file}: {done:?}");
        }
    }
}

/// A file can exceed the limit of 10,000 deliveries.
#[test]
fn a_forgery_beyond_the_limit_is_reported() {
    let directory = Directory::new();
    let line = |number: usize, signed: &str| {
        let signed_at = Timestamp::from_millis(TIME.parse().unwrap());
        let signature = Signer::new(SECRET).unwrap().sign_at(signed_at, signed).pairs()[1].1.to_string();
        format!("{TIME} {signature} {{\"eventName\":{number}}}\n")
    };
    let genuine = |number: usize| line(number, &format!("{{\"eventName\":{number}}}"));
    let lines: String = (0..10_000).map(genuine).collect();
    let done = run(&["verify", &directory.file("a.log", lines + &line(10_000, "forged"))]);
    let summary = "10000 verified, 0 did not verify, 1 could not be read\n";
    assert!(done.code == 2 && done.output.ends_with(summary), "{}", done.log);
    assert!(done.output.contains("Split it into smaller files"));
}

/// A program may read a request in several system calls.
#[test]
fn reads_of_strace_are_joined() {
    let directory = Directory::new();
    let request = format!("POST / HTTP/1.1\r\n{}\r\n{BODY}", lines().replace('\n', "\r\n"));
    let escape = |part: &[u8]| {
        let escape = |byte: &u8| match byte {
            b'"' | b'\\' => format!("\\{}", char::from(*byte)),
            0..32 | 127.. => format!("\\{byte:03o}"),
            byte => char::from(*byte).to_string(),
        };
        part.iter().map(escape).collect::<String>()
    };
    for len in [40, 100, 180, 1_000] {
        let reads =
            request.as_bytes().chunks(len).map(|part| format!("7  read(20, \"{}\", 65536) = 9\n", escape(part)));
        let calls = reads.collect::<Vec<_>>().join("7  read(17, \"\", 1024) = 8\n");
        let done = run(&["verify", &directory.file("strace.txt", calls)]);
        assert!(done.code == 0 && done.output.starts_with("verifies: "), "{len}: {done:?}");
    }
}

/// Other times in milliseconds, such as that of a log line, are not taken for the timestamp.
#[test]
fn the_timestamp_is_found_among_other_times() {
    let directory = Directory::new();
    let signature = signature();
    let (other, quoted) = ("1790932471799", BODY.replace('"', "\"\""));
    let named = format!("x-twenty-webhook-timestamp={TIME} x-twenty-webhook-signature={signature}");
    for line in [
        format!("{other} INFO {named} body={BODY}\n"),
        format!("INFO {named} body={BODY} finished={other}\n"),
        format!("{named}\nbody={BODY}\nat={other}\n"),
        format!("X-Twenty-Webhook-Signature={signature} at={other} X-Twenty-Webhook-Timestamp={TIME} {BODY}\n"),
        format!("{other} INFO ts={TIME} sig={signature} {BODY}\n"),
        format!(
            "at,x_twenty_webhook_timestamp,x_twenty_webhook_signature,body\n{other},{TIME},{signature},\"{quoted}\"\n"
        ),
        format!(
            "1) 1) \"{other}-0\"\n 2) 1) \"X-Twenty-Webhook-Timestamp\"\n 2) \"{TIME}\"\n 3) \"X-Twenty-Webhook-Signature\"\n 4) \"{signature}\"\n 5) {BODY}\n"
        ),
        // The names of the columns show which of the times it is.
        format!(
            "x_twenty_webhook_timestamp,at,x_twenty_webhook_signature,body\n{TIME},{other},{signature},\"{quoted}\"\n"
        ),
        format!(
            "\"at\",\"x_twenty_webhook_signature\",\"x_twenty_webhook_timestamp\",\"body\"\n\"{other}\",\"{signature}\",\"{TIME}\",\"{quoted}\"\n"
        ),
        // A comma in quotes does not separate columns.
        format!(
            "x_twenty_webhook_signature,body,at,x_twenty_webhook_timestamp\n{signature},\"{quoted}\",{other},{TIME}\n"
        ),
        format!(
            "sep=;\nx_twenty_webhook_timestamp;at;x_twenty_webhook_signature;body\n{TIME};{other};{signature};\"{quoted}\"\n"
        ),
        format!("timestamp\tat\tx_twenty_webhook_signature\tbody\n{TIME}\t{other}\t{signature}\t{BODY}\n"),
        format!(
            " x_twenty_webhook_timestamp | at | x_twenty_webhook_signature | body\n----+----\n {TIME} | {other} | {signature} | {BODY}\n"
        ),
        format!("body,at,x_twenty_webhook_signature,x_twenty_webhook_timestamp\n{BODY},{other},{signature},{TIME}\n"),
    ] {
        let done = run(&["verify", &directory.file("a.log", &line)]);
        assert!(done.code == 0 && done.output.starts_with("verifies: "), "{line}: {done:?}");
    }
}

/// Text in quotes may have escapes, and other text has none.
#[test]
fn log_lines_are_replayed_with_the_bytes_that_verify() {
    let directory = Directory::new();
    let quotes = r#"{"eventName":"person.created","record":{"id":"1","jobTitle":"''"}}"#;
    let slash = r#"{"eventName":"person.created","record":{"id":"1","city":"a\\b"}}"#;
    for (body, written) in [
        (quotes, quotes.to_owned()),
        (slash, slash.to_owned()),
        (quotes, format!("'{}'", quotes.replace('\'', "''"))),
        (slash, format!("b'{}'", slash.replace('\\', "\\\\"))),
    ] {
        let signed_at = Timestamp::from_millis(TIME.parse().unwrap());
        let signature = Signer::new(SECRET).unwrap().sign_at(signed_at, body).pairs()[1].1.to_string();
        let line =
            format!("INFO x-twenty-webhook-timestamp={TIME} x-twenty-webhook-signature={signature} body={written}\n");
        let file = directory.file("a.log", &line);
        let done = run(&["verify", &file]);
        assert!(done.code == 0 && done.output.starts_with("verifies: "), "{line}: {done:?}");
        let upstream = Upstream::start(200, Duration::ZERO);
        assert_eq!(run(&["replay", &file, "--to", &upstream.url]).code, 0);
        assert_eq!(upstream.requests()[0].body, body.as_bytes(), "{line}");
    }
}

/// Clients of databases write the name of the column before the body, and PostgreSQL's bytes in
/// hexadecimal.
#[test]
fn rows_of_databases_are_read() {
    let directory = Directory::new();
    let signature = signature();
    let row = |separator: &str, body: &str| {
        format!(
            "x_twenty_webhook_timestamp{separator}{TIME}\nx_twenty_webhook_signature{separator}{signature}\n\
             body      {separator}{body}\n"
        )
    };
    let digits: String = BODY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let headers = json!({ "x_twenty_webhook_timestamp": TIME, "x_twenty_webhook_signature": signature });
    for text in [
        format!("-[ RECORD 1 ]---\n{}", row(" | ", BODY)),
        row(" = ", BODY),
        row(" = ", &format!("'''{BODY}'''")),
        json!({ "headers": headers, "body": format!("\\x{digits}") }).to_string(),
    ] {
        let file = directory.file("a.txt", &text);
        let done = run(&["verify", &file]);
        assert!(done.code == 0 && done.output.starts_with("verifies: "), "{text}: {done:?}");
        let upstream = Upstream::start(200, Duration::ZERO);
        assert_eq!(run(&["replay", &file, "--to", &upstream.url]).code, 0);
        assert_eq!(upstream.requests()[0].body, BODY.as_bytes(), "{text}");
    }
}

/// Text before the JSON of a request was received, so it is not taken for a column's name.
#[test]
fn text_before_the_body_is_not_ignored() {
    let directory = Directory::new();
    for before in ["\u{feff}", "payload=", "payload = ", "body: ", "\0"] {
        let body = format!("{}\n{before}{BODY}\n", lines());
        let answered = format!("{body}\nHTTP/1.1 200 OK\n\n");
        for text in [format!("POST / HTTP/1.1\n{body}"), format!("POST / HTTP/1.1\n{answered}"), answered.clone()] {
            let done = run(&["verify", &directory.file("a.txt", text)]);
            assert!(done.code == 1 && done.output.contains("\n1. "), "{before:?}: {done:?}");
        }
    }
}

/// Editors append a line end, which is neither the cause of a rejection nor sent.
#[test]
fn a_line_end_after_the_body_is_not_replayed() {
    let directory = Directory::new();
    for end in ["\n", "\r\n", "\n\n"] {
        let file = directory.file("a.http", format!("POST / HTTP/1.1\n{}\n{BODY}{end}", lines()));
        assert_eq!(run(&["verify", &file]).code, 0, "{end:?}");
        let done = run(&["verify", &file, "--as-of", "now"]);
        assert!(done.output.contains("\n1. the signature matches, but was made"), "{end:?}: {done:?}");
        let upstream = Upstream::start(200, Duration::ZERO);
        assert_eq!(run(&["replay", &file, "--to", &upstream.url]).code, 0);
        assert_eq!(upstream.requests()[0].body, BODY.as_bytes(), "{end:?}");
    }
}

/// A program that handles two requests at a time may log both heads before the bodies. The headers
/// are not taken for those of one delivery.
#[test]
fn heads_of_two_deliveries_are_not_one_head() {
    let directory = Directory::new();
    let head = |signature: &str| json!({ "headers": { "x-twenty-webhook-timestamp": TIME, "x-twenty-webhook-signature": signature } });
    let other = BODY.replace("Zo\u{eb}", "Ada");
    let heads = [head(&signature()), head(&"0".repeat(64))];
    let bodies = [BODY, &other].map(|body| json!({ "body": body }));
    let lines = heads.iter().chain(&bodies).map(|line| format!("{line}\n")).collect::<String>();
    let done = run(&["verify", &directory.file("a.jsonl", lines)]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.output.contains("\n1. the headers of several deliveries precede the body"), "{done:?}");
    assert!(done.output.contains("1 of 2 deliveries could not be read"), "{done:?}");
    assert!(!done.output.contains("more than one"), "{done:?}");
}

/// The lines before a body are one head if they have one pair of the headers that receivers read.
#[test]
fn other_headers_do_not_make_a_second_head() {
    let directory = Directory::new();
    let pair = |prefix: &str, time: &str, signature: &str| {
        format!("{prefix}x-twenty-webhook-timestamp: {time}\n{prefix}x-twenty-webhook-signature: {signature}\n")
    };
    let other = ("1790932471799", "0".repeat(64));
    let original = pair("x-original-", other.0, &other.1);
    for text in [format!("\n{original}{}\n{BODY}\n", lines()), format!("\n{}{original}\n{BODY}\n", lines())] {
        let done = run(&["verify", &directory.file("a.txt", &text)]);
        assert!(done.code == 0 && done.output.starts_with("verifies: "), "{text}: {done:?}");
    }
    // Each header was repeated in one head.
    let both = |name: &str, one: &str, two: &str| format!("{name}: {one}\n{name}: {two}\n");
    let times = both("x-twenty-webhook-timestamp", TIME, other.0);
    let signatures = both("x-twenty-webhook-signature", &signature(), &other.1);
    let done = run(&["verify", &directory.file("a.txt", format!("\n{times}{signatures}\n{BODY}\n"))]);
    assert!(done.code == 1 && done.output.contains("\n1. more than one signature"), "{done:?}");
    // These are two heads. It is unclear which bodies belong to them.
    let heads = format!("\n{}{}", lines(), pair("", other.0, &other.1));
    let done = run(&["verify", &directory.file("a.txt", format!("{heads}\n{BODY}\n{BODY}\n"))]);
    assert!(done.code == 2 && !done.output.contains("there is a signature header, but"), "{done:?}");
}

/// Heads without a body may precede or follow a delivery in a log. In each form, the delivery is
/// read with its own headers.
#[test]
fn heads_without_a_body_leave_other_deliveries_as_they_are() {
    let directory = Directory::new();
    let (time, signature) = ("1790932471799", "0".repeat(64));
    let line = |prefix: &str, time: &str, signature: &str, body: &str| {
        format!("{prefix}x-twenty-webhook-signature={signature} x-twenty-webhook-timestamp={time} body={body}\n")
    };
    let (own, other) = (line("", TIME, &self::signature(), BODY), line("INFO ", time, &signature, "-"));
    let head = format!("x-twenty-webhook-timestamp: {time}\nx-twenty-webhook-signature: {signature}\n");
    let row = |number: usize, time: &str, signature: &str| {
        format!(
            "-[ RECORD {number} ]---\nx_twenty_webhook_timestamp | {time}\nx_twenty_webhook_signature | {signature}\n"
        )
    };
    for text in [
        format!("{own}{other}"),
        format!("{other}{own}{other}"),
        own.replace("=", ": ") + &other,
        format!("{head}INFO done\n{}\n{BODY}\n", lines()),
        format!(
            "{}{}body                       | {BODY}\n",
            row(1, time, &signature),
            row(2, TIME, &self::signature())
        ),
    ] {
        let done = run(&["verify", &directory.file("a.log", &text)]);
        assert!(done.output.contains("verifies: ") && done.code > 0, "{text}: {done:?}");
        assert!(!done.output.contains("there is a signature header, but"), "{text}: {done:?}");
    }
}

/// A whole request in JSON may be chunked, and may have a line end after the body.
#[test]
fn whole_requests_in_json_are_read_as_in_text() {
    let directory = Directory::new();
    let headers = json!({ "x-twenty-webhook-timestamp": TIME, "x-twenty-webhook-signature": signature() });
    let chunks = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    for (header, body) in [
        ("", BODY.to_owned()),
        ("", format!("{BODY}\n")),
        ("", format!("{BODY}\r\n\r\n")),
        ("transfer-encoding: chunked\r\n", BODY.to_owned()),
        ("transfer-encoding: chunked\r\n", chunks),
    ] {
        let request = format!("POST / HTTP/1.1\r\n{}{header}\r\n{body}", lines().replace('\n', "\r\n"));
        for json in [json!({ "raw": request }), json!({ "headers": headers, "body": request })] {
            let file = directory.file("a.json", json.to_string());
            let done = run(&["verify", &file]);
            assert!(done.code == 0 && done.output.starts_with("verifies: "), "{json}: {done:?}");
            let upstream = Upstream::start(200, Duration::ZERO);
            assert_eq!(run(&["replay", &file, "--to", &upstream.url]).code, 0);
            assert_eq!(upstream.requests()[0].body, BODY.as_bytes(), "{json}");
        }
    }
}

/// In JSON it is clear where a whole request ends, so text after the body belongs to it.
#[test]
fn text_after_the_body_of_a_request_in_json_is_not_ignored() {
    let directory = Directory::new();
    let headers = json!({ "x-twenty-webhook-timestamp": TIME, "x-twenty-webhook-signature": signature() });
    for (after, code) in [
        ("garbage", 1),
        ("\ngarbage", 1),
        ("\n---", 1),
        ("\n```\n", 1),
        ("garbage\nHTTP/1.1 200 OK\n\n", 1),
        ("\n", 0),
        ("\nHTTP/1.1 200 OK\n\n", 0),
    ] {
        // The chunks may have been joined, although the header says otherwise.
        for head in ["", "transfer-encoding: chunked\n"] {
            let body = format!("POST / HTTP/1.1\n{head}{}\n{BODY}{after}", lines());
            let json = json!({ "headers": headers, "body": body });
            let done = run(&["verify", &directory.file("a.json", json.to_string())]);
            assert_eq!(done.code, code, "{head}{after:?}: {done:?}");
        }
    }
}

/// A program may log the headers of one delivery twice.
#[test]
fn repeated_headers_of_one_delivery_are_clear() {
    let directory = Directory::new();
    let headers = json!({ "x-twenty-webhook-timestamp": TIME, "x-twenty-webhook-signature": signature() });
    let head = json!({ "level": 30, "headers": headers });
    let text = format!("{head}\n{}\n{}\n", json!({ "level": 20, "headers": headers }), json!({ "body": BODY }));
    let done = run_with(&["verify", &directory.file("a.jsonl", text)], &[("TWENTY_WEBHOOK_SECRET", "another")], b"");
    assert!(done.code == 1 && done.output.contains("\n1. the capture may differ"), "{done:?}");
    let redacted = json!({ "x-twenty-webhook-timestamp": TIME, "x-twenty-webhook-signature": "[REDACTED]" });
    let text = format!("{}\n{head}\n{}\n", json!({ "headers": redacted }), json!({ "body": BODY }));
    let done = run_with(&["verify", &directory.file("a.jsonl", text)], &[("TWENTY_WEBHOOK_SECRET", "another")], b"");
    assert!(done.code == 1 && done.output.contains("\n1. the capture may differ"), "{done:?}");
}

/// Text that only begins like a request causes no advice about proxies or Twenty's settings.
#[test]
fn text_that_is_not_a_request_gets_no_advice_about_requests() {
    let directory = Directory::new();
    let mail =
        "Subject: a\nMIME-Version: 1.0\nContent-Type: text/plain\n\nsee attachment\n\nUE9TVCAvcmljaCBIVFRQLzEuMQ0K\n";
    for text in [mail, "w.POST /a HTTP/1.1\nHost: a\n\n{}\n"] {
        let done = run(&["verify", &directory.file("a.txt", text)]);
        assert!(done.code == 2 && done.output.is_empty(), "{text}: {done:?}");
        assert!(!done.log.contains("settings") && !done.log.contains("proxy"), "{text}: {done:?}");
    }
}

/// A wrong length does not prevent the diagnosis, and is reported.
#[test]
fn a_wrong_length_is_reported_with_the_cause() {
    let directory = Directory::new();
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(BODY).unwrap()).unwrap();
    let file =
        directory.file("a.http", format!("POST / HTTP/1.1\n{}content-length: {}\n\n{pretty}\n", lines(), BODY.len()));
    let done = run(&["verify", &file]);
    assert!(done.code == 1 && done.output.contains("1. the body is not the JSON text"), "{done:?}");
    assert!(done.output.contains("content-length says") && !done.output.contains("\n2. "), "{done:?}");
}

#[test]
fn files_without_a_delivery_are_reported() {
    let directory = Directory::new();
    for (content, expected) in [
        (
            json!({"log": {"entries": [{"request": {"headers": []}}]}}).to_string(),
            "looks like a HAR file, but does not contain the headers",
        ),
        (
            json!({"requestContext": {}, "headers": {"host": "a"}, "body": "{}"}).to_string(),
            "looks like an event of AWS Lambda, but",
        ),
        (json!({"info": {}, "item": []}).to_string(), "looks like a Postman collection, but"),
        (
            json!({"headers": {"x-twenty-webhook-signature": "a"}}).to_string(),
            "no body in a known form was found near them",
        ),
        ("<html></html>".to_owned(), "looks like HTML or XML, but contains no readable delivery"),
        (
            "START RequestId: a\nEND RequestId: a\n".to_owned(),
            "looks like a CloudWatch log, but contains no readable delivery",
        ),
        ("hello\n".to_owned(), "looks like text, but contains no readable delivery"),
        ("{}".to_owned(), "is a body without headers"),
        (BODY.to_owned(), "is a body without headers"),
    ] {
        let done = run(&["verify", &directory.file("a", &content)]);
        assert!(done.code == 2 && done.log.contains(expected), "{content}: {done:?}");
        assert_eq!(done.log.contains("--timestamp"), expected.starts_with("is a body"), "{content}: {done:?}");
    }
}

#[test]
fn binary_files_are_reported() {
    let directory = Directory::new();
    for (content, expected) in [
        (&b"\xd4\xc3\xb2\xa1\x02\0\x04\0"[..], "looks like packets (export them"),
        (b"\x0a\x0d\x0d\x0a\x1c\0\0\0", "looks like packets (export them"),
        (b"\x1f\x8b\x08\0\0\0", "looks like a gzip file (unpack it first)"),
        (b"PK\x03\x04\0", "looks like a zip file (unpack it first)"),
        (b"\x89PNG\r\n\x1a\n\0\0", "looks like an image"),
        (b"", "looks like an empty file"),
    ] {
        let file = directory.file("a", content);
        let done = run(&["verify", &file]);
        assert!(done.code == 2 && done.log.contains(expected), "{expected}: {done:?}");
        // With the headers as options, the file is judged as a body.
        let done = run(&["verify", &file, "--timestamp", TIME, "--signature", &signature()]);
        assert!(done.code == 1 && done.output.contains("\n1. the body"), "{expected}: {done:?}");
    }
}

/// A text contains several deliveries with a rule between them.
#[test]
fn rules_between_requests_end_a_body() {
    let directory = Directory::new();
    for rule in ["---", "-----------", "======", "***", "___"] {
        let file = directory.file("a.txt", format!("{0}\n{BODY}\n{rule}\n{0}\n{BODY}\n", lines()));
        let done = run(&["verify", &file]);
        assert!(done.code == 0 && done.output.ends_with("2 verified, 0 did not verify\n"), "{rule}: {done:?}");
    }
}

#[test]
fn many_files_and_directories_are_verified() {
    let directory = Directory::new();
    let inside = directory.path("inside");
    fs::create_dir(&inside).unwrap();
    fs::write(format!("{inside}/b.http"), format!("POST / HTTP/1.1\n{}\n{BODY}", lines())).unwrap();
    fs::write(format!("{inside}/a.har"), &forms()[1].1).unwrap();
    fs::write(format!("{inside}/.hidden"), "nothing").unwrap();
    let done = run(&["verify", &inside]);
    assert!(done.code == 0 && done.output.ends_with("2 verified, 0 did not verify\n"), "{done:?}");
    let (a, b) = (done.output.find("a.har").unwrap(), done.output.find("b.http").unwrap());
    assert!(a < b, "{done:?}");

    let bad = directory.file("bad.http", format!("POST / HTTP/1.1\n{}\n{{}}", lines()));
    let done = run(&["verify", &inside, &bad]);
    assert!(
        done.code == 1
            && done.output.contains("bad.http:\ndoes not verify")
            && done.output.ends_with("2 verified, 1 did not verify\n"),
        "{done:?}"
    );
    let none = directory.file("none.txt", "hello");
    let done = run(&["verify", &none, &inside]);
    assert!(done.code == 2 && done.log.contains("none.txt looks like text"), "{done:?}");
    assert!(done.output.ends_with("2 verified, 0 did not verify, 1 files could not be read\n"), "{done:?}");

    let upstream = Upstream::start(200, Duration::ZERO);
    assert_eq!(run(&["replay", &inside, &bad, "--to", &upstream.url]).code, 0);
    assert_eq!(upstream.requests().len(), 3);
    let empty = directory.path("empty");
    fs::create_dir(&empty).unwrap();
    let done = run(&["verify", &empty]);
    assert!(done.code == 2 && done.log.contains("contains no files"), "{done:?}");
}

/// In each of these files, the body is or may be damaged. This is reported, instead of a wrong
/// secret.
#[test]
fn the_secret_is_not_blamed_for_lost_bytes() {
    let rejected = [
        ("node-object.txt", "the program that printed the body replaced parts of it"),
        ("nul.http", "the body is not JSON, from byte"),
        ("python-pprint.txt", "the file contains the parsed body"),
        ("replaced.http", "the body contains U+FFFD"),
        ("saved-as-ascii.txt", "the body has several dots in a row"),
        ("truncated.log", "the body is incomplete"),
        ("tshark-gap-ascii.txt", "bytes are missing from the packet capture"),
        ("tshark-gap-hex.txt", "bytes are missing from the packet capture"),
        ("tshark-gap-raw.txt", "bytes are missing from the packet capture"),
        ("tshark-gap-yaml.txt", "bytes are missing from the packet capture"),
    ];
    let unread = [
        ("strace.txt", "looks like strace's output"),
        ("tcpdump-a.txt", "looks like tcpdump's text"),
        ("tcpdump-x.txt", "looks like tcpdump's text"),
        ("tshark-details.txt", "looks like packet details of tshark"),
        ("wget-debug.txt", "no body in a known form was found near them"),
    ];
    let verify = |name: &str, secret| {
        let file = path("lossy").join(name);
        run_with(&["verify", file.to_str().unwrap()], &[("TWENTY_WEBHOOK_SECRET", secret)], b"")
    };
    for secret in ["s", "another"] {
        for (name, expected) in rejected {
            let done = verify(name, secret);
            assert!(done.code == 1 && done.output.contains(&format!("\n1. {expected}")), "{name}: {done:?}");
            assert!(!done.output.contains("no known mistake was found"), "{name}: {done:?}");
        }
        for (name, expected) in unread {
            let done = verify(name, secret);
            assert!(done.code == 2 && done.log.contains(expected) && done.output.is_empty(), "{name}: {done:?}");
        }
    }
    assert_eq!(fs::read_dir(path("lossy")).unwrap().count(), rejected.len() + unread.len());
}

/// If a cause is proven, the tool does not report possible losses in the file.
#[test]
fn a_proven_cause_is_reported_without_possible_losses() {
    for name in ["forms/logfmt.log", "forms/parsed-ascii.json", "forms/journal-bytes.json"] {
        let file = path(name);
        let done = run_with(&["verify", file.to_str().unwrap()], &[("TWENTY_WEBHOOK_SECRET", "s\n")], b"");
        assert!(done.code == 1 && done.output.contains("\n1. ") && done.output.contains("white space"), "{done:?}");
        assert!(!done.output.contains("\n2. "), "{name}: {done:?}");
    }
}

/// The files contain one delivery in the forms of many languages' tools, made with the tools or
/// like their output.
#[test]
fn forms_of_other_tools_verify() {
    let mut count = 0;
    for entry in fs::read_dir(path("forms")).unwrap() {
        let file = entry.unwrap().path();
        let done = run_with(&["verify", file.to_str().unwrap()], &[("TWENTY_WEBHOOK_SECRET", "s")], b"");
        assert!(done.code == 0 && done.output.starts_with("verifies: "), "{}: {done:?}", file.display());
        count += 1;
    }
    assert_eq!(count, 42);
}
