//! Writes doc comments with the texts of admins, which can contain anything.

use std::fmt::Write as _;

use crate::output::harmless_line;

/// The maximum width of a line: the default of rustfmt.
pub(super) const WIDTH: usize = 100;

/// The maximum number of characters of a description that are shown.
const LONGEST: usize = 300;

/// The text of a doc comment, as words that are never split. A word can be code.
#[derive(Default)]
pub(super) struct Doc(Vec<String>);

impl Doc {
    /// Adds a sentence of this tool.
    pub(super) fn add(&mut self, text: &str) {
        self.0.extend(text.split(' ').map(str::to_owned));
    }

    /// Adds text of unknown origin as a sentence. Markdown and line ends in it have no effect.
    pub(super) fn quote(&mut self, text: &str) {
        let shortened: String = text.chars().take(LONGEST).collect();
        let is_whole = shortened.len() == text.len();
        let mut words: Vec<String> = shortened.split_whitespace().map(|word| escaped(&harmless_line(word))).collect();
        if let Some(last) = words.last_mut() {
            match last.chars().next_back() {
                _ if !is_whole => last.push('…'),
                Some('.' | '!' | '?' | ':' | '…') => {}
                _ => last.push('.'),
            }
        }
        self.0.append(&mut words);
    }

    /// Adds a value of unknown origin as code. `behind` follows it directly.
    pub(super) fn code(&mut self, text: &str, behind: &str) {
        let words: Vec<_> = text.split_whitespace().collect();
        // A code span cannot contain a backtick, and shows a backslash as it is.
        let code = harmless_line(&words.join(" ")).replace('`', "'");
        self.0.push(if code.is_empty() { format!("an empty text{behind}") } else { format!("`{code}`{behind}") });
    }

    /// Writes the lines of the comment.
    pub(super) fn write(&self, indent: usize, into: &mut String) {
        let indent = " ".repeat(indent);
        let mut column = usize::MAX;
        for word in &self.0 {
            let length = word.chars().count();
            if column.saturating_add(length) >= WIDTH {
                let end = if column == usize::MAX { "" } else { "\n" };
                // Writing to a `String` does not fail.
                let _ = write!(into, "{end}{indent}///");
                column = indent.len().saturating_add(3);
            }
            let _ = write!(into, " {word}");
            column = column.saturating_add(length).saturating_add(1);
        }
        into.push('\n');
    }
}

/// Escapes the characters of a word that Markdown would interpret, at any position in a line.
fn escaped(word: &str) -> String {
    let mut escaped = String::with_capacity(word.len());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    for (at, letter) in word.char_indices() {
        let (before, behind) = word.split_at(at);
        let has_meaning = match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '~' | '|' | '&' | '#' | '$' => true,
            '-' | '+' | '=' => at == 0,
            // A numbered list
            '.' | ')' => is_number(before),
            // Rustdoc warns about addresses that are not links.
            ':' => behind.starts_with("://"),
            _ => false,
        };
        if has_meaning {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(doc: &Doc) -> String {
        let mut lines = String::new();
        doc.write(4, &mut lines);
        lines
    }

    #[test]
    fn text_stays_in_its_comment() {
        let mut doc = Doc::default();
        doc.quote("a\nb\r\n\u{2028}*/ ```rust\nfn main() {}\n```\t<b> [x](y) 1. # - \u{202e}\u{0} https://x.y");
        doc.code("A`\n`B\u{1b}", ",");
        doc.code("", ".");
        let expected = "    /// a b \\*/ \\`\\`\\`rust fn main() {} \\`\\`\\` \\<b\\> \
                        \\[x\\](y) 1\\. \\# \\- \\\\u{202e}\\\\u{0}\n    /// \
                        https\\://x.y. `A' 'B\\u{1b}`, an empty text.\n";
        assert_eq!(lines(&doc), expected);
    }

    #[test]
    fn long_text_is_wrapped_and_shortened() {
        let mut doc = Doc::default();
        doc.quote(&"word ".repeat(1000));
        let text = lines(&doc);
        assert!(text.lines().all(|line| line.starts_with("    /// word") && line.len() <= WIDTH), "{text}");
        assert!(text.lines().count() == 4 && text.ends_with("word…\n"), "{text}");
        let mut doc = Doc::default();
        doc.quote(&"x".repeat(1000));
        assert_eq!(lines(&doc), format!("    /// {}…\n", "x".repeat(300)));
    }

    proptest! {
        /// Outside of escapes and code spans, no character is left that Markdown would interpret.
        #[test]
        fn markdown_in_text_has_no_effect(
            text in "([a-z0-9 \n\t\r`*_<>~|&#$+=.():/!{}\"'-]|\\\\|\\[|\\]|\u{202e}|\u{2028}|\u{0}|é){0,60}",
            options in prop::collection::vec("([a-z \n`*/\"]|\\\\|\u{202e}){0,10}", 0..4),
        ) {
            let mut doc = Doc::default();
            doc.add("The object");
            doc.quote(&text);
            for option in &options {
                doc.code(option, ",");
            }
            for line in lines(&doc).lines() {
                let shown = line.strip_prefix("    /// ").unwrap();
                let is_harmful = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}');
                prop_assert!(!shown.contains(is_harmful), "{shown:?}");
                prop_assert!(!shown.starts_with([' ', '-', '+', '=', '#', '>']), "{shown:?}");
                let mut letters = shown.chars();
                let mut plain = String::new();
                let mut is_code = false;
                while let Some(letter) = letters.next() {
                    match letter {
                        '`' => is_code = !is_code,
                        _ if is_code => {}
                        '\\' => prop_assert!(letters.next().unwrap().is_ascii_punctuation()),
                        letter => plain.push(letter),
                    }
                }
                prop_assert!(!is_code && !plain.contains("://"), "{shown:?}");
                prop_assert!(!plain.contains(['*', '_', '[', ']', '<', '>', '~', '|', '&', '#', '$']), "{shown:?}");
            }
        }
    }
}
