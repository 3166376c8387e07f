//! Truncates texts from deliveries and other sources, for logs and errors.

use std::borrow::Cow;

/// The maximum length of an event's name or of a member's path. The longest that Twenty sends have
/// about 70 bytes.
pub(crate) const NAME: usize = 100;

/// The maximum length of a user's error, which may repeat text from a request.
#[cfg(any(feature = "inbox", all(feature = "tracing", feature = "receiver")))]
pub(crate) const MESSAGE: usize = 500;

/// Returns the beginning of a text, and `…` if it was truncated. The beginning has at most `limit`
/// bytes after escaping as with `Debug`.
pub(crate) fn clip(text: &str, limit: usize) -> Cow<'_, str> {
    let mut len = 0_usize;
    for (at, c) in text.char_indices() {
        len = c.escape_debug().map(char::len_utf8).fold(len, usize::saturating_add);
        if len > limit {
            return Cow::Owned(format!("{}\u{2026}", text.get(..at).unwrap_or_default()));
        }
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_texts_stay_as_they_are() {
        for text in ["", "person.created", "metadata.rowLevelPermissionPredicateGroup.destroyed", &"x".repeat(NAME)] {
            assert!(matches!(clip(text, NAME), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(clip("person.created", 6), "person\u{2026}");
        assert_eq!(clip("a\u{1b}b", 6), "a\u{2026}");
        assert_eq!(clip("a\u{1b}b", 7), "a\u{1b}\u{2026}");
    }

    proptest! {
        #[test]
        fn a_clipped_text_is_a_beginning_and_bounded(text in any::<String>(), limit in 0_usize..200) {
            let clipped = clip(&text, limit);
            let beginning = clipped.strip_suffix('\u{2026}').filter(|_| clipped != text).unwrap_or(&clipped);
            prop_assert!(text.starts_with(beginning));
            prop_assert!(beginning.escape_debug().to_string().len() <= limit);
            let len: usize = text.chars().flat_map(char::escape_debug).map(char::len_utf8).sum();
            prop_assert_eq!(clipped == text, len <= limit);
        }
    }
}
