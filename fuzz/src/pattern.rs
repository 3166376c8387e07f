//! A second implementation of event patterns, which follows their documentation.

/// A valid pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pattern<'a> {
    metadata: bool,
    object: &'a str,
    action: &'a str,
}

impl<'a> Pattern<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        let is_word = |part: &str| part.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
        let is_action = |part: &str| part == "*" || !part.is_empty() && is_word(part);
        let is_object = |part: &str| {
            part == "*" || part.starts_with(|c: char| c.is_ascii_lowercase()) && is_word(part) && !part.contains('_')
        };
        let pattern = match text.strip_prefix("metadata.") {
            Some(rest) => rest.split_once('.').map(|(object, action)| Self { metadata: true, object, action }),
            None => text.split_once('.').map(|(object, action)| Self { metadata: false, object, action }),
        };
        pattern.filter(|pattern| is_object(pattern.object) && is_action(pattern.action))
    }

    /// Returns how specifically it matches an event: 0 for its whole name, higher numbers for less
    /// specific patterns, `None` if it does not match.
    pub fn rank(self, event: &str) -> Option<usize> {
        let (before, action) = event.rsplit_once('.')?;
        let kind = before.strip_prefix("metadata.");
        let object = kind.unwrap_or(before);
        if object.is_empty() || action.is_empty() {
            return None;
        }
        if self == (Self { metadata: false, object: "*", action: "*" }) {
            return Some(4);
        }
        if self.metadata != kind.is_some() {
            return None;
        }
        let fits = |wanted: &str, found: &str| wanted == "*" || wanted == found;
        (fits(self.object, object) && fits(self.action, action))
            .then_some(usize::from(self.object == "*") * 2 + usize::from(self.action == "*"))
    }
}

/// Returns the pattern to which an event is routed.
pub fn most_exact(patterns: &[&str], event: &str) -> Option<usize> {
    let ranks = patterns.iter().enumerate().filter_map(|(at, text)| Some((Pattern::parse(text)?.rank(event)?, at)));
    ranks.min().map(|(_, at)| at)
}
