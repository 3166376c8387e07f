//! Finds the body near headers by the name of its member, and decodes it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    super::body,
    headers::CONTEXT,
    value::{Members, Object, Origin, each, members, text_of},
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

/// The squashed name of a file's bytes in tshark's output, and the prefix of its names for a
/// stream.
const FILE_DATA: &str = "filedata";
const TCP: &str = "tcp";

/// A body that was found near headers.
pub(super) struct Near {
    pub(super) bodies: Vec<Vec<u8>>,
    /// The position of the body.
    pub(super) origin: Origin,
    pub(super) is_parsed: bool,
}

impl Near {
    /// Returns whether bytes that are not UTF-8 were replaced.
    pub(super) fn is_lossy(&self) -> bool {
        self.bodies.first().is_some_and(|body| body::find(body, "\u{fffd}".as_bytes()).is_some())
    }
}

/// The squashed names of objects that contain a body.
const REQUESTS: [&str; 8] = ["request", "req", "httprequest", "http", "event", "message", "data", CONTEXT];

/// The squashed ends of the names of members with a packet's bytes.
const SEGMENTS: [&str; 2] = ["tcpreassembleddata", "tcppayload"];

/// Returns an upper estimate of the bytes that a search for a body reads in this object: all names,
/// and the values of the members that may be a body.
pub(super) fn looks(object: &Object<'_>) -> usize {
    const NAME: usize = 40;
    let may_have_body = |name: &str| {
        BODIES.contains(&name)
            || REQUESTS.contains(&name)
            || name.ends_with(FILE_DATA)
            || name.starts_with(TCP)
            || SEGMENTS.iter().any(|end| name.ends_with(end))
    };
    let looks = object.iter().map(|(name, value)| if may_have_body(name) { value.get().len() } else { NAME });
    looks.fold(0, usize::saturating_add)
}

/// Returns the body in an object, or in an inner object that describes the request.
pub(super) fn near(object: &Object<'_>) -> Option<Near> {
    direct(object, 2).or_else(|| {
        let objects = object.iter().filter(|(name, value)| value.get().starts_with('{') && REQUESTS.contains(name));
        objects.filter_map(|(_, value)| members(value)).find_map(|inner| direct(&Object::new(inner), 1))
    })
}

fn direct(object: &Object<'_>, depth: usize) -> Option<Near> {
    let says_base64 = says_base64(object);
    // Tries the names in this order. If several members have the same name, the first one with a
    // body counts.
    BODIES.iter().find_map(|wanted| {
        let named = object.iter().filter(|(name, _)| {
            name == wanted
                || name.strip_prefix("http").is_some_and(|rest| rest.ends_with(*wanted) && *wanted == FILE_DATA)
        });
        named
            .filter_map(|(name, value)| {
                let is_base64 = says_base64 || name.contains("b64") || name.contains("base64");
                body_of(value, is_base64, depth)
            })
            .next()
    })
}

fn says_base64(object: &Object<'_>) -> bool {
    object.iter().any(|(name, value)| match name {
        "isbase64encoded" | "isbase64" | "base64encoded" | "base64" => matches!(value.get(), "true" | "1" | "\"true\""),
        "encoding" | "bodyencoding" | "contentencoding" | "payloadencoding" => {
            value.get().len() < 20 && text_of(value).is_some_and(|text| text.eq_ignore_ascii_case("base64"))
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
            let members = Object::new(members);
            let is_base64 = is_base64 || says_base64(&members);
            let inner = INNER.iter().find_map(|wanted| {
                let (name, value) = members.iter().find(|(name, _)| name == wanted)?;
                body_of(value, is_base64 || name == "base64", depth.saturating_sub(1))
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
pub(super) fn segments(object: &Object<'_>) -> Vec<Vec<u8>> {
    let in_object = |object: &Object<'_>, end: &str| {
        let (_, value) = object.iter().find(|(name, _)| name.ends_with(end))?;
        body::hex(text_of(value)?.as_bytes())
    };
    let inner = object.iter().filter(|(name, _)| name.starts_with(TCP)).filter_map(|(_, value)| members(value));
    let inner: Vec<_> = inner.map(Object::new).collect();
    let all = SEGMENTS.into_iter();
    all.flat_map(|end| std::iter::once(object).chain(&inner).filter_map(move |object| in_object(object, end))).collect()
}
