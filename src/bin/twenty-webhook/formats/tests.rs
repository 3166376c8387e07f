//! Tests that each form of a delivery is read back unchanged, and that reading a text never costs
//! more than a multiple of the text's length.

use std::cell::Cell;

use proptest::prelude::*;
use serde_json::{Value, json};

use self::forms::{forms, head};
use super::*;

mod forms;

const SIGNATURE: &str = "db637a878ed8ead21bf94f9127a53221bdf62d33d84522f53ebe55851df42aaf";
const TIMESTAMP: &str = "1790932471733";

fn names() -> Names {
    Names::new(None)
}

/// Reads a file and returns only its deliveries.
fn read(file: &[u8], names: &Names) -> Result<Vec<Delivery>, NotFound> {
    super::read(file, names).map(|reading| reading.deliveries)
}

/// Returns a different signature for each delivery.
fn signature(number: usize) -> String {
    format!("{number:02x}{}", &SIGNATURE[2..])
}

/// Returns the numbers of the deliveries that were found, which are in their signatures.
fn numbers(deliveries: &[Delivery]) -> Vec<usize> {
    let signature = |delivery: &Delivery| {
        let header = delivery.capture.headers.iter().find(|(name, _)| names().role(name) == Some("signature"));
        usize::from_str_radix(str::from_utf8(&header.unwrap().1[..2]).unwrap(), 16).unwrap()
    };
    deliveries.iter().map(signature).collect()
}

/// Generates bodies as Twenty writes them: JSON on one line, with any characters in its strings.
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
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Puts several deliveries in each form into one file. Each delivery is found, in order, or is
    /// counted as unread.
    #[test]
    fn no_signature_is_left_out(bodies in proptest::collection::vec(any_body(), 2..4), between in "(\n[a-z ]{0,30}){0,3}\n") {
        let all: Vec<_> = bodies.iter().map(|body| forms(body)).collect();
        let mut wrong = Vec::new();
        for (at, (form, _)) in all[0].iter().enumerate() {
            let mut file = String::new();
            for (number, forms) in all.iter().enumerate() {
                let Ok(text) = str::from_utf8(&forms[at].1) else { continue };
                file += &text.replace(SIGNATURE, &signature(number));
                file += &between;
            }
            if (0..bodies.len()).any(|number| !file.contains(&signature(number))) {
                continue;
            }
            // The alternative is an error, which does not leave out anything silently either.
            let Ok(Reading { deliveries, unread }) = super::read(file.as_bytes(), &names()) else { continue };
            let found = numbers(&deliveries);
            if !found.is_sorted() || found.len() + unread != bodies.len() {
                wrong.push((form, found, unread));
            }
        }
        prop_assert!(wrong.is_empty(), "{:?}", wrong);
    }

    /// Two deliveries in one file have the same signature, but different bodies.
    #[test]
    fn a_second_body_with_the_same_signature_is_found(mut bodies in proptest::collection::vec(any_body(), 2), between in "(\n[a-z ]{0,30}){0,3}\n") {
        bodies[1] = bodies[1].replace("\"eventName\":\"a.", "\"eventName\":\"b.");
        let all: Vec<_> = bodies.iter().map(|body| forms(body)).collect();
        let mut wrong = Vec::new();
        for (at, (form, _)) in all[0].iter().enumerate() {
            let texts: Option<Vec<_>> = all.iter().map(|forms| str::from_utf8(&forms[at].1).ok()).collect();
            let Some(file) = texts.map(|texts| texts.join(&between)).filter(|file| file.contains(SIGNATURE)) else { continue };
            let Ok(Reading { deliveries, unread }) = super::read(file.as_bytes(), &names()) else { continue };
            if deliveries.len() + unread != 2 {
                wrong.push((form, deliveries.len(), unread));
            }
        }
        prop_assert!(wrong.is_empty(), "{:?}", wrong);
    }
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
    fn any_bytes_result_in_deliveries_or_an_error(file in any::<Vec<u8>>()) {
        match read(&file, &names()) {
            Ok(found) => prop_assert!(!found.is_empty()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// Removes a part of each form, and changes a byte.
    #[test]
    fn mutilated_forms_never_panic(body in any_body(), from: prop::sample::Index, len in 0_usize..40, byte: u8) {
        for (_, mut file) in forms(&body) {
            let at = from.index(file.len());
            file[at] = byte;
            file.drain(at..(at + len).min(file.len()));
            let _ = read(&file, &names());
        }
    }
}

thread_local! {
    /// The number of comparisons of bodies' positions.
    pub(super) static COMPARED: Cell<usize> = const { Cell::new(0) };

    /// How many bytes have been searched for the end of a line.
    pub(super) static SCANNED: Cell<usize> = const { Cell::new(0) };
}

/// Each delivery is compared with only a few others, however many deliveries there are. Their order
/// does not change.
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

/// Reads texts that a careless reader would read again and again, or copy many times.
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
        "{\"\":0},",
        "curl ",
        "curl ;",
        "-d a ",
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
        "[A",
        "(",
        "a(",
        "x-twenty-webhook-signature:\n",
        "Follow: tcp,ascii\n",
        "Follow: tcp,raw\n00\n",
        "peers:\n      YQ==\n",
        "<request",
        "<request>",
        "{\"log\":\"a\"}",
        "{\"MESSAGE\":[97]}",
        "2026T stdout F a\n",
        "@a=b\n",
        "{&quot;",
        "{\"\"a\"\":",
        "\"a\":{\"x-twenty-webhook-signature\":\"a\"},",
        "\x1b[1m",
        "---\n",
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
        for start in [
            "",
            "a ",
            "[",
            "{",
            "{\"a\":[",
            "\"",
            &format!("{header}\n"),
            &format!("curl -H '{}' -d '", header.trim_end()),
        ] {
            let file = format!("{start}{}", part.repeat(LEN / part.len()));
            let used = allocation_counter::measure(|| drop(read(file.as_bytes(), &names())));
            assert!(used.bytes_max < 40 * LEN as u64, "{start:.20} {part:.40}: {} bytes", used.bytes_max);
            assert!(used.bytes_total < 400 * LEN as u64, "{start:.20} {part:.40}: {} bytes in all", used.bytes_total);
        }
    }
}

/// Many headers or heads can each lead to the same long text.
#[test]
fn a_text_after_many_heads_is_read_once() {
    let signed = format!("x-twenty-webhook-signature: {SIGNATURE}\n");
    // Each head declares a length that ends at the text after all heads.
    let heads = |count: usize, header: &str, width: usize, text: &str| {
        let len = format!("POST / HTTP/1.1\n{signed}{header}{:width$}\n\n", 0).len();
        let head = |number: usize| {
            let left = len * (count - number - 1);
            let number = if width == 8 { format!("{left:08}") } else { format!("\n{left:08x}\n") };
            format!("POST / HTTP/1.1\n{signed}{header}{number}\n\n")
        };
        (0..count).map(head).collect::<String>() + text
    };
    let long = "x".repeat(100_000);
    let chunks = "\n1\na".repeat(30_000) + "\nz\n";
    let variable = |len: usize| format!("@v = {}\n{signed}{}\n{{}}\n", "x".repeat(len), "a: {{v}}\n".repeat(900));
    let map = json!({"x-twenty-webhook-signature": SIGNATURE});
    let around = |body: &str| {
        let mut value = map.clone();
        for _ in 0..4 {
            value = Value::from_iter((0..6).map(|number| (format!("a{number}"), value.clone())));
        }
        let request = |name: &str, body: &str| {
            let mut value = value.clone();
            value[name] = body.into();
            value.to_string()
        };
        [request("body", body), request(&format!("body{body}"), ""), request("request", body)]
    };
    let list = json!({ long.as_str(): vec![0; 10_000] }).to_string();
    let mut files = vec![
        heads(1_000, "content-length: ", 8, &long),
        heads(1_000, "content-length: ", 8, &" ".repeat(100_000)),
        heads(1_000, "transfer-encoding: chunked\n", 9, &chunks),
        variable(100_000),
        list,
    ];
    files.extend(around(&format!("{{{long}")));
    for file in files {
        SCANNED.set(0);
        let used = allocation_counter::measure(|| drop(read(file.as_bytes(), &names())));
        let len = file.len();
        assert!(used.bytes_max < 40 * len as u64, "{file:.100}: {} of {len}", used.bytes_max);
        assert!(used.bytes_total < 400 * len as u64, "{file:.100}: {} of {len} in all", used.bytes_total);
        assert!(SCANNED.get() < 100 * len, "{file:.100}: {} of {len} read", SCANNED.get());
    }
}

/// Deliveries beyond the limit are counted, even if they have the signatures of other deliveries.
#[test]
fn no_delivery_beyond_the_limit_is_forgotten() {
    let count = MAX_DELIVERIES + 2;
    let own = |number: usize| format!("{number:08x}{}", &SIGNATURE[8..]);
    let body = |number: usize| format!("{{\"eventName\":\"a.b\",\"a\":{number}}}");
    let envelope = |number: usize, signature: &str| {
        let headers = json!({"x-twenty-webhook-timestamp": TIMESTAMP, "x-twenty-webhook-signature": signature});
        json!({"headers": headers, "body": body(number)}).to_string()
    };
    let each = |write: &dyn Fn(usize) -> String| (0..count).map(write).collect::<Vec<_>>();
    for file in [
        each(&|number| format!("{TIMESTAMP} {} {}\n", own(number), body(number))).concat(),
        format!("[{}]", each(&|number| envelope(number, SIGNATURE)).join(",")),
    ] {
        let Reading { deliveries, unread } = super::read(file.as_bytes(), &names()).unwrap();
        assert_eq!((deliveries.len(), unread), (MAX_DELIVERIES, 2), "{file:.100}");
    }
}

/// A terminal's colours and other escapes do not hide a signature.
#[test]
fn escapes_before_a_signature_do_not_hide_it() {
    let known = json!({"headers": {"x-twenty-webhook-timestamp": TIMESTAMP, "x-twenty-webhook-signature": SIGNATURE}, "body": "{}"});
    let other = signature(1);
    for escape in [
        "\x1b[32m",
        "\\u001b[1;32m",
        "\\x1B[0m",
        "\\033[32m",
        "#033[32m",
        "^[[32m",
        "\\e[m",
        "␛[32m",
        "\\n",
        "\\x",
        "\\x20",
        "%20",
        "%2520",
        "=3D",
        "\\012",
        "\\u0020",
        ": ",
    ] {
        let file = format!("{known}\nx-twenty-webhook-signature: {escape}{other}\n");
        let Reading { deliveries, unread } = super::read(file.as_bytes(), &names()).unwrap();
        assert_eq!((deliveries.len(), unread), (1, 1), "{escape}");
    }
    // As a part of a longer word, it is not a signature.
    for before in ["a", "[32m", "G", "0x"] {
        let file = format!("{known}\nx-twenty-webhook-signature: {before}{other}\n");
        assert_eq!(super::read(file.as_bytes(), &names()).unwrap().unread, 0, "{before}");
    }
}

/// A log line in a string may contain more JSON after the first value.
#[test]
fn json_behind_json_in_a_string_is_read() {
    let headers = json!({"x-twenty-webhook-timestamp": TIMESTAMP, "x-twenty-webhook-signature": SIGNATURE});
    let envelope = |body: &str| json!({"headers": headers, "body": body}).to_string();
    for between in ["", "\n", "\nsome line\n", " [x] {y} \n"] {
        let message = envelope("{\"eventName\":1}") + between + &envelope("{\"eventName\":2}");
        let found = read(json!({"message": message}).to_string().as_bytes(), &names()).unwrap();
        let bodies: Vec<_> = found.iter().map(|delivery| &*delivery.capture.body).collect();
        assert_eq!(bodies, [b"{\"eventName\":1}", b"{\"eventName\":2}"], "{between:?}");
    }
}

/// A delivery with several signatures is still one delivery.
#[test]
fn a_delivery_with_two_signatures_is_one() {
    let other = signature(1);
    let joined = format!("{SIGNATURE}, {other}");
    let header = |name: &str, value: &str| format!("{name}: {value}\n");
    let twice = header("x-twenty-webhook-signature", SIGNATURE) + &header("x-twenty-webhook-signature", &other);
    let time = header("x-twenty-webhook-timestamp", TIMESTAMP);
    let quoted = |lines: &str| lines.lines().map(|line| format!("> {line}\n")).collect::<String>();
    for file in [
        format!("POST / HTTP/1.1\n{time}x-twenty-webhook-signature: {joined}\n\n{{\"eventName\":1}}"),
        format!("{}> \n{{\"eventName\":1}}\n< HTTP/1.1 200 OK\n", quoted(&format!("POST / HTTP/1.1\n{twice}{time}"))),
        json!({"headers": {"x-twenty-webhook-timestamp": TIMESTAMP, "x-twenty-webhook-signature": joined}, "body": "{}"}).to_string(),
    ] {
        let Reading { deliveries, unread } = super::read(file.as_bytes(), &names()).unwrap();
        assert_eq!((deliveries.len(), unread), (1, 0), "{file}");
    }
}

#[test]
fn names_are_recognised_in_every_spelling() {
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
    for name in [
        "X-TWENTY-WEBHOOK-SIGNATURE",
        "x_twenty_webhook_signature",
        "HTTP_X_TWENTY_WEBHOOK_SIGNATURE",
        "req.headers.x-twenty-webhook-signature",
        "request_X-Twenty-Webhook-Signature",
        "xTwentyWebhookSignature",
        "headersXTwentyWebhookSignature",
    ] {
        assert_eq!(names.header(name), "x-twenty-webhook-signature", "{name}");
    }
    for name in [
        "X-Original-X-Twenty-Webhook-Signature",
        "ax-twenty-webhook-signature",
        "X-Aston-Webhook-Signature",
        "x-twenty-webhook-signature-2",
    ] {
        assert_eq!(names.header(name), name);
    }
    assert_eq!(Names::new(Some("X-Acme")).role("x-acme-timestamp"), Some("timestamp"));
    for name in ["signature", "x-acme-signature", "", "é"] {
        assert_eq!(names.role(name), None, "{name}");
    }
}
