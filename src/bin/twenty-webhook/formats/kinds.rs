//! Describes files that no reader can read, for messages.

use super::{body::find, text::line_at};

const PACKETS: &str = "packets (export them from Wireshark as JSON, or with tshark -T json)";
/// The first bytes of binary file formats, with their descriptions.
const MAGIC: [(&[u8], &str); 9] = [
    (b"\xd4\xc3\xb2\xa1", PACKETS),
    (b"\xa1\xb2\xc3\xd4", PACKETS),
    (b"\x4d\x3c\xb2\xa1", PACKETS),
    (b"\x0a\x0d\x0d\x0a", PACKETS),
    (b"\x1f\x8b\x08", "a gzip file (unpack it first)"),
    (b"PK\x03\x04", "a zip file (unpack it first)"),
    (b"SQLite format 3\0", "an SQLite database (export the row as JSON)"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
];

/// Returns the kind of a file that is binary, or that looks readable but lacks the bytes of the
/// body. In such a file, the readers would take some other text for the body.
pub(super) fn without_bytes(text: &[u8]) -> Option<&'static str> {
    let start = text.get(..text.len().min(4_000)).unwrap_or_default();
    let has = |part: &str| find(start, part.as_bytes()).is_some();
    if let Some((_, kind)) = MAGIC.into_iter().find(|(magic, _)| text.starts_with(magic)) {
        Some(kind)
    } else if is_tcpdump(start) {
        Some("tcpdump's text (save the packets with -w, and export them with tshark -T json)")
    } else if start.trim_ascii_start().starts_with(b"Frame ") && has(" bytes on wire") {
        Some("packet details of tshark or Wireshark (export JSON, -T json)")
    } else if has("<pdml ") {
        Some("tshark's PDML (export JSON, -T json)")
    } else {
        None
    }
}

/// `09:14:31.003000 IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [P.], …`
fn is_tcpdump(start: &[u8]) -> bool {
    let mut at = 0;
    while let Some((line, next)) = line_at(start, at) {
        let is_ip = find(line, b" IP ").or_else(|| find(line, b" IP6 ")).is_some_and(|at| at < 60);
        if is_ip && find(line, b" > ").is_some() && find(line, b": Flags [").is_some() {
            return true;
        }
        at = next;
    }
    false
}

/// Returns what a text looks like, for a message.
pub(super) fn kind(text: &[u8]) -> &'static str {
    let has = |part: &str| find(text, part.as_bytes()).is_some();
    let start = text.trim_ascii_start();
    if start.is_empty() {
        "an empty file"
    } else if has("Follow: ") {
        "a stream that tshark followed"
    } else if start.starts_with(b"<") {
        "HTML or XML"
    } else if has("=> Send header") || has("> POST ") {
        "curl's output"
    } else if start.starts_with(b"curl ") {
        "a curl command"
    } else if has("sendto(") || has("recvfrom(") || has("write(") && has("\\r\\n") {
        "strace's output (-s 100000 shows whole texts)"
    } else if has("INIT_START") || has("RequestId") {
        "a CloudWatch log"
    } else if has("\nMIME-Version: ") || has("\nContent-Transfer-Encoding: ") {
        "an e-mail (save the request that is attached to it as a file)"
    } else if has("HTTP/1.") || has("HTTP/2") {
        "an HTTP request or a server's log"
    } else {
        "text"
    }
}
