//! Finds deliveries in the files that people have. One pipeline finds the envelopes in a file, and
//! extracts the headers and the body from each of them. The caller verifies the deliveries.
//!
//! A file is read as a [`Capture`], otherwise as JSON (`json`), otherwise as text (`text`, `curl`,
//! `log`). The readers do not depend on the formats of vendors: they look for the names of the
//! signature headers, and for a body near them. The signatures in the text (`signatures`) show
//! whether a reader has found all deliveries. If no reader has, the text is split into parts with
//! one signature each, and each part is read. The signatures that still belong to no delivery are
//! counted.

mod body;
mod burp;
mod curl;
mod find;
mod follow;
mod json;
mod kinds;
mod literal;
mod log;
mod signatures;
mod strace;
mod text;
mod wrapped;

use std::{borrow::Cow, fmt};

use self::find::{better, find};
use crate::capture::{Capture, Malformed, is_token};

/// The maximum number of deliveries that are read from one file.
pub(crate) const MAX_DELIVERIES: usize = 10_000;

/// A delivery that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The request, with the likeliest reading of its body.
    pub(crate) capture: Capture,
    /// Other readings of the body, if the file does not show which bytes belong to it.
    pub(crate) other_bodies: Vec<Vec<u8>>,
    /// The delivery's position in the file. Empty if the whole file is the delivery.
    pub(crate) place: String,
    /// The reader's remarks, for example about a `content-length` that does not match the body.
    pub(crate) notes: Vec<String>,
    /// What the format loses. This may be the reason why the delivery does not verify.
    pub(crate) lost: Option<Loss>,
    /// The body's length that the request declared. It shows whether the body is as it was sent.
    pub(crate) declared: Option<usize>,
}

/// The deliveries that were found in a file.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Contains at least one delivery.
    pub(crate) deliveries: Vec<Delivery>,
    /// The number of other signatures in the file, whose deliveries could not be read.
    pub(crate) unread: usize,
}

/// What a format loses from a delivery, as a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Whether the file proves the loss. A loss that is only possible is reported after other
    /// findings.
    pub(crate) is_certain: bool,
    pub(crate) what: &'static str,
    pub(crate) advice: &'static str,
}

impl Delivery {
    /// Returns `None` if there is no body.
    fn new(method: Option<&str>, headers: Headers, bodies: Vec<Vec<u8>>, place: String) -> Option<Self> {
        // Files contain names and values that are not valid in a request, such as `:authority` of
        // HTTP/2.
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_token);
        let is_value = |value: &[u8]| value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        let headers = headers.into_iter().map(|(name, value)| (name, value.trim_ascii().to_vec()));
        let headers: Headers = headers.filter(|(name, value)| is_name(name) && is_value(value)).collect();
        let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let declared = length.and_then(|(_, value)| str::from_utf8(value).ok()?.parse().ok());
        let mut bodies = bodies.into_iter();
        let body = bodies.next()?;
        let other_bodies = bodies.filter(|other| *other != body).collect();
        let method = method.unwrap_or("POST").to_owned();
        let capture = Capture { method, headers, body, captured_at: None };
        Some(Self { capture, other_bodies, place, notes: Vec::new(), lost: None, declared })
    }
}

/// Header names and values.
type Headers = Vec<(String, Vec<u8>)>;

/// The names of the signature headers.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The prefix in lower case, such as `x-twenty-webhook`.
    prefix: String,
    /// The letters and digits of the prefix.
    squashed: String,
}

impl Names {
    pub(crate) fn new(prefix: Option<&str>) -> Self {
        let prefix = prefix.unwrap_or("x-twenty-webhook").to_ascii_lowercase();
        Self { squashed: squash(&prefix), prefix }
    }

    /// Returns which of the headers a name means. The name can have any spelling, such as
    /// `HTTP_X_TWENTY_WEBHOOK_SIGNATURE` or `req.headers.x-twenty-webhook-signature`.
    fn role(&self, name: &str) -> Option<&'static str> {
        // No name of a header is longer.
        let name = squash(name.get(..name.len().min(200))?);
        ["signature", "timestamp", "nonce"].into_iter().find(|role| {
            name.strip_suffix(role)
                .is_some_and(|before| before.ends_with(&self.squashed) || before.ends_with("webhook"))
        })
    }

    /// Returns whether the name is that of one of the two headers that every signed delivery has.
    fn is_signature(&self, name: &str) -> bool {
        matches!(self.role(name), Some("signature" | "timestamp"))
    }

    /// Returns the name that was sent, if the file's format has changed it, such as `x_twenty_…` in
    /// a log or `HTTP_X_TWENTY_…` in a list of variables. `X-Original-X-Twenty-…` is another
    /// header, which no receiver reads.
    fn header(&self, name: &str) -> String {
        let expected = self.role(name).map(|role| format!("{}-{role}", self.prefix));
        let is_decorated = |expected: &String| {
            let (len, letters) =
                (squash(expected).len(), name.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()));
            let first = letters.rev().nth(len.saturating_sub(1));
            let before = first.and_then(|(at, c)| Some((name.get(..at)?.chars().next_back(), c)));
            let is_apart = before.is_some_and(|(before, first)| match before {
                Some(before) if before.is_ascii_alphanumeric() => {
                    first.is_ascii_uppercase() && !before.is_ascii_uppercase()
                }
                Some(before) => before != '-',
                None => true,
            });
            is_apart && squash(name).ends_with(&squash(expected))
        };
        expected.filter(is_decorated).unwrap_or_else(|| name.to_owned())
    }

    pub(crate) fn are_in(&self, headers: &Headers) -> bool {
        headers.iter().any(|(name, _)| self.is_signature(name))
    }

    /// Returns the number of these headers.
    fn count(&self, headers: &Headers) -> usize {
        headers.iter().filter(|(name, _)| self.is_signature(name)).count()
    }
}

/// Returns the letters and digits of a name, in lower case.
fn squash(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Why a file contains no delivery. Never shows the file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotFound {
    /// The file may be a body without headers.
    BodyAlone,
    /// The file begins like a capture, but has this error.
    Malformed(Malformed),
    /// The file has a known format, but no signature headers.
    NoHeaders {
        /// `a HAR file`.
        kind: &'static str,
    },
    /// The file has signature headers, but no body near them.
    NoBody {
        /// `a HAR file`.
        kind: &'static str,
    },
    /// The file has no known format.
    Unknown {
        /// `text`.
        kind: &'static str,
    },
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BodyAlone => f.write_str("is a body without headers"),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::NoHeaders { kind } => write!(
                f,
                "looks like {kind}, but does not contain the headers X-Twenty-Webhook-Signature and -Timestamp (for a \
                 fork, use --header-prefix): check that the delivery is signed, and that the capture has all headers"
            ),
            Self::NoBody { kind } => write!(
                f,
                "looks like {kind} with signature headers, but no body in a known form was found near them: capture \
                 the raw request with `twenty-webhook listen --save`"
            ),
            Self::Unknown { kind } => write!(
                f,
                "looks like {kind}, but contains no readable delivery: expected an HTTP request, curl's output, JSON or \
                 a log line with the headers X-Twenty-Webhook-Signature and -Timestamp, and the body"
            ),
        }
    }
}

/// Reads the deliveries in a file (at least one), and counts the signatures that belong to none of
/// them.
///
/// # Errors
///
/// If the file contains no delivery.
pub(crate) fn read(file: &[u8], names: &Names) -> Result<Reading, NotFound> {
    let decoded = body::from_utf16(file);
    let is_utf16 = decoded.is_some();
    let file = decoded.map_or(Cow::Borrowed(file), |text| Cow::Owned(text.into_bytes()));
    let mut reading = read_text(&file, names)?;
    if is_utf16 {
        let note = || "the file is UTF-16: the body was read as UTF-8".to_owned();
        for delivery in &mut reading.deliveries {
            delivery.notes.push(note());
            delivery.declared = None;
        }
    }
    let excess = reading.deliveries.len().saturating_sub(MAX_DELIVERIES);
    reading.deliveries.truncate(MAX_DELIVERIES);
    reading.unread = reading.unread.saturating_add(excess);
    Ok(reading)
}

fn read_text(file: &[u8], names: &Names) -> Result<Reading, NotFound> {
    let strict = Capture::is_one(file).then(|| Capture::parse_with_length(file));
    if let Some(Ok((capture, true))) = &strict {
        let declared = Some(capture.body.len());
        return Ok(Reading { deliveries: vec![Delivery { declared, ..whole(capture.clone()) }], unread: 0 });
    }
    let text = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    if let Some(kind) = kinds::without_bytes(text) {
        return Err(NotFound::Unknown { kind });
    }
    if let Some(Ok((capture, false))) = &strict
        && names.are_in(&capture.headers)
        && body::end(&capture.body).is_none()
    {
        let mut delivery = whole(capture.clone());
        // A CRLF line end shows that no tool has read the request as text.
        let is_raw =
            is_request(text) && text.split(|byte| *byte == b'\n').next().is_some_and(|line| line.ends_with(b"\r"));
        delivery.declared = is_raw.then_some(capture.body.len());
        // Twenty's bodies have no line end, but editors append one.
        let trimmed = body::without_line_ends(&delivery.capture.body).to_vec();
        if trimmed.len() < delivery.capture.body.len() {
            delivery.other_bodies.push(std::mem::replace(&mut delivery.capture.body, trimmed));
        }
        let deliveries = vec![delivery];
        // A further signature would mean that the body contains more than one body.
        if signatures::unread(text, names, &deliveries).is_empty() {
            return Ok(Reading { deliveries, unread: 0 });
        }
    }
    let text = without_colors(text);
    let whole_lines =
        wrapped::container_lines(&text).or_else(|| wrapped::html(&text)).or_else(|| wrapped::patch(&text));
    let whole_lines = whole_lines.or_else(|| strace::joined(&text));
    let joined = wrapped::json_lines(&text);
    let text = whole_lines.map_or(text, Cow::Owned);
    // The text that a log collector put around each line hides requests of several lines.
    let mut lenient = find(&text, names);
    if lenient.as_ref().map_or(true, |reading| reading.unread > 0) {
        for text in joined.into_iter().chain(json::leaves(&text)) {
            lenient = better(lenient, find(&text, names));
        }
    }
    match (lenient, strict) {
        (Ok(found), _) => Ok(found),
        // The text may be a request, and not some other text that begins like a request.
        (Err(NotFound::Unknown { .. } | NotFound::BodyAlone), Some(Ok((capture, _))))
            if may_be_request(&text, &capture) =>
        {
            Ok(Reading { deliveries: vec![whole(capture)], unread: 0 })
        }
        (Err(NotFound::Unknown { .. }), Some(Err(malformed))) => Err(NotFound::Malformed(malformed)),
        (Err(error), _) => Err(error),
    }
}

/// Returns whether a text that begins with headers may be a request. An e-mail, for example, is
/// not.
fn may_be_request(text: &[u8], capture: &Capture) -> bool {
    let is_mail = |name: &str| name.eq_ignore_ascii_case("mime-version");
    // A capture without a request line has the method `POST`.
    let is_plain = is_request(text) || capture.method == "POST";
    is_plain && !capture.headers.iter().any(|(name, _)| is_mail(name))
}

/// Returns whether a text begins with a request line.
fn is_request(text: &[u8]) -> bool {
    text::line_at(text, 0).is_some_and(|(line, _)| text::is_request_line(line).is_some())
}

/// Removes the escape sequences of terminals. Their first character does not occur in JSON.
fn without_colors(text: &[u8]) -> Cow<'_, [u8]> {
    if body::find(text, b"\x1b[").is_none() {
        return text.into();
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = body::find(rest, b"\x1b[") {
        let (before, escape) = rest.split_at_checked(at).unwrap_or_default();
        plain.extend_from_slice(before);
        let digits = escape.get(2..).unwrap_or_default();
        let len = digits.iter().take(40).take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
        match digits.get(len) {
            Some(end) if end.is_ascii_alphabetic() => rest = digits.get(len.saturating_add(1)..).unwrap_or_default(),
            _ => {
                plain.extend_from_slice(b"\x1b[");
                rest = digits;
            }
        }
    }
    plain.extend_from_slice(rest);
    plain.into()
}

/// Returns a delivery that is the whole file.
pub(crate) fn whole(capture: Capture) -> Delivery {
    Delivery { capture, other_bodies: Vec::new(), place: String::new(), notes: Vec::new(), lost: None, declared: None }
}

/// The deliveries that a reader has found.
#[derive(Default)]
struct Found {
    deliveries: Vec<Delivery>,
    /// Whether there were headers without a body.
    has_headers: bool,
}

#[cfg(test)]
mod tests;
