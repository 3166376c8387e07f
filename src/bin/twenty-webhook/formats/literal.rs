//! Reads objects as programs print them, with single quotes and bare names: `console.log` of
//! Node.js, `print` of Python. They are converted to JSON and read as JSON.

use super::{Found, Loss, Names, json};

/// Returns the deliveries in the objects of a text.
pub(super) fn objects(text: &[u8], names: &Names) -> Found {
    let Ok(text) = str::from_utf8(text) else { return Found::default() };
    // Other texts contain no such objects, and reading them a second time would be wasted work.
    if !text.contains(['{', '(']) || !text.contains(['\'', '`', '<', '(']) {
        return Found::default();
    }
    let json = to_json(text);
    let mut found = json::embedded(json.as_bytes(), names);
    let marks = ["[Object]", "[Array]", "[Circular", " more characters", " more items", " more bytes>"];
    if marks.into_iter().any(|mark| text.contains(mark)) {
        found.deliveries.iter_mut().for_each(|delivery| delivery.lost = Some(SHORTENED));
    }
    found
}

const SHORTENED: Loss = Loss {
    is_certain: true,
    what: "the program that printed the body replaced parts of it, for example by [Object]",
    advice: "console.log shows two levels of objects and shortens long texts. Print the raw body, or \
             JSON.stringify of the parsed body, before you check the secret.",
};

/// Converts literals of JavaScript and Python to JSON. Other text stays almost unchanged.
fn to_json(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '\'' | '`' | '"' => {
                let (string, next) = string(after, c);
                push_string(&string, &mut json);
                rest = next;
            }
            '<' if rest.starts_with("<Buffer ") => {
                let end = rest.find('>').unwrap_or(rest.len());
                let digits = rest.get("<Buffer ".len()..end).unwrap_or_default();
                push_string(digits.trim(), &mut json);
                rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
            }
            // `[Object: null prototype] {`, `[Object]`
            '[' if after.starts_with(|c: char| c.is_ascii_uppercase()) => {
                // Without an end it is not a literal. Every further bracket would search the rest
                // again, so this ends the conversion.
                let Some(end) = rest.find(']') else { break };
                rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
                if !rest.trim_start().starts_with('{') {
                    json.push_str("null");
                }
            }
            ',' => {
                // JSON does not allow a comma before a closing bracket.
                if !after.trim_start().starts_with(['}', ']', ')']) {
                    json.push(',');
                }
                rest = after;
            }
            '(' => {
                json.push('[');
                rest = after;
            }
            ')' => {
                json.push(']');
                rest = after;
            }
            c if c.is_ascii_alphabetic() || c == '_' || c == '$' => {
                let is_word = |c: char| c.is_ascii_alphanumeric() || "_$.".contains(c);
                let (word, next) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
                rest = next;
                match word {
                    // Prefixes of Python's strings, such as bytes and raw strings.
                    "b" | "r" | "u" | "rb" | "f" if rest.starts_with(['\'', '"']) => {}
                    // The name of a type before its value.
                    _ if rest.starts_with('(') || rest.trim_start().starts_with('{') => json.push(' '),
                    "true" | "True" => json.push_str("true"),
                    "false" | "False" => json.push_str("false"),
                    "null" | "None" | "undefined" | "NaN" => json.push_str("null"),
                    word => push_string(word, &mut json),
                }
            }
            c => {
                json.push(c);
                rest = after;
            }
        }
    }
    json
}

/// Decodes a string up to its closing quote. Returns the text after it, too.
fn string(text: &str, quote: char) -> (String, &str) {
    let mut string = String::new();
    // Whether there are characters outside of ASCII that were escaped, and others that were not.
    let (mut has_escaped, mut has_plain) = (false, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => {
                let string = if has_escaped && !has_plain { of_bytes(string) } else { string };
                return joined(string, chars.as_str(), quote);
            }
            '\n' if quote != '`' => break,
            '\\' => match chars.next() {
                Some('n') => string.push('\n'),
                Some('r') => string.push('\r'),
                Some('t') => string.push('\t'),
                Some(kind @ ('x' | 'u')) => {
                    let len = if kind == 'x' { 2 } else { 4 };
                    let digits = chars.as_str().get(..len);
                    let c = digits.and_then(|digits| char::from_u32(u32::from_str_radix(digits, 16).ok()?));
                    match c {
                        Some(c) => {
                            string.push(c);
                            has_escaped |= !c.is_ascii();
                            chars = chars.as_str().get(len..).unwrap_or_default().chars();
                        }
                        None => string.extend(['\\', kind]),
                    }
                }
                // An octal escape, as C writes bytes.
                Some(c @ '0'..='7') => {
                    let digits =
                        chars.as_str().get(..2).filter(|digits| digits.bytes().all(|b| (b'0'..=b'7').contains(&b)));
                    let byte = digits.and_then(|digits| u8::from_str_radix(&format!("{c}{digits}"), 8).ok());
                    string.push(byte.map_or(c, char::from));
                    if byte.is_some() {
                        has_escaped |= byte.is_some_and(|byte| !byte.is_ascii());
                        chars = chars.as_str().get(2..).unwrap_or_default().chars();
                    }
                }
                Some(c) => string.push(c),
                None => {}
            },
            c => {
                has_plain |= !c.is_ascii();
                string.push(c);
            }
        }
    }
    (string, chars.as_str())
}

/// Decodes a text such as `b'{…}'`, which is how Python and Rust print bytes.
pub(super) fn bytes(text: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(text).ok()?.trim().strip_prefix('b')?;
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (string, rest) = string(text.get(1..)?, quote);
    rest.is_empty().then(|| string.into_bytes())
}

/// Decodes a string such as `b'Zo\\xc3\\xab'`, in which each escape is a byte of UTF-8, not a
/// character.
fn of_bytes(string: String) -> String {
    let bytes: Option<Vec<u8>> = string.chars().map(|c| u8::try_from(c).ok()).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(string)
}

/// Joins a long string that Node.js breaks into `'a' +` and the rest on the next line.
fn joined(mut first: String, rest: &str, quote: char) -> (String, &str) {
    let mut rest = rest;
    while let Some(next) = rest.trim_start().strip_prefix('+').and_then(|rest| rest.trim_start().strip_prefix(quote)) {
        let Some(len) = next.find([quote, '\\', '\n']) else { break };
        if next.as_bytes().get(len) != Some(&(quote as u8)) {
            break;
        }
        first.push_str(next.get(..len).unwrap_or_default());
        rest = next.get(len.saturating_add(1)..).unwrap_or_default();
    }
    (first, rest)
}

fn push_string(string: &str, json: &mut String) {
    json.push_str(&serde_json::Value::from(string).to_string());
}
