//! Finds the body near headers by the name of its member, and decodes it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    super::{body, squash},
    value::{Members, Origin, each, members, text_of},
};

/// The squashed names of members that contain a body. Names of raw bodies come first.
pub(super) const BODIES: [&str; 25] = [
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
    "json",
    "parsedbody",
    "jsonbody",
];

/// The squashed names of the inner members that contain the body, if such a member is an object.
const INNER: [&str; 11] =
    ["raw", "text", "rawbody", "base64", "data", "content", "body", "string", "value", "asbytes", "asstring"];

/// The names of members of Twenty's own bodies, in any version.
pub(super) const EVENT: [&str; 6] = ["eventName", "eventType", "objectMetadata", "record", "workspaceId", "event"];

/// A body that was found near headers.
pub(super) struct Near {
    pub(super) bodies: Vec<Vec<u8>>,
    /// The position of the body.
    pub(super) origin: Origin,
    pub(super) is_parsed: bool,
}

/// Returns the body in an object, or in an inner object that describes the request.
pub(super) fn near(object: &Members<'_>) -> Option<Near> {
    direct(object, 2).or_else(|| {
        let wanted = ["request", "req", "httprequest", "http", "event", "message", "data", "requestcontext"];
        let objects =
            object.iter().filter(|(name, value)| value.get().starts_with('{') && wanted.contains(&&*squash(name)));
        objects.filter_map(|(_, value)| members(value)).find_map(|inner| direct(&inner, 1))
    })
}

fn direct(object: &Members<'_>, depth: usize) -> Option<Near> {
    let says_base64 = says_base64(object);
    // Tries the names in this order. If several members have the same name, the first one with a
    // body counts.
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
    let origin = Origin::of(raw);
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
                    bodies: vec![body::compact(text, true), body::compact(text, false), text.as_bytes().to_vec()],
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

/// Decodes the hexadecimal bytes of a TCP stream in a packet capture, of all segments or of this
/// one.
pub(super) fn segments(object: &Members<'_>) -> Vec<Vec<u8>> {
    let in_object = |object: &Members<'_>, end: &str| {
        let (_, value) = object.iter().find(|(name, _)| squash(name).ends_with(end))?;
        body::hex(text_of(value)?.as_bytes())
    };
    let inner: Vec<_> = object.iter().filter(|(name, _)| squash(name).starts_with("tcp")).collect();
    let inner: Vec<_> = inner.into_iter().filter_map(|(_, value)| members(value)).collect();
    let all = ["tcpreassembleddata", "tcppayload"].into_iter();
    all.flat_map(|end| std::iter::once(object).chain(&inner).filter_map(move |object| in_object(object, end))).collect()
}
