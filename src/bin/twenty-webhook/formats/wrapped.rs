//! What a log collector or a web page has put around a text: lines that a container runtime or the
//! journal has wrapped, and escapes of HTML.

use serde_json::{Value, value::RawValue};

use super::text::line_at;

/// Of Docker's `json-file` driver and `journalctl -o json`. `None` when there are no such lines.
pub(super) fn json_lines(text: &[u8]) -> Option<Vec<u8>> {
    let mut printed = Vec::new();
    let start = text.trim_ascii_start();
    if !start.starts_with(b"{") {
        return None;
    }
    for line in serde_json::Deserializer::from_slice(start).into_iter::<&RawValue>() {
        let line: Value = serde_json::from_str(line.ok()?.get()).ok()?;
        match (line.get("log"), line.get("MESSAGE")) {
            // Line ends are a part of it; a long line is in several parts.
            (Some(Value::String(part)), _) => printed.extend_from_slice(part.as_bytes()),
            (_, Some(Value::String(message))) => printed.extend_from_slice(format!("{message}\n").as_bytes()),
            // Text that is not ASCII, as bytes.
            (_, Some(Value::Array(bytes))) => {
                printed.extend(bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()));
                printed.push(b'\n');
            }
            _ => return None,
        }
    }
    (!printed.is_empty()).then_some(printed)
}

/// Of Kubernetes' nodes: `2026-10-02T09:14:31.733123456Z stdout F text`. `None` when a line is
/// another.
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

/// Text that a web page shows, without the escapes of HTML. `None` when there is none.
pub(super) fn html(text: &[u8]) -> Option<Vec<u8>> {
    let is_escaped = |text: &&str| (text.contains("{&quot;") || text.contains("{&#34;")) && !text.contains("{\"");
    let text = str::from_utf8(text).ok().filter(is_escaped)?;
    let quotes = text.replace("&quot;", "\"").replace("&#34;", "\"").replace("&#39;", "'").replace("&#x27;", "'");
    let plain = quotes.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    Some(plain.replace("</pre>", "\n```\n").replace("<pre>", "\n```\n").into_bytes())
}
