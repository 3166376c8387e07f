//! Joins a request that strace prints as several calls, because the program reads it in parts.

use super::text::{is_request_line, line_at};

/// Joins the texts of consecutive calls that read from the same descriptor. Returns `None` if there
/// is nothing to join.
pub(super) fn joined(text: &[u8]) -> Option<Vec<u8>> {
    let mut output = Vec::with_capacity(text.len());
    // The beginning of the current call.
    let mut call: Option<&[u8]> = None;
    let mut is_joined = false;
    let mut at = 0;
    while let Some((line, next)) = line_at(text, at) {
        at = next;
        let Some((start, content)) = read(line) else { continue };
        if content.is_empty() {
            continue;
        }
        let is_next = call == Some(start) && !is_request(content);
        if call.is_some() && !is_next {
            output.extend_from_slice(b"\")\n");
        }
        if !is_next {
            output.extend_from_slice(start);
            output.push(b'"');
        }
        is_joined |= is_next;
        call = Some(start);
        output.extend_from_slice(content);
    }
    output.extend_from_slice(b"\")\n");
    is_joined.then_some(output)
}

/// Splits a call such as `7  read(5, "POST …", 65536) = 1000` into the part before its text, and
/// the text. Returns `None` if the line is another call, or if strace has shortened the text.
fn read(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let quote = line.iter().take(80).position(|byte| *byte == b'"')?;
    let (start, rest) = line.split_at_checked(quote)?;
    let is_call = |name: &[u8]| start.windows(name.len()).any(|part| part == name);
    let rest = rest.get(1..).filter(|_| is_call(b"read(") || is_call(b"recvfrom(") || is_call(b"recv("))?;
    let mut is_escaped = false;
    let end = rest.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    })?;
    let (content, behind) = rest.split_at_checked(end)?;
    (!behind.starts_with(b"\"...")).then_some((start, content))
}

/// Returns whether an escaped text begins with a request line.
fn is_request(content: &[u8]) -> bool {
    let line = content.split(|byte| *byte == b'\\').next().unwrap_or_default();
    is_request_line(line).is_some()
}
