//! Finds deliveries in JSON: objects at any depth that have the signature headers, with a body near
//! them.

mod body_near;
mod embedded;
mod headers;
mod kind;
mod leaves;
mod value;

use std::collections::{HashMap, hash_map::Entry};

use serde_json::value::RawValue;

use self::{
    body_near::{Near, looks, near, segments},
    embedded::each_in,
    headers::{context_len, header_lines, method_of},
    kind::kind,
    value::{Object, Origin, members, text_of},
};
pub(super) use self::{
    embedded::{embedded, end_of_value, in_csv},
    leaves::leaves,
    value::each,
};
use super::{Delivery, Headers, Loss, MAX_DELIVERIES, Names, body::find, signatures, squash, text, without_colors};
use crate::capture::Capture;

/// The maximum depth of nested objects, arrays, and strings that contain JSON.
const MAX_DEPTH: usize = 64;

const PARSED: Loss = Loss {
    is_certain: false,
    what: "the file contains the parsed body instead of the bytes that were sent",
    advice: "The body was serialized as Twenty writes JSON, which restores most bodies. Capture the raw \
             body to be sure. If the raw body does not verify either, copy the secret from this webhook in \
             Twenty again.",
};

const UNCLEAR: Loss = Loss {
    is_certain: false,
    what: "the headers of several deliveries precede the body",
    advice: "It is unclear which of them belong to this body: put each delivery into its own file. If they do belong to \
             it, copy the secret from this webhook in Twenty again.",
};

/// Finds deliveries in JSON texts.
pub(super) struct Reader<'n> {
    names: &'n Names,
    pub(super) found: Vec<Delivery>,
    /// The deliveries that were found in the current text, by the positions of their bodies.
    bodies: HashMap<Origin, Known>,
    /// Whether signature headers were found, with or without a body.
    pub(super) has_headers: bool,
    /// What the text looks like, for messages.
    pub(super) kind: Option<&'static str>,
    depth: usize,
    path: Vec<String>,
    /// The previous document, if it has the headers but no body. The next document may be its body.
    /// `true` means that the headers of another delivery precede it.
    headers_alone: Option<(String, bool)>,
    /// How many more bytes the search for bodies may read. One object can surround many headers, so
    /// the search is limited.
    looks_left: usize,
}

/// A delivery that was found.
struct Known {
    /// Its index in `found`.
    at: usize,
    /// The number of signature headers that it has.
    headers: usize,
}

impl<'n> Reader<'n> {
    /// Creates a reader for a text of this length.
    pub(super) fn new(names: &'n Names, len: usize) -> Self {
        let (found, bodies, path) = (Vec::new(), HashMap::new(), Vec::new());
        let (has_headers, kind, headers_alone) = (false, None, None);
        let looks_left = len.saturating_mul(16).saturating_add(100_000);
        Self { names, found, bodies, has_headers, kind, depth: 0, path, headers_alone, looks_left }
    }

    /// Reads consecutive JSON texts. Returns whether the text contains nothing else.
    pub(super) fn documents(&mut self, text: &str) -> bool {
        let documents = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        let mut number = 0_usize;
        let mut is_whole = true;
        for document in documents {
            let Ok(document) = document else {
                is_whole = false;
                break;
            };
            number = number.saturating_add(1);
            self.document(document, number);
        }
        self.shorten_places(number);
        is_whole
    }

    fn shorten_places(&mut self, documents: usize) {
        for delivery in &mut self.found {
            let place = delivery.place.trim_end_matches([' ', ':']);
            let place =
                if documents < 2 { place.trim_start_matches("document 1").trim_start_matches(": ") } else { place };
            delivery.place = place.to_owned();
        }
    }

    fn document(&mut self, document: &RawValue, number: usize) {
        if number == 1 {
            self.kind = kind(document);
        }
        self.path = vec![format!("document {number}: ")];
        let (before, had_headers) = (self.found.len(), std::mem::take(&mut self.has_headers));
        self.value(document, &mut Vec::new());
        let is_found = self.found.len() > before;
        let (alone, is_small) = (self.headers_alone.take(), document.get().len() < 1_000_000);
        if self.has_headers && !is_found && is_small {
            let signature = |text: &str| {
                let place = signatures::places(text.as_bytes(), self.names).into_iter().next();
                place.and_then(|place| text.get(place)).map(str::to_owned)
            };
            let differs = |before: &str| {
                let both = signature(before).zip(signature(document.get()));
                both.is_some_and(|(one, other)| !one.eq_ignore_ascii_case(&other))
            };
            let is_other = |(before, is_unclear): (String, bool)| is_unclear || differs(&before);
            self.headers_alone = Some((document.get().to_owned(), alone.is_some_and(is_other)));
        } else if let Some((headers, is_unclear)) =
            alone.filter(|_| !self.has_headers && document.get().starts_with('{'))
        {
            // Some programs print the headers as one document and the body as the next one.
            self.nested(&format!("{{\"headers\":{headers},\"body\":{}}}", document.get()));
            let paired = self.found.iter_mut().skip(before).filter(|_| is_unclear);
            paired.for_each(|delivery| delivery.lost = Some(UNCLEAR));
        }
        self.has_headers |= had_headers;
        self.path.clear();
    }

    /// Reads the JSON in a temporary text.
    fn nested(&mut self, text: &str) {
        // `bodies` contains positions in the current text, so it is empty while another text is
        // read.
        let (depth, path, bodies) = (self.depth, self.path.clone(), std::mem::take(&mut self.bodies));
        let mut documents = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        let mut read = 0;
        while let Some(Ok(document)) = documents.next() {
            self.value(document, &mut Vec::new());
            read = documents.byte_offset();
        }
        // After the JSON texts there is other text, which may contain further JSON texts.
        each_in(text.get(read..).unwrap_or_default(), |document| self.value(document, &mut Vec::new()));
        (self.depth, self.path, self.bodies) = (depth, path, bodies);
    }

    fn value<'a>(&mut self, raw: &'a RawValue, around: &mut Vec<Object<'a>>) {
        if self.depth >= MAX_DEPTH || self.found.len() >= MAX_DELIVERIES {
            return;
        }
        self.depth = self.depth.saturating_add(1);
        match raw.get().as_bytes().first() {
            Some(b'{') => self.object(raw, around),
            Some(b'[') => self.array(raw, around),
            Some(b'"') => self.string(raw, around),
            _ => {}
        }
        self.depth = self.depth.saturating_sub(1);
    }

    fn object<'a>(&mut self, raw: &'a RawValue, around: &mut Vec<Object<'a>>) {
        let Some(members) = members(raw) else { return };
        let headers = headers::of_members(&members, self.names);
        let headers = headers.or_else(|| headers::of_short_names(&members, self.names));
        around.push(Object::new(members));
        if let Some(headers) = headers {
            self.envelope(headers, around);
        }
        let level = around.len().saturating_sub(1);
        let mut number = 0;
        while let Some((name, child)) = around.get(level).and_then(|object| object.members.get(number)).cloned() {
            number = number.saturating_add(1);
            if matches!(&*squash(&name), "response" | "res") {
                continue;
            }
            self.path.push(if self.path.len() > 1 { format!(".{name:.60}") } else { format!("{name:.60}") });
            self.value(child, around);
            self.path.pop();
        }
        around.pop();
    }

    fn array<'a>(&mut self, raw: &'a RawValue, around: &mut Vec<Object<'a>>) {
        if let Some(headers) = headers::of_list(raw, self.names) {
            self.envelope(headers, around);
            return;
        }
        let mut number = 0_usize;
        // The items are separate from each other and from the surrounding objects: each has its own
        // body.
        each(raw, &mut |item| {
            if item.get().starts_with(['{', '[', '"']) {
                self.path.push(format!("[{number}]"));
                self.value(item, &mut Vec::new());
                self.path.pop();
            }
            number = number.saturating_add(1);
            true
        });
    }

    /// Reads a string, because logs put JSON and whole requests into strings.
    fn string<'a>(&mut self, raw: &'a RawValue, around: &mut [Object<'a>]) {
        let text = raw.get();
        let has_name = text.len() > 80 && {
            let lower = text.to_ascii_lowercase();
            lower.contains("signature") || lower.contains("timestamp")
        };
        // The body of a delivery that was found is not an envelope.
        let is_body = self.bodies.contains_key(&Origin::of(raw));
        let Some(text) = text_of(raw).filter(|_| has_name && !is_body) else { return };
        let text = String::from_utf8_lossy(&without_colors(text.as_bytes())).into_owned();
        let is_json = text.trim_start().starts_with(['{', '[', '"']);
        if is_json {
            let before = self.found.len();
            self.nested(&text);
            // Some loggers write the map of headers as a string, next to the body.
            let raw = serde_json::from_str::<&RawValue>(&text).ok().filter(|_| self.found.len() == before);
            let headers = raw.and_then(members).and_then(|members| headers::of_members(&members, self.names));
            if let Some(headers) = headers {
                self.envelope(headers, around);
            }
            return;
        }
        if let Some(headers) =
            header_lines(text.lines().map(str::to_owned)).filter(|headers| self.names.are_in(headers))
        {
            let before = self.found.len();
            self.envelope(headers, around);
            if self.found.len() > before {
                return;
            }
        }
        let place = self.path.concat();
        for mut delivery in text::requests(text.as_bytes(), self.names).deliveries {
            delivery.place.clone_from(&place);
            self.found.push(delivery);
        }
    }

    /// Looks for the body of headers that were found, in the objects around them, the nearest
    /// first.
    fn envelope(&mut self, headers: Headers, around: &[Object<'_>]) {
        self.has_headers = true;
        let around = || around.iter().rev().take(5);
        let mut left = self.looks_left;
        let mut may_look = |len: usize| {
            left = left.saturating_sub(len);
            left > 0
        };
        let found = around().take_while(|object| may_look(looks(object))).find_map(near);
        let method = around().take_while(|object| may_look(context_len(object))).find_map(method_of);
        let is_lossy = found.as_ref().is_some_and(Near::is_lossy);
        let segments = around().take_while(|object| is_lossy && may_look(looks(object))).flat_map(segments);
        // tshark writes U+FFFD into the body, and the original bytes into other members.
        let whole = segments.filter_map(|bytes| Capture::parse(&bytes).ok()).next();
        self.looks_left = left;
        let Some(Near { bodies, origin, is_parsed }) = found else { return };
        let count = self.names.count(&headers);
        let headers: Headers = headers.into_iter().map(|(name, value)| (self.names.header(&name), value)).collect();
        // The body may itself be a whole request.
        let inner = bodies.first().and_then(|body| {
            let (line, _) = text::line_at(body, 0)?;
            text::is_request_line(line)?;
            let strict = Capture::parse_with_length(body).ok().map(|(capture, has_length)| (capture.body, has_length));
            match (strict, &mut *text::requests(body, self.names).deliveries) {
                (Some((body, true)), _) => Some(vec![body]),
                (_, [only]) => {
                    let others = std::mem::take(&mut only.other_bodies);
                    let all = std::iter::once(std::mem::take(&mut only.capture.body)).chain(others);
                    Some(all.filter(|reading| is_all_of(body, reading)).collect())
                        .filter(|all: &Vec<_>| !all.is_empty())
                }
                (strict, _) => strict.map(|(body, _)| vec![body]),
            }
        });
        let place = self.path.concat();
        let bodies = inner.or_else(|| whole.map(|capture| vec![capture.body])).unwrap_or(bodies);
        let delivery = Delivery::new(method.as_deref(), headers, bodies, place);
        let Some(mut delivery) = delivery else { return };
        if is_parsed {
            delivery
                .notes
                .push("the file contains the parsed body: it was serialized as Twenty writes JSON".to_owned());
            delivery.lost = Some(PARSED);
        }
        match self.bodies.entry(origin) {
            // These are the same headers in another form, such as `multiValueHeaders`.
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                if let Some(found) = self.found.get_mut(known.at)
                    && known.headers < count
                {
                    (*found, known.headers) = (delivery, count);
                }
            }
            Entry::Vacant(unknown) => {
                unknown.insert(Known { at: self.found.len(), headers: count });
                self.found.push(delivery);
            }
        }
    }
}

/// Returns whether a body contains all text after a request's head, up to a line end that an editor
/// appended, a response, or the end of the only chunk. A body that was joined from several chunks is
/// not a part of the text.
fn is_all_of(request: &[u8], body: &[u8]) -> bool {
    let Some(at) = find(request, body) else { return true };
    let (before, behind) = request.split_at_checked(at).unwrap_or_default();
    let behind = behind.get(body.len()..).unwrap_or_default();
    let is_chunk = || {
        let size = before.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
        let size = size.and_then(|size| usize::from_str_radix(str::from_utf8(size).ok()?, 16).ok());
        size == Some(body.len()) && behind.trim_ascii() == b"0"
    };
    let text = behind.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).and_then(|start| behind.get(start..));
    text.is_none_or(|text| text.starts_with(b"HTTP/")) || is_chunk()
}
