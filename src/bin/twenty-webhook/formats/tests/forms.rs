//! Writes one delivery in many forms.

use serde_json::{Value, json};

use super::{SIGNATURE, TIMESTAMP};

fn base64_encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let digit = |bits: &[u8]| (0..6).fold(0, |digit, at| digit << 1 | bits.get(at).copied().unwrap_or(0));
    let text: String = bits.chunks(6).map(|bits| char::from(DIGITS[usize::from(digit(bits))])).collect();
    format!("{text:=<width$}", width = text.len().next_multiple_of(4))
}

pub(super) fn head(end: &str) -> String {
    format!("X-Twenty-Webhook-Timestamp: {TIMESTAMP}{end}x-twenty-webhook-signature: {SIGNATURE}{end}")
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// Returns a delivery with this body in all forms, each with the form's name.
pub(super) fn forms(body: &str) -> Vec<(&'static str, Vec<u8>)> {
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
    let octal = |text: &str| -> String {
        let escape = |byte: u8| match byte {
            b'"' | b'\\' => format!("\\{}", char::from(byte)),
            b'\r' => "\\r".to_owned(),
            b'\n' => "\\n".to_owned(),
            0..32 | 127.. => format!("\\{byte:03o}"),
            byte => char::from(byte).to_string(),
        };
        text.bytes().map(escape).collect()
    };
    let debug: String = bytes.escape_ascii().map(char::from).collect();
    let rust =
        format!("{{\"x-twenty-webhook-timestamp\": \"{TIMESTAMP}\", \"x-twenty-webhook-signature\": \"{SIGNATURE}\"}}");
    let lines = |write: &dyn Fn(&str) -> String| request.split("\r\n").map(write).collect::<String>();
    let (pairs_of_digits, record) =
        (hex::encode(request.as_bytes()), json!({"headers": map, "body": body}).to_string());
    let cut = record.floor_char_boundary(record.len() / 2);
    let page = request.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
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
        text("response after the body", format!("{request}HTTP/1.1 200 OK\r\n\r\n{{}}")),
        text(
            "response after a body of unknown length",
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
        json("unlabelled base64", json!({"headers": map, "body": encoded})),
        json("hexadecimal", json!({"headers": map, "body": hexadecimal})),
        json("whole request in base64", json!({"request": {"headers": map, "raw": base64_encode(request.as_bytes())}})),
        json("in a string", json!({"a": [{"log": json!({"headers": map, "body": body}).to_string()}]})),
        json("request in a string", json!({"message": request})),
        json("body in another object", json!({"meta": {"headers": map}, "request": {"body": body}})),
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
        text("strace", format!("1  sendto(5, \"{}\", 9, 0, NULL, 0) = 9\n", octal(&request))),
        text("bytes of Rust", format!("[src/main.rs:1:1] &headers = {rust}\n[src/main.rs:2:1] &body = b\"{debug}\"\n")),
        json("a log of Rust", json!({"fields": {"headers": rust, "body": format!("b\"{debug}\"")}})),
        text(
            "lines of Docker",
            lines(&|line| json!({"log": format!("{line}\n"), "stream": "stdout"}).to_string() + "\n"),
        ),
        text(
            "lines of the journal",
            lines(&|line| json!({"MESSAGE": line.as_bytes(), "_PID": "1"}).to_string() + "\n"),
        ),
        text("lines of Kubernetes", lines(&|line| format!("2026-10-02T09:14:31.7Z stdout F {line}\n"))),
        text(
            "a line in parts",
            [("P", &record[..cut]), ("F", &record[cut..])]
                .map(|(mark, part)| format!("2026-10-02T09:14:31.7Z stderr {mark} {part}\n"))
                .concat(),
        ),
        text("CSV", format!("time,message\n1,\"{}\"\n", record.replace('"', "\"\""))),
        text(
            "Burp Suite",
            format!(
                "<?xml version=\"1.0\"?>\n<items><item>\n<request base64=\"true\"><![CDATA[{}]]></request>\n\
                 <response base64=\"true\"><![CDATA[YQ==]]></response></item></items>\n",
                base64_encode(request.as_bytes())
            ),
        ),
        text("a web page", format!("<pre>{page}</pre>")),
        text(
            "tshark's raw stream",
            format!(
                "\n===\nFollow: tcp,raw\nFilter: a\nNode 0: a\nNode 1: b\n{}\n{}\n\t6e6f\n===\n",
                &pairs_of_digits[..40],
                &pairs_of_digits[40..]
            ),
        ),
        text(
            "tshark's YAML",
            format!(
                "peers:\n  - peer: 0\npackets:\n  - packet: 4\n    peer: 0\n    timestamp: 1.5\n\
                 \x20   data: !!binary |\n      {}\n\
                 \x20 - packet: 5\n    peer: 1\n    data: !!binary |\n      YQ==\n",
                base64_encode(request.as_bytes())
            ),
        ),
        text(
            "lists of YAML",
            format!(
                "- request:\n    method: POST\n    headers:\n      X-Twenty-Webhook-Timestamp:\n      - '{TIMESTAMP}'\n      \
                 X-Twenty-Webhook-Signature:\n      - {SIGNATURE}\n    body: '{}'\n",
                body.replace('\'', "''")
            ),
        ),
        text(
            "variables",
            format!(
                "@t = {TIMESTAMP}\n@s={SIGNATURE}\n\n###\nPOST http://localhost/\n\
                 X-Twenty-Webhook-Timestamp: {{{{t}}}}\nX-Twenty-Webhook-Signature: {{{{ s }}}}\n\n{body}\n"
            ),
        ),
        json("colours of a terminal in a string", {
            let lines: String =
                lf.lines().map(|line| line.replace(": ", ":\u{1b}[39m \u{1b}[32m") + "\u{1b}[0m\n").collect();
            json!({"message": format!("{lines}\n{body}\n")})
        }),
        json("JSON behind JSON in a string", json!({"message": format!("{{\"a\":1}}\nand then\n{record}\n")})),
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
