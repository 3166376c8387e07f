//! Reads lines of access logs. Their formats vary, so timestamp, signature and body are found by
//! their shapes. The verification shows whether they belong together.

use std::ops::Range;

use super::{Delivery, Found, Loss, MAX_DELIVERIES, Names, body, json::end_of_value, signatures, text::line_at};

/// Returns the deliveries in lines that have one signature, a timestamp and a body.
pub(super) fn lines(text: &[u8], names: &Names) -> Found {
    let mut found = Found::default();
    let (mut at, mut number) = (0, 0_usize);
    let mut column = None;
    while let Some((line, next)) = line_at(text, at).filter(|_| found.deliveries.len() < MAX_DELIVERIES) {
        number = number.saturating_add(1);
        at = next;
        let Some((signature, timestamp)) = shapes(line, names, column) else {
            column = column_in(line, names).or(column);
            continue;
        };
        let Some(body) = body_in(line) else {
            found.has_headers = true;
            continue;
        };
        let header = |role: &str, value: &[u8]| (format!("{}-{role}", names.prefix), value.to_vec());
        let headers = vec![header("timestamp", timestamp), header("signature", signature)];
        let bodies = readings(line, body);
        let delivery = Delivery::new(method(line), headers, bodies, format!("line {number}"));
        let note = "headers and body were found in a log line by their shapes".to_owned();
        let lost = Some(BY_SHAPES);
        found.deliveries.extend(delivery.map(|delivery| Delivery { notes: vec![note], lost, ..delivery }));
    }
    found
}

/// Returns the only delivery in a text of an unknown format, such as the output of a program or a
/// row of a table.
pub(super) fn whole(text: &[u8], names: &Names) -> Found {
    let mut found = Found::default();
    if text.len() > MAX_TEXT || !names_in(text, names) {
        return found;
    }
    let Some((signature, timestamp)) = shapes(text, names, None) else { return found };
    found.has_headers = true;
    let header = |role: &str, value: &[u8]| (format!("{}-{role}", names.prefix), value.to_vec());
    let headers = vec![header("timestamp", timestamp), header("signature", signature)];
    let Some(body) = body_in(text) else { return found };
    let delivery = Delivery::new(method(text), headers, readings(text, body), String::new());
    found.deliveries.extend(delivery.map(|delivery| Delivery { lost: Some(BY_SHAPES), ..delivery }));
    found
}

/// Returns the readings of a body in a text: with and without the escapes of a format, and with and
/// without the text after the JSON.
fn readings(text: &[u8], body: &[u8]) -> Vec<Vec<u8>> {
    let undoubled = |quote: &str| {
        let text = str::from_utf8(body).ok()?;
        Some(text.replace(&quote.repeat(2), quote).into_bytes()).filter(|undone| undone != body)
    };
    let mut readings = Vec::new();
    let mut all = [unescaped(body), undoubled("\""), undoubled("'"), Some(body.to_vec())];
    // JSON that is not in quotes was probably not changed.
    let start = body.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let is_quoted = text.get(..start).is_some_and(|before| before.ends_with(b"'") || before.ends_with(b"`"));
    if !is_quoted {
        all.rotate_right(1);
    }
    for reading in all.into_iter().flatten() {
        let json = str::from_utf8(&reading).ok().and_then(|text| text.get(..end_of_value(text)?));
        readings.extend(json.filter(|json| json.len() < reading.len()).map(|json| json.as_bytes().to_vec()));
        readings.push(reading);
    }
    // Whole JSON texts are the likeliest, so they come first.
    readings.sort_by_key(|reading| serde_json::from_slice::<serde::de::IgnoredAny>(reading).is_err());
    readings
}

const MAX_TEXT: usize = 1 << 20;

const BY_SHAPES: Loss = Loss {
    is_certain: false,
    what: "the format is unknown: headers and body were found by their shapes",
    advice: "The format may have escaped or changed the body: capture the raw request with \
             `twenty-webhook listen --save`. If the body is as it was sent, copy the secret from this \
             webhook in Twenty again.",
};

/// Returns whether a text contains the name of a signature header.
pub(super) fn names_in(text: &[u8], names: &Names) -> bool {
    words(text).any(|word| names.is_signature(word))
}

/// Returns the words of a text that can be names of headers.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &str> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    text.split(move |byte| !is_name(byte)).filter_map(|word| str::from_utf8(word).ok())
}

/// The column of the timestamp in a table.
#[derive(Clone, Copy)]
struct Column {
    separator: u8,
    number: usize,
}

/// Returns the timestamp's column, if a line has the names of a table's columns.
fn column_in(line: &[u8], names: &Names) -> Option<Column> {
    let is_timestamp = |cell: &[u8]| {
        let name = str::from_utf8(cell).unwrap_or_default().trim().trim_matches('"');
        names.role(name) == Some("timestamp") || name.eq_ignore_ascii_case("timestamp")
    };
    b",;\t|".iter().filter(|separator| line.contains(separator)).find_map(|separator| {
        let number = line.split(|byte| byte == separator).position(is_timestamp)?;
        Some(Column { separator: *separator, number })
    })
}

impl Column {
    /// Returns the cell of this column in a row. A separator in quotes or in the body belongs to
    /// its cell.
    fn cell(self, row: &[u8], body: &Range<usize>) -> Option<Range<usize>> {
        let mut is_quoted = false;
        let mut left = self.number;
        let mut start = 0;
        for (at, byte) in row.iter().enumerate().filter(|(at, _)| !body.contains(at)) {
            is_quoted ^= *byte == b'"';
            if *byte == self.separator && !is_quoted {
                let Some(fewer) = left.checked_sub(1) else { return Some(start..at) };
                (left, start) = (fewer, at.saturating_add(1));
            }
        }
        (left == 0).then_some(start..row.len())
    }
}

/// Returns the 64 digits of a signature and the 13 digits of a timestamp, outside of the body. If
/// there are several times, the timestamp is the one with the header's name or in this column,
/// or else the one that is nearest to the signature. Returns `None` if one of them is missing, or
/// if there are several signatures.
fn shapes<'a>(line: &'a [u8], names: &Names, column: Option<Column>) -> Option<(&'a [u8], &'a [u8])> {
    let range = |part: &[u8]| {
        let start = part.as_ptr().addr().saturating_sub(line.as_ptr().addr());
        start..start.saturating_add(part.len())
    };
    let body = body_in(line).map_or(0..0, range);
    let outside = if body.is_empty() { None } else { line.get(..body.start).zip(line.get(body.end..)) };
    let outside = outside.map(|(before, behind)| [before, behind]);
    let parts = outside.unwrap_or([line, b""]);
    let words = || parts.into_iter().flat_map(|part| part.split(|byte| !byte.is_ascii_alphanumeric()));
    let mut signatures = words().filter(|word| word.len() == 64 && word.iter().all(u8::is_ascii_hexdigit));
    let signature = signatures.next()?;
    if signatures.any(|other| other != signature) {
        return None;
    }
    let is_time = |word: &&[u8]| word.len() == 13 && word.starts_with(b"1") && word.iter().all(u8::is_ascii_digit);
    let place = range(signature);
    let distance = |time: &Range<usize>| {
        let between = if time.start < place.start { time.end..place.start } else { place.end..time.start };
        between.len()
    };
    let field = column.and_then(|column| column.cell(line, &body));
    let is_named = |time: &Range<usize>| {
        field.as_ref().is_some_and(|field| field.contains(&time.start))
            || signatures::role_before(line, time, names) == Some("timestamp")
    };
    let times = words().filter(is_time).map(range);
    let time = times.min_by_key(|time| (!is_named(time), distance(time)))?;
    Some((signature, line.get(time)?))
}

/// Returns the text from the brace that opens an object to the last closing brace.
fn body_in(line: &[u8]) -> Option<&[u8]> {
    let starts = [&b"{\""[..], b"{\\x22", b"{\\\"", b"{\\u0022"];
    // Members of Twenty's bodies are tried first, because other objects may precede the body.
    let brace_before = |member: &[u8]| {
        let at = body::find(line, member)?;
        let before = line.get(at.saturating_sub(8)..at)?;
        let brace = before.iter().rposition(|byte| *byte == b'{')?;
        at.checked_sub(before.len())?.checked_add(brace)
    };
    let twenty = [&b"targetUrl"[..], b"eventName"].into_iter().filter_map(brace_before).min();
    let start = twenty.or_else(|| starts.iter().filter_map(|start| body::find(line, start)).min())?;
    let end = line.iter().rposition(|byte| *byte == b'}')?.checked_add(1)?;
    line.get(start..end)
}

/// Decodes escapes such as `\x22` and `\"`. Returns `None` if there is none, or if one is
/// malformed.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    body::find(text, b"\\")?;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let (escape, after) = after.split_first()?;
        rest = after;
        match escape {
            b'x' => {
                let (digits, after) = after.split_at_checked(2)?;
                bytes.extend(body::hex(digits)?);
                rest = after;
            }
            b'u' => {
                let (digits, after) = after.split_at_checked(4)?;
                // Characters above U+FFFF are two UTF-16 code units.
                let pair = digits.first().is_some_and(|digit| b"dD".contains(digit));
                let pair = if pair { rest.get(..10).zip(rest.get(10..)) } else { None };
                let (digits, after) =
                    pair.filter(|(pair, _)| pair.get(4..6) == Some(b"\\u")).unwrap_or((digits, after));
                let json = format!("\"\\u{}\"", str::from_utf8(digits).ok()?);
                bytes.extend(serde_json::from_str::<String>(&json).ok()?.into_bytes());
                rest = after;
            }
            // C writes bytes as octal escapes, which JSON does not have.
            b'0'..=b'7' => {
                let (digits, after) = rest.split_at_checked(2).filter(|(digits, _)| digits.iter().all(is_octal))?;
                let digit = |byte: u8| u32::from(byte.wrapping_sub(b'0'));
                let value = digits.iter().fold(digit(*escape), |value, byte| value << 3 | digit(*byte));
                bytes.push(u8::try_from(value).ok()?);
                rest = after;
            }
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            other => bytes.push(*other),
        }
    }
    Some(bytes)
}

fn is_octal(byte: &u8) -> bool {
    (b'0'..=b'7').contains(byte)
}

/// Returns the method of a quoted request line such as `"PUT /webhooks/twenty HTTP/1.1"`, unless it
/// is POST.
fn method(line: &[u8]) -> Option<&str> {
    let methods = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"];
    methods.into_iter().find(|method| body::find(line, format!("\"{method} /").as_bytes()).is_some())
}
