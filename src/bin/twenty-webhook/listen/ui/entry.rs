//! A delivery as the inspector keeps it: its report with bounded texts, its headers and its body.

use std::{borrow::Cow, path::Path};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use twenty_webhook::verify::Timestamp;
use uuid::Uuid;

use super::{super::report::Report, store::Store};
use crate::capture;

/// The maximum length of a body that is kept, in bytes. By default, receivers accept up to 2 MiB.
pub(super) const MAX_BODY: usize = 8 << 20;

/// The bounds of texts and lists on the page: in a row, and in a delivery's details.
const ROW: Bounds = Bounds { text: 160, list: 12 };
const DETAILS: Bounds = Bounds { text: 4_000, list: 200 };

#[derive(Clone, Copy)]
struct Bounds {
    /// The maximum number of characters in a text.
    text: usize,
    list: usize,
}

#[derive(Default)]
pub(super) struct Entry {
    /// For a saved delivery, the name of its capture, so that the id survives a restart.
    pub(super) id: String,
    pub(super) at: jiff::Timestamp,
    pub(super) is_verified: bool,
    /// A digest of the signed parts of a verified delivery: its time and body. A replay has the
    /// same digest, and only somebody with the secret can create another one.
    pub(super) signed: Option<[u8; 32]>,
    /// The id of the record, if the delivery is verified.
    pub(super) record: Option<String>,
    /// A JSON object, for a row of the list.
    pub(super) summary: String,
    /// The members of a JSON object, for the details.
    pub(super) details: Map<String, Value>,
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// The headers without credentials.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Option<Bytes>,
    /// When the delivery became a dead letter, if it is one.
    #[cfg(any(feature = "postgres", feature = "redb"))]
    pub(super) died_at: Option<Timestamp>,
    /// Whether the delivery may be sent again. An unverified delivery may not, because its sender
    /// would get a genuine signature.
    pub(super) is_sendable: bool,
}

/// A request, and where it comes from.
pub(super) struct Received {
    pub(super) at: jiff::Timestamp,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Option<Bytes>,
    /// The time of the signature, as the request claims it.
    pub(super) signed_at: Option<Timestamp>,
    pub(super) source: Source,
    /// Whether the request is a verified event.
    pub(super) is_event: bool,
}

#[derive(Clone)]
pub(super) enum Source {
    /// The request arrived while the inspector was running.
    Live,
    /// The request was saved earlier. Its response is unknown.
    Saved,
    /// The request was sent from the page.
    Sent { origin: String, is_edited: bool, is_signed_anew: bool },
    /// The request is a dead letter of an inbox.
    #[cfg(any(feature = "postgres", feature = "redb"))]
    Dead(Dead),
}

/// What an inbox reports about a dead letter.
#[cfg(any(feature = "postgres", feature = "redb"))]
#[derive(Clone)]
pub(super) struct Dead {
    pub(super) id: String,
    pub(super) died_at: Timestamp,
    pub(super) reason: &'static str,
    pub(super) attempts: u32,
    pub(super) interruptions: u32,
    pub(super) message: String,
}

impl Source {
    const fn name(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Saved => "saved",
            Self::Sent { .. } => "sent",
            #[cfg(any(feature = "postgres", feature = "redb"))]
            Self::Dead(_) => "dead",
        }
    }
}

impl Entry {
    pub(super) fn new(report: &Report, received: Received, store: &Store) -> Self {
        let Received { at, method, target, headers, body, signed_at, source, is_event } = received;
        let mut details = match serde_json::to_value(report) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        let text = |members: &Map<String, Value>, name| members.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_verified = details.get("verified") == Some(&Value::Bool(true));
        let signed = match source {
            Source::Live | Source::Saved if is_verified => signed_at.zip(body.as_deref()),
            _ => None,
        };
        let signed = signed.map(|(at, body)| digest(at, body));
        let record = text(&details, "recordId").filter(|_| is_verified);
        let capture = text(&details, "capture");
        let saved =
            capture.as_deref().and_then(|path| Some(Path::new(path).file_stem()?.to_string_lossy().into_owned()));
        // A replay of a saved delivery has the same capture.
        let is_taken = |id: &String| matches!(source, Source::Live) && store.has(id);
        let id = saved.filter(|id| !is_taken(id));
        #[cfg(any(feature = "postgres", feature = "redb"))]
        let (id, died_at) = match &source {
            Source::Dead(dead) => {
                let Dead { id, died_at, reason, attempts, interruptions, message } = dead.clone();
                let dead_letter = json!({
                    "at": died_at.as_millis(),
                    "reason": reason,
                    "attempts": attempts,
                    "interruptions": interruptions,
                    "message": message,
                });
                details.insert("dead".to_owned(), dead_letter);
                (Some(id), Some(died_at))
            }
            _ => (id, None),
        };
        let id = id.unwrap_or_else(|| new_id(at));
        details.insert("id".to_owned(), id.clone().into());
        if !matches!(source, Source::Live) {
            // There was no answer, or it is unknown.
            details.remove("status");
        }
        details.insert("source".to_owned(), source.name().into());
        if let Source::Sent { origin, is_edited, is_signed_anew } = &source {
            details.insert("origin".to_owned(), origin.clone().into());
            details.insert("edited".to_owned(), (*is_edited).into());
            details.insert("signedAnew".to_owned(), (*is_signed_anew).into());
        }
        // Formatted times have a varying number of digits, so the page cannot compare them.
        details.insert("micros".to_owned(), at.as_microsecond().into());
        details.insert("length".to_owned(), body.as_ref().map_or(Value::Null, |body| body.len().into()));
        let summary = summary(&details);
        details.insert("method".to_owned(), method.clone().into());
        details.insert("target".to_owned(), target.clone().into());
        details.insert("signedAt".to_owned(), signed_at.map_or(Value::Null, |time| time.as_millis().into()));
        let (left_out, headers): (Vec<_>, Vec<_>) =
            headers.into_iter().partition(|(name, _)| capture::is_credential(name));
        let left_out = left_out.into_iter().map(|(name, _)| Value::from(name)).collect();
        details.insert("credentials".to_owned(), Value::Array(left_out));
        let mut details = Value::Object(details);
        bound(&mut details, DETAILS);
        let details = if let Value::Object(members) = details { members } else { Map::new() };
        // Copies the body, because a body that was read in pieces may be in a buffer of twice its
        // size.
        let body = body.filter(|body| body.len() <= MAX_BODY).map(|body| Bytes::from(body.to_vec()));
        Self {
            id,
            at,
            is_verified,
            signed,
            record,
            summary,
            details,
            method,
            target,
            headers,
            body,
            #[cfg(any(feature = "postgres", feature = "redb"))]
            died_at,
            is_sendable: is_event,
        }
    }

    /// Returns roughly how many bytes the entry takes.
    pub(super) fn size(&self) -> usize {
        /// An estimate for the parts with a small bound: the report's texts and the allocations.
        const REST: usize = 200;
        let headers =
            self.headers.iter().map(|(name, value)| name.len().saturating_add(value.len()).saturating_add(REST));
        let lengths = [
            self.method.len(),
            self.target.len(),
            self.summary.len().saturating_mul(3),
            self.body.as_ref().map_or(0, Bytes::len),
            REST,
        ];
        headers.chain(lengths).fold(0, usize::saturating_add)
    }

    /// Returns whether the entry contains a text, which is in lower case.
    pub(super) fn contains(&self, text: &str) -> bool {
        let is_in = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase().contains(text);
        let headers = self.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value]);
        let mut all =
            [self.summary.as_bytes(), self.target.as_bytes()].into_iter().chain(headers).chain(self.body.as_deref());
        all.any(is_in)
    }

    /// Returns everything except the body, for the page.
    pub(super) fn to_json(&self, store: &Store, has_target: bool) -> Value {
        let mut details = self.details.clone();
        let text = |value: &[u8]| shortened(&String::from_utf8_lossy(value), DETAILS.text).into_owned();
        let headers = self.headers.iter().map(|(name, value)| json!([name, text(value)])).collect();
        details.insert("headers".to_owned(), headers);
        let is_text = self.body.as_ref().is_none_or(|body| str::from_utf8(body).is_ok());
        details.insert("isText".to_owned(), is_text.into());
        details.insert("hasBody".to_owned(), self.body.is_some().into());
        details.insert("previous".to_owned(), store.previous(self).map(|entry| entry.id.clone()).into());
        details.insert("sendable".to_owned(), (has_target && self.is_sendable && self.body.is_some()).into());
        Value::Object(details)
    }
}

fn digest(signed_at: Timestamp, body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(signed_at.as_millis().to_be_bytes()).chain_update(body).finalize().into()
}

/// Returns a new id, for a delivery that was not saved.
fn new_id(at: jiff::Timestamp) -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("{:013}-{}", at.as_millisecond(), random.get(..12).unwrap_or(&random))
}

fn summary(details: &Map<String, Value>) -> String {
    /// The members that a row does not show.
    const LEFT_OUT: [&str; 4] = ["capture", "captureError", "causes", "unexpected"];
    let members = details.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
    let mut summary = Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect());
    bound(&mut summary, ROW);
    summary.to_string()
}

/// Shortens texts and lists: a name or a list of fields may be as long as a body.
fn bound(value: &mut Value, bounds: Bounds) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(short) = shortened(text, bounds.text) {
                *text = short;
            }
        }
        Value::Array(items) => {
            let more = items.len().saturating_sub(bounds.list);
            items.truncate(bounds.list);
            items.iter_mut().for_each(|item| bound(item, bounds));
            if more > 0 {
                items.push(format!("… {more} more").into());
            }
        }
        Value::Object(members) => members.values_mut().for_each(|member| bound(member, bounds)),
        _ => {}
    }
}

fn shortened(text: &str, longest: usize) -> Cow<'_, str> {
    match text.char_indices().nth(longest).and_then(|(end, _)| text.get(..end)) {
        Some(start) => Cow::Owned(format!("{start}…")),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_and_lists_are_bounded() {
        let mut value = json!({"a": "é".repeat(500), "b": vec!["x"; 300], "c": [{"d": "y".repeat(161)}], "e": 1});
        bound(&mut value, ROW);
        assert_eq!(value["a"], format!("{}…", "é".repeat(160)));
        assert_eq!((value["b"].as_array().unwrap().len(), &value["b"][12]), (13, &json!("… 288 more")));
        assert_eq!(value["c"][0]["d"], format!("{}…", "y".repeat(160)));
        assert!(value.to_string().len() < 1_000);
    }

    /// The bounds of the store count on it.
    #[test]
    fn an_entry_takes_no_more_memory_than_its_size() {
        const LEN: usize = 400_000;
        let long = "a".repeat(LEN);
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let store = Store::new();
        for (what, method, target, headers, body) in [
            ("method", &*long, "/", vec![], ""),
            ("target", "POST", &long, vec![], ""),
            ("name", "POST", "/", vec![header(&long, "")], ""),
            ("value", "POST", "/", vec![header("a", &long)], ""),
            ("headers", "POST", "/", vec![header("a", ""); 1_000], ""),
            ("credentials", "POST", "/", vec![header("cookie", &long); 100], ""),
            ("body", "POST", "/", vec![], &long),
        ] {
            let at = jiff::Timestamp::UNIX_EPOCH;
            let report = Report::new(at, method, 401);
            let mut entry = Entry::default();
            let used = allocation_counter::measure(|| {
                let received = Received {
                    at,
                    method: method.to_owned(),
                    target: target.to_owned(),
                    headers: headers.clone(),
                    body: Some(Bytes::from(body.to_owned())),
                    signed_at: None,
                    source: Source::Live,
                    is_event: false,
                };
                entry = Entry::new(&report, received, &store);
            });
            let taken = usize::try_from(used.bytes_current).unwrap();
            assert!(taken <= entry.size() + 32_000, "{what}: {taken} bytes, and the size is {}", entry.size());
        }
    }
}
