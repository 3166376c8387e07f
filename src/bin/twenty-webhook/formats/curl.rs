//! Reads curl's commands, and the output of `--trace` and `--trace-ascii`.

use super::{Delivery, Found, Headers, Loss, MAX_DELIVERIES, Names, body, text::line_at};
use crate::capture::{Capture, header};

const DOTS: Loss = Loss {
    is_certain: false,
    what: "curl's --trace-ascii writes a dot for each byte that is not ASCII",
    advice: "If the body has such bytes, capture it with --trace, which writes all bytes. Otherwise copy the \
             secret from this webhook in Twenty again.",
};

/// Returns the deliveries that the commands in a text would post.
pub(super) fn commands(text: &[u8], names: &Names) -> Found {
    let mut found = Found::default();
    let Ok(text) = str::from_utf8(text) else { return found };
    let mut at = 0_usize;
    while found.deliveries.len() < MAX_DELIVERIES
        && let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty())
    {
        let line = rest.lines().next().unwrap_or_default();
        let start = line.trim_start_matches(['$', '>', '#', '%', ' ', '\t']);
        if start.starts_with("curl ") || start.starts_with("curl.exe ") {
            let skipped = line.len().saturating_sub(start.len());
            let command = rest.get(skipped..).unwrap_or_default();
            let (words, len) = if is_cmd(command) { cmd_words(command) } else { words(command) };
            let number = found.deliveries.len().saturating_add(1);
            let (delivery, has_headers) = delivery(&words, number, names);
            found.has_headers |= has_headers && delivery.is_none();
            found.deliveries.extend(delivery);
            at = at.saturating_add(skipped).saturating_add(len);
            if text.get(..at).is_some_and(|read| read.ends_with('\n')) {
                continue;
            }
        }
        // A line has only one command. Looking for more would read the line once for each of them.
        let rest = text.get(at..).unwrap_or_default();
        at = at.saturating_add(rest.find('\n').map_or(rest.len(), |len| len.saturating_add(1)));
    }
    if let [only] = &mut *found.deliveries {
        only.place = String::new();
    }
    found
}

/// Returns the delivery that a command posts, and whether it has the signature headers.
fn delivery(words: &[Vec<u8>], number: usize, names: &Names) -> (Option<Delivery>, bool) {
    let mut headers = Headers::new();
    let mut data: Option<Vec<u8>> = None;
    let mut method = None;
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        let long = word.starts_with(b"--");
        let at = word.iter().position(|byte| *byte == b'=').filter(|_| long);
        let (option, glued) = match at {
            Some(at) => (word.get(..at), word.get(at.saturating_add(1)..)),
            None if long || !word.starts_with(b"-") => (Some(&**word), None),
            None => (word.get(..2), word.get(2..).filter(|rest| !rest.is_empty())),
        };
        let mut value = || glued.or_else(|| words.next().map(Vec::as_slice)).unwrap_or_default();
        match option.unwrap_or_default() {
            b"-H" | b"--header" => {
                headers.extend(header(value()).map(|(name, value)| (name.to_owned(), value.to_vec())));
            }
            b"-X" | b"--request" => method = str::from_utf8(value()).ok(),
            b"-d" | b"--data" | b"--data-raw" | b"--data-binary" | b"--data-ascii" | b"--json" => {
                let value = value();
                match &mut data {
                    Some(data) => {
                        data.push(b'&');
                        data.extend_from_slice(value);
                    }
                    None => data = Some(value.to_vec()),
                }
            }
            _ => {}
        }
    }
    let has_headers = names.are_in(&headers);
    // `@file` means that the data is in another file.
    let data = data.filter(|data| has_headers && !data.is_empty() && !data.starts_with(b"@"));
    let method = method.filter(|method| !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let place = format!("command {number}");
    (data.and_then(|data| Delivery::new(method, headers, vec![data], place)), has_headers)
}

/// Returns the words of a shell's command, and the command's length.
fn words(command: &str) -> (Vec<Vec<u8>>, usize) {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let bytes = command.as_bytes();
    let mut at = 0_usize;
    let next = |at: usize| bytes.get(at).copied();
    while let Some(byte) = next(at) {
        at = at.saturating_add(1);
        match byte {
            b'\n' | b';' | b'|' => break,
            b' ' | b'\t' | b'\r' => words.extend(word.take()),
            b'\\' => match next(at) {
                Some(b'\n') => at = at.saturating_add(1),
                Some(b'\r') => at = at.saturating_add(2),
                Some(escaped) => {
                    word.get_or_insert_default().push(escaped);
                    at = at.saturating_add(1);
                }
                None => {}
            },
            b'\'' => {
                let text = bytes.get(at..).unwrap_or_default();
                let len = text.iter().position(|byte| *byte == b'\'').unwrap_or(text.len());
                word.get_or_insert_default().extend_from_slice(text.get(..len).unwrap_or_default());
                at = at.saturating_add(len).saturating_add(1);
            }
            b'"' => {
                let word = word.get_or_insert_default();
                while let Some(byte) = next(at) {
                    at = at.saturating_add(1);
                    match (byte, next(at)) {
                        (b'"', _) => break,
                        (b'\\', Some(escaped @ (b'"' | b'\\' | b'$' | b'`'))) => {
                            word.push(escaped);
                            at = at.saturating_add(1);
                        }
                        (b'\\', Some(b'\n')) => at = at.saturating_add(1),
                        _ => word.push(byte),
                    }
                }
            }
            b'$' if next(at) == Some(b'\'') => {
                at = at.saturating_add(1);
                let start = at;
                while let Some(byte) = next(at).filter(|byte| *byte != b'\'') {
                    at = at.saturating_add(if byte == b'\\' { 2 } else { 1 });
                }
                let text = command.get(start..at.min(bytes.len())).unwrap_or_default();
                word.get_or_insert_default().extend(ansi_c(text));
                at = at.saturating_add(1);
            }
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    (words, at)
}

/// Decodes the text within `$'…'`.
fn ansi_c(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        bytes.extend_from_slice(plain.as_bytes());
        let mut chars = escape.chars();
        let kind = chars.by_ref().nth(1);
        rest = chars.as_str();
        let mut digits = |most: usize| {
            let len = rest.bytes().take(most).take_while(u8::is_ascii_hexdigit).count();
            let (digits, after) = rest.split_at_checked(len)?;
            rest = after;
            u32::from_str_radix(digits, 16).ok()
        };
        match kind {
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('x') => bytes.extend(digits(2).and_then(|byte| u8::try_from(byte).ok())),
            Some('u') => {
                // Browsers write UTF-16 code units, and two of them for characters above U+FFFF.
                let unit = digits(4).unwrap_or(0xfffd);
                let low = rest.strip_prefix("\\u").filter(|_| (0xd800..0xdc00).contains(&unit));
                let low = low.and_then(|rest| Some((u32::from_str_radix(rest.get(..4)?, 16).ok()?, rest.get(4..)?)));
                let (point, after) = match low {
                    Some((low, after)) if (0xdc00..0xe000).contains(&low) => {
                        let high = unit.wrapping_sub(0xd800) << 10;
                        (high.wrapping_add(low.wrapping_sub(0xdc00)).wrapping_add(0x1_0000), after)
                    }
                    _ => (unit, rest),
                };
                rest = after;
                let c = char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Some(other) => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {}
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Returns whether the command is for Windows' `cmd`, as browsers copy it.
fn is_cmd(command: &str) -> bool {
    // Looks only at the text before the first single quote: `cmd` has no single quotes, and in a
    // shell, any text can follow one.
    let line = command.lines().next().unwrap_or_default().split('\'').next().unwrap_or_default();
    line.contains(" ^\"") || line.trim_end().ends_with(" ^")
}

fn cmd_words(command: &str) -> (Vec<Vec<u8>>, usize) {
    let mut plain = String::new();
    let mut chars = command.char_indices();
    let mut len = command.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '^' => match chars.next() {
                // The command continues on the next line.
                Some((_, '\r')) => {
                    chars.next();
                }
                Some((_, '\n')) | None => {}
                Some((_, escaped)) => plain.push(escaped),
            },
            '\n' => {
                len = at;
                break;
            }
            c => plain.push(c),
        }
    }
    (words(&plain).0, len)
}

/// Reads the output of `--trace` and `--trace-ascii`, which consists of sections with numbered
/// lines.
pub(super) fn traces(text: &[u8], names: &Names) -> Found {
    let mut found = Found::default();
    let mut request: Vec<u8> = Vec::new();
    let mut section: Option<Section> = None;
    let mut is_text = false;
    let mut at = 0;
    let finish = |request: &mut Vec<u8>, is_text: bool, found: &mut Found| {
        let request = std::mem::take(request);
        let Ok(capture) = Capture::parse(&request).or_else(|_| Capture::parse(&without_length(&request))) else {
            return;
        };
        if !names.are_in(&capture.headers) {
            return;
        }
        if capture.body.is_empty() {
            found.has_headers = true;
            return;
        }
        let number = found.deliveries.len().saturating_add(1);
        let Capture { method, headers, body, .. } = capture;
        let bodies = vec![body::without_line_ends(&body).to_vec(), body];
        let delivery = Delivery::new(Some(&method), headers, bodies, format!("request {number}"));
        found.deliveries.extend(delivery.map(|delivery| Delivery { lost: is_text.then_some(DOTS), ..delivery }));
    };
    while let Some((line, next)) = line_at(text, at).filter(|_| found.deliveries.len() < MAX_DELIVERIES) {
        at = next;
        // `--trace-time` puts the time first.
        let mark = line.get(..line.len().min(40)).unwrap_or_default();
        let marked = |mark_of: &[u8]| body::find(mark, mark_of).is_some();
        if marked(b"=> Send ") || marked(b"<= Recv ") || marked(b"== Info") {
            section.take().into_iter().for_each(|section| is_text |= section.append(&mut request));
            if marked(b"=> Send header") {
                finish(&mut request, is_text, &mut found);
                section = Some(Section::new(true));
            } else if marked(b"=> Send data") {
                section = Some(Section::new(false));
            }
        } else if let Some(section) = &mut section {
            section.line(line);
        }
    }
    section.take().into_iter().for_each(|section| is_text |= section.append(&mut request));
    finish(&mut request, is_text, &mut found);
    if let [only] = &mut *found.deliveries {
        only.place = String::new();
    }
    found
}

/// Removes `content-length`, which does not match: `--trace-ascii` writes a dot for each byte that
/// is not ASCII.
fn without_length(request: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(request.len());
    let mut at = 0;
    while let Some((line, next)) = line_at(request, at) {
        let is_length = line.get(..15).is_some_and(|name| name.eq_ignore_ascii_case(b"content-length:"));
        if !is_length {
            kept.extend_from_slice(request.get(at..next).unwrap_or_default());
        }
        at = next;
        if line.is_empty() {
            kept.extend_from_slice(request.get(at..).unwrap_or_default());
            break;
        }
    }
    kept
}

struct Section {
    is_head: bool,
    /// Whether the lines are text, which omits line ends.
    is_text: bool,
    bytes: Vec<u8>,
}

impl Section {
    const fn new(is_head: bool) -> Self {
        Self { is_head, is_text: false, bytes: Vec::new() }
    }

    /// Reads a line such as `0000: 7b 22 61 22 3a 31 7d   {"a":1}` or `0000: {"a":1}`.
    fn line(&mut self, line: &[u8]) {
        let Some((digits, rest)) = line.split_at_checked(5).filter(|(digits, _)| digits.ends_with(b":")) else {
            return;
        };
        let digits = digits.get(..4).and_then(|digits| str::from_utf8(digits).ok());
        let Some(offset) = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()) else { return };
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        // 16 pairs of digits, each with a blank, and then the text.
        let pairs = rest.get(..48).unwrap_or_default();
        let is_pair = |pair: &[u8]| {
            pair == b"   " || matches!(pair, [a, b, b' '] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
        };
        if !pairs.is_empty()
            && pairs.chunks(3).all(is_pair)
            && let Some(bytes) = body::hex(pairs)
        {
            self.bytes.extend(bytes);
            return;
        }
        self.is_text = true;
        // A long line continues at the next offset. A line end takes two bytes. Offsets have four
        // digits, and start again at 0 after `ffff`.
        let (expected, offset) = (self.bytes.len() & 0xffff, offset & 0xffff);
        if offset == expected.wrapping_add(2) & 0xffff {
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.bytes.extend_from_slice(rest);
    }

    /// Returns whether the lines were text.
    fn append(self, request: &mut Vec<u8>) -> bool {
        request.extend(self.bytes);
        if self.is_head && self.is_text {
            request.extend_from_slice(b"\r\n");
        }
        self.is_text
    }
}
