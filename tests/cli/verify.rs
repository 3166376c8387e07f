//! Tests of `verify`: verdicts and diagnoses.

use serde_json::Value;
use twenty_webhook::verify::{Signer, Timestamp};

use super::{
    Directory, SECRET, run, run_with,
    support::{data, data_path},
};

const BODY: &str =
    r#"{"eventName":"person.created","record":{"name":{"firstName":"Ada\u001b[2J","lastName":"Lovelace"}}}"#;
/// 2026-10-02T09:14:31.733Z
const SIGNED_AT: Timestamp = Timestamp::from_millis(1_790_932_471_733);

/// Returns a capture of a body, with additional headers.
fn capture(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let pairs = Signer::new(SECRET).unwrap().sign_at(SIGNED_AT, &body).pairs();
    let signature: String = pairs.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    [format!("POST / HTTP/1.1\r\n{headers}{signature}\r\n").as_bytes(), body.as_ref()].concat()
}

#[test]
fn a_capture_is_judged_as_of_its_own_time() {
    let directory = Directory::new();
    let file = directory.file("a.http", capture("captured-at: 2026-10-02T09:15:00Z\r\n", BODY));
    let done = run(&["verify", &file]);
    assert_eq!((done.code, &*done.log), (0, ""));
    let lines: Vec<&str> = done.output.lines().collect();
    assert_eq!(lines[0], "verifies: the delivery is genuine and fresh");
    assert_eq!(lines[1], "signed on 2026-10-02T09:14:31.733Z with the secret");
    assert_eq!(lines[2], "person.created  Ada\\u{1b}[2J Lovelace");
    assert_eq!(
        lines[3],
        "judged as of 2026-10-02T09:15:00.000Z, when it was captured; for the current time, use --as-of now"
    );

    let done = run(&["verify", &file, "--as-of", "2026-10-02T09:24:31.733Z"]);
    assert_eq!(done.code, 1);
    assert!(done.output.starts_with("does not verify: ") && done.output.contains("10 min ago"), "{done:?}");
    assert!(done.output.contains("judged as of 2026-10-02T09:24:31.733Z\n"), "{done:?}");
    let done = run(&["verify", &file, "--as-of", "now"]);
    assert!(done.output.contains(", which is now\n"), "{done:?}");

    // The delivery was late when it arrived.
    let late = directory.file("late.http", capture("captured-at: 2026-10-02T10:14:31Z\r\n", BODY));
    let done = run(&["verify", &late]);
    assert!(done.code == 1 && done.output.contains("judged as of 2026-10-02T10:14:31.000Z"), "{done:?}");

    // The capture does not say when the delivery arrived.
    let unknown = directory.file("b.http", capture("", BODY));
    let done = run(&["verify", &unknown]);
    assert!(
        done.code == 0 && done.output.contains(", the delivery's timestamp; for the current time, use --as-of now"),
        "{done:?}"
    );
}

#[test]
fn a_body_that_receivers_reject_by_default_is_marked() {
    let directory = Directory::new();
    for (padding, is_marked) in [(2_000_000, false), (2_100_000, true)] {
        let body = format!(r#"{{"eventName":"person.created","record":{{"id":"{}"}}}}"#, "x".repeat(padding));
        let done = run(&["verify", &directory.file("long.http", capture("", &body))]);
        let mark = format!("the body has {} bytes, and receivers accept 2097152 by default", body.len());
        assert_eq!((done.code, done.output.contains(&mark)), (0, is_marked), "{done:?}");
    }
}

/// A proxy may decompress a body and leave the header as it was.
#[test]
fn a_content_encoding_that_receivers_reject_is_marked() {
    let directory = Directory::new();
    for (header, is_marked) in [
        ("", false),
        ("Content-Encoding: Identity\r\n", false),
        ("content-encoding:\r\n", false),
        ("content-encoding: identity, , identity\r\n", false),
        ("content-encoding: base64\r\n", false),
        ("content-encoding: br\r\n", true),
        ("content-encoding: identity, br\r\n", true),
    ] {
        let done = run(&["verify", &directory.file("encoded.http", capture(header, BODY))]);
        let mark = "the request has a Content-Encoding, which Twenty does not send";
        assert_eq!((done.code, done.output.contains(mark)), (0, is_marked), "{header} {done:?}");
    }
}

#[test]
fn any_body_can_be_verified() {
    let directory = Directory::new();
    for body in [&b"\xff\xfe\0\r\n\r\n"[..], b"\xef\xbb\xbf{}", b"{}\n", b"", b"\r\n", &vec![b'x'; 3 << 20]] {
        let file = directory.file("a.http", capture("", body));
        let done = run(&["verify", &file]);
        assert!(done.code == 0 && done.output.starts_with("verifies"), "{} bytes: {done:?}", body.len());
        let piped = run_with(&["verify", "-"], &[("TWENTY_WEBHOOK_SECRET", SECRET)], &capture("", body));
        assert_eq!(piped.output, done.output);
    }
}

#[test]
fn reports_what_is_wrong_and_what_to_do() {
    let directory = Directory::new();
    let good = String::from_utf8(capture("", BODY)).unwrap();
    for (file, secret, expected) in [
        (good.replace("Lovelace", "Lovelage"), SECRET, "no known mistake was found"),
        (good.clone(), "dev-secret\n", "white space"),
        (good.clone(), "wrong-one", "no known mistake was found"),
        (good.replace("x-twenty-webhook-signature", "x-other"), SECRET, "signature"),
        (good.replace("x-twenty", "x_twenty"), SECRET, "header"),
        (good.replace("1790932471733", "1790932471"), SECRET, "seconds"),
    ] {
        let file = directory.file("a.http", file);
        let done = run_with(&["verify", &file], &[("TWENTY_WEBHOOK_SECRET", secret)], b"");
        assert_eq!((done.code, &*done.log), (1, ""), "{expected}: {done:?}");
        assert!(done.output.starts_with("does not verify: "), "{done:?}");
        // The tool wraps lines.
        let words: Vec<&str> = done.output.split_whitespace().collect();
        assert!(done.output.contains("\n1. ") && words.join(" ").contains(expected), "{expected}: {done:?}");
        assert!(!done.output.contains(secret.trim()) && !done.output.contains("Lovel"), "{done:?}");
        // The age is not reported as wrong, whatever the name and the unit of the timestamp header
        // are.
        assert!(done.output.contains("judged as of 2026-10-02T09:14:31."), "{done:?}");
        assert!(!done.output.contains("\n2. "), "{done:?}");
    }
}

/// The age is judged by the signed part of the timestamp, so a change of the header on the way does
/// not make the delivery old.
#[test]
fn a_changed_timestamp_is_not_reported_as_old() {
    let directory = Directory::new();
    let good = String::from_utf8(capture("", BODY)).unwrap();
    for (timestamp, expected) in [
        ("1790932471733,1790932471733", "more than one timestamp"),
        ("1790932471733, 1790932471734", "more than one timestamp"),
        ("1790932471733 ,", "the timestamp is not decimal"),
        ("1790932471733\r\nx-twenty-webhook-timestamp: 5", "more than one timestamp"),
    ] {
        let file = directory.file("a.http", good.replace("1790932471733", timestamp));
        let done = run(&["verify", &file]);
        assert!(done.code == 1 && done.output.contains(expected), "{timestamp}: {done:?}");
        assert!(!done.output.contains("\n2. ") && !done.output.contains(" ago"), "{timestamp}: {done:?}");
        assert!(done.output.contains("judged as of 2026-10-02T09:14:31.733Z, the delivery's timestamp"), "{done:?}");
    }
    let signature = good.lines().find_map(|line| line.strip_prefix("x-twenty-webhook-signature: ")).unwrap();
    let body = directory.file("body.json", BODY);
    for timestamp in [" 1790932471733", "1790932471733\t", " 1790932471733, 1790932471733 "] {
        let done = run(&["verify", &body, "--timestamp", timestamp, "--signature", signature]);
        assert!(done.code == 1 && !done.output.contains("\n2. "), "{timestamp}: {done:?}");
        assert!(done.output.contains("the delivery's timestamp"), "{timestamp}: {done:?}");
    }
    let done = run(&["verify", &body, "--timestamp", "soon", "--signature", signature]);
    assert!(done.output.contains("which is now, because the delivery has no readable timestamp"), "{done:?}");
}

#[test]
fn a_body_is_verified_with_its_headers_as_options() {
    let vectors: Value = serde_json::from_slice(&data("vectors.json")).unwrap();
    let vectors = vectors.as_array().unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let text = |member: &str| vector[member].as_str().unwrap();
        let file = data_path(&format!("{}.json", text("name"))).into_os_string().into_string().unwrap();
        let arguments = ["verify", &file, "--timestamp", text("timestamp"), "--signature", text("signature")];
        let backwards: String = text("signature").chars().rev().collect();
        let variables = [("TWENTY_WEBHOOK_SECRET", text("secret"))];
        let done = run_with(&arguments, &variables, b"");
        assert_eq!(done.code, 0, "{done:?}");
        let done = run_with(&[&arguments[..5], &[&backwards]].concat(), &variables, b"");
        assert_eq!(done.code, 1, "{done:?}");
        let done = run_with(&arguments[..4], &variables, b"");
        assert!(done.code == 1 && done.output.contains("signature"), "{done:?}");
        let done = run_with(&arguments[..2], &variables, b"");
        assert!(done.code == 2 && done.log.contains("--timestamp and --signature"), "{done:?}");
    }
}

#[test]
fn secrets_are_read_from_every_source() {
    let directory = Directory::new();
    let file = directory.file("a.http", capture("", BODY));
    let plain = directory.file("secret", SECRET);
    let line = directory.file("line", format!("{SECRET}\n"));
    let windows = directory.file("windows", format!("{SECRET}\r\n"));
    let wrong = ("TWENTY_WEBHOOK_SECRET", "wrong");
    for (options, variables, input) in [
        (&["--secret", SECRET][..], &[wrong][..], ""),
        (&["--secret-file", &plain], &[wrong], ""),
        (&["--secret-file", &line], &[], ""),
        (&["--secret-file", &windows], &[], ""),
        (&["--secret-file", "-"], &[], "dev-secret\n"),
        (&[], &[("TWENTY_WEBHOOK_SECRET", SECRET)], ""),
        (&[], &[wrong, ("TWENTY_WEBHOOK_PREVIOUS_SECRET", SECRET)], ""),
    ] {
        let done = run_with(&[&["verify", &file], options].concat(), variables, input.as_bytes());
        assert_eq!(done.code, 0, "{options:?}: {done:?}");
        let is_previous = variables.len() > 1;
        assert_eq!(done.output.contains("with the previous secret"), is_previous, "{done:?}");
    }
    // Another blank line would be a part of the secret, or is a mistake.
    for text in ["dev-secret\n\n", "", "\n", "  ", "a\nb"] {
        let several = directory.file("several", text);
        let done = run_with(&["verify", &file, "--secret-file", &several], &[], b"");
        assert!(done.code == 2 && done.log.contains(&several), "{text:?}: {done:?}");
    }
}
