//! Writes to the terminal: colours, errors, and text from elsewhere with control characters
//! escaped.

use std::{
    borrow::Cow,
    error::Error,
    fmt::{self, Write as _},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use clap::ValueEnum;
use serde::Serialize;

/// When to use colours.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    #[default]
    Auto,
    /// Also in a pipe or a file
    Always,
    /// Never
    Never,
}

/// The output format.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    #[default]
    Pretty,
    /// One JSON object per line
    Json,
}

impl Color {
    /// Applies to everything that is printed from now on.
    pub(crate) fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

pub(crate) mod style {
    use anstyle::{AnsiColor, Style};

    pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
    pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
    pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
    pub(crate) const STRONG: Style = Style::new().bold();
    pub(crate) const FAINT: Style = Style::new().dimmed();
}

/// Returns `text` in a style.
pub(crate) fn styled(style: anstyle::Style, text: impl fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Why a command failed, with exit code 2. It says what is wrong and what to do.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Creates a failure from an error about `what`.
    pub(crate) fn about(what: impl fmt::Display, error: &dyn Error) -> Self {
        Self(format!("{what}: {}", chain(error)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns the texts of an error and its sources, without repetitions.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

/// Runs a future on a new runtime.
pub(crate) fn run_async<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::about("the runtime", &error))?;
    let done = runtime.block_on(work);
    // Dropping the runtime would wait for the resolution of a name, which cannot be cancelled.
    runtime.shutdown_background();
    Ok(done)
}

/// Prints to standard output. A closed pipe is not an error, because the exit code still has the
/// result.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    printed(write_out(text))
}

/// Prints bytes that must stay unchanged. Never use it for a terminal.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    printed(out.write_all(bytes).and_then(|()| out.flush()))
}

fn printed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::about("standard output", &error)),
        _ => Ok(()),
    }
}

/// Writes to standard output, in one piece.
pub(crate) fn write_out(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes to standard error. A failure cannot be reported anywhere.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

pub(crate) fn complain(error: &impl fmt::Display) {
    note(&format!("{} {}", styled(style::BAD, "error:"), harmless(&error.to_string())));
}

/// Wraps `text` into lines of a readable length. The first line begins with `first`, and the others
/// are indented by its length.
pub(crate) fn wrapped(first: &str, text: &str) -> String {
    const WIDTH: usize = 96;
    let indent = first.chars().count();
    let mut lines = first.to_owned();
    let mut column = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column.saturating_add(length) >= WIDTH {
            lines += &format!("\n{:indent$}", "");
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column = column.saturating_add(1);
        }
        lines += word;
        column = column.saturating_add(length);
    }
    lines + "\n"
}

/// Returns the beginning of a text that may be as long as a body, on one line and escaped.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        None => harmless_line(text).into_owned(),
        Some((end, _)) => format!("{}…", harmless_line(text.get(..end).unwrap_or_default())),
    }
}

/// Escapes characters that begin a line, move a cursor, change colours or change the reading
/// direction, so that no record can forge a line.
pub(crate) fn harmless_line(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_harmful(c) || c == '\n')
}

/// Does the same, but keeps newlines.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    escape(text, is_harmful)
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_escaped(c) {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Returns a text as one word of a shell, for a command that people copy.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:,@%".contains(c) || (cfg!(windows) && c == '\\');
    if text.chars().all(is_plain) { text.to_owned() } else { single_quoted(text) }
}

/// Puts a text into the single quotes of a shell, in which no character but the quote itself is
/// special.
pub(crate) fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Creates a file that only its owner can read: captures contain records.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path)
}

/// Writes a new file that only its owner can read. On an error, for example on a full disk, it is
/// removed, because a truncated capture would mislead.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = create_private(path)?;
    file.write_all(content).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// Returns a JSON object on one line, with its line end. `object` consists of texts and numbers.
pub(crate) fn json_line(object: &impl Serialize) -> String {
    // Serializing texts and numbers does not fail.
    format!("{}\n", harmless_json(&serde_json::to_string(object).unwrap_or_default()))
}

/// Returns a JSON text with the same value, in which the characters that [`harmless`] escapes are
/// escaped as in JSON.
pub(crate) fn harmless_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_harmful) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` does not fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

fn is_harmful(c: char) -> bool {
    let turns_text =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_line = matches!(c, '\u{2028}' | '\u{2029}');
    turns_text || ends_line || (c.is_control() && c != '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_is_one_harmless_line() {
        let text = "Ada\n2026 verified\r\t\u{1b}[31m\u{9b}2J\u{7f}\u{202e}\u{2028}é🙂";
        let expected = "Ada\\u{a}2026 verified\\u{d}\\u{9}\\u{1b}[31m\\u{9b}2J\\u{7f}\\u{202e}\\u{2028}é🙂";
        assert_eq!(harmless_line(text), expected);
        assert_eq!(harmless("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[cfg(unix)]
    #[test]
    fn a_word_of_a_shell_stays_one_word() {
        assert_eq!(shell_word("/etc/a-b_c.txt"), "/etc/a-b_c.txt");
        for text in ["my secret", "it's", "$(id)`id`", "a;b", "~", "*", "\\", "!", "é b"] {
            let script = format!("printf %s {}", shell_word(text));
            let printed = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&printed.stdout), text, "{script}");
        }
    }

    #[test]
    fn lines_are_wrapped_between_words() {
        assert_eq!(wrapped("1. ", "short"), "1. short\n");
        let text = "word ".repeat(40);
        let lines = wrapped("1. ", text.trim());
        assert_eq!(lines.split_whitespace().count(), 41);
        assert!(lines.lines().all(|line| line.len() <= 96 && !line.ends_with(' ')), "{lines}");
        assert!(lines.lines().skip(1).all(|line| line.starts_with("   word")), "{lines}");
        let long = "x".repeat(200);
        assert_eq!(wrapped("", &format!("{long} b")), format!("{long}\nb\n"), "a word stays whole");
    }

    #[test]
    fn long_texts_are_shortened() {
        let hundred = "é".repeat(100);
        assert_eq!(shortened(&hundred), hundred);
        assert_eq!(shortened(&format!("{hundred}é")), format!("{hundred}…"));
        assert_eq!(shortened("a\nb"), "a\\u{a}b");
    }

    /// Each function must copy its text a bounded number of times, whatever the text is made of:
    /// all bytes that it allocates, freed ones included, are at most a small multiple of the text.
    #[test]
    fn work_is_linear_in_the_text() {
        const LEN: usize = 100_000;
        type Function = fn(&str) -> String;
        let functions: [(&str, Function); 5] = [
            ("harmless", |text| harmless(text).into_owned()),
            ("harmless_line", |text| harmless_line(text).into_owned()),
            ("harmless_json", |text| harmless_json(text).into_owned()),
            ("shortened", shortened),
            ("wrapped", |text| wrapped("1. ", text)),
        ];
        for part in ["x", "x ", "\n", "\u{1b}", "\u{7f}", "\u{202e}", "\u{2028}x", "é", "🙂\u{9b}"] {
            let text = part.repeat(LEN / part.len());
            for (name, function) in functions {
                let mut len = 0;
                let used = allocation_counter::measure(|| len = function(&text).len());
                assert!(used.bytes_total <= 32 * LEN as u64, "{name}, {part:?}: {} bytes", used.bytes_total);
                assert!(len <= 16 * LEN, "{name}, {part:?}: {len}");
            }
        }
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({ "name": "Ada\n\u{9b}2J\u{7f}\u{202e}é" });
        let json = value.to_string();
        let shown = harmless_json(&json);
        assert_eq!(shown, r#"{"name":"Ada\n\u009b2J\u007f\u202eé"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
