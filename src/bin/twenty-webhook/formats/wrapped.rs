//! Unwraps text: lines that a container runtime or the journal has wrapped, escapes of HTML, and
//! the lines of a patch.

use serde_json::{Value, value::RawValue};

use super::text::line_at;

/// Unwraps the lines of Docker's `json-file` driver and of `journalctl -o json`. Returns `None` if
/// there are no such lines.
pub(super) fn json_lines(text: &[u8]) -> Option<Vec<u8>> {
    let mut printed = Vec::new();
    let start = text.trim_ascii_start();
    if !start.starts_with(b"{") {
        return None;
    }
    for line in serde_json::Deserializer::from_slice(start).into_iter::<&RawValue>() {
        let line: Value = serde_json::from_str(line.ok()?.get()).ok()?;
        match (line.get("log"), line.get("MESSAGE")) {
            // The text includes its line end. A long line is split into several parts.
            (Some(Value::String(part)), _) => printed.extend_from_slice(part.as_bytes()),
            (_, Some(Value::String(message))) => printed.extend_from_slice(format!("{message}\n").as_bytes()),
            // The journal writes text that is not ASCII as an array of bytes.
            (_, Some(Value::Array(bytes))) => {
                printed.extend(bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()));
                printed.push(b'\n');
            }
            _ => return None,
        }
    }
    (!printed.is_empty()).then_some(printed)
}

/// Unwraps the lines of Kubernetes' nodes: `2026-10-02T09:14:31.733123456Z stdout F text`. Returns
/// `None` if a line has another form.
pub(super) fn container_lines(text: &[u8]) -> Option<Vec<u8>> {
    let mut printed = Vec::new();
    let mut at = 0;
    while let Some((line, next)) = line_at(text, at) {
        at = next;
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let is_time = parts.next()?.contains(&b'T');
        let is_stream = matches!(parts.next()?, b"stdout" | b"stderr");
        let is_full = match parts.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        if !is_time || !is_stream {
            return None;
        }
        printed.extend_from_slice(parts.next().unwrap_or_default());
        if is_full {
            printed.push(b'\n');
        }
    }
    (!printed.is_empty()).then_some(printed)
}

/// Decodes the HTML escapes in the text of a web page. Returns `None` if the text is not escaped.
pub(super) fn html(text: &[u8]) -> Option<Vec<u8>> {
    let is_escaped = |text: &&str| (text.contains("{&quot;") || text.contains("{&#34;")) && !text.contains("{\"");
    let text = str::from_utf8(text).ok().filter(is_escaped)?;
    let quotes = text.replace("&quot;", "\"").replace("&#34;", "\"").replace("&#39;", "'").replace("&#x27;", "'");
    let plain = quotes.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    Some(plain.replace("</pre>", "\n```\n").replace("<pre>", "\n```\n").into_bytes())
}

/// Returns the lines that a patch adds, or `None` if the text is not a patch.
pub(super) fn patch(text: &[u8]) -> Option<Vec<u8>> {
    let mut added = Vec::new();
    let mut at = 0;
    let (mut has_file, mut has_hunk) = (false, false);
    while let Some((line, next)) = line_at(text, at) {
        at = next;
        has_file |= line.starts_with(b"+++ ");
        has_hunk |= line.starts_with(b"@@ ") && has_file;
        if let Some(line) = line.strip_prefix(b"+").filter(|_| has_hunk && !line.starts_with(b"+++ ")) {
            added.extend_from_slice(line);
            added.push(b'\n');
        }
    }
    (!added.is_empty()).then_some(added)
}

/// Writes each string or number in a JSON text as a line with its name, because the parts of a
/// delivery may be in separate strings. Returns `None` if the text is not JSON.
pub(super) fn leaves(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    for document in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
        add_leaves("", &document.ok()?, &mut lines);
    }
    (!lines.is_empty()).then_some(lines)
}

fn add_leaves(name: &str, value: &Value, lines: &mut Vec<u8>) {
    // These names describe only the type of a value.
    let is_type = |name: &str| matches!(name, "S" | "N" | "B" | "M" | "L" | "value" | "stringValue" | "Value");
    match value {
        Value::Object(members) => {
            let named = ["name", "key", "Name", "Key"].iter().find_map(|key| members.get(*key)?.as_str());
            for (member, value) in members {
                let inner = if is_type(member) { named.unwrap_or(name) } else { member };
                add_leaves(inner, value, lines);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| add_leaves(name, item, lines)),
        Value::String(text) if text.contains('\n') || matches!(name, "message" | "log" | "text") => {
            lines.extend_from_slice(text.trim_end().as_bytes());
            lines.push(b'\n');
        }
        Value::String(text) => lines.extend_from_slice(format!("{name}: {text}\n").as_bytes()),
        Value::Number(number) => lines.extend_from_slice(format!("{name}: {number}\n").as_bytes()),
        Value::Null | Value::Bool(_) => {}
    }
}
