//! Writes a delivery in the forms in which people pass it on: a command, the code of a test, a
//! capture.

use std::fmt::Write as _;

use bytes::Bytes;

use super::entry::Entry;
use crate::{
    capture::{Capture, FRAMING},
    output::single_quoted,
};

/// The maximum length of a body in a command. Linux limits an argument of a program to 128 KiB.
const LONGEST_ARGUMENT: usize = 120 << 10;

/// Why there is no command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoCommand {
    NoBody,
    TooLong,
    HasNul,
}

impl NoCommand {
    pub(super) const fn why(&self) -> &'static str {
        match self {
            Self::NoBody => "the body was not kept",
            Self::TooLong => "the body is too long for a command: copy the delivery as a capture, and replay that",
            Self::HasNul => "a command cannot contain NUL bytes: copy the delivery as a capture, and replay that",
        }
    }
}

/// Returns a command that posts the same bytes. `origin` is the listener's address without a path.
pub(super) fn curl(entry: &Entry, origin: &str) -> Result<String, NoCommand> {
    let body = entry.body.as_ref().ok_or(NoCommand::NoBody)?;
    if body.len() > LONGEST_ARGUMENT {
        return Err(NoCommand::TooLong);
    }
    if body.contains(&0) {
        return Err(NoCommand::HasNul);
    }
    let mut command = "curl --globoff".to_owned();
    if entry.method != "POST" {
        command += &format!(" --request {}", quoted(entry.method.as_bytes()));
    }
    command += &format!(" {}", quoted(format!("{origin}{}", entry.target).as_bytes()));
    for (name, value) in &entry.headers {
        let is_of_the_way = ["host", "via"].iter().chain(&FRAMING).any(|other| name.eq_ignore_ascii_case(other));
        if !is_of_the_way {
            // curl would omit a header `name:`.
            let line = if value.is_empty() {
                format!("{name};").into_bytes()
            } else {
                [name.as_bytes(), b": ", value].concat()
            };
            command += &format!(" \\\n  --header {}", quoted(&line));
        }
    }
    // `--data` would read a file if the body begins with `@`.
    command += &format!(" \\\n  --data-raw {}\n", quoted(body));
    Ok(command)
}

/// Quotes bytes as one word of a shell. Nothing in the result ends the word early, or is
/// interpreted by the terminal into which it is pasted.
fn quoted(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.contains(is_odd) => single_quoted(text),
        _ => {
            let mut word = "$'".to_owned();
            for chunk in bytes.utf8_chunks() {
                for c in chunk.valid().chars() {
                    match c {
                        '\'' | '\\' => word.extend(['\\', c]),
                        c if is_odd(c) => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escape(&mut word, byte)),
                        c => word.push(c),
                    }
                }
                chunk.invalid().iter().for_each(|byte| escape(&mut word, *byte));
            }
            word + "'"
        }
    }
}

fn escape(word: &mut String, byte: u8) {
    // A hexadecimal escape could include the digits after it, so this one is octal. Writing to a
    // `String` does not fail.
    let _ = write!(word, "\\{byte:03o}");
}

/// Returns whether a character is a control character (such as a line end), is invisible, or
/// changes the text's direction.
fn is_odd(c: char) -> bool {
    // `escape_debug` escapes quotes and backslashes as well.
    !matches!(c, '\'' | '"' | '\\') && c.escape_debug().len() > 1
}

/// Returns the code of a test with the same body.
pub(super) fn test(entry: &Entry) -> Option<String> {
    let body = literal(entry.body.as_ref()?);
    Some(format!(
        "use twenty_webhook::{{testing::Delivery, verify::Signer}};\n\n\
         // received on {}\n\
         let delivery = Delivery::from_body({body});\n\
         let request = delivery.sign(&Signer::new(\"secret\")?).into_http_request::<Body>(\"/webhooks/twenty\")?;\n",
        entry.at
    ))
}

fn literal(body: &Bytes) -> String {
    let Ok(text) = str::from_utf8(body) else { return format!("&b\"{}\"[..]", body.escape_ascii()) };
    // In a raw string, a line end would become that of the source file.
    if text.contains(is_odd) {
        return format!("\"{}\"", text.escape_debug());
    }
    // A raw string requires more `#` than follow any quotation mark in it.
    let (mut run, mut longest) = (None::<usize>, 0);
    for byte in text.bytes() {
        run = match (byte, run) {
            (b'"', _) => Some(0),
            (b'#', Some(count)) => Some(count.saturating_add(1)),
            _ => None,
        };
        longest = longest.max(run.map_or(0, |count| count.saturating_add(1)));
    }
    // rustc accepts up to 255.
    if longest > 255 {
        return format!("\"{}\"", text.escape_debug());
    }
    let hashes = "#".repeat(longest);
    format!("r{hashes}\"{text}\"{hashes}")
}

/// Returns the file that `listen --save` would write.
pub(super) fn capture(entry: &Entry) -> Option<Vec<u8>> {
    let headers = entry.headers.iter().map(|(name, value)| (name, value));
    Some(Capture::write(&entry.method, &entry.target, headers, entry.body.as_ref()?, entry.at))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::formats::{self, Names};

    fn entry(headers: &[(&str, &[u8])], body: impl Into<Bytes>) -> Entry {
        Entry {
            method: "POST".to_owned(),
            target: "/webhooks/twenty?a=[b]".to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
            body: Some(body.into()),
            ..Entry::default()
        }
    }

    /// Returns the words into which a shell splits a command.
    fn words(command: &str) -> Vec<Vec<u8>> {
        let script = command.replacen("curl", "printf '%s\\0'", 1);
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        output.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
    }

    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            "[ -~]{0,6}".prop_map(String::into_bytes),
            prop::sample::select(vec![
                "'",
                "\\",
                "$(id)",
                "`id`",
                "\n",
                "\r\n",
                "\u{1b}[201~",
                "\u{202e}",
                "é",
                "!",
                "\"",
                "1"
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
            vec(1_u8..=255, 0..3),
        ];
        vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// A shell reads the received bytes from the command, and no other command. The text
        /// contains no character that a terminal interprets.
        #[test]
        fn a_command_has_the_same_bytes(body in hostile(), value in hostile()) {
            let value: Vec<u8> = value.into_iter().filter(|byte| *byte >= b' ' && *byte != 0x7f).collect();
            let value = value.trim_ascii();
            let entry = entry(&[("host", b"a"), ("x-odd", value), ("content-length", b"2")], body.clone());
            let command = curl(&entry, "http://127.0.0.1:3000").unwrap();
            prop_assert!(!command.contains(|c: char| c != '\n' && is_odd(c)), "{command:?}");
            let header = if value.is_empty() { b"x-odd;".to_vec() } else { [b"x-odd: ", value].concat() };
            let url = b"http://127.0.0.1:3000/webhooks/twenty?a=[b]";
            let expected: [&[u8]; 7] =
                [b"--globoff", url, b"--header", &header, b"--data-raw", &body, b""];
            prop_assert_eq!(words(&command), expected);
        }

        /// The code contains the same bytes, and nothing ends its string early.
        #[test]
        fn code_of_a_test_has_the_same_bytes(text in "[ -~é\n\u{202e}\"#]{0,40}") {
            let literal = literal(&Bytes::from(text.clone()));
            if let Some(raw) = literal.strip_prefix('r') {
                let hashes = raw.bytes().take_while(|byte| *byte == b'#').count();
                let end = format!("\"{}", "#".repeat(hashes));
                let inside = &raw[hashes + 1..];
                prop_assert_eq!(inside.find(&end), Some(inside.len() - end.len()));
                prop_assert_eq!(&inside[..inside.len() - end.len()], &text);
            } else {
                prop_assert!(text.contains(is_odd), "{:?}", text);
                prop_assert!(!literal.contains(is_odd), "{:?}", literal);
            }
        }
    }

    #[test]
    fn a_command_is_read_back() {
        let headers: [(&str, &[u8]); 2] =
            [("x-twenty-webhook-signature", b"ab"), ("x-twenty-webhook-timestamp", b"12")];
        let entry = entry(&headers, r#"{"name":"O'Neill"}"#);
        let command = curl(&entry, "http://127.0.0.1:3000").unwrap();
        let found = formats::read(command.as_bytes(), &Names::new(None)).unwrap().deliveries;
        assert_eq!((&found[0].capture.headers, &found[0].capture.body[..]), (&entry.headers, &entry.body.unwrap()[..]));
    }

    #[test]
    fn bodies_that_no_command_can_contain_are_errors() {
        assert_eq!(curl(&Entry::default(), ""), Err(NoCommand::NoBody));
        assert_eq!(curl(&entry(&[], "a\0b"), ""), Err(NoCommand::HasNul));
        assert_eq!(curl(&entry(&[], vec![b'a'; LONGEST_ARGUMENT + 1]), ""), Err(NoCommand::TooLong));
    }
}
