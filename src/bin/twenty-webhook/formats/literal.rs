//! Objects as programs print them: `console.log` of Node.js, `print` of Python, with single quotes
//! and bare names. They are written as JSON, and read as that.

use super::{Found, Names, json};

/// The objects in a text.
pub(super) fn objects(text: &[u8], names: &Names) -> Found {
    let Ok(text) = str::from_utf8(text) else { return Found::default() };
    // Only texts of programs: others would be read twice for nothing.
    if !text.contains(['{', '(']) || !text.contains(['\'', '`', '<', '(']) {
        return Found::default();
    }
    let json = to_json(text);
    json::embedded(json.as_bytes(), names)
}

/// Writes literals of JavaScript and Python as JSON; other text stays about as it is.
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
                let end = rest.find(']').unwrap_or(0);
                rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
                if !rest.trim_start().starts_with('{') {
                    json.push_str("null");
                }
            }
            ',' => {
                // JSON has no comma before the end.
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
                    // Bytes and raw strings of Python.
                    "b" | "r" | "u" | "rb" | "f" if rest.starts_with(['\'', '"']) => {}
                    // A type's name before its value.
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

/// A string up to its quote, without escapes; and what comes after it.
fn string(text: &str, quote: char) -> (String, &str) {
    let mut string = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return joined(string, chars.as_str(), quote),
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
                            chars = chars.as_str().get(len..).unwrap_or_default().chars();
                        }
                        None => string.extend(['\\', kind]),
                    }
                }
                Some(c) => string.push(c),
                None => {}
            },
            c => string.push(c),
        }
    }
    (string, chars.as_str())
}

/// Node.js breaks long strings: `'a' +` and the rest in the next line.
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
