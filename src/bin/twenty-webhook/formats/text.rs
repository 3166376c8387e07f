//! Reads HTTP requests in text. There may be lines before the request, prefixes before its lines,
//! pseudo-headers, a request line without a version, and responses or further requests after the
//! body.

use super::{Delivery, Found, Headers, Loss, MAX_DELIVERIES, Names, body, json::end_of_value, literal, log};
use crate::capture::{FRAMING, MAX_HEAD, MAX_HEADERS, header, is_token, method};

/// The maximum number of variables that are read from a file.
const MAX_VARIABLES: usize = 100;

/// The maximum length of a variable's value that is inserted, in bytes. Many headers may refer to
/// the same variable.
const MAX_VALUE: usize = 256;

/// The maximum number of lines between the headers and the body.
const MAX_LINES_BETWEEN: usize = 16;

/// How many bytes after a declared body are read to decide whether it ends there. This is limited,
/// because many heads may declare lengths that end before the same text.
const MAX_BEHIND: usize = 1_000;

pub(super) const DOTS: Loss = Loss {
    is_certain: false,
    what: "tshark's follow writes a dot for each byte that is not ASCII",
    advice: "If the body has such bytes, export JSON (-T json), or follow the stream as raw. Otherwise \
             copy the secret from this webhook in Twenty again.",
};

/// Returns the line at an offset without its line end, and the offset of the next line. Returns
/// `None` at the end of the text.
pub(super) fn line_at(text: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
    let len = rest.iter().position(|byte| *byte == b'\n');
    let line = rest.get(..len.unwrap_or(rest.len()))?;
    #[cfg(test)]
    super::tests::SCANNED.set(super::tests::SCANNED.get().saturating_add(line.len()));
    let next = len.map_or(text.len(), |len| at.saturating_add(len).saturating_add(1));
    Some((line.strip_suffix(b"\r").unwrap_or(line), next))
}

/// Returns whether a file is text and not, for example, an image.
pub(super) fn is_text(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().take(1_000).all(|byte| *byte >= b' ' || b"\t\r\n\x1b".contains(byte))
}

/// Returns the method of a request line, in which the version may be missing.
pub(super) fn is_request_line(line: &[u8]) -> Option<&str> {
    let is_plain = |method: &&str| method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if let Some(method) = method(line).filter(is_plain) {
        return Some(method);
    }
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    let method = str::from_utf8(words.next()?).ok()?;
    let target = words.next()?;
    let is_method = (3..=7).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_target = [&b"/"[..], b"http://", b"https://", b"{{"].iter().any(|start| target.starts_with(start));
    let is_end = words.next().is_none_or(|version| version.starts_with(b"HTTP/"));
    (is_method && is_target && is_end).then_some(method)
}

/// A line of a request's head.
#[derive(Clone, Copy)]
enum Line<'a> {
    Request(&'a str),
    Header(&'a str, &'a [u8]),
    /// Another pseudo-header, such as `:path: /`.
    Other,
}

/// Parses a line. Returns `None` if it cannot belong to a head.
fn line<'a>(text: &'a [u8], names: &Names) -> Option<Line<'a>> {
    let text = bare(text);
    if let Some(method) = is_request_line(text) {
        return Some(Line::Request(method));
    }
    if let Some(pseudo) = text.strip_prefix(b":") {
        let (name, value) = header(pseudo)?;
        let method = str::from_utf8(value).ok().filter(|method| !method.is_empty() && method.bytes().all(is_token));
        return Some(method.filter(|_| name == "method").map_or(Line::Other, Line::Request));
    }
    let is_quoted = |name: &str| name.contains(['\'', '"', '`']);
    // A log line may have several headers and the body. A variable may have the name of a header.
    let names_another = |name: &str, value: &[u8]| {
        let is_value = value.first().is_some_and(|byte| byte.is_ascii_hexdigit() || b"\"'".contains(byte));
        is_value && names.is_signature(name) && log::names_in(value, names)
    };
    if let Some((name, value)) = header(text)
        && !is_quoted(name)
    {
        if names_another(name, value) {
            return None;
        }
        return Some(Line::Header(name, value));
    }
    // `HTTP_X_TWENTY_WEBHOOK_TIMESTAMP=1790932471733`,
    // `x-twenty-webhook-timestamp<TAB>1790932471733`
    let at = text.iter().position(|byte| b"=\t|".contains(byte))?;
    let (name, value) = text.split_at_checked(at)?;
    let name = str::from_utf8(name).ok()?.trim();
    let is_name = !name.is_empty() && name.len() < 100 && name.bytes().all(is_token) && !is_quoted(name);
    let value = value.get(1..)?.trim_ascii();
    // The end of a row in a Markdown table.
    let value = value.strip_suffix(b"|").unwrap_or(value).trim_ascii();
    (is_name && names.is_signature(name) && !names_another(name, value)).then_some(Line::Header(name, value))
}

/// Removes the prefix that curl or Markdown puts before a line.
fn bare(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_start();
    let line = [&b"> "[..], b"| "].iter().find_map(|prefix| line.strip_prefix(*prefix)).unwrap_or(line);
    if line == b">" { b"" } else { line.trim_ascii() }
}

fn is_comment(line: &[u8]) -> bool {
    line.starts_with(b"#") || line.starts_with(b"//")
}

/// Consecutive lines that may be a head.
#[derive(Default)]
struct Head {
    start: usize,
    method: Option<String>,
    headers: Headers,
    /// Whether the last header has a blank value. Then the next line may be the value, as in
    /// browsers' developer tools.
    waits_for_value: bool,
    is_quoted: bool,
    /// Whether one of the headers is the signature or the timestamp.
    is_signed: bool,
    /// `|` or `=`, with which clients of databases separate the names of columns from the values.
    separator: Option<u8>,
}

/// Returns the requests in a text that have signature headers.
pub(super) fn requests(text: &[u8], names: &Names) -> Found {
    let mut found = Found::default();
    let mut head: Option<Head> = None;
    let variables = variables(text);
    // Text that only looks chunked costs time, so the number of bytes that are tried is limited.
    let mut budget = text.len().saturating_mul(8);
    let mut at = 0;
    while found.deliveries.len() < MAX_DELIVERIES {
        let (content, next) = line_at(text, at).unwrap_or((b"", text.len()));
        let is_end = at >= text.len();
        match line(content, names) {
            Some(line) if !is_end => {
                let line = match line {
                    Line::Header(name, value) => Line::Header(name, resolved(value, &variables)),
                    other => other,
                };
                add(head.get_or_insert_with(|| Head { start: at, ..Head::default() }), line, content, names);
                let is_long =
                    |head: &Head| at.saturating_sub(head.start) > MAX_HEAD || head.headers.len() > MAX_HEADERS;
                head = head.filter(|head| !is_long(head));
                at = next;
                continue;
            }
            _ => {}
        }
        let value = bare(content);
        if let Some(waiting) = head.as_mut().filter(|head| head.waits_for_value && !value.is_empty() && !is_end) {
            if let Some((_, empty)) = waiting.headers.last_mut() {
                // YAML writes values as lists of one item.
                let item = value.strip_prefix(b"- ").map(|item| unquoted(item.trim_ascii()));
                *empty = item.unwrap_or(value).to_vec();
            }
            waiting.waits_for_value = false;
            at = next;
            continue;
        }
        // Skips a comment if the head has no signature header yet.
        if is_comment(value) && head.as_ref().is_some_and(|head| !head.is_signed) {
            at = next;
            continue;
        }
        let ended = head.take().filter(|head| head.is_signed);
        at = match ended {
            Some(head) => {
                let start = if value.is_empty() { next } else { at };
                let number = found.deliveries.len().saturating_add(1);
                let (delivery, end) = delivery(text, head, start, number, names, &mut budget);
                found.has_headers |= delivery.is_none();
                found.deliveries.extend(delivery);
                end.max(next)
            }
            None => next,
        };
        if is_end {
            break;
        }
    }
    if let [only] = &mut *found.deliveries {
        only.place = String::new();
    }
    if body::find(text.get(..1_000).unwrap_or(text), b"Follow: ").is_some() {
        found.deliveries.iter_mut().for_each(|delivery| delivery.lost = Some(DOTS));
    }
    found
}

fn add(head: &mut Head, line: Line<'_>, content: &[u8], names: &Names) {
    head.is_quoted |= content.trim_ascii_start().starts_with(b"> ");
    match line {
        Line::Request(method) => {
            // The lines before a request line do not belong to this head, unless this line is the
            // pseudo-header `:method`.
            if !content.trim_ascii_start().starts_with(b":") {
                head.headers.clear();
                head.is_signed = false;
            }
            head.method = Some(method.to_owned());
        }
        Line::Header(name, value) => {
            let is_value = head.waits_for_value && !names.is_signature(name);
            if let Some((_, empty)) = head.headers.last_mut().filter(|_| is_value) {
                *empty = bare(content).to_vec();
                head.waits_for_value = false;
            } else {
                head.waits_for_value = value.is_empty();
                // In a request, another spelling is a fact about the request. In a list of
                // variables, it is not.
                let name = if head.method.is_some() { name.to_owned() } else { names.header(name) };
                if names.is_signature(&name) {
                    head.is_signed = true;
                    head.separator = separator(content);
                }
                head.headers.push((name, unquoted(value).to_vec()));
            }
        }
        Line::Other => {}
    }
}

/// Returns the separator between a column's name and its value.
fn separator(line: &[u8]) -> Option<u8> {
    let at = line.iter().position(|byte| b":=|".contains(byte))?;
    let is_column = line.get(..at)?.ends_with(b" ");
    line.get(at).copied().filter(|separator| is_column && *separator != b':')
}

/// Returns the names and values of a REST Client file's variables: `@name = value`.
fn variables(text: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut variables = Vec::new();
    let mut at = 0;
    while let Some((line, next)) = line_at(text, at).filter(|_| variables.len() < MAX_VARIABLES) {
        at = next;
        let Some(line) = line.strip_prefix(b"@") else { continue };
        let equals = line.iter().position(|byte| *byte == b'=').and_then(|at| line.split_at_checked(at));
        let variable = equals.map(|(name, value)| (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii()));
        variables.extend(variable.filter(|(_, value)| value.len() <= MAX_VALUE));
    }
    variables
}

/// Replaces a value that consists of a variable, such as `{{signature}}`, by the variable's value.
fn resolved<'a>(value: &'a [u8], variables: &[(&'a [u8], &'a [u8])]) -> &'a [u8] {
    let name = value.strip_prefix(b"{{").and_then(|name| name.strip_suffix(b"}}")).map(<[u8]>::trim_ascii);
    let variable = name.and_then(|name| variables.iter().rev().find(|(other, _)| *other == name));
    variable.map_or(value, |(_, value)| value)
}

/// Removes the quotes that YAML and shells put around values.
fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b",").unwrap_or(value);
    match value {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        _ => value,
    }
}

/// Returns the delivery whose body begins at an offset, and where its body ends.
fn delivery(
    text: &[u8],
    mut head: Head,
    start: usize,
    number: usize,
    names: &Names,
    budget: &mut usize,
) -> (Option<Delivery>, usize) {
    let named = |headers: &Headers, name: &str| {
        headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    if head.method.is_none() && is_several(&head.headers, names) {
        return (None, start);
    }
    let declared = named(&head.headers, "content-length").and_then(|value| str::from_utf8(&value).ok()?.parse().ok());
    let is_chunked = named(&head.headers, "transfer-encoding").is_some();
    let rest = text.get(start..).unwrap_or_default();
    // A line such as `body: {…}` shows that this is a list of fields and not a request.
    let field = ["rawBody", "raw_body", "body", "payload", "content", "data"].into_iter().find_map(|name| {
        named(&head.headers, name).filter(|value| value.starts_with(b"{") || value.starts_with(b"ey"))
    });
    let mut notes = Vec::new();
    let (bodies, len) = match field {
        Some(value) => {
            head.headers.retain(|(name, _)| names.role(name).is_some());
            let mut readings = body::readings(&value, false);
            // In single-quoted text, YAML doubles single quotes. In double-quoted text, it escapes
            // as JSON does.
            if let Ok(text) = str::from_utf8(&value) {
                readings.push(text.replace("''", "'").into_bytes());
                readings.extend(serde_json::from_str::<String>(&format!("\"{text}\"")).map(String::into_bytes));
            }
            (readings, 0)
        }
        None => bodies(rest, declared, is_chunked.then_some(budget), &head, &mut notes),
    };
    if notes.is_empty() {
        head.headers.retain(|(name, _)| !FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing)));
    }
    let bodies: Vec<_> = bodies.into_iter().filter(|body| !body.trim_ascii().is_empty()).collect();
    let end = start.saturating_add(len);
    let bodies = if bodies.is_empty() && declared == Some(0) { vec![Vec::new()] } else { bodies };
    let method = head.method.as_deref();
    let bodies =
        if bodies.is_empty() && method.is_some_and(|method| method != "POST") { vec![Vec::new()] } else { bodies };
    let is_elsewhere = bodies.first().is_some_and(|body| body.starts_with(b"< ") || body.starts_with(b"@"));
    let delivery = Delivery::new(method, head.headers, bodies, format!("request {number}")).filter(|_| !is_elsewhere);
    (delivery.map(|delivery| Delivery { notes, declared, ..delivery }), end)
}

/// Returns whether lines are the headers of several deliveries, as in a log: there are several
/// timestamps, and different signatures before and after one of them.
fn is_several(headers: &Headers, names: &Names) -> bool {
    let named = |(name, value)| Some((str::strip_prefix(name, &*names.prefix)?, value));
    let fields: Vec<(&str, &Vec<u8>)> =
        headers.iter().map(|(name, value)| (&**name, value)).filter_map(named).collect();
    let heads = fields.split(|(name, _)| *name == "-timestamp");
    let count = heads.clone().count();
    let mut signatures = heads.filter_map(|head| head.iter().find(|(name, _)| *name == "-signature"));
    let first = signatures.next();
    count > 2 && signatures.any(|other| Some(other) != first)
}

/// Returns the readings of the body with which a text begins, and where the body ends. `chunks` is
/// the number of bytes that may be read to join chunks, if the body is chunked.
fn bodies(
    rest: &[u8],
    declared: Option<usize>,
    chunks: Option<&mut usize>,
    head: &Head,
    notes: &mut Vec<String>,
) -> (Vec<Vec<u8>>, usize) {
    if let Some(budget) = chunks
        && let Some((body, len)) = body::unchunk(rest, budget)
    {
        return (vec![body], len);
    }
    if let Some(declared) = declared
        && let Some((body, behind)) = rest.split_at_checked(declared)
    {
        let next = behind.get(..behind.len().min(MAX_BEHIND)).unwrap_or_default().trim_ascii_start();
        let is_separated = line_at(next, 0).is_none_or(|(line, _)| body::is_separator(line) || line.starts_with(b"<"));
        if is_separated && (declared > 0 || next.is_empty() || !next.starts_with(b"{")) {
            return (vec![body.to_vec()], declared);
        }
    }
    let skipped = between(rest, head.is_quoted);
    let text = rest.get(skipped..).unwrap_or_default();
    // If a separator comes first, there is no body.
    let is_none = line_at(text, 0).is_none_or(|(line, _)| body::is_separator(line) && !line.starts_with(b"> {"));
    if let Some(declared) = declared.filter(|_| skipped > 0 && text.starts_with(b"{"))
        && let Some((body, behind)) = text.split_at_checked(declared)
        && body.ends_with(b"}")
        && behind.first().is_none_or(u8::is_ascii_whitespace)
    {
        return (vec![body.to_vec()], skipped.saturating_add(declared));
    }
    let len = if is_none { 0 } else { body::end(text).unwrap_or(text.len()) };
    let found = text.get(..len).unwrap_or_default();
    let found = if found.starts_with(b"> {") { found.get(2..).unwrap_or_default() } else { found };
    let trimmed = body::without_line_ends(found);
    let mut all: Vec<_> = literal::bytes(trimmed).into_iter().chain([trimmed.to_vec()]).collect();
    if trimmed.len() < found.len() {
        all.push(found.to_vec());
    }
    // Another reading omits the text after the JSON, and the name of the column before it.
    if let Ok(text) = str::from_utf8(trimmed)
        && let Some(text) =
            text.get(column(text).filter(|(_, with)| head.separator == Some(*with)).map_or(0, |(start, _)| start)..)
        && let Some(json) = end_of_value(text).and_then(|end| text.get(..end))
        && json.len() < trimmed.len()
    {
        all.push(json.as_bytes().to_vec());
    }
    // Whole JSON texts are the likeliest, so they come first.
    all.sort_by_key(|body| serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err());
    if let Some(declared) = declared.filter(|_| !is_none)
        && all.iter().all(|body| body.len() != declared)
    {
        notes.push(format!("content-length says {declared} bytes, but the file has {}", found.len()));
    }
    (all, skipped.saturating_add(len))
}

/// Returns the length of a column's name before JSON, and the separator after the name, as clients
/// of databases write it: `body | {…}` or `body = {…}`. Anything else before the JSON belongs to the
/// body.
fn column(text: &str) -> Option<(usize, u8)> {
    let start = text.find('{')?;
    let before = text.get(..start)?.rsplit('\n').next()?.trim_end_matches('\'').trim_end();
    let name = before.strip_suffix(['|', '='])?;
    let is_name = name.ends_with(' ') && !name.trim().is_empty() && name.trim().bytes().all(is_token);
    before.bytes().last().filter(|_| is_name).map(|separator| (start, separator))
}

/// Returns the number of bytes before the body: curl's remarks, a fence, a heading.
fn between(rest: &[u8], is_quoted: bool) -> usize {
    let mut at = 0;
    let mut is_first = true;
    for _ in 0..MAX_LINES_BETWEEN {
        let Some((line, next)) = line_at(rest, at) else { break };
        let start = bare(line);
        if start.starts_with(b"{") && !start.starts_with(b"{ [") {
            return if line.starts_with(b"> ") {
                at
            } else {
                at.saturating_add(line.len()).saturating_sub(line.trim_ascii_start().len())
            };
        }
        let is_remark = line.starts_with(b"* ") || line.starts_with(b"} [") || line.starts_with(b"{ [");
        // Another request or a response.
        let is_other = body::is_separator(line) && !line.starts_with(b"```") && !is_remark;
        if is_other || (is_first && !line.is_empty() && !is_quoted && !line.starts_with(b"```") && line.len() > 200) {
            break;
        }
        is_first = false;
        at = next;
    }
    // No JSON is near, so the body begins directly after the blank line.
    0
}
