//! Finds JSON in other text, such as log lines.

use serde_json::value::RawValue;

use super::{
    super::{Found, Names},
    Reader,
};

/// Finds deliveries in JSON that is part of other text, such as log lines.
pub(in super::super) fn embedded(text: &[u8], names: &Names) -> Found {
    let Ok(text) = str::from_utf8(text) else { return Found::default() };
    let mut reader = Reader::new(names, text.len());
    let mut number = 0_usize;
    each_in(text, |document| {
        number = number.saturating_add(1);
        reader.document(document, number);
    });
    reader.shorten_places(number);
    if let [only] = &mut *reader.found {
        only.place = String::new();
    }
    Found { deliveries: reader.found, has_headers: reader.has_headers }
}

/// Calls a function with each JSON text within another text.
pub(super) fn each_in(text: &str, mut call: impl FnMut(&RawValue)) {
    let mut at = 0_usize;
    // Text that is not JSON costs time, so the number of bytes that are tried is limited.
    let mut budget = text.len().saturating_mul(8).saturating_add(1_000);
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
                call(value);
                json.len()
            }
            _ => 1,
        });
    }
}

/// Finds deliveries in the JSON fields of a CSV table, in which each quotation mark is doubled.
pub(in super::super) fn in_csv(text: &[u8], names: &Names) -> Found {
    match str::from_utf8(text) {
        Ok(text) if text.contains("{\"\"") => embedded(text.replace("\"\"", "\"").as_bytes(), names),
        _ => Found::default(),
    }
}

/// Returns where an object or an array ends, by counting the brackets outside of strings.
pub(in super::super) fn end_of_value(text: &str) -> Option<usize> {
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
