//! Finds the end of a body, and decodes the encodings that files use for bodies.

use super::{
    literal,
    text::{is_request_line, line_at},
};

/// Decodes UTF-16. Returns `None` if the file has another encoding.
pub(super) fn from_utf16(file: &[u8]) -> Option<String> {
    let (little, text) = match file {
        [0xff, 0xfe, text @ ..] => (true, text),
        [0xfe, 0xff, text @ ..] => (false, text),
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => (true, file),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => (false, file),
        _ => return None,
    };
    // A line end that an editor appended as a single byte is ignored.
    let (pairs, _) = text.as_chunks::<2>();
    let units = pairs.iter().map(|pair| if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) });
    char::decode_utf16(units).collect::<Result<String, _>>().ok()
}

pub(super) fn without_line_ends(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r'] = text {
        text = rest;
    }
    text
}

/// Returns where something else begins after a body of unknown length: a response, the next
/// request, or the end of a Markdown fence.
pub(super) fn end(text: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    let mut is_first = true;
    while let Some((line, next)) = line_at(text, at) {
        if !is_first && is_separator(line) {
            return Some(at);
        }
        // A response may follow a JSON text without a line end between them.
        if let Some(glued) =
            find(line, b"}HTTP/").filter(|glued| is_status(line.get(glued.saturating_add(1)..).unwrap_or_default()))
        {
            return at.checked_add(glued)?.checked_add(1);
        }
        is_first = false;
        at = next;
    }
    None
}

pub(super) fn is_separator(line: &[u8]) -> bool {
    let starts = |start: &[u8]| line.starts_with(start);
    starts(b"###")
        || starts(b"---request end---")
        || starts(b"---response ")
        || starts(b"```")
        || starts(b"~~~")
        || starts(b"* ")
        || starts(b"< HTTP/")
        || starts(b"> ")
        || starts(b"{ [")
        || starts(b"} [")
        || starts(b"< {%")
        || starts(b"> {%")
        || matches!(line, [b'-' | b'=' | b'*' | b'_', _, _, ..]) && line.iter().all(|byte| line.first() == Some(byte))
        || is_status(line)
        || is_request_line(line).is_some()
}

/// `HTTP/1.1 401 Unauthorized`
fn is_status(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"HTTP/") else { return false };
    let mut words = rest.split(|byte| *byte == b' ');
    let version = words.next().unwrap_or_default();
    let code = words.next().unwrap_or_default().trim_ascii_end();
    (1..=3).contains(&version.len()) && code.len() == 3 && code.iter().all(u8::is_ascii_digit)
}

/// Returns the position of `part` in `text`.
pub(super) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    let first = part.first()?;
    let mut at = 0_usize;
    loop {
        let rest = text.get(at..)?;
        let next = at.checked_add(rest.iter().position(|byte| byte == first)?)?;
        if text.get(next..)?.starts_with(part) {
            return Some(next);
        }
        at = next.checked_add(1)?;
    }
}

/// Joins the chunks of a body, and returns their length in the file, too. Returns `None` if the
/// text is not chunked, or if the budget of bytes to read is used up.
pub(super) fn unchunk(text: &[u8], budget: &mut usize) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    let mut at = 0_usize;
    while *budget > 0 {
        let (line, next) = line_at(text, at)?;
        *budget = budget.saturating_sub(next.saturating_sub(at));
        let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
        if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let len = usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        if len == 0 {
            // Skips the trailers and the blank line after them.
            let mut at = next;
            while let Some((line, next)) = line_at(text, at) {
                at = next;
                if line.is_empty() {
                    break;
                }
            }
            return Some((body, at));
        }
        let end = next.checked_add(len)?;
        let (chunk, behind) = text.get(next..)?.split_at_checked(len)?;
        *budget = budget.saturating_sub(len);
        body.extend_from_slice(chunk);
        let line_end = [&b"\r\n"[..], b"\n"].into_iter().find(|line_end| behind.starts_with(line_end))?;
        at = end.checked_add(line_end.len())?;
    }
    None
}

/// Returns the readings of a text that may be encoded, the likeliest first. `says_base64` is true
/// if another part of the file says that the text is base64.
pub(super) fn readings(text: &[u8], says_base64: bool) -> Vec<Vec<u8>> {
    let plain = text.trim_ascii_start();
    if !says_base64 && (plain.starts_with(b"{") || plain.is_empty()) {
        return vec![text.to_vec()];
    }
    if let Some(bytes) = literal::bytes(text) {
        return vec![bytes, text.to_vec()];
    }
    let decoded = base64(text)
        .filter(|decoded| says_base64 || is_body(decoded))
        // PostgreSQL writes `\x` before the digits.
        .or_else(|| hex(plain.strip_prefix(b"\\x").unwrap_or(plain)).filter(|decoded| is_body(decoded)));
    decoded.into_iter().chain([text.to_vec()]).collect()
}

/// Returns whether decoded bytes look like JSON or like a whole request.
fn is_body(bytes: &[u8]) -> bool {
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    start.starts_with(b"{") || line_at(bytes, 0).is_some_and(|(line, _)| is_request_line(line).is_some())
}

/// Decodes base64 in either alphabet, with or without padding and line breaks.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != b'=') {
        let sextet = match byte {
            b'A'..=b'Z' => byte.wrapping_sub(b'A'),
            b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => byte.wrapping_sub(b'0').wrapping_add(52),
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(sextet);
        count = count.wrapping_add(1) % 4;
        if count == 0 {
            decoded.extend(bits.to_be_bytes().iter().skip(1));
            bits = 0;
        }
    }
    match count {
        0 => {}
        2 => decoded.extend((bits << 12).to_be_bytes().iter().skip(1).take(1)),
        3 => decoded.extend((bits << 6).to_be_bytes().iter().skip(1).take(2)),
        _ => return None,
    }
    Some(decoded)
}

/// Decodes hexadecimal digits, with or without colons or spaces between the bytes.
pub(super) fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != b':') {
        let digit = u8::try_from(char::from(*byte).to_digit(16)?).ok()?;
        match high.take() {
            None => high = Some(digit << 4),
            Some(high) => decoded.push(high | digit),
        }
    }
    (high.is_none() && !decoded.is_empty()).then_some(decoded)
}

/// Removes the white space between the tokens of a JSON text. If `rewritten` is true, strings with
/// escapes are also written again with the escapes that JavaScript writes.
pub(super) fn compact(json: &str, rewritten: bool) -> Vec<u8> {
    let mut compact = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        let (before, string) = rest.split_at(start);
        compact.extend(before.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        let mut is_escaped = false;
        let is_end = |byte: u8| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        };
        let len = string.bytes().skip(1).position(is_end).and_then(|at| at.checked_add(2)).unwrap_or(string.len());
        let (string, after) = string.split_at(len);
        let has_escapes = rewritten && string.contains('\\');
        let text = if has_escapes { serde_json::from_str::<String>(string).ok() } else { None };
        match text.and_then(|text| serde_json::to_vec(&text).ok()) {
            Some(written) => compact.extend(written),
            None => compact.extend_from_slice(string.as_bytes()),
        }
        rest = after;
    }
    compact.extend(rest.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    compact
}
