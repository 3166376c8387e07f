//! A second reader of JSON, for texts that serde_json accepts. It only finds where values begin and
//! end.

/// Returns the members of an object. Each name is the JSON text, including the quotes. Other values
/// have no members.
pub fn members(text: &str) -> Vec<(&str, &str)> {
    let mut members = Vec::new();
    let Some(mut rest) = skip_blanks(text).strip_prefix('{') else { return members };
    loop {
        rest = skip_blanks(rest);
        if rest.starts_with('}') {
            return members;
        }
        let (name, after) = rest.split_at(value_len(rest));
        let after = skip_blanks(after).strip_prefix(':').expect("valid JSON has a colon here");
        let after = skip_blanks(after);
        let (value, after) = after.split_at(value_len(after));
        members.push((name, value));
        let after = skip_blanks(after);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// Returns the text of a JSON string, or `None` for another value or a string with a lone
/// surrogate.
pub fn string(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

/// Returns the length of the value with which `text` begins.
fn value_len(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            if !in_string && depth == 0 {
                return at + 1;
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return at + 1,
            b'}' | b']' if depth > 1 => depth -= 1,
            // The end of a number, `true`, `false` or `null`.
            b'}' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}
