//! Finds the signatures in any text. They show whether a reader has found all deliveries, and where
//! one delivery ends and the next one begins.

use std::{collections::HashSet, ops::Range};

use super::{Delivery, Names, body, log::words};

/// The number of bytes before a value that are searched for its name.
const NEAR: usize = 300;

/// The maximum number of words between a name and its value, such as `value` or `string(64)`.
const MAX_WORDS_BETWEEN: usize = 6;

/// Members that only Twenty's bodies have. They show that a body is between two signatures.
const MARKERS: [&[u8]; 2] = [b"eventName", b"eventType"];

/// Returns the positions of all signatures in a text. A signature is 64 hexadecimal digits after
/// the header's name or next to a timestamp.
pub(super) fn places(text: &[u8], names: &Names) -> Vec<Range<usize>> {
    let all = digits(text);
    all.into_iter()
        .filter(|place| role_before(text, place, names) == Some("signature") || is_beside_a_timestamp(text, place))
        .collect()
}

/// Returns whether a text has 64 hexadecimal digits anywhere.
pub(super) fn has_digits(text: &[u8]) -> bool {
    !digits(text).is_empty()
}

/// Returns the signatures in a text that no delivery has, each of them once. Signatures within a
/// delivery's JSON body belong to that delivery.
pub(super) fn unread(text: &[u8], names: &Names, deliveries: &[Delivery]) -> Vec<String> {
    let judged: HashSet<String> = deliveries.iter().flat_map(|delivery| judged(delivery, names)).collect();
    let mut seen = HashSet::new();
    let places = places(text, names).into_iter().filter_map(|place| text.get(place)).map(lower);
    let mut unread: Vec<String> =
        places.filter(|value| !judged.contains(value) && seen.insert(value.clone())).collect();
    if !unread.is_empty() {
        let bodies =
            deliveries.iter().flat_map(|delivery| delivery.other_bodies.iter().chain([&delivery.capture.body]));
        let bodies = bodies.filter(|body| serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok());
        let inside: HashSet<String> =
            bodies.flat_map(|body| digits(body).into_iter().filter_map(|place| body.get(place)).map(lower)).collect();
        unread.retain(|value| !inside.contains(value));
    }
    unread
}

/// Returns the values of a delivery's signature header.
fn values<'a>(delivery: &'a Delivery, names: &Names) -> impl Iterator<Item = &'a [u8]> {
    let headers = delivery.capture.headers.iter().filter(|(name, _)| names.role(name) == Some("signature"));
    headers.map(|(_, value)| &**value)
}

/// Returns the signatures of a delivery. Its header may have several values, and may be repeated.
fn judged<'a>(delivery: &'a Delivery, names: &Names) -> impl Iterator<Item = String> + use<'a> {
    let values: Vec<_> = values(delivery, names).collect();
    values.into_iter().flat_map(|value| digits(value).into_iter().filter_map(move |place| value.get(place))).map(lower)
}

/// Returns the number of signatures in these deliveries, at least one for each.
pub(super) fn count(deliveries: &[Delivery], names: &Names) -> usize {
    let count = |delivery| judged(delivery, names).collect::<HashSet<_>>().len().max(1);
    deliveries.iter().map(count).fold(0, usize::saturating_add)
}

/// Returns whether two deliveries are the same delivery, printed twice.
pub(super) fn is_copy(one: &Delivery, other: &Delivery, names: &Names) -> bool {
    let bodies = |delivery| {
        let Delivery { capture, other_bodies, .. }: &Delivery = delivery;
        other_bodies.iter().chain([&capture.body]).map(|body| body.trim_ascii()).collect::<Vec<_>>()
    };
    let others = bodies(other);
    values(one, names).map(lower).eq(values(other, names).map(lower))
        && bodies(one).iter().any(|body| others.contains(body))
}

/// Returns the parts of a text that have one delivery each, in order.
pub(super) fn parts(text: &[u8], names: &Names) -> Vec<Range<usize>> {
    let is_marked = |range: Range<usize>| {
        let between = text.get(range).unwrap_or_default();
        MARKERS.iter().any(|marker| body::find(between, marker).is_some())
    };
    let places = places(text, names);
    let (Some(first), Some(last)) = (places.first(), places.last()) else { return Vec::new() };
    let is_body_first = is_marked(0..first.start) && !is_marked(last.end..text.len());
    let nexts = places.iter().skip(1).map(|next| next.start).chain([text.len()]);
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (place, next) in places.iter().zip(nexts) {
        // If the same signature occurs again without another body, it is the same delivery.
        let is_same = |last: &Range<usize>| {
            let end = last.end.saturating_sub(64)..last.end;
            let is_equal = text.get(end).map(lower) == text.get(place.clone()).map(lower);
            is_equal && !(is_marked(last.end..place.start) && (is_body_first || is_marked(place.end..next)))
        };
        match groups.last_mut().filter(|last| is_same(last)) {
            Some(last) => last.end = place.end,
            None => groups.push(place.clone()),
        }
    }
    let are_times_first = text.get(..first.start).is_some_and(|head| last_timestamp(head, names).is_some());
    let mut starts = vec![0];
    for (before, after) in groups.iter().zip(groups.iter().skip(1)) {
        let between = text.get(before.end..after.start).unwrap_or_default();
        // Between two heads without a body, the second one begins with its timestamp.
        let is_head = are_times_first && !between.contains(&b'}');
        let head = last_timestamp(between, names).filter(|start| is_head && *start > 0);
        let head = head.map(|start| start_of_head(between, start));
        let cut = if is_body_first { start_of_body(between) } else { head.unwrap_or_else(|| end_of_body(between)) };
        starts.push(before.end.saturating_add(cut));
    }
    let ends = starts.iter().copied().skip(1).chain([text.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// Returns the start of the last line with the name of the timestamp.
fn last_timestamp(text: &[u8], names: &Names) -> Option<usize> {
    let is_timestamp = |word: &str| names.role(word) == Some("timestamp");
    let mut start = 0_usize;
    let starts = text.split(|byte| *byte == b'\n').map(|line| {
        let this = start;
        start = start.saturating_add(line.len()).saturating_add(1);
        (this, line)
    });
    let named = starts.filter(|(_, line)| words(line).any(is_timestamp));
    named.last().map(|(start, _)| start)
}

/// Returns the start of the first of the headers directly before a line. If nothing separates them
/// from the text's start, they may belong to another head, so the line itself is returned.
fn start_of_head(text: &[u8], line: usize) -> usize {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let is_header = |line: &[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.len() < line.len() && !name.is_empty() && name.iter().all(is_name)
    };
    let mut start = line;
    while let Some(end) = start.checked_sub(1) {
        let before = text.get(..end).unwrap_or_default();
        let previous = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        if previous == 0 {
            return line;
        }
        let this = before.get(previous..).unwrap_or_default();
        if !is_header(this) && super::text::is_request_line(this).is_none() {
            break;
        }
        start = previous;
    }
    start
}

/// Returns the line of the first marker, with its line end.
fn marked_line(between: &[u8]) -> Option<Range<usize>> {
    let marker = MARKERS.iter().filter_map(|marker| body::find(between, marker)).min()?;
    let line = between.get(..marker)?.iter().rposition(|byte| *byte == b'\n');
    let start = line.map_or(0, |at| at.saturating_add(1));
    let len = between.get(marker..)?.iter().position(|byte| *byte == b'\n')?;
    Some(start..marker.saturating_add(len).saturating_add(1))
}

/// Returns where the body ends, after the characters on its last line that close it.
fn end_of_body(between: &[u8]) -> usize {
    // The body is on one line.
    let line = marked_line(between).filter(|line| between.get(line.clone()).is_some_and(|line| line.contains(&b'}')));
    if let Some(line) = line {
        return line.end;
    }
    let line_start = || between.iter().rposition(|byte| *byte == b'\n');
    let Some(end) = between.iter().rposition(|byte| *byte == b'}') else {
        let blank = between.windows(2).rposition(|pair| pair == b"\n\n");
        return blank.or_else(line_start).map_or(0, |at| at.saturating_add(1));
    };
    let rest = between.get(end..).unwrap_or_default();
    let line = rest.iter().position(|byte| *byte == b'\n');
    let len = line.unwrap_or_else(|| rest.iter().take_while(|byte| b"}])\"'`,".contains(byte)).count());
    end.saturating_add(len).saturating_add(usize::from(line.is_some()))
}

/// Returns the start of the line on which the next body begins.
fn start_of_body(between: &[u8]) -> usize {
    marked_line(between).map_or(0, |line| line.start)
}

fn lower(value: &[u8]) -> String {
    String::from_utf8_lossy(value).to_ascii_lowercase()
}

/// Returns the positions of all runs of 64 hexadecimal digits. The digits of an escape sequence
/// before a run do not belong to it.
fn digits(text: &[u8]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut at = 0_usize;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let len = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let end = at.saturating_add(len);
        let before = text.get(..at).unwrap_or_default();
        let escape = match len {
            66 if before.ends_with(b"\\x") || before.ends_with(b"%") => Some(2),
            // An equals sign in an e-mail.
            66 if before.ends_with(b"=") && rest.starts_with(b"3D") => Some(2),
            67 if before.ends_with(b"\\") => Some(3),
            68 if before.ends_with(b"\\u") || (before.ends_with(b"%") && rest.starts_with(b"25")) => Some(4),
            // `\n` and `\t` are escapes, and other letters belong to a longer word.
            64 => match before {
                // PostgreSQL writes `\x` before bytes.
                [.., b'\\', b'n' | b'r' | b't' | b'v' | b'x'] => Some(0),
                [.., last] if last.is_ascii_alphanumeric() && !ends_with_color(before) => None,
                _ => Some(0),
            },
            _ => None,
        };
        let is_word = !text.get(end).is_some_and(u8::is_ascii_alphanumeric);
        places.extend(escape.filter(|_| is_word).map(|escape| at.saturating_add(escape)..end));
        at = end.saturating_add(1);
    }
    places
}

/// Whether a text ends with a terminal's escape sequence, as it is or as a log writes it:
/// `\u001b[32m`, `#033[32m`.
fn ends_with_color(text: &[u8]) -> bool {
    const ESCAPES: [&[u8]; 8] =
        [b"\x1b", b"\\u001b", b"\\x1b", b"\\033", b"#033", b"\\e", b"^[", "\u{241b}".as_bytes()];
    let text = text.get(text.len().saturating_sub(40)..).unwrap_or_default();
    let Some((last, parameters)) = text.split_last() else { return false };
    let len = parameters.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
    let start = parameters.get(..parameters.len().saturating_sub(len)).and_then(|start| start.strip_suffix(b"["));
    let start = start.map(<[u8]>::to_ascii_lowercase).unwrap_or_default();
    last.is_ascii_alphabetic() && ESCAPES.iter().any(|escape| start.ends_with(escape))
}

fn before<'a>(text: &'a [u8], place: &Range<usize>) -> &'a [u8] {
    text.get(place.start.saturating_sub(NEAR)..place.start).unwrap_or_default()
}

/// Returns which of the headers the last name before a value means.
pub(super) fn role_before(text: &[u8], place: &Range<usize>, names: &Names) -> Option<&'static str> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let words = before(text, place).rsplit(|byte| !is_name(byte)).filter(|word| !word.is_empty());
    for word in words.take(MAX_WORDS_BETWEEN) {
        let is_value = word.len() >= 13 && word.iter().all(u8::is_ascii_hexdigit);
        match str::from_utf8(word).ok().and_then(|word| names.role(word)) {
            Some(role) => return Some(role),
            None if is_value => return None,
            None => {}
        }
    }
    None
}

/// Returns whether a value is next to a timestamp, perhaps with the nonce between them, or follows
/// a short name such as `sig`.
fn is_beside_a_timestamp(text: &[u8], place: &Range<usize>) -> bool {
    fn is_time(word: &[u8]) -> bool {
        word.len() == 13 && word.starts_with(b"1") && word.iter().all(u8::is_ascii_digit)
    }
    fn is_beside<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> bool {
        words.next().is_some_and(|first| {
            let is_nonce = first.len() == 32 && first.iter().all(u8::is_ascii_hexdigit);
            is_time(first) || is_nonce && words.next().is_some_and(is_time)
        })
    }
    let is_end = |byte: &u8| !byte.is_ascii_alphanumeric();
    let before = || before(text, place).rsplit(is_end).filter(|word| !word.is_empty());
    let behind = text.get(place.end..).unwrap_or_default();
    let behind = behind.get(..behind.len().min(NEAR)).unwrap_or_default();
    let is_short = before().next().is_some_and(|word| {
        let word = word.to_ascii_lowercase();
        word.ends_with(b"sig") || word.ends_with(b"signature")
    });
    is_short || is_beside(before()) || is_beside(behind.split(is_end).filter(|word| !word.is_empty()))
}
