//! Unwraps text: lines that a container runtime or the journal has wrapped, escapes of HTML, and
//! the lines of a patch.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{json::each, text::line_at, without_colors};

/// Unwraps the lines of Docker's `json-file` driver and of `journalctl -o json`. Returns `None` if
/// there are no such lines.
pub(super) fn json_lines(text: &[u8]) -> Option<Vec<u8>> {
    /// A JSON text holds many times its length in memory, so only these members are read.
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        log: Option<&'a RawValue>,
        #[serde(borrow, rename = "MESSAGE")]
        message: Option<&'a RawValue>,
    }

    let mut printed = Vec::new();
    let start = text.trim_ascii_start();
    if !start.starts_with(b"{") {
        return None;
    }
    for line in serde_json::Deserializer::from_slice(start).into_iter::<Line<'_>>() {
        let Line { log, message } = line.ok()?;
        let string = |raw: &RawValue| serde_json::from_str::<String>(raw.get()).ok();
        match (log.and_then(string), message) {
            // The text includes its line end. A long line is split into several parts.
            (Some(part), _) => printed.extend_from_slice(part.as_bytes()),
            (None, Some(message)) if message.get().starts_with('[') => {
                // The journal writes text that is not ASCII as an array of bytes.
                each(message, &mut |byte| {
                    printed.extend(byte.get().parse::<u8>());
                    true
                });
                printed.push(b'\n');
            }
            (None, Some(message)) => printed.extend_from_slice(format!("{}\n", string(message)?).as_bytes()),
            (None, None) => return None,
        }
    }
    (!printed.is_empty()).then(|| without_colors(&printed).into_owned())
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
