//! Reads any file as a capture of the command-line tool. The tool reads only what is in the file,
//! and can read the files that it writes. It reads other files in the formats of other tools, or
//! reports an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the tool uses the rest")]
#[path = "../../src/bin/twenty-webhook/capture.rs"]
mod capture;

#[allow(dead_code, reason = "the tool uses the rest")]
#[path = "../../src/bin/twenty-webhook/formats/mod.rs"]
mod formats;

use capture::Capture;
use formats::{Delivery, Names, Reading};

/// The headers that the tool does not write into a file.
const LEFT_OUT: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

fuzz_target!(|file: &[u8]| {
    let names = Names::new(None);
    match formats::read(file, &names) {
        Ok(reading) => assert!(!reading.deliveries.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let capture = match Capture::parse(file) {
        Ok(capture) => capture,
        Err(malformed) => {
            assert!(!malformed.to_string().is_empty());
            return;
        }
    };
    // A file without headers may be taken for a body.
    assert!(Capture::is_one(file) || capture.headers.is_empty());
    let (lines, rest) = head(file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file));
    let headers: Vec<_> = lines.iter().filter_map(|line| header(line)).collect();
    let is_about_file =
        |name: &str| ["captured-at", "content-length"].iter().any(|about| name.eq_ignore_ascii_case(about));
    let sent = headers.iter().filter(|(name, _)| !is_about_file(name));
    assert!(sent.eq(&capture.headers));
    let declared = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let len = declared.map_or(rest.len(), |(_, len)| str::from_utf8(len).expect("digits").parse().expect("a length"));
    assert_eq!(capture.body, rest[..len]);
    assert!(rest[len..].iter().all(|byte| b"\r\n".contains(byte)) && rest.len() <= len + 2);

    let at = capture.captured_at.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let headers = capture.headers.iter().map(|(name, value)| (name, value));
    let written = Capture::write(&capture.method, "/webhooks/twenty?tenant=1", headers, &capture.body, at);
    assert!(Capture::is_one(&written));
    let again = Capture::parse(&written).expect("a written file");
    let is_kept = |(name, _): &&(String, Vec<u8>)| !LEFT_OUT.iter().any(|other| name.eq_ignore_ascii_case(other));
    assert!(again.headers.iter().eq(capture.headers.iter().filter(is_kept)));
    assert_eq!((&again.method, &again.body, again.captured_at), (&capture.method, &capture.body, Some(at)));
    let Reading { deliveries, unread } = formats::read(&written, &names).expect("a written file");
    assert_eq!(unread, 0);
    assert!(
        matches!(&*deliveries, [Delivery { capture, other_bodies, .. }] if *capture == again && other_bodies.is_empty())
    );
});

/// Returns the lines before the first blank line, and the text after it.
fn head(mut text: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut lines = Vec::new();
    loop {
        let end = text.iter().position(|byte| *byte == b'\n').expect("a blank line");
        let line = text[..end].strip_suffix(b"\r").unwrap_or(&text[..end]);
        text = &text[end + 1..];
        if line.is_empty() {
            return (lines, text);
        }
        lines.push(line);
    }
}

/// Returns a header's name and value, or `None` for a request line, which has a space before its
/// first colon.
fn header(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = str::from_utf8(&line[..colon]).ok().filter(|name| !name.contains(' '))?;
    Some((name.to_owned(), line[colon + 1..].trim_ascii().to_vec()))
}
