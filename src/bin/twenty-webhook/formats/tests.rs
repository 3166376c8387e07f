//! A delivery put into each form comes back as it was; and no text, however it was made, costs more
//! than a multiple of its length.

use std::cell::Cell;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SIGNATURE: &str = "db637a878ed8ead21bf94f9127a53221bdf62d33d84522f53ebe55851df42aaf";
const TIMESTAMP: &str = "1790932471733";

fn names() -> Names {
    Names::new(None)
}

fn base64_encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let digit = |bits: &[u8]| (0..6).fold(0, |digit, at| digit << 1 | bits.get(at).copied().unwrap_or(0));
    let text: String = bits.chunks(6).map(|bits| char::from(DIGITS[usize::from(digit(bits))])).collect();
    format!("{text:=<width$}", width = text.len().next_multiple_of(4))
}

fn head(end: &str) -> String {
    format!("X-Twenty-Webhook-Timestamp: {TIMESTAMP}{end}x-twenty-webhook-signature: {SIGNATURE}{end}")
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// The forms of a body, each with a name.
fn forms(body: &str) -> Vec<(&'static str, Vec<u8>)> {
    let (lf, crlf) = (head("\n"), head("\r\n"));
    let map = json!({"x-twenty-webhook-timestamp": TIMESTAMP, "X-Twenty-Webhook-Signature": SIGNATURE});
    let list = json!([
        {"name": "host", "value": "a"},
        {"name": "X-Twenty-Webhook-Timestamp", "value": TIMESTAMP},
        {"name": "X-Twenty-Webhook-Signature", "value": SIGNATURE},
    ]);
    let flat = json!(["Host", "a", "x-twenty-webhook-timestamp", TIMESTAMP, "x-twenty-webhook-signature", SIGNATURE]);
    let pairs = json!([["x-twenty-webhook-timestamp", TIMESTAMP], ["x-twenty-webhook-signature", SIGNATURE]]);
    let (bytes, length) = (body.as_bytes(), body.len());
    let encoded = base64_encode(bytes);
    let quoted: String = lf.lines().map(|line| format!("> {line}\n")).collect();
    let request = format!("POST / HTTP/1.1\r\n{crlf}content-length: {length}\r\n\r\n{body}");
    let (first, rest) = body.split_at(body.floor_char_boundary(length / 2).max(1));
    let chunks: String = [first, rest, ""].map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).concat();
    let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
    let escaped: String = bytes
        .iter()
        .map(|byte| match byte {
            b'"' | b'\\' | 0..32 | 127.. => format!("\\x{byte:02X}"),
            byte => char::from(*byte).to_string(),
        })
        .collect();
    let options: String = lf.lines().map(|line| format!(" -H '{line}'")).collect();
    let shell = body.replace('\'', r"'\''");
    let trace = |title: &str, bytes: &[u8]| {
        let line = |(number, bytes): (usize, &[u8])| {
            let pairs: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
            format!("{:04x}: {pairs:48}{}\n", number * 16, ".".repeat(bytes.len()))
        };
        format!("=> Send {title}, 1 bytes (0x1)\n{}", bytes.chunks(16).enumerate().map(line).collect::<String>())
    };
    let request_head = format!("POST / HTTP/1.1\r\n{crlf}\r\n");
    let python = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"));
    let text = |name, text: String| (name, text.into_bytes());
    let json = |name, value: Value| (name, value.to_string().into_bytes());
    vec![
        text("request", request.clone()),
        text("lines that end with LF", format!("POST /a HTTP/1.1\n{lf}\n{body}")),
        text("a URL and no version", format!("POST http://localhost/\n{lf}\n{body}")),
        text("pseudo-headers", format!(":method: POST\n:authority: a\n{lf}\n{body}")),
        text("no request line, blank lines in front", format!("\r\n\r\n{crlf}\r\n{body}\r\n")),
        text("REST Client", format!("### a\n# b\n@c = d\nPOST http://localhost/\n{lf}\n{body}\n\n###\n")),
        text("Markdown", format!("See:\n\n```http\nPOST / HTTP/1.1\n{lf}\n{body}\n```\n\nEnd.\n")),
        text("two fences", format!("Headers\n```\n{lf}```\n\nBody\n```json\n{body}\n```\n")),
        text("curl -v", format!("*   Trying\n> POST / HTTP/2\n{quoted}>\n{body}\n< HTTP/2 401\n< a: b\n<\n{{}}\n")),
        text("response behind", format!("{request}HTTP/1.1 200 OK\r\n\r\n{{}}")),
        text(
            "response behind a body of unknown length",
            format!("POST / HTTP/1.1\n{lf}\n{body}\nHTTP/1.1 200 OK\n\n{{}}"),
        ),
        text("wrong length", format!("POST / HTTP/1.1\n{lf}content-length: 1\n\n{body}")),
        text("chunked", format!("POST / HTTP/1.1\r\n{crlf}Transfer-Encoding: chunked\r\n\r\n{chunks}")),
        text("no longer chunked", format!("POST / HTTP/1.1\r\n{crlf}Transfer-Encoding: chunked\r\n\r\n{body}")),
        text("browser's pane", format!("host:\nlocalhost\n{}\n{body}", lf.replace(": ", ":\n"))),
        text(
            "a list of fields",
            format!("x-twenty-webhook-timestamp={TIMESTAMP}\nx-twenty-webhook-signature={SIGNATURE}\n\n{body}\n"),
        ),
        ("UTF-16", utf16(&format!("\u{feff}{request}"), u16::to_le_bytes)),
        ("UTF-16 with the high byte first", utf16(&format!("\u{feff}POST / HTTP/1.1\n{lf}\n{body}"), u16::to_be_bytes)),
        text("command", format!("$ curl -sS https://a/{options} --data-raw '{shell}' \\\n  --compressed\n")),
        text(
            "trace",
            format!("== Info: a\n{}{}== Info: b\n", trace("header", request_head.as_bytes()), trace("data", bytes)),
        ),
        text("nginx", format!("::1 - [a] \"POST / HTTP/1.1\" 200 t={TIMESTAMP} s={SIGNATURE} \"{escaped}\" \"a\"\n")),
        json("map", json!({"headers": map, "body": body})),
        json(
            "list",
            json!({"log": {"entries": [{"request": {"headers": list, "postData": {"mimeType": "a", "text": body}}}]}}),
        ),
        json("flat list and raw body", json!({"rawHeaders": flat, "body": {"eventName": 1}, "rawBody": body})),
        json("pairs", json!([{"req": {"headers": pairs}, "payload": body}])),
        json("Buffer", json!({"headers": map, "rawBody": {"type": "Buffer", "data": bytes}})),
        json("array of bytes", json!({"headers": map, "data": bytes})),
        json("base64", json!({"headers": map, "body": encoded, "isBase64Encoded": true})),
        json("base64 that nothing names", json!({"headers": map, "body": encoded})),
        json("hexadecimal", json!({"headers": map, "body": hexadecimal})),
        json("whole request in base64", json!({"request": {"headers": map, "raw": base64_encode(request.as_bytes())}})),
        json("in a string", json!({"a": [{"log": json!({"headers": map, "body": body}).to_string()}]})),
        json("request in a string", json!({"message": request})),
        json("beside", json!({"meta": {"headers": map}, "request": {"body": body}})),
        text("log line", format!("a b [c] {{d}} INFO {} e\n", json!({"headers": map, "body": body}))),
        text(
            "JavaScript",
            format!(
                "got {{\n  headers: {{\n    'x-twenty-webhook-timestamp': '{TIMESTAMP}',\n    \
             'x-twenty-webhook-signature': '{SIGNATURE}'\n  }},\n  body: {},\n  a: undefined,\n}}\n",
                python(body)
            ),
        ),
        text(
            "Python",
            format!(
                "{{'headers': {{'X-Twenty-Webhook-Timestamp': '{TIMESTAMP}', 'X-Twenty-Webhook-Signature': '{SIGNATURE}'}}, \
             'body': {}, 'a': None, 'b': ('c',)}}\n",
                python(body)
            ),
        ),
        json("parsed", json!({"headers": map, "body": Value::Null, "payload": 0}))
            .clone_with(body, |body| format!("{{\"headers\":{map},\"body\":{body}}}")),
    ]
}

trait CloneWith {
    fn clone_with(self, body: &str, write: impl Fn(&str) -> String) -> Self;
}

impl CloneWith for (&'static str, Vec<u8>) {
    fn clone_with(self, body: &str, write: impl Fn(&str) -> String) -> Self {
        (self.0, write(body).into_bytes())
    }
}

/// Bodies as Twenty writes them: JSON of one line, with any characters in its strings.
fn any_body() -> impl Strategy<Value = String> {
    ("\\PC{0,40}", any::<i64>(), any::<String>()).prop_map(|(name, number, other)| {
        let pair = |text: &str| Value::from(text).to_string();
        format!(
            "{{\"eventName\":\"a.created\",\"record\":{{\"id\":{number},\"b\":{},\"c\":[{}]}}}}",
            pair(&name),
            pair(&other)
        )
    })
}

proptest! {
    #[test]
    fn a_delivery_in_each_form_comes_back_as_it_was(body in any_body()) {
        for (form, file) in forms(&body) {
            let found = read(&file, &names()).unwrap_or_else(|error| panic!("{form}: {error}"));
            prop_assert_eq!(found.len(), 1, "{}", form);
            let Delivery { capture, other_bodies, .. } = &found[0];
            let value = |name: &str| {
                let header = capture.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
                header.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            };
            let (timestamp, signature) = (value("x-twenty-webhook-timestamp"), value("x-twenty-webhook-signature"));
            prop_assert_eq!((timestamp.as_deref(), signature.as_deref()), (Some(TIMESTAMP), Some(SIGNATURE)), "{}", form);
            prop_assert_eq!(&*capture.method, "POST");
            let is_body = |other: &Vec<u8>| *other == body.as_bytes();
            prop_assert!(
                is_body(&capture.body) || other_bodies.iter().any(is_body),
                "{}: {} instead of {}", form, String::from_utf8_lossy(&capture.body), body
            );
        }
    }

    /// Several in one file: each comes back, in order.
    #[test]
    fn several_deliveries_come_back_in_order(bodies in proptest::collection::vec(any_body(), 2..5)) {
        let lf = head("\n");
        let map = json!({"x-twenty-webhook-timestamp": TIMESTAMP, "x-twenty-webhook-signature": SIGNATURE});
        let each = |write: &dyn Fn(&String) -> String| bodies.iter().map(write).collect::<String>();
        let envelope = |body: &String| json!({"headers": map, "body": body}).to_string();
        let list = bodies.iter().map(envelope).collect::<Vec<_>>().join(",");
        for file in [
            each(&|body| format!("POST / HTTP/1.1\n{lf}content-length: {}\n\n{body}", body.len())),
            each(&|body| format!("POST / HTTP/1.1\n{lf}\n{body}\n")),
            each(&|body| format!("### a\nPOST http://localhost/\n{lf}\n{body}\n\n")),
            each(&|body| envelope(body) + "\n"),
            each(&|body| format!("2026 INFO {}\n", envelope(body))),
            format!("[{list}]"),
            format!("{{\"data\":[{list}],\"total\":2}}"),
        ] {
            let found = read(file.as_bytes(), &names()).unwrap();
            let found: Vec<_> = found.iter().map(|delivery| String::from_utf8_lossy(&delivery.capture.body)).collect();
            prop_assert_eq!(&found, &bodies, "{}", file);
        }
    }

    #[test]
    fn any_bytes_are_read_or_named(file in any::<Vec<u8>>()) {
        match read(&file, &names()) {
            Ok(found) => prop_assert!(!found.is_empty()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// Each form with a part cut out, and a byte changed.
    #[test]
    fn mutilated_forms_are_read_or_named(body in any_body(), from: prop::sample::Index, len in 0_usize..40, byte: u8) {
        for (_, mut file) in forms(&body) {
            let at = from.index(file.len());
            file[at] = byte;
            file.drain(at..(at + len).min(file.len()));
            let _ = read(&file, &names());
        }
    }
}

thread_local! {
    /// How often places of bodies have been compared.
    pub(super) static COMPARED: Cell<usize> = const { Cell::new(0) };
}

/// Each delivery is compared with few others, however many there are, and the order stays.
#[test]
fn work_is_linear_in_the_number_of_deliveries() {
    let map = json!({"x-twenty-webhook-timestamp": TIMESTAMP, "x-twenty-webhook-signature": SIGNATURE});
    let several = json!({"x-twenty-webhook-timestamp": [TIMESTAMP], "x-twenty-webhook-signature": [SIGNATURE]});
    let envelope =
        |number: usize| json!({"headers": map, "multiValueHeaders": several, "body": format!("{{\"a\":{number}}}")});
    let write: [fn(Vec<Value>) -> String; 3] = [
        |all| Value::from(all).to_string(),
        |all| all.iter().map(|one| format!("{one}\n")).collect(),
        |all| Value::from_iter(all.iter().map(|one| json!({"log": one.to_string()}))).to_string(),
    ];
    for write in write {
        let mut work = Vec::new();
        for count in [500, 2_000] {
            let file = write((0..count).map(envelope).collect());
            COMPARED.set(0);
            let mut found = Vec::new();
            let used = allocation_counter::measure(|| found = read(file.as_bytes(), &names()).unwrap());
            let bodies = found.iter().map(|delivery| String::from_utf8_lossy(&delivery.capture.body));
            assert!(bodies.eq((0..count).map(|number| format!("{{\"a\":{number}}}"))));
            assert!(COMPARED.get() < 20 * count, "{} comparisons for {count}", COMPARED.get());
            work.push(used.bytes_total / u64::try_from(count).unwrap());
        }
        assert!(work[1] < work[0] * 3 / 2, "bytes allocated for each delivery: {work:?}");
    }
}

/// Texts that would be read again and again, or held many times.
#[test]
fn work_and_memory_are_bounded_by_the_file() {
    const LEN: usize = 1 << 15;
    let header = format!("x-twenty-webhook-signature: {SIGNATURE}\n");
    let envelope = json!({"headers": {"x-twenty-webhook-signature": SIGNATURE}, "body": "{}"}).to_string();
    for part in [
        "[",
        "{\"a\":",
        "{",
        "{\"",
        "'",
        "\"",
        "\\",
        "\n",
        "\r\n\r\n",
        "a: b\n",
        "[0,",
        "0,",
        "{},",
        "\"\":0,",
        "curl ",
        "curl -H 'a: b'\n",
        "=> Send header\n",
        "=> Send data\n0000: a\n",
        "> ",
        "> a\n",
        "< HTTP/1.1 200\n",
        "}HTTP/",
        "{\\x22}",
        "1\r\n",
        "``` \n",
        "<Buffer ",
        "'a' +\n",
        "+ 'a'",
        "[A]",
        "(",
        "a(",
        "x-twenty-webhook-signature:\n",
        "POST / HTTP/1.1\n",
        "###\n",
        "{\"headers\":{\"x-twenty-webhook-signature\":\"a\"},\"body\":",
        &header,
        &format!("{header}\n"),
        &format!("{header}\n{{}}\n"),
        &envelope,
        &format!("{envelope}\n"),
        &format!("a {envelope}\n"),
        &format!("1790932471733 {SIGNATURE} {{\"a\n"),
        &format!("1790932471733 {SIGNATURE} {{\"a\":1}}\n"),
    ] {
        for start in
            ["", "a ", "[", "{\"a\":[", "\"", &format!("{header}\n"), &format!("curl -H '{}' -d '", header.trim_end())]
        {
            let file = format!("{start}{}", part.repeat(LEN / part.len()));
            let used = allocation_counter::measure(|| drop(read(file.as_bytes(), &names())));
            assert!(used.bytes_max < 40 * LEN as u64, "{start:.20} {part:.40}: {} bytes", used.bytes_max);
            assert!(used.bytes_total < 400 * LEN as u64, "{start:.20} {part:.40}: {} bytes in all", used.bytes_total);
        }
    }
}

#[test]
fn names_in_every_spelling() {
    let names = names();
    for name in [
        "X-Twenty-Webhook-Signature",
        "x_twenty_webhook_signature",
        "HTTP_X_TWENTY_WEBHOOK_SIGNATURE",
        "req.headers.x-twenty-webhook-signature",
        "xTwentyWebhookSignature",
        "X-Aston-Webhook-Signature",
    ] {
        assert_eq!(names.role(name), Some("signature"), "{name}");
    }
    assert_eq!(names.sent("HTTP_X_TWENTY_WEBHOOK_SIGNATURE"), "x-twenty-webhook-signature");
    assert_eq!(names.sent("x_twenty_webhook_signature"), "x_twenty_webhook_signature", "a fact about the request");
    assert_eq!(Names::new(Some("X-Acme")).role("x-acme-timestamp"), Some("timestamp"));
    for name in ["signature", "x-acme-signature", "", "é"] {
        assert_eq!(names.role(name), None, "{name}");
    }
}
