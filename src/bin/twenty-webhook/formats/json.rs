//! JSON in which, at any depth, an object has the signature's headers and a body near them.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Delivery, Found, Headers, MAX_DELIVERIES, Names, body, squash, text};
use crate::capture::{MAX_HEADERS, is_token};

/// How deep objects and arrays may nest, and JSON in strings.
const MAX_DEPTH: usize = 64;

/// The most members of an object that are looked at.
const MAX_MEMBERS: usize = 20_000;

/// What members with a body are called, the rawest first; squashed.
const BODIES: [&str; 22] = [
    "rawbody",
    "bodyraw",
    "rawrequestbody",
    "requestbodyraw",
    "bodybase64",
    "base64body",
    "bodyb64",
    "body",
    "requestbody",
    "httprequestbody",
    "postdata",
    "filedata",
    "payload",
    "raw",
    "content",
    "text",
    "data",
    "rawdata",
    "rawpayload",
    "requestdata",
    "reqbody",
    "input",
];

/// What members within such a member are called, when that is an object.
const INNER: [&str; 9] = ["raw", "text", "rawbody", "base64", "data", "content", "body", "string", "value"];

/// Members of Twenty's own body, in any version.
const EVENT: [&str; 6] = ["eventName", "eventType", "objectMetadata", "record", "workspaceId", "event"];

type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// Finds deliveries in JSON texts.
pub(super) struct Reader<'n> {
    names: &'n Names,
    pub(super) found: Vec<Delivery>,
    /// Of each that was found, where its body is, and how many of the headers it has.
    origins: Vec<(usize, usize)>,
    /// Whether the headers are there, perhaps without a body.
    pub(super) has_headers: bool,
    /// What the text looks like.
    pub(super) kind: Option<&'static str>,
    depth: usize,
    path: Vec<String>,
    /// The document before, when it has the headers and no body: the body may be the next one.
    headers_alone: Option<String>,
}

impl<'n> Reader<'n> {
    pub(super) fn new(names: &'n Names) -> Self {
        let (found, origins, path) = (Vec::new(), Vec::new(), Vec::new());
        Self { names, found, origins, has_headers: false, kind: None, depth: 0, path, headers_alone: None }
    }

    /// Reads one JSON text after the other, and returns whether there was nothing else.
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
        if let Some(headers) = alone.filter(|_| !self.has_headers && document.get().starts_with('{')) {
            // Programs print the headers, and then the body.
            self.nested(&format!("{{\"headers\":{headers},\"body\":{}}}", document.get()));
        } else if self.has_headers && !is_found && is_small {
            self.headers_alone = Some(document.get().to_owned());
        }
        self.has_headers |= had_headers;
        self.path.clear();
    }

    /// Reads JSON of a text that does not stay.
    fn nested(&mut self, text: &str) {
        let (depth, path, origins) = (self.depth, self.path.clone(), std::mem::take(&mut self.origins));
        let before = self.found.len();
        // Those that were found before are kept apart: their bodies are elsewhere.
        self.origins = vec![(0, 0); before];
        let mut documents = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        while let Some(Ok(document)) = documents.next() {
            self.value(document, &mut Vec::new());
        }
        self.origins = origins;
        // Their bodies are in the text, which is gone.
        self.origins.resize(self.found.len(), (0, 0));
        (self.depth, self.path) = (depth, path);
    }

    fn value<'a>(&mut self, raw: &'a RawValue, around: &mut Vec<Members<'a>>) {
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

    fn object<'a>(&mut self, raw: &'a RawValue, around: &mut Vec<Members<'a>>) {
        let Some(members) = members(raw) else { return };
        let headers = self.headers_of_members(&members);
        around.push(members);
        if let Some(headers) = headers {
            self.envelope(headers, around);
        }
        let level = around.len().saturating_sub(1);
        let mut number = 0;
        while let Some((name, child)) = around.get(level).and_then(|members| members.get(number)).cloned() {
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

    fn array<'a>(&mut self, raw: &'a RawValue, around: &mut Vec<Members<'a>>) {
        if let Some(headers) = self.headers_of_list(raw) {
            self.envelope(headers, around);
            return;
        }
        let mut number = 0_usize;
        // Its items are apart from each other and from what is around: each has its own body.
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

    /// Logs put JSON and whole requests into strings.
    fn string<'a>(&mut self, raw: &'a RawValue, around: &mut [Members<'a>]) {
        let text = raw.get();
        let has_name = text.len() > 80 && {
            let lower = text.to_ascii_lowercase();
            lower.contains("signature") || lower.contains("timestamp")
        };
        // The body of a delivery that was found is no envelope.
        let is_body = self.origins.iter().rev().take(8).any(|(origin, _)| *origin == origin_of(raw));
        let Some(text) = text_of(raw).filter(|_| has_name && !is_body) else { return };
        let is_json = text.trim_start().starts_with(['{', '[', '"']);
        if is_json {
            self.nested(&text);
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
            self.origins.push((0, 0));
        }
    }

    /// Headers were found: looks for the body in the objects around them, the nearest first.
    fn envelope(&mut self, headers: Headers, around: &[Members<'_>]) {
        self.has_headers = true;
        let Some(Near { bodies, origin, is_parsed }) = around.iter().rev().take(5).find_map(|object| near(object))
        else {
            return;
        };
        let count = self.names.count(&headers);
        let method = around.iter().rev().take(5).find_map(method_of);
        let headers: Headers = headers.into_iter().map(|(name, value)| (self.names.sent(&name), value)).collect();
        // A body that is a request of its own.
        let inner = bodies.first().and_then(|body| {
            let (line, _) = text::line_at(body, 0)?;
            text::is_request_line(line)?;
            crate::capture::Capture::parse(body).ok()
        });
        // tshark writes U+FFFD into the body, and all bytes elsewhere.
        let is_lossy = bodies.first().is_some_and(|body| body::find(body, "\u{fffd}".as_bytes()).is_some());
        let segments = is_lossy.then(|| around.iter().rev().take(5).find_map(segments)).flatten();
        let inner = inner.or_else(|| crate::capture::Capture::parse(&segments?).ok());
        let place = self.path.concat();
        let delivery = match inner {
            Some(capture) => Delivery::new(method.as_deref(), headers, vec![capture.body], place),
            None => Delivery::new(method.as_deref(), headers, bodies, place),
        };
        let Some(mut delivery) = delivery else { return };
        if is_parsed {
            delivery.notes.push("the file has the parsed body: it was written again as Twenty writes JSON".to_owned());
        }
        match self.origins.iter().position(|(other, _)| *other == origin) {
            // The same headers in another form, such as `multiValueHeaders`.
            Some(at) => {
                if let (Some(found), Some(known)) = (self.found.get_mut(at), self.origins.get_mut(at))
                    && known.1 < count
                {
                    (*found, known.1) = (delivery, count);
                }
            }
            None => {
                self.found.push(delivery);
                self.origins.push((origin, count));
            }
        }
    }

    /// A map of headers; or members that each are a line, as tshark writes them.
    fn headers_of_members(&self, members: &Members<'_>) -> Option<Headers> {
        if !members.iter().any(|(name, _)| self.names.is_signature(name)) {
            let lines = members.iter().filter(|(_, value)| value.get().starts_with('"') && value.get().len() < 400);
            let headers = header_lines(lines.filter_map(|(_, value)| text_of(value)).map(Cow::into_owned))?;
            return Some(headers).filter(|headers| self.names.are_in(headers));
        }
        let mut headers = Headers::new();
        for (name, value) in members.iter().take(MAX_HEADERS) {
            // An object of fields is no map of headers, but for the signature's.
            if name.is_empty() || !name.bytes().all(is_token) || BODIES.contains(&&*squash(name)) {
                continue;
            }
            for value in values(value) {
                headers.push((name.to_string(), value.into_bytes()));
            }
        }
        Some(headers).filter(|headers| self.names.are_in(headers))
    }

    /// `[{"name": …, "value": …}]`, `[["name", "value"]]`, `["name", "value", …]` or `["name: value"]`.
    fn headers_of_list(&self, raw: &RawValue) -> Option<Headers> {
        let mut pairs = Headers::new();
        let mut words: Vec<String> = Vec::new();
        each(raw, &mut |item| {
            match item.get().as_bytes().first() {
                Some(b'"') => words.extend(text_of(item).map(Cow::into_owned)),
                Some(b'[') => {
                    let mut pair = Vec::new();
                    each(item, &mut |word| {
                        pair.extend(text_of(word).map(Cow::into_owned));
                        pair.len() < 3
                    });
                    if let [name, value] = &*pair {
                        pairs.push((name.clone(), value.clone().into_bytes()));
                    }
                }
                Some(b'{') if item.get().len() < 70_000 => pairs.extend(members(item).and_then(|pair| pair_of(&pair))),
                _ => return false,
            }
            // What has none of a header's forms ends it.
            (!pairs.is_empty() || !words.is_empty()) && pairs.len().max(words.len() / 2) <= MAX_HEADERS
        });
        if pairs.is_empty() {
            let is_flat = words.iter().step_by(2).any(|name| self.names.is_signature(name));
            pairs = if is_flat {
                let (names, values) = (words.iter().step_by(2), words.iter().skip(1).step_by(2));
                names.zip(values).map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect()
            } else {
                header_lines(words.into_iter())?
            };
        }
        Some(pairs).filter(|headers| self.names.are_in(headers))
    }
}

/// One pair of a list.
fn pair_of(members: &Members<'_>) -> Option<(String, Vec<u8>)> {
    let named = |wanted: &[&str]| {
        let member = members.iter().find(|(name, _)| wanted.contains(&&*squash(name)));
        member.and_then(|(_, value)| text_of(value)).map(Cow::into_owned)
    };
    let name = named(&["name", "key", "header", "headername", "k", "field"])?;
    let value = named(&["value", "val", "v", "headervalue", "values"])?;
    Some((name, value.into_bytes()))
}

/// Lines such as `Host: localhost`; others are left out.
fn header_lines(lines: impl Iterator<Item = String>) -> Option<Headers> {
    let header = |line: String| {
        let (name, value) = crate::capture::header(line.trim_end().as_bytes())?;
        Some((name.to_owned(), value.to_vec()))
    };
    let headers: Headers = lines.filter_map(header).take(MAX_HEADERS).collect();
    (!headers.is_empty()).then_some(headers)
}

/// A body near the headers.
struct Near {
    bodies: Vec<Vec<u8>>,
    /// Where it is.
    origin: usize,
    is_parsed: bool,
}

/// The body in an object, or in the object of a request in it.
fn near(object: &Members<'_>) -> Option<Near> {
    direct(object, 2).or_else(|| {
        let wanted = ["request", "req", "httprequest", "http", "event", "message", "data", "requestcontext"];
        let objects =
            object.iter().filter(|(name, value)| value.get().starts_with('{') && wanted.contains(&&*squash(name)));
        objects.filter_map(|(_, value)| members(value)).find_map(|inner| direct(&inner, 1))
    })
}

fn direct(object: &Members<'_>, depth: usize) -> Option<Near> {
    let says_base64 = says_base64(object);
    // Each of the names in turn, and of equal names the first with a body.
    BODIES.iter().find_map(|wanted| {
        let named = object.iter().filter(|(name, _)| {
            let name = squash(name);
            name == **wanted
                || name.strip_prefix("http").is_some_and(|rest| rest.ends_with(*wanted) && *wanted == "filedata")
        });
        named
            .filter_map(|(name, value)| {
                let is_base64 = says_base64 || (squash(name).contains("b64") || squash(name).contains("base64"));
                body_of(value, is_base64, depth)
            })
            .next()
    })
}

fn says_base64(object: &Members<'_>) -> bool {
    object.iter().any(|(name, value)| match &*squash(name) {
        "isbase64encoded" | "isbase64" | "base64encoded" | "base64" => matches!(value.get(), "true" | "1" | "\"true\""),
        "encoding" | "bodyencoding" | "contentencoding" | "payloadencoding" => {
            text_of(value).is_some_and(|text| text.eq_ignore_ascii_case("base64"))
        }
        _ => false,
    })
}

fn body_of(raw: &RawValue, is_base64: bool, depth: usize) -> Option<Near> {
    let origin = origin_of(raw);
    let found = |bodies| Some(Near { bodies, origin, is_parsed: false });
    match raw.get().as_bytes().first()? {
        b'"' => {
            let text = text_of(raw).filter(|text| !text.is_empty())?;
            found(body::readings(text.as_bytes(), is_base64))
        }
        b'[' => found(vec![bytes_of(raw)?]),
        b'{' => {
            let members = members(raw)?;
            let named = |wanted: &str| members.iter().find(|(name, _)| name == wanted);
            let is_event = EVENT.iter().any(|name| named(name).is_some());
            if is_event {
                let text = raw.get();
                return Some(Near {
                    bodies: vec![body::compact(text), text.as_bytes().to_vec()],
                    origin,
                    is_parsed: true,
                });
            }
            if named("0").is_some() {
                return found(vec![bytes_of_map(&members)?]);
            }
            if depth == 0 {
                return None;
            }
            let is_base64 = is_base64 || says_base64(&members);
            let inner = INNER.iter().find_map(|wanted| {
                let (name, value) = members.iter().find(|(name, _)| squash(name) == *wanted)?;
                body_of(value, is_base64 || squash(name) == "base64", depth.saturating_sub(1))
            });
            inner.map(|inner| Near { origin, ..inner })
        }
        _ => None,
    }
}

/// `[123, 34, …]`
fn bytes_of(raw: &RawValue) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut is_bytes = true;
    each(raw, &mut |item| {
        match item.get().parse() {
            Ok(byte) => bytes.push(byte),
            Err(_) => is_bytes = false,
        }
        is_bytes
    });
    (is_bytes && !bytes.is_empty()).then_some(bytes)
}

/// `{"0": 123, "1": 34, …}`
fn bytes_of_map(members: &Members<'_>) -> Option<Vec<u8>> {
    let byte = |(at, (name, value)): (usize, &(Cow<'_, str>, &RawValue))| {
        (name.parse() == Ok(at)).then(|| value.get().parse().ok()).flatten()
    };
    members.iter().enumerate().map(byte).collect()
}

/// The bytes of a packet capture's TCP stream, in hexadecimal.
fn segments(object: &Members<'_>) -> Option<Vec<u8>> {
    let in_object = |object: &Members<'_>| {
        let is_stream = |name: &str| ["tcpreassembleddata", "tcppayload"].iter().any(|end| squash(name).ends_with(end));
        let (_, value) = object.iter().find(|(name, _)| is_stream(name))?;
        body::hex(text_of(value)?.as_bytes())
    };
    let tcp = object.iter().filter(|(name, _)| squash(name).starts_with("tcp"));
    in_object(object).or_else(|| tcp.filter_map(|(_, value)| members(value)).find_map(|inner| in_object(&inner)))
}

fn method_of(object: &Members<'_>) -> Option<String> {
    let named = |object: &Members<'_>, wanted: &[&str]| {
        let member = object.iter().find(|(name, _)| wanted.contains(&&*squash(name)));
        let text = text_of(member?.1)?;
        let is_method = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase());
        is_method.then(|| text.into_owned())
    };
    let wanted = ["method", "httpmethod", "requestmethod", "verb"];
    named(object, &wanted).or_else(|| {
        let context = child(object, "requestcontext")?;
        named(&context, &wanted).or_else(|| named(&child(&context, "http")?, &wanted))
    })
}

fn child<'a>(object: &Members<'a>, wanted: &str) -> Option<Members<'a>> {
    let (_, value) = object.iter().find(|(name, _)| squash(name) == wanted)?;
    members(value)
}

/// The values of a header, in the forms that maps have them.
fn values(raw: &RawValue) -> Vec<String> {
    match raw.get().as_bytes().first() {
        Some(b'"') => text_of(raw).map(Cow::into_owned).into_iter().collect(),
        Some(b'[') => {
            let mut all = Vec::new();
            each(raw, &mut |item| {
                let pair = item.get().starts_with('{').then(|| members(item)).flatten();
                let value = pair.as_ref().and_then(|pair| pair.iter().find(|(name, _)| squash(name) == "value"));
                all.extend(value.map_or(Some(item), |(_, value)| Some(*value)).and_then(text_of).map(Cow::into_owned));
                all.len() < 100
            });
            all
        }
        Some(b'{') if raw.get().len() < 1_000 => {
            let pair = members(raw).unwrap_or_default();
            let value = pair.iter().find(|(name, _)| squash(name) == "value");
            value.and_then(|(_, value)| text_of(value)).map(Cow::into_owned).into_iter().collect()
        }
        Some(b'-' | b'0'..=b'9') => vec![raw.get().to_owned()],
        _ => Vec::new(),
    }
}

/// What a JSON text looks like that has no such headers; `None` when it may be Twenty's body.
fn kind(raw: &RawValue) -> Option<&'static str> {
    let Some(members) = members(raw) else {
        return raw.get().starts_with('[').then_some("a JSON array");
    };
    let has = |wanted: &str| members.iter().any(|(name, _)| name == wanted);
    let inner = |outer: &str, wanted: &str| {
        let value = members.iter().find(|(name, _)| name == outer).and_then(|(_, value)| self::members(value));
        value.is_some_and(|inner| inner.iter().any(|(name, _)| name == wanted))
    };
    if EVENT.iter().any(|name| has(name)) && !has("headers") {
        None
    } else if inner("log", "entries") {
        Some("a HAR file")
    } else if has("requestContext") || has("isBase64Encoded") {
        Some("an event of AWS Lambda")
    } else if has("info") && has("item") {
        Some("a Postman collection")
    } else if has("Records") {
        Some("a batch of AWS records")
    } else if inner("request", "headers") || inner("request", "header") || inner("req", "headers") {
        Some("JSON of a request")
    } else if inner("_source", "layers") {
        Some("a packet capture of tshark")
    } else if has("headers") || has("multiValueHeaders") || has("rawHeaders") {
        Some("JSON of a request")
    } else {
        None
    }
}

fn origin_of(raw: &RawValue) -> usize {
    raw.get().as_ptr().addr()
}

/// A string, or a number as it is written.
fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str(raw.get()).ok().map(Cow::Owned),
        b'-' | b'0'..=b'9' => Some(raw.get().into()),
        _ => None,
    }
}

fn members(raw: &RawValue) -> Option<Members<'_>> {
    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Members::new();
            while members.len() < MAX_MEMBERS
                && let Some((name, value)) = map.next_entry::<String, &RawValue>()?
            {
                members.push((Cow::Owned(name), value));
            }
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(members)
        }
    }

    let raw = raw.get();
    raw.starts_with('{').then(|| serde_json::Deserializer::from_str(raw).deserialize_map(Object).ok())?
}

/// Calls a function with each item of an array, until it returns `false`.
fn each<'a>(raw: &'a RawValue, call: &mut dyn FnMut(&'a RawValue) -> bool) {
    struct Items<'f, 'de>(&'f mut dyn FnMut(&'de RawValue) -> bool);

    impl<'de> Visitor<'de> for Items<'_, 'de> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            while let Some(item) = items.next_element::<&RawValue>()? {
                if !(self.0)(item) {
                    return Err(serde::de::Error::custom("enough"));
                }
            }
            Ok(())
        }
    }

    impl<'de> DeserializeSeed<'de> for Items<'_, 'de> {
        type Value = ();

        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_seq(self)
        }
    }

    if raw.get().starts_with('[') {
        // What is wrong has been found before: a raw value is JSON.
        let _ = Items(call).deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
    }
}

/// JSON within other text, such as log lines.
pub(super) fn embedded(text: &[u8], names: &Names) -> Found {
    let Ok(text) = str::from_utf8(text) else { return Found::default() };
    let mut reader = Reader::new(names);
    let mut at = 0_usize;
    // What is no JSON costs time, so there is an end to trying.
    let mut budget = text.len().saturating_mul(8).saturating_add(1_000);
    let mut number = 0_usize;
    while let Some(next) = text.get(at..).and_then(|rest| rest.find(['{', '['])).and_then(|len| at.checked_add(len)) {
        let rest = text.get(next..).unwrap_or_default();
        let end = end_of_value(rest);
        budget = budget.saturating_sub(end.unwrap_or(rest.len()));
        if budget == 0 {
            break;
        }
        let json = end.and_then(|end| rest.get(..end));
        let value = json.and_then(|json| serde_json::from_str::<&RawValue>(json).ok());
        at = next.saturating_add(match (value, json) {
            (Some(value), Some(json)) => {
                number = number.saturating_add(1);
                reader.document(value, number);
                json.len()
            }
            _ => 1,
        });
    }
    reader.shorten_places(number);
    if let [only] = &mut *reader.found {
        only.place = String::new();
    }
    Found { deliveries: reader.found, has_headers: reader.has_headers }
}

/// Where an object or an array ends, going by brackets and strings.
pub(super) fn end_of_value(text: &str) -> Option<usize> {
    let (mut depth, mut is_inside, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if is_inside {
            is_inside = byte != b'"' || is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            continue;
        }
        match byte {
            b'"' => (is_inside, is_escaped) = (true, false),
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at.checked_add(1);
                }
            }
            _ => {}
        }
    }
    None
}
