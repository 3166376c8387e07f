//! Small decoders for base64, hexadecimal, percent encoding and Windows-1252. They return `None`
//! for all errors, because a hypothesis that does not apply is not tried.

/// Decodes base64 of either alphabet, padded or not. Line breaks are ignored, because encoders
/// wrap lines.
pub(super) fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    let wrapped: Vec<u8>;
    let mut text = text.trim_ascii();
    if text.iter().any(u8::is_ascii_whitespace) {
        // Text with other characters is not base64, and is not copied.
        let is_digit = |byte: &u8| sextet(*byte).is_some() || *byte == b'=' || byte.is_ascii_whitespace();
        wrapped =
            text.iter().all(is_digit).then(|| text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect())?;
        text = &wrapped;
    }
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len());
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for position in 0..4 {
            let sextet = group.get(position).map_or(Some(0), |digit| sextet(*digit))?;
            bits = bits << 6 | sextet;
        }
        // Two digits encode one byte, three encode two. A single digit encodes none, so no encoder
        // writes it.
        let whole = group.len().checked_sub(1).filter(|whole| *whole > 0)?;
        bytes.extend(bits.to_be_bytes().iter().skip(1).take(whole));
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit.checked_sub(b'A'),
        b'a'..=b'z' => digit.checked_sub(b'a').and_then(|letter| letter.checked_add(26)),
        b'0'..=b'9' => digit.checked_sub(b'0').and_then(|letter| letter.checked_add(52)),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    value.map(u32::from)
}

/// Encodes as base64, standard alphabet, padded.
pub(super) fn base64_encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let byte = |position: usize| u32::from(group.get(position).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (position, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let sextet = usize::try_from(bits >> shift & 63).ok().and_then(|sextet| ALPHABET.get(sextet));
            text.push(sextet.filter(|_| position <= group.len()).map_or('=', |digit| char::from(*digit)));
        }
    }
    text
}

/// Decodes hexadecimal of either case.
pub(super) fn hex_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; text.len() / 2];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

/// Decodes percent encoding. With `plus`, a plus sign becomes a space. Everything else stays
/// unchanged.
pub(super) fn percent_decode(text: &[u8], plus: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let byte = match first {
            b'%' => after.split_at_checked(2).and_then(|(digits, after)| {
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).ok()?;
                rest = after;
                byte.first().copied()
            }),
            b'+' if plus => Some(b' '),
            _ => None,
        };
        bytes.push(byte.unwrap_or(first));
    }
    bytes
}

/// Decodes the escapes of logs: `\x22` as in nginx, `\"` and `\n` as in Apache. Returns `None` if
/// there are none.
pub(super) fn log_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text.get(text.iter().position(|byte| *byte == b'\\')?..)?;
    let mut bytes = text.get(..text.len().checked_sub(rest.len())?)?.to_vec();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let Some((&escape, after)) = after.split_first().filter(|_| first == b'\\') else {
            bytes.push(first);
            continue;
        };
        rest = after;
        bytes.push(match escape {
            b'x' => {
                let (digits, after) = after.split_at_checked(2)?;
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).ok()?;
                rest = after;
                byte.first().copied()?
            }
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'v' => 11,
            b'f' => 12,
            b'"' | b'\'' | b'\\' | b'/' => escape,
            _ => return None,
        });
    }
    Some(bytes)
}

/// Decodes UTF-16. A byte order mark, or else the positions of zero bytes, shows the byte
/// order. Returns `None` if the text is not UTF-16.
pub(super) fn from_utf16(bytes: &[u8]) -> Option<String> {
    let (little, text) = match bytes {
        [0xff, 0xfe, text @ ..] => (true, text),
        [0xfe, 0xff, text @ ..] => (false, text),
        [first, 0, ..] if *first != 0 => (true, bytes),
        [0, second, ..] if *second != 0 => (false, bytes),
        _ => return None,
    };
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let units = pairs.iter().map(|pair| if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) });
    char::decode_utf16(units).collect::<Result<String, _>>().ok()
}

/// Returns the value of the first field of an HTML form. A body that was mistaken for a form has
/// no `=`, or only one at its end.
pub(super) fn form_value(form: &[u8]) -> Vec<u8> {
    let field = form.split(|byte| *byte == b'&').next().unwrap_or_default();
    let value = match field.iter().position(|byte| *byte == b'=').and_then(|at| field.split_at_checked(at)) {
        Some((name, b"=")) => name,
        Some((_, value)) => value.get(1..).unwrap_or_default(),
        None => field,
    };
    percent_decode(value, true)
}

/// The characters of 0x80 to 0x9F in Windows-1252, as browsers decode it. All other bytes are the
/// same as in Latin-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Decodes Windows-1252, and thus Latin-1.
pub(super) fn from_windows_1252(bytes: &[u8]) -> String {
    let char_of = |byte: u8| {
        let special = byte.checked_sub(0x80).and_then(|index| WINDOWS_1252.get(usize::from(index)));
        special.copied().unwrap_or(char::from(byte))
    };
    bytes.iter().map(|byte| char_of(*byte)).collect()
}

/// Encodes text as Windows-1252. Returns `None` if the text has other characters.
pub(super) fn to_windows_1252(text: &str) -> Option<Vec<u8>> {
    let byte_of = |char: char| {
        let special =
            || u8::try_from(WINDOWS_1252.iter().position(|special| *special == char)?).ok()?.checked_add(0x80);
        u8::try_from(char).ok().or_else(special)
    };
    text.chars().map(byte_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_and_decodes_base64() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64_encode(bytes.as_bytes()), text);
            assert_eq!(base64_decode(text.as_bytes()).as_deref(), Some(bytes.as_bytes()), "{text}");
            assert_eq!(base64_decode(text.trim_end_matches('=').as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64_decode(b" Zm9v\r\nYm\n Fy\n").as_deref(), Some(&b"foobar"[..]));
        assert_eq!(base64_decode(b"-_+/"), Some(vec![0xfb, 0xff, 0xbf]));
        for text in ["A", "AAAAA", "A*==", "AA=A", "A=A", "===="] {
            assert_eq!(base64_decode(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn decodes_hexadecimal_of_either_case() {
        assert_eq!(hex_decode(b"00fFA0"), Some(vec![0, 0xff, 0xa0]));
        assert_eq!(hex_decode(b"0"), None);
        assert_eq!(hex_decode(b"0g"), None);
    }

    #[test]
    fn decodes_percent_encoding() {
        assert_eq!(percent_decode(b"%7B+%c3%A9%", false), "{+é%".as_bytes());
        assert_eq!(percent_decode(b"%7+%g0%4", true), b"%7 %g0%4");
    }

    #[test]
    fn decodes_the_escapes_of_logs() {
        assert_eq!(log_decode(br#"{\x22a\x5C\xc3\xA9\"\\n"#).as_deref(), Some("{\"a\\é\"\\n".as_bytes()));
        assert_eq!(log_decode(b"\\n\\t\\/").as_deref(), Some(&b"\n\t/"[..]));
        for text in ["", "a", "\\", "\\x", "\\x2", "\\xg0", "\\u0041"] {
            assert_eq!(log_decode(text.as_bytes()).filter(|text| text != b"\\"), None, "{text}");
        }
    }

    #[test]
    fn decodes_utf16_of_either_byte_order() {
        for bytes in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}", b"{\0}\0", b"\0{\0}"] {
            assert_eq!(from_utf16(bytes).as_deref(), Some("{}"), "{bytes:?}");
        }
        for bytes in [&b""[..], b"{}", b"{\0}", b"\0\0", b"{\0\0\xd8", b"\xff\xfe\0\xd8"] {
            assert_eq!(from_utf16(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn reads_the_first_field_of_a_form() {
        assert_eq!(form_value(b"payload=%7B+%7D&more=1"), b"{ }");
        assert_eq!(form_value(b"%7B%7D="), b"{}");
        assert_eq!(form_value(b"%7B%7D"), b"{}");
        assert_eq!(form_value(b"="), b"");
        assert_eq!(form_value(b""), b"");
    }

    #[test]
    fn encodes_and_decodes_windows_1252() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(to_windows_1252(&from_windows_1252(&all)), Some(all));
        assert_eq!(from_windows_1252(b"\x80\x9f\xe9"), "€Ÿé");
        assert_eq!(to_windows_1252("\u{80}"), Some(vec![0x80]), "Latin-1");
        assert_eq!(to_windows_1252("🚀"), None);
    }
}
