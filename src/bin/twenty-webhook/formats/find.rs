//! Chooses the reader that finds the most deliveries in a text.

use super::{
    Delivery, Found, MAX_DELIVERIES, Names, NotFound, Reading, burp, curl, follow, json, kinds, literal, log,
    signatures, text,
};

/// Returns the reading with fewer unread signatures, or the first one if the numbers are equal.
pub(super) fn better(one: Result<Reading, NotFound>, other: Result<Reading, NotFound>) -> Result<Reading, NotFound> {
    match (&one, &other) {
        (Ok(first), Ok(second)) if second.unread < first.unread => other,
        (Err(_), Ok(_)) => other,
        _ => one,
    }
}

/// Returns what one reader finds in the text. If that is incomplete, returns what the readers find
/// in the text's parts, each of which has one signature.
pub(super) fn find(text: &[u8], names: &Names) -> Result<Reading, NotFound> {
    let whole = find_whole(text, names);
    let found = whole.as_ref().map_or(0, |reading| signatures::count(&reading.deliveries, names));
    let is_complete = whole.as_ref().is_ok_and(|reading| reading.unread == 0);
    let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    if is_complete && is_json() {
        return whole;
    }
    let parts = signatures::parts(text, names);
    if parts.len() < 2 || is_complete && parts.len() <= found {
        return whole;
    }
    let count = parts.len();
    let mut deliveries: Vec<Delivery> = Vec::new();
    let (mut line, mut counted, mut empty) = (1_usize, 0_usize, 0_usize);
    let mut is_after_head = false;
    for part in parts {
        let Some(content) = text.get(part.clone()) else { continue };
        if deliveries.len() >= MAX_DELIVERIES {
            empty = empty.saturating_add(1);
            continue;
        }
        let before = text.get(counted..part.start).unwrap_or_default();
        line = line.saturating_add(before.iter().filter(|byte| **byte == b'\n').count());
        counted = part.start;
        let Ok(Reading { deliveries: in_part, .. }) = find_whole(content, names) else {
            empty = empty.saturating_add(1);
            is_after_head = true;
            continue;
        };
        // After headers without a body, the part may begin within a head.
        let has_timestamp = |delivery: &Delivery| {
            delivery.capture.headers.iter().any(|(name, _)| names.role(name) == Some("timestamp"))
        };
        if std::mem::take(&mut is_after_head) && !in_part.iter().all(has_timestamp) {
            empty = empty.saturating_add(1);
            continue;
        }
        for mut delivery in in_part {
            delivery.place = format!("from line {line} on");
            // A program may have printed the same delivery twice.
            if !deliveries.last().is_some_and(|last| signatures::is_copy(last, &delivery, names)) {
                deliveries.push(delivery);
            }
        }
    }
    let unread = signatures::unread(text, names, &deliveries).len().max(empty);
    match whole {
        // All signatures were read, but one of them occurs again with another body.
        Ok(Reading { deliveries: whole, .. }) if is_complete && deliveries.len() <= found => {
            Ok(Reading { deliveries: whole, unread: empty.min(count.saturating_sub(found)) })
        }
        Ok(_) if is_complete => Ok(Reading { deliveries, unread }),
        whole if deliveries.is_empty() => whole,
        whole => better(whole, Ok(Reading { deliveries, unread })),
    }
}

/// Returns the reading with the fewest unread signatures. If several readers are equal, the first
/// one counts.
fn find_whole(text: &[u8], names: &Names) -> Result<Reading, NotFound> {
    let start = text.trim_ascii_start();
    let is_json = start.starts_with(b"{") || start.starts_with(b"[") || start.starts_with(b"\"");
    let mut reader = json::Reader::new(names, text.len());
    let mut best: Option<Reading> = None;
    let mut add = |deliveries: Vec<Delivery>| {
        if !deliveries.is_empty() {
            let mut unread = signatures::unread(text, names, &deliveries).len();
            if deliveries.len() >= MAX_DELIVERIES {
                // Others may have the same signatures.
                let left = signatures::parts(text, names).len().saturating_sub(signatures::count(&deliveries, names));
                unread = unread.max(left);
            }
            if best.as_ref().is_none_or(|best| unread < best.unread) {
                best = Some(Reading { deliveries, unread });
            }
        }
        best.take_if(|best| best.unread == 0)
    };
    let has_signature = || log::names_in(text, names) || !signatures::places(text, names).is_empty();
    if is_json && let Ok(text) = str::from_utf8(start) {
        let is_whole = reader.documents(text);
        // Something else follows the JSON texts, and may contain more deliveries.
        let rest = (!is_whole).then(|| json::embedded(text.as_bytes(), names).deliveries);
        if let Some(reading) = add(rest.unwrap_or_else(|| std::mem::take(&mut reader.found))) {
            return Ok(reading);
        }
        if is_whole {
            return best.ok_or_else(|| {
                if reader.has_headers || has_signature() {
                    NotFound::NoBody { kind: reader.kind.unwrap_or("JSON") }
                } else {
                    reader.kind.map_or(NotFound::BodyAlone, |kind| NotFound::NoHeaders { kind })
                }
            });
        }
    }
    let mut has_headers = false;
    let readers: [fn(&[u8], &Names) -> Found; 10] = [
        curl::commands,
        curl::traces,
        follow::streams,
        burp::items,
        text::requests,
        json::embedded,
        literal::objects,
        json::in_csv,
        log::lines,
        log::whole,
    ];
    for read in readers {
        let Found { deliveries, has_headers: headers } = read(text, names);
        if let Some(reading) = add(deliveries) {
            return Ok(reading);
        }
        has_headers |= headers;
    }
    let kind = kinds::kind(text);
    best.ok_or_else(|| {
        if has_headers || has_signature() || signatures::has_digits(text) {
            NotFound::NoBody { kind }
        } else if is_json || !(text.is_empty() || text::is_text(text)) {
            // The text is truncated or has another format. With `--timestamp` and `--signature`, it
            // is taken as the body.
            NotFound::BodyAlone
        } else {
            NotFound::Unknown { kind }
        }
    })
}
