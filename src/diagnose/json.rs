//! Rewrites a JSON text, token by token, as JavaScript's `JSON.stringify` would have written it.
//!
//! The text is not parsed. If it is not JSON, the result is a text whose MAC matches nothing. So
//! there is no limit of depth, and the result keeps what a parsed value cannot represent (repeated
//! members, lone surrogates, long numbers).

use crate::event::{Members, check_is_json};

/// How tokens are written. `JAVASCRIPT` is `JSON.stringify`; the other styles keep some tokens
/// unchanged.
#[derive(Clone, Copy)]
pub(super) struct Style {
    spaces: Spaces,
    strings: Strings,
    numbers: Numbers,
}

#[derive(Clone, Copy)]
enum Spaces {
    Keep,
    None,
    /// One space after each comma and colon.
    AfterPunctuation,
}

#[derive(Clone, Copy)]
enum Strings {
    Keep,
    /// Escapes only what must be escaped.
    Unicode,
    /// Escapes all characters that are not ASCII.
    Ascii,
}

#[derive(Clone, Copy)]
enum Numbers {
    Keep,
    JavaScript,
}

impl Style {
    pub(super) const JAVASCRIPT: Self =
        Self { spaces: Spaces::None, strings: Strings::Unicode, numbers: Numbers::JavaScript };
    pub(super) const ONLY_SPACES: Self = Self { spaces: Spaces::None, strings: Strings::Keep, numbers: Numbers::Keep };
    pub(super) const ONLY_STRINGS: Self =
        Self { spaces: Spaces::Keep, strings: Strings::Unicode, numbers: Numbers::Keep };
    pub(super) const ONLY_NUMBERS: Self =
        Self { spaces: Spaces::Keep, strings: Strings::Keep, numbers: Numbers::JavaScript };
    /// Python's `json.dumps` with its defaults.
    pub(super) const PYTHON: Self =
        Self { spaces: Spaces::AfterPunctuation, strings: Strings::Ascii, numbers: Numbers::Keep };

    /// Rewrites `text`. The result is at most six times as long.
    pub(super) fn rewrite(self, text: &str) -> String {
        let mut written = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((token, after)) = Token::next(rest) {
            rest = after;
            self.write(token, &mut written);
        }
        written
    }

    fn write(self, token: Token<'_>, to: &mut String) {
        match token {
            Token::Spaces(spaces) => {
                if matches!(self.spaces, Spaces::Keep) {
                    to.push_str(spaces);
                }
            }
            Token::Punctuation(punctuation) => {
                to.push_str(punctuation);
                if matches!((self.spaces, punctuation), (Spaces::AfterPunctuation, "," | ":")) {
                    to.push(' ');
                }
            }
            Token::String(string) => {
                let decoded = match self.strings {
                    Strings::Keep => None,
                    Strings::Unicode => Some(false),
                    Strings::Ascii => Some(true),
                };
                match decoded.and_then(|ascii| Some((ascii, decode(string)?))) {
                    Some((ascii, units)) => write_string(units, ascii, to),
                    None => to.push_str(string),
                }
            }
            Token::Word(word) => {
                let number = match self.numbers {
                    Numbers::Keep => None,
                    Numbers::JavaScript => javascript_number(word),
                };
                to.push_str(number.as_deref().unwrap_or(word));
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Token<'a> {
    Spaces(&'a str),
    /// One of `{}[],:`
    Punctuation(&'a str),
    /// A string with its quotes. The last string may be truncated.
    String(&'a str),
    /// A number, `true`, `false`, `null`, or text that is not JSON.
    Word(&'a str),
}

impl<'a> Token<'a> {
    /// Returns the first token and the rest, or `None` at the end.
    fn next(text: &'a str) -> Option<(Self, &'a str)> {
        let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
        let is_punctuation = |c: char| matches!(c, '{' | '}' | '[' | ']' | ',' | ':');
        let first = text.chars().next()?;
        let (kind, len): (fn(&'a str) -> Self, _) = if is_space(first) {
            (Self::Spaces, text.find(|c| !is_space(c)))
        } else if is_punctuation(first) {
            (Self::Punctuation, Some(1))
        } else if first == '"' {
            (Self::String, end_of_string(text))
        } else {
            (Self::Word, text.find(|c| is_space(c) || is_punctuation(c) || c == '"'))
        };
        let (token, rest) = text.split_at_checked(len.unwrap_or(text.len()))?;
        Some((kind(token), rest))
    }
}

/// Returns the position after the closing quote.
fn end_of_string(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let closing = |(_, byte): &(usize, u8)| {
        let closes = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        closes
    };
    text.bytes().enumerate().skip(1).find(closing)?.0.checked_add(1)
}

/// Returns the UTF-16 code units of a string token, as in JavaScript's strings, including lone
/// surrogates. `None` if an escape is invalid.
fn decode(token: &str) -> Option<Vec<u16>> {
    decode_text(token.strip_prefix('"')?.strip_suffix('"')?)
}

/// Returns the code units of the text between the quotes.
fn decode_text(text: &str) -> Option<Vec<u16>> {
    let mut units = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let unit = match c {
            '\\' => match chars.next()? {
                c @ ('"' | '\\' | '/') => u16::try_from(c).ok()?,
                'b' => 8,
                'f' => 12,
                'n' => 10,
                'r' => 13,
                't' => 9,
                'u' => {
                    let (digits, rest) = chars.as_str().split_at_checked(4)?;
                    chars = rest.chars();
                    // Rust's parser also accepts a sign.
                    u16::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?
                }
                _ => return None,
            },
            c => {
                units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
                continue;
            }
        };
        units.push(unit);
    }
    Some(units)
}

fn write_string(units: impl IntoIterator<Item = u16>, ascii: bool, to: &mut String) {
    to.push('"');
    for c in char::decode_utf16(units) {
        match c {
            Ok('"') => to.push_str("\\\""),
            Ok('\\') => to.push_str("\\\\"),
            Ok('\u{8}') => to.push_str("\\b"),
            Ok('\u{c}') => to.push_str("\\f"),
            Ok('\n') => to.push_str("\\n"),
            Ok('\r') => to.push_str("\\r"),
            Ok('\t') => to.push_str("\\t"),
            Ok(c) if c < ' ' || (ascii && !c.is_ascii()) => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write_escape(*unit, to));
            }
            Ok(c) => to.push(c),
            Err(lone) => write_escape(lone.unpaired_surrogate(), to),
        }
    }
    to.push('"');
}

fn write_escape(unit: u16, to: &mut String) {
    to.push_str("\\u");
    to.extend([12, 8, 4, 0].into_iter().filter_map(|shift| char::from_digit(u32::from(unit >> shift & 15), 16)));
}

/// Returns what `JSON.stringify` returns for a text.
pub(super) fn stringify(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    write_string(text.encode_utf16(), false, &mut written);
    written
}

/// Returns the text of a JSON string that lacks its quotation marks.
pub(super) fn inside_of_string(text: &str) -> Option<String> {
    // A quotation mark would end the string, and a string without escapes is the text itself.
    let has_escapes = text.contains('\\');
    let units = has_escapes.then(|| decode_text(text))??;
    String::from_utf16(&units).ok()
}

/// Returns the longest string in a JSON text, if it looks like JSON itself.
pub(super) fn longest_string(text: &str) -> Option<String> {
    let mut rest = text;
    let mut longest = "";
    while let Some((token, after)) = Token::next(rest) {
        rest = after;
        if let Token::String(string) = token
            && string.len() > longest.len()
            && string.trim_start_matches(['"', ' ', '\n']).starts_with('{')
        {
            longest = string;
        }
    }
    String::from_utf16(&decode(longest)?).ok()
}

/// Returns a number as JavaScript writes it: `1.0` as `1`, `1e21` as `1e+21`. Returns `None` if the
/// word is not a number that JavaScript can represent.
fn javascript_number(word: &str) -> Option<String> {
    let starts_well = word.strip_prefix('-').unwrap_or(word).starts_with(|c: char| c.is_ascii_digit());
    // This excludes words such as `-inf`, which Rust's parser accepts as numbers.
    let is_number = starts_well && word.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let number: f64 = word.parse().ok().filter(|number: &f64| is_number && number.is_finite())?;
    if number == 0.0 {
        return Some("0".to_owned());
    }
    // Rust and JavaScript write the same digits: the fewest that are read back as the same number.
    // The position of the point is as in ECMAScript's Number::toString.
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e')?;
    let digits = mantissa.replace('.', "");
    let point = exponent.parse::<i32>().ok()?.checked_add(1)?;
    let sign = if number.is_sign_negative() { "-" } else { "" };
    Some(match usize::try_from(point) {
        Ok(whole @ 1..=21) => match digits.split_at_checked(whole) {
            Some((whole, "")) => format!("{sign}{whole}"),
            Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
            None => format!("{sign}{digits:0<whole$}"),
        },
        _ if (-5..=0).contains(&point) => {
            let zeros = usize::try_from(point.unsigned_abs()).ok()?;
            format!("{sign}0.{:0<zeros$}{digits}", "")
        }
        _ => {
            let exponent = point.checked_sub(1)?;
            format!("{sign}{mantissa}e{exponent:+}")
        }
    })
}

/// The members of Twenty's envelope, in the order in which every version writes them, and the
/// members of the envelope in its documentation.
const ENVELOPES: [&[&str]; 2] = [
    &[
        "targetUrl",
        "eventName",
        "objectMetadata",
        "workspaceId",
        "webhookId",
        "eventDate",
        "userId",
        "apiKeyId",
        "workspaceMemberId",
        "record",
        "updatedFields",
        "event",
    ],
    &["event", "data", "timestamp"],
];

/// The maximum number of members of an envelope. Without a limit, the list of members could take
/// several times the memory of the body.
const MAX_MEMBERS: usize = 64;

/// Puts an envelope's members into Twenty's order. Returns `None` if they are already in this
/// order, or if this is not an envelope.
pub(super) fn reorder(text: &str) -> Option<String> {
    check_is_json(text).ok()?;
    let mut members = Vec::new();
    for member in Members::of(text) {
        if members.len() == MAX_MEMBERS {
            return None;
        }
        members.push((String::from_utf8(member.name().into_owned()).ok()?, member.value));
    }
    let names = |members: &[(String, &str)]| -> Vec<String> { members.iter().map(|(name, _)| name.clone()).collect() };
    let before = names(&members);
    // Each envelope has a member that the other does not have.
    let [twenty, documented] = ENVELOPES;
    let order = [("eventName", twenty), ("data", documented)]
        .into_iter()
        .find_map(|(name, order)| before.iter().any(|member| member == name).then_some(order))?;
    // Unknown members go last, in their original order.
    members.sort_by_key(|(name, _)| order.iter().position(|known| known == name).unwrap_or(order.len()));
    let known = |name: &String| order.contains(&name.as_str());
    if before.iter().filter(|name| known(name)).eq(names(&members).iter().filter(|name| known(name))) {
        return None;
    }
    let members = members.iter().map(|(name, value)| format!("{}:{value}", stringify(name)));
    Some(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_numbers_like_javascript() {
        // Each pair was computed with Node: `JSON.stringify(JSON.parse(…))`.
        for (written, javascript) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1.0", "1"),
            ("-1.50", "-1.5"),
            ("1e2", "100"),
            ("1E-7", "1e-7"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("123456789012345680000", "123456789012345680000"),
            ("12345678901234567890", "12345678901234567000"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1.5e300", "1.5e+300"),
            ("-1.25e-10", "-1.25e-10"),
            ("5e-324", "5e-324"),
            ("0.1", "0.1"),
            ("123.456", "123.456"),
            ("0.00123", "0.00123"),
            ("9007199254740993", "9007199254740992"),
            ("5000000000.0", "5000000000"),
        ] {
            assert_eq!(javascript_number(written).as_deref(), Some(javascript), "{written}");
        }
        for word in ["true", "-inf", "inf", "NaN", "+1", ".5", "1e999", "-", "", "1x", "--1"] {
            assert_eq!(javascript_number(word), None, "{word}");
        }
    }

    #[test]
    fn writes_strings_like_javascript() {
        let text = r#"["\u00e9\/\ud83d\ude80\u2028","\ud83d x","\u0007\u0008\u000a\u007f\"\\"]"#;
        let javascript = "[\"é/🚀\u{2028}\",\"\\ud83d x\",\"\\u0007\\b\\n\u{7f}\\\"\\\\\"]";
        assert_eq!(Style::JAVASCRIPT.rewrite(text), javascript);
        assert_eq!(Style::ONLY_STRINGS.rewrite(text), javascript);
        assert_eq!(Style::ONLY_SPACES.rewrite(text), text);
        assert_eq!(Style::JAVASCRIPT.rewrite(r#"["\x","\u12","open\"#), r#"["\x","\u12","open\"#, "no JSON");
        assert_eq!(Style::JAVASCRIPT.rewrite(r#"["\u+0e9"]"#), r#"["\u+0e9"]"#);
        assert_eq!(stringify("{\"é\":\n1}"), r#""{\"é\":\n1}""#);
    }

    #[test]
    fn writes_the_white_space_of_the_style() {
        let text = "{ \"a b\" :\t[1.0 , true,\r\n{}, \"\\u00e9🚀\" ] }\n";
        assert_eq!(Style::JAVASCRIPT.rewrite(text), "{\"a b\":[1,true,{},\"é🚀\"]}");
        assert_eq!(Style::ONLY_SPACES.rewrite(text), "{\"a b\":[1.0,true,{},\"\\u00e9🚀\"]}");
        assert_eq!(Style::ONLY_NUMBERS.rewrite(text), text.replace("1.0", "1"));
        assert_eq!(Style::PYTHON.rewrite(text), "{\"a b\": [1.0, true, {}, \"\\u00e9\\ud83d\\ude80\"]}");
    }

    #[test]
    fn any_depth_is_rewritten() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(Style::JAVASCRIPT.rewrite(&deep), deep);
        assert_eq!(reorder(&deep), None);
        assert_eq!(reorder(&"{\"a\":".repeat(1_000_000)), None);
    }

    #[test]
    fn restores_the_order_of_an_envelope() {
        let sorted = r#"{"eventName":"a","record":{"b":1,"a":2},"targetUrl":"b","x\"":1}"#;
        let restored = r#"{"targetUrl":"b","eventName":"a","record":{"b":1,"a":2},"x\"":1}"#;
        assert_eq!(reorder(sorted).as_deref(), Some(restored));
        assert_eq!(reorder(restored), None);
        assert_eq!(reorder(r#"{"data":1,"event":2,"timestamp":3}"#).unwrap(), r#"{"event":2,"data":1,"timestamp":3}"#);
        for text in ["{}", "[]", r#"{"z":1,"a":2}"#, r#"{"record":1,"event":2}"#, r#"{"x":1,"eventName":2}"#, "{"] {
            assert_eq!(reorder(text), None, "{text}");
        }
    }

    #[test]
    fn the_result_is_at_most_six_times_as_long() {
        for text in ["\"\u{1}\u{1}\u{1}\u{1}\"", "9e20", "1e20,1e20", "\"éé\"", "{,:,:}"] {
            for style in [Style::JAVASCRIPT, Style::PYTHON] {
                assert!(style.rewrite(text).len() <= text.len() * 6, "{text}");
            }
        }
    }
}
