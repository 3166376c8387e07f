//! Keeps the API key and the webhooks' secrets out of the output.

use std::{borrow::Cow, cell::RefCell, collections::BTreeMap, fmt::Write as _, ops::Bound, rc::Rc};

use serde_json::Value as Json;

use crate::output::shortened;

/// The texts that must not be printed: the API key, and every secret that the API has listed.
///
/// Clones share these texts. Hide a text before you shorten or escape it, because a part of a
/// secret is not recognised.
#[derive(Clone, Default)]
pub(crate) struct Redaction(Rc<RefCell<Known>>);

/// The replacements of the hidden texts, by the texts' bytes.
type Known = BTreeMap<Vec<u8>, &'static str>;

/// The minimum length of a secret that is hidden in this tool's own sentences. A shorter secret may
/// be a word in them.
const SHORTEST_IN_SENTENCES: usize = 8;

/// The maximum number of bytes that are read of a text from elsewhere: enough for the beginning
/// that is shown. The work grows faster than the text, and a server can list any secrets.
const LONGEST: usize = 500;

impl Redaction {
    pub(super) fn of_token(token: &str) -> Self {
        let redaction = Self::default();
        redaction.add(token, "(the API key)");
        redaction
    }

    pub(crate) fn add_secret(&self, secret: &str) {
        self.add(secret, "(a secret)");
    }

    /// Adds the text of every member `secret`, in a response of any form.
    pub(super) fn add_secrets_of(&self, answer: &Json) {
        match answer {
            Json::Array(list) => list.iter().for_each(|item| self.add_secrets_of(item)),
            Json::Object(members) => members.iter().for_each(|(name, value)| match value {
                Json::String(secret) if name == "secret" => self.add_secret(secret),
                other => self.add_secrets_of(other),
            }),
            _ => {}
        }
    }

    fn add(&self, text: &str, shown_as: &'static str) {
        if !text.trim().is_empty() {
            let mut known = self.0.borrow_mut();
            for form in [text.to_owned(), percent_encoded(text)] {
                known.entry(form.into_bytes()).or_insert(shown_as);
            }
        }
    }

    /// Hides the secrets in the beginning of a text from elsewhere.
    fn hide(&self, text: &str) -> String {
        self.replace(text, 0, LONGEST)
    }

    /// Hides the secrets in a sentence of this tool, which may contain text from elsewhere.
    pub(crate) fn hide_in_sentence(&self, text: &str) -> String {
        self.replace(text, SHORTEST_IN_SENTENCES, usize::MAX)
    }

    /// Returns the beginning of a text from elsewhere on one line, without secrets.
    pub(crate) fn shown(&self, text: &str) -> String {
        shortened(&self.hide(text))
    }

    /// Does the same for an address. Also hides the user name and password, and the part after `?`,
    /// in which many people have a token.
    pub(crate) fn shown_url(&self, url: &str) -> String {
        // The user name and password may be longer than what is read.
        if url.len() > LONGEST && url.contains('@') {
            return "…".to_owned();
        }
        let url = self.hide(url);
        let url = without_userinfo(&url);
        match url.find(['?', '#']) {
            Some(end) => format!("{}?…", shortened(url.get(..end).unwrap_or_default())),
            None => shortened(&url),
        }
    }

    /// Replaces the texts that have at least `shortest` bytes. Overlapping texts are hidden
    /// together, so that hiding one of them does not show the rest of another.
    ///
    /// Reads about `longest` bytes of the text, and ends earlier where a hidden text may begin that
    /// continues behind them.
    fn replace(&self, text: &str, shortest: usize, longest: usize) -> String {
        let known = self.0.borrow();
        let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= longest);
        let read = end.map_or(text, |end| text.get(..end).unwrap_or_default());
        let mut shown = String::with_capacity(read.len());
        let mut hidden_to = 0;
        for (at, letter) in read.char_indices() {
            let rest = read.as_bytes().get(at..).unwrap_or_default();
            if end.is_some() && may_begin(&known, rest) {
                break;
            }
            let found = longest_at(&known, rest);
            if let Some((length, shown_as)) = found.filter(|(length, _)| *length >= shortest) {
                if at >= hidden_to {
                    shown.push_str(shown_as);
                }
                hidden_to = hidden_to.max(at.saturating_add(length));
            } else if at >= hidden_to {
                shown.push(letter);
            }
        }
        if end.is_some() {
            shown.push('…');
        }
        shown
    }
}

/// Returns the length of the longest known text with which `text` begins, and its replacement.
///
/// Takes a few look-ups instead of a comparison with each known text, because the API may list many
/// secrets.
fn longest_at(known: &Known, mut text: &[u8]) -> Option<(usize, &'static str)> {
    loop {
        let up_to_it = (Bound::Unbounded, Bound::Included(text));
        let (before, shown_as) = known.range::<[u8], _>(up_to_it).next_back()?;
        if text.starts_with(before) {
            return Some((before.len(), shown_as));
        }
        // `before` sorts last among the known texts up to `text`. So a shorter known text that
        // starts `text` also starts `before`, and lies within their common prefix.
        let common = text.iter().zip(before).take_while(|(a, b)| a == b).count();
        text = text.get(..common)?;
    }
}

/// Returns whether a known text begins with `text`.
fn may_begin(known: &Known, text: &[u8]) -> bool {
    let from_it_on = (Bound::Included(text), Bound::Unbounded);
    known.range::<[u8], _>(from_it_on).next().is_some_and(|(next, _)| next.starts_with(text))
}

/// Encodes a text as in a part of an address.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a `String` does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Hides the user name and password in an address. If it is unclear where they end, only the scheme
/// is shown.
fn without_userinfo(url: &str) -> Cow<'_, str> {
    let (scheme, rest) = url.split_at_checked(scheme_len(url)).unwrap_or(("", url));
    let Some((userinfo, host)) = rest.rsplit_once('@') else { return Cow::Borrowed(url) };
    let (authority, is_whole) = match userinfo.split_once(['/', '\\', '?', '#']) {
        Some((authority, _)) => (authority, false),
        None => (userinfo, true),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let has_port_only = |(_, port): (&str, &str)| is_port(port) || port.ends_with(']');
    let is_host = |authority: &str| authority.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
    if is_whole {
        Cow::Owned(format!("{scheme}…@{host}"))
    } else if is_host(authority) && authority.rsplit_once(':').is_none_or(has_port_only) {
        Cow::Borrowed(url)
    } else {
        Cow::Owned(format!("{scheme}…"))
    }
}

/// Returns the length of a URL's scheme and of the slashes after it. Some slashes may be missing or
/// be backslashes, because programs accept `http:/host`.
fn scheme_len(url: &str) -> usize {
    let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    let name = url.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
    let rest = url.as_bytes().get(name..).unwrap_or_default();
    let colon = usize::from(rest.first() == Some(&b':'));
    let slashes = rest.iter().skip(colon).take_while(|byte| is_slash(byte)).count();
    if slashes.saturating_add(colon) < 2 {
        return 0;
    }
    name.saturating_add(colon).saturating_add(slashes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn knowing(secrets: &[&str]) -> Redaction {
        let redaction = Redaction::of_token("the-token");
        secrets.iter().for_each(|secret| redaction.add_secret(secret));
        redaction
    }

    #[test]
    fn hides_plain_and_percent_encoded_texts() {
        let redaction = knowing(&["a b", "a b c", "", " "]);
        for (text, expected) in [
            ("", ""),
            ("é the-token, the-toke", "é (the API key), the-toke"),
            ("a b c a b", "(a secret) (a secret)"),
            ("/a%20b%20c/x", "/(a secret)/x"),
        ] {
            assert_eq!(redaction.hide(text), expected);
        }
        assert_eq!(redaction.hide_in_sentence("a b of the-token"), "a b of (the API key)");
        assert_eq!(redaction.shown(&format!("{}the-token", "x".repeat(95))), format!("{}(the …", "x".repeat(95)));
    }

    #[test]
    fn finds_secrets_at_any_depth() {
        let redaction = Redaction::default();
        redaction.add_secrets_of(&json!({ "data": { "webhooks": [{ "secret": "one" }, { "secret": null }] } }));
        assert_eq!(redaction.hide("one null"), "(a secret) null");
    }

    #[test]
    fn hides_parts_of_an_address_that_may_be_a_token() {
        let redaction = knowing(&[]);
        for (url, expected) in [
            ("https://a/b?token=c", "https://a/b?…"),
            ("https://a/b#c@d", "https://a/b?…"),
            ("https://a/b", "https://a/b"),
            ("https://a:8080/@b", "https://a:8080/@b"),
            ("https://[::1]/@b", "https://[::1]/@b"),
            ("https://[::1]:80/@b", "https://[::1]:80/@b"),
            ("https://u:p@a/b", "https://…@a/b"),
            ("//u:p@a/b", "//…@a/b"),
            ("u:p@a/b", "…@a/b"),
            ("https://u:p@q@a/b?c", "https://…@a/b?…"),
            ("https://u:p/q@a/b", "https://…"),
            ("https://u:p?q@a/b", "https://…"),
            ("https://u:p@a/b@c", "https://…"),
            ("http:/u:p@a/b", "http:/…@a/b"),
            ("http:/\\u:p@a/b", "http:/\\…@a/b"),
            ("http:///u:p@a/b", "http:///…@a/b"),
            ("http//u:p@a/b", "http//…@a/b"),
            (" http://u:p@a/b", "…"),
            ("http :/u:p@a/b", "…"),
            ("\u{feff}https://u:p@a/b", "…"),
            ("http:\n//u:p@a/b", "…"),
            ("a/@b", "a/@b"),
            ("https://the-token.a/the-token", "https://(the API key).a/(the API key)"),
        ] {
            assert_eq!(redaction.shown_url(url), expected, "{url}");
        }
    }

    /// A server can list any secrets. The beginning of a text that is shown contains no part of
    /// them.
    #[test]
    fn long_texts_take_little_time_and_show_no_part_of_a_secret() {
        let long = "a".repeat(1_000_000);
        let redaction = knowing(&[&format!("{long}b"), &format!("x@{long}")]);
        assert_eq!(redaction.shown(&long), "…");
        assert_eq!(redaction.shown(&format!("c{long}")), "c…");
        assert_eq!(redaction.shown(&format!("{}{long}", "c".repeat(101))), format!("{}…", "c".repeat(100)));
        assert_eq!(redaction.shown_url(&format!("https://u:{}@host", "p".repeat(1_000_000))), "…");
    }

    proptest! {
        /// A text that is read only in part is shown as the whole text, up to some letter.
        #[test]
        fn the_beginning_of_a_text_has_no_part_of_a_secret(
            secrets in prop::collection::vec("[aé%]{1,4}", 0..6), text in "[abé%]{0,30}", longest in 0..30_usize,
        ) {
            let redaction = Redaction::default();
            secrets.iter().for_each(|secret| redaction.add_secret(secret));
            let (whole, part) = (redaction.replace(&text, 0, usize::MAX), redaction.replace(&text, 0, longest));
            prop_assert!(whole.starts_with(part.trim_end_matches('…')), "{} {}", whole, part);
        }

        /// Compares the result with a search for each text in turn.
        #[test]
        fn covers_every_occurrence(secrets in prop::collection::vec("[aé%]{1,4}", 0..6), text in "[abé%]{0,30}") {
            let redaction = Redaction::default();
            secrets.iter().for_each(|secret| redaction.add_secret(secret));
            let forms: Vec<_> = secrets.iter().flat_map(|secret| [secret.clone(), percent_encoded(secret)]).collect();
            let mut is_hidden = vec![false; text.len()];
            for (at, _) in text.char_indices() {
                for form in forms.iter().filter(|form| text[at..].starts_with(form.as_str())) {
                    is_hidden[at..at + form.len()].fill(true);
                }
            }
            let left: String = text.char_indices().filter(|(at, _)| !is_hidden[*at]).map(|(_, c)| c).collect();
            prop_assert_eq!(redaction.hide(&text).replace("(a secret)", ""), left);
        }
    }
}
