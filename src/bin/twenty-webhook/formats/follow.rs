//! Reads the output of tshark's `follow`: the bytes of both sides in turns, as ASCII after their
//! number, as hexadecimal digits, as a dump, or as base64 in YAML.

use super::{
    Found, Loss, MAX_DELIVERIES, Names, body,
    text::{DOTS, line_at, requests},
};

const MISSING: Loss = Loss {
    is_certain: true,
    what: "bytes are missing from the packet capture",
    advice: "The capture lost or truncated packets: its buffer was full, its snapshot length was too small, or it \
             began too late. Capture again with all bytes (-s 0) before you check the secret.",
};

/// How the bytes are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Ascii,
    Digits,
    Dump,
    Yaml,
}

/// Returns the requests in the streams of a text.
pub(super) fn streams(text: &[u8], names: &Names) -> Found {
    let mut found = Found::default();
    let mut at = 0;
    while let Some((line, next)) = line_at(text, at).filter(|_| found.deliveries.len() < MAX_DELIVERIES) {
        at = next;
        let kind = line.strip_prefix(b"Follow: ").and_then(|kind| kind.rsplit(|byte| *byte == b',').next());
        let form = match kind {
            Some(b"ascii" | b"utf-8") => Form::Ascii,
            Some(b"raw") => Form::Digits,
            Some(b"hex") => Form::Dump,
            None if line == b"peers:" => Form::Yaml,
            _ => continue,
        };
        let (sides, end) = sides(text, at, form);
        at = end.max(at);
        for side in sides {
            let Found { mut deliveries, has_headers } = requests(&side, names);
            let is_missing = body::find(&side, b" bytes missing in capture file]").is_some();
            let lost = if is_missing { Some(MISSING) } else { (form == Form::Ascii).then_some(DOTS) };
            deliveries.iter_mut().for_each(|delivery| delivery.lost = lost);
            found.has_headers |= has_headers;
            found.deliveries.append(&mut deliveries);
        }
    }
    found
}

/// Returns the bytes that each side sent, and where the stream ends in the text.
fn sides(text: &[u8], start: usize, form: Form) -> ([Vec<u8>; 2], usize) {
    let mut sides = [Vec::new(), Vec::new()];
    let mut is_answer = false;
    let mut at = start;
    while let Some((line, next)) = line_at(text, at) {
        let is_fact = [&b"Filter: "[..], b"Node "].iter().any(|name| line.starts_with(name));
        if !is_fact && (line.starts_with(b"===") || line.starts_with(b"Follow: ")) {
            break;
        }
        at = next;
        if form == Form::Yaml {
            is_answer = peer(line).unwrap_or(is_answer);
        } else {
            is_answer = line.starts_with(b"\t");
        }
        let content = line.trim_ascii();
        let bytes = match form {
            _ if is_fact => None,
            Form::Ascii => {
                str::from_utf8(content).ok().and_then(|count| count.parse().ok()).and_then(|count: usize| {
                    let end = at.checked_add(count)?;
                    let bytes = text.get(at..end)?.to_vec();
                    at = end;
                    Some(bytes)
                })
            }
            Form::Digits => body::hex(content),
            Form::Dump => content.get(10..content.len().min(59)).and_then(body::hex),
            Form::Yaml => Some(content).filter(|_| line.starts_with(b"      ")).and_then(body::base64),
        };
        let [request, answer] = &mut sides;
        (if is_answer { answer } else { request }).extend(bytes.unwrap_or_default());
    }
    (sides, at)
}

/// Reads a line such as `    peer: 1`. Returns whether the second peer sent the bytes after it.
fn peer(line: &[u8]) -> Option<bool> {
    Some(line.trim_ascii().strip_prefix(b"peer: ")? != b"0")
}
