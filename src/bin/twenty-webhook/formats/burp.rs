//! Reads the XML that Burp Suite exports. Each item contains a request, in base64 or as plain text.

use super::{Found, MAX_DELIVERIES, Names, body, text::requests};

/// Returns the requests in the items.
pub(super) fn items(text: &[u8], names: &Names) -> Found {
    let mut found = Found::default();
    let mut rest = text;
    if !text.trim_ascii_start().starts_with(b"<") {
        return found;
    }
    while let Some((attributes, after)) = body::find(rest, b"<request").and_then(|at| element(rest, at))
        && found.deliveries.len() < MAX_DELIVERIES
    {
        let end = body::find(after, b"</request>").unwrap_or(after.len());
        let (content, behind) = after.split_at_checked(end).unwrap_or((after, b""));
        rest = behind;
        let content = content.trim_ascii();
        let content = content.strip_prefix(b"<![CDATA[").and_then(|text| text.strip_suffix(b"]]>")).unwrap_or(content);
        let is_base64 = body::find(attributes, b"base64=\"true\"").is_some();
        let decoded = if is_base64 { body::base64(content) } else { Some(content.to_vec()) };
        let Found { mut deliveries, has_headers } = requests(&decoded.unwrap_or_default(), names);
        found.has_headers |= has_headers;
        for mut delivery in deliveries.drain(..) {
            delivery.place = format!("item {}", found.deliveries.len().saturating_add(1));
            found.deliveries.push(delivery);
        }
    }
    if let [only] = &mut *found.deliveries {
        only.place = String::new();
    }
    found
}

/// Returns the attributes of the element at an offset, and the text after its start tag.
fn element(text: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let tag = text.get(at.checked_add("<request".len())?..)?;
    let end = body::find(tag, b">")?;
    Some((tag.get(..end)?, tag.get(end.checked_add(1)?..)?))
}
