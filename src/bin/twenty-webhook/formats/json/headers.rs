//! Reads headers in JSON: maps, lists of pairs, flat lists, and lines.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    super::{Headers, Names, squash},
    body_near::BODIES,
    value::{Members, Object, child, each, members, text_of},
};
use crate::capture::{MAX_HEADERS, is_token};

/// The squashed name of the object with the method in events of AWS Lambda.
pub(super) const CONTEXT: &str = "requestcontext";

/// Reads a map of headers, or members that contain one header line each, as tshark writes them.
pub(super) fn of_members(members: &Members<'_>, names: &Names) -> Option<Headers> {
    if !members.iter().any(|(name, _)| names.is_signature(name)) {
        let lines = members.iter().filter(|(_, value)| value.get().starts_with('"') && value.get().len() < 400);
        let headers = header_lines(lines.filter_map(|(_, value)| text_of(value)).map(Cow::into_owned))?;
        return Some(headers).filter(|headers| names.are_in(headers));
    }
    let mut headers = Headers::new();
    for (name, value) in members.iter().take(MAX_HEADERS) {
        // The object may also have members that are not headers, such as the body.
        if name.is_empty() || !name.bytes().all(is_token) || BODIES.contains(&&*squash(name)) {
            continue;
        }
        for value in values(value) {
            headers.push((name.to_string(), value.into_bytes()));
        }
    }
    Some(headers).filter(|headers| names.are_in(headers))
}

/// Reads `{"signature": …, "timestamp": …}`, if both values have the right form.
pub(super) fn of_short_names(members: &Members<'_>, names: &Names) -> Option<Headers> {
    let value = |wanted: [&str; 3], is_value: fn(&str) -> bool| {
        let member = members.iter().find(|(name, _)| wanted.contains(&&*squash(name)));
        member.and_then(|(_, value)| text_of(value)).filter(|value| is_value(value))
    };
    let is_signature = |value: &str| value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_timestamp = |value: &str| value.len() == 13 && value.bytes().all(|byte| byte.is_ascii_digit());
    let signature = value(["signature", "sig", "webhooksignature"], is_signature)?;
    let timestamp = value(["timestamp", "ts", "webhooktimestamp"], is_timestamp)?;
    let header = |role: &str, value: &str| (format!("{}-{role}", names.prefix), value.as_bytes().to_vec());
    Some(vec![header("timestamp", &timestamp), header("signature", &signature)])
}

/// Reads `[{"name": …, "value": …}]`, `[["name", "value"]]`, `["name", "value", …]` or
/// `["name: value"]`.
pub(super) fn of_list(raw: &RawValue, names: &Names) -> Option<Headers> {
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
        // Stops if the first item has no form of a header, or if there are too many headers.
        (!pairs.is_empty() || !words.is_empty()) && pairs.len().max(words.len() / 2) <= MAX_HEADERS
    });
    if pairs.is_empty() {
        let is_flat = words.iter().step_by(2).any(|name| names.is_signature(name));
        pairs = if is_flat {
            let (names, values) = (words.iter().step_by(2), words.iter().skip(1).step_by(2));
            names.zip(values).map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect()
        } else {
            header_lines(words.into_iter())?
        };
    }
    Some(pairs).filter(|headers| names.are_in(headers))
}

/// Reads one pair of a list.
fn pair_of(members: &Members<'_>) -> Option<(String, Vec<u8>)> {
    let named = |wanted: &[&str]| {
        let member = members.iter().find(|(name, _)| wanted.contains(&&*squash(name)));
        member.and_then(|(_, value)| text_of(value)).map(Cow::into_owned)
    };
    let name = named(&["name", "key", "header", "headername", "k", "field"])?;
    let value = named(&["value", "val", "v", "headervalue", "values"])?;
    Some((name, value.into_bytes()))
}

/// Reads lines such as `Host: localhost`, and ignores other lines.
pub(super) fn header_lines(lines: impl Iterator<Item = String>) -> Option<Headers> {
    let header = |line: String| {
        let (name, value) = crate::capture::header(line.trim_end().as_bytes())?;
        Some((name.to_owned(), value.to_vec()))
    };
    let headers: Headers = lines.filter_map(header).take(MAX_HEADERS).collect();
    (!headers.is_empty()).then_some(headers)
}

/// Returns the values of a header in a map. The map can have any of the common forms.
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

/// How many bytes [`method_of`] reads, roughly.
pub(super) fn context_len(object: &Object<'_>) -> usize {
    object.iter().find(|(name, _)| *name == CONTEXT).map_or(0, |(_, value)| value.get().len())
}

pub(super) fn method_of(object: &Object<'_>) -> Option<String> {
    let named = |object: &Object<'_>, wanted: &[&str]| {
        let (_, value) = object.iter().find(|(name, _)| wanted.contains(name))?;
        let text = text_of(value)?;
        let is_method = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase());
        is_method.then(|| text.into_owned())
    };
    let wanted = ["method", "httpmethod", "requestmethod", "verb"];
    // Events of an HTTP API have the method in `requestContext.http` only. `lambda_http` adds an
    // `httpMethod` that is always GET.
    let context = child(object, CONTEXT);
    let http = context.as_ref().and_then(|context| named(&child(context, "http")?, &wanted));
    http.or_else(|| named(object, &wanted)).or_else(|| named(&context?, &wanted))
}
