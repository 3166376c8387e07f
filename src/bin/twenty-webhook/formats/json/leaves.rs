//! The strings and numbers of JSON texts, as lines.

use serde_json::value::RawValue;

use super::{
    super::without_colors,
    MAX_DEPTH,
    value::{each, members, text_of},
};

/// The maximum length of a name that is written before a value, in bytes. A list can have many
/// values.
const LONGEST_NAME: usize = 200;

/// Writes each string or number in a JSON text as a line with its name, because the parts of a
/// delivery may be in separate strings. Returns `None` if the text is not JSON.
pub(in super::super) fn leaves(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    let text = str::from_utf8(text).ok()?;
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        add("", document.ok()?, MAX_DEPTH, &mut lines);
    }
    (!lines.is_empty()).then_some(lines)
}

fn add(name: &str, value: &RawValue, depth: usize, lines: &mut Vec<u8>) {
    // These names describe only the type of a value.
    let is_type = |name: &str| matches!(name, "S" | "N" | "B" | "M" | "L" | "value" | "stringValue" | "Value");
    let Some(depth) = depth.checked_sub(1) else { return };
    let name = if name.len() > LONGEST_NAME { "" } else { name };
    match value.get().as_bytes().first() {
        Some(b'{') => {
            let members = members(value).unwrap_or_default();
            let named = ["name", "key", "Name", "Key"].iter().find_map(|key| {
                let (_, value) = members.iter().find(|(name, value)| name == key && value.get().starts_with('"'))?;
                text_of(value)
            });
            for (member, value) in &members {
                let inner = if is_type(member) { named.as_deref().unwrap_or(name) } else { member };
                add(inner, value, depth, lines);
            }
        }
        Some(b'[') => each(value, &mut |item| {
            add(name, item, depth, lines);
            true
        }),
        Some(b'"') => {
            let text = text_of(value).unwrap_or_default();
            let line = if text.contains('\n') || matches!(name, "message" | "log" | "text") {
                text.trim_end().to_owned()
            } else {
                format!("{name}: {text}")
            };
            lines.extend_from_slice(&without_colors(line.as_bytes()));
            lines.push(b'\n');
        }
        Some(b'-' | b'0'..=b'9') => lines.extend_from_slice(format!("{name}: {}\n", value.get()).as_bytes()),
        _ => {}
    }
}
