//! The members of an object, by their text.

use std::{borrow::Cow, collections::HashSet};

use serde::{Deserialize, de::IgnoredAny};

use super::scan::{after, behind_space, behind_string, behind_value};

/// Checks that a text is JSON, of any depth, with lone surrogate escapes allowed.
pub(crate) fn check_is_json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(text).map(drop)
}

/// Returns the value of the first member with this name.
pub(crate) fn find_member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    Members::of(object).find(|member| *member.name() == *name.as_bytes()).map(|member| member.value)
}

/// Returns the members whose name repeats an earlier one or is not Unicode. A type reads only the
/// others.
pub(in crate::event) fn odd_names(object: &str) -> impl Iterator<Item = OddName<'_>> {
    let mut names = HashSet::new();
    Members::of(object).filter_map(move |member| {
        let name = member.name();
        let is_unicode = std::str::from_utf8(&name).is_ok();
        let is_repeated = !names.insert(name);
        (is_repeated || !is_unicode).then_some(OddName { member, is_repeated })
    })
}

/// A member that no type reads, because of its name.
pub(in crate::event) struct OddName<'a> {
    pub(in crate::event) member: Member<'a>,
    pub(in crate::event) is_repeated: bool,
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    /// Its start in the text that contains its object.
    pub(crate) start: usize,
    /// The end of its value.
    pub(crate) end: usize,
    /// Its name as it was sent, without the quotes.
    written: &'a str,
    /// Its value as it was sent.
    pub(crate) value: &'a str,
}

impl<'a> Member<'a> {
    /// Returns its name, in UTF-8 except for lone surrogates.
    pub(crate) fn name(&self) -> Cow<'a, [u8]> {
        unescaped(self.written)
    }
}

fn unescaped(written: &str) -> Cow<'_, [u8]> {
    #[derive(Deserialize)]
    struct Name<'a>(#[serde(borrow)] Cow<'a, [u8]>);

    if !written.contains('\\') {
        return Cow::Borrowed(written.as_bytes());
    }
    match serde_json::from_str::<Name<'_>>(&format!("\"{written}\"")) {
        Ok(Name(name)) => Cow::Owned(name.into_owned()),
        Err(_) => Cow::Borrowed(written.as_bytes()),
    }
}

/// Returns the name at the start of `member`, a suffix of `text`, without its quotes, and the rest
/// from the member's value on.
fn written_name<'a>(text: &'a str, member: &'a [u8]) -> Option<(&'a str, &'a [u8])> {
    let name = member.strip_prefix(b"\"")?;
    let behind_name = behind_string(name)?;
    let place = |rest: &[u8]| text.len().wrapping_sub(rest.len());
    let written = text.get(place(name)..place(behind_name).wrapping_sub(1))?;
    Some((written, behind_space(after(b':', behind_name)?)))
}

/// Iterates over the members of an object, in the order of the text. A text that is not an object
/// has no members, and the iteration ends at malformed text.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    text: &'a str,
    rest: &'a [u8],
    is_first: bool,
}

impl<'a> Members<'a> {
    pub(crate) fn of(object: &'a str) -> Self {
        Self { text: object, rest: after(b'{', object.as_bytes()).unwrap_or_default(), is_first: true }
    }

    /// Returns the member that begins at `start`.
    pub(crate) fn member_at(text: &'a str, start: usize) -> Option<Member<'a>> {
        Self { text, rest: text.as_bytes().get(start..)?, is_first: true }.member()
    }

    /// Returns the name of the member that begins at `start`, and the start of its value.
    pub(in crate::event) fn name_at(text: &'a str, start: usize) -> Option<(Cow<'a, [u8]>, usize)> {
        let (written, value) = written_name(text, text.as_bytes().get(start..)?)?;
        Some((unescaped(written), text.len().wrapping_sub(value.len())))
    }

    fn member(&mut self) -> Option<Member<'a>> {
        if !std::mem::take(&mut self.is_first) {
            self.rest = after(b',', self.rest)?;
        }
        let name = behind_space(self.rest);
        let (written, value) = written_name(self.text, name)?;
        self.rest = behind_value(value)?;
        let place = |rest: &[u8]| self.text.len().wrapping_sub(rest.len());
        let (start, end) = (place(name), place(self.rest));
        Some(Member { start, end, written, value: self.text.get(place(value)..end)? })
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let member = self.member();
        if member.is_none() {
            self.rest = &[];
        }
        member
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_pieces_of_the_text() {
        let text = " { \"a\" : [1, 2] ,\n\"b\\u0041\":{\"c\":null},\"\\ud800\":7} ";
        let members: Vec<_> = Members::of(text).collect();
        assert_eq!(members.iter().map(|member| member.value).collect::<Vec<_>>(), ["[1, 2]", r#"{"c":null}"#, "7"]);
        assert_eq!(&text[members[0].start..members[0].end], r#""a" : [1, 2]"#);
        assert_eq!(*members[1].name(), *b"bA");
        assert_eq!(*members[2].name(), *b"\xed\xa0\x80");
        assert_eq!(Members::member_at(text, members[1].start).unwrap().end, members[1].end);
        assert_eq!(find_member(text, "bA"), Some(r#"{"c":null}"#));
        assert_eq!(find_member(text, "c"), None);
        for none in ["[1]", "5", "", "{", "{}", "{1:2}", r#"{"a"}"#] {
            assert_eq!(Members::of(none).count(), 0, "{none}");
        }
        assert_eq!(Members::of(r#"{"a":1,"b":x,"c":1}"#).count(), 1);
    }

    #[test]
    fn finds_a_repeated_name_in_any_spelling() {
        let odd = |text| odd_names(text).map(|odd| (odd.member.value.to_owned(), odd.is_repeated)).collect::<Vec<_>>();
        let text = r#"{"a":1,"b":2,"\u0061":3,"\ud800":4,"\uD800":5}"#;
        assert_eq!(odd(text), [("3".to_owned(), true), ("4".to_owned(), false), ("5".to_owned(), true)]);
        assert_eq!(odd(r#"{"a":1,"b":{"a":1},"A":[{"a":1}]}"#), []);
    }
}
