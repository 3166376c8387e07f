//! The position of a reader in a text, and how it moves.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Range};

use serde::de::{Error, Expected, Unexpected};
use serde_json::de::StrRead;

use super::{
    access::Inside,
    repeated::Names,
    scan::{behind_plain, behind_space, behind_value},
};

/// One more than the levels of objects and arrays that `serde_json` enters.
pub(super) const LIMIT: usize = 128;

/// How many levels of members a [`Failure`] names: `record.createdBy.context.provider` has three
/// below the record.
pub(in crate::event) const LEVELS: usize = 3;

/// An error without content, which costs least to create.
#[derive(Debug)]
pub(in crate::event) struct NotRead;

impl Error for NotRead {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl std::error::Error for NotRead {}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not read")
    }
}

/// A JSON text and a position in it.
///
/// Public because the sealed [`FromRecord`](super::FromRecord) mentions it; its path is private.
#[doc(hidden)]
pub struct Reader<'de, E> {
    text: &'de str,
    pub(super) rest: &'de [u8],
    /// One more than the levels of objects and arrays that may still be entered.
    pub(super) depth: usize,
    /// The length of the remaining text at the start of the member whose name was read, or 0 if no
    /// value can come next.
    pub(super) member: usize,
    pub(super) is_lost: bool,
    /// The position at which the reader was lost.
    stopped_at: usize,
    /// The names of the outermost object's members.
    pub(super) names: Names,
    pub(super) has_repeated_name: bool,
    failure: Failure,
    /// Members to skip, in order, from the start of a name to the end of a value.
    pub(super) hidden: &'de [Range<usize>],
    /// The length of the remaining text at the start of the next hidden range.
    pub(super) hidden_at: usize,
    error: PhantomData<E>,
}

/// The last member whose value failed: the start of the member at each level of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::event) struct Failure {
    starts: [Option<usize>; LEVELS],
    /// The outermost level that became final when the reader was lost. Later errors change neither
    /// this level nor inner ones.
    fixed: Option<usize>,
}

impl Failure {
    /// Returns the starts of the members, outermost first.
    pub(in crate::event) fn starts(&self) -> impl Iterator<Item = usize> {
        self.starts.into_iter().map_while(|start| start)
    }
}

impl<E> fmt::Debug for Reader<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl<'de, E: Error> Reader<'de, E> {
    pub(in crate::event) const fn new(text: &'de str) -> Self {
        Self {
            text,
            rest: text.as_bytes(),
            depth: LIMIT,
            member: 0,
            is_lost: false,
            stopped_at: 0,
            names: Names::new(),
            has_repeated_name: false,
            failure: Failure { starts: [None; LEVELS], fixed: None },
            hidden: &[],
            hidden_at: usize::MAX,
            error: PhantomData,
        }
    }

    /// Creates a reader that skips members.
    pub(in crate::event) fn hiding(text: &'de str, hidden: &'de [Range<usize>]) -> Self {
        let mut reader = Self::new(text);
        reader.hide(hidden);
        reader
    }

    /// Creates a reader for an envelope, whose members are read as separate texts: each of them may
    /// have all levels, and the names of its members are checked.
    pub(in crate::event) const fn of_envelope(text: &'de str) -> Self {
        let mut reader = Self::new(text);
        reader.depth = LIMIT + 1;
        reader
    }

    /// Starts to check the names of another object.
    pub(in crate::event) const fn forget_names(&mut self) {
        self.names = Names::new();
        self.has_repeated_name = false;
    }

    pub(super) fn hide(&mut self, hidden: &'de [Range<usize>]) {
        self.hidden = hidden;
        self.hidden_at = hidden.first().map_or(usize::MAX, |range| self.text.len().wrapping_sub(range.start));
    }

    /// Returns whether two members of the outermost object may have the same name.
    pub(in crate::event) const fn has_repeated_name(&self) -> bool {
        self.has_repeated_name
    }

    /// Returns whether everything was read as `serde_json` reads it, and every hidden member was
    /// reached.
    pub(in crate::event) fn is_complete(&mut self) -> bool {
        !self.is_lost && self.next().is_none() && self.hidden.is_empty()
    }

    pub(in crate::event) const fn failure(&self) -> Failure {
        self.failure
    }

    /// Returns the end of the read text, including hidden members.
    pub(in crate::event) const fn read_until(&self) -> usize {
        if self.is_lost { self.stopped_at } else { self.position() }
    }

    /// Returns the number of read bytes.
    pub(in crate::event) const fn position(&self) -> usize {
        self.text.len().wrapping_sub(self.rest.len())
    }

    /// Returns the text from `start` to the current position.
    pub(in crate::event) fn text_since(&self, start: usize) -> &'de str {
        self.text.get(start..self.position()).unwrap_or_default().trim_ascii_start()
    }

    /// Returns the next byte that is not white space, without consuming it.
    #[inline]
    pub(in crate::event) fn next(&mut self) -> Option<u8> {
        self.rest = behind_space(self.rest);
        self.rest.first().copied()
    }

    /// Creates an error after which `serde_json` cannot continue.
    #[cold]
    pub(super) fn lose(&mut self) -> E {
        self.stop();
        E::custom("invalid JSON, or a value that was not read to its end")
    }

    /// Ends reading, so that a type that ignores errors takes no more time.
    pub(super) const fn stop(&mut self) {
        if !self.is_lost {
            self.stopped_at = self.position();
        }
        self.is_lost = true;
        self.rest = &[];
        self.member = 0;
    }

    /// Handles a value of an unexpected type. Like `serde_json`, skips it if it is neither an
    /// object nor an array.
    #[cold]
    pub(super) fn mismatch(&mut self, expected: &dyn Expected) -> E {
        let found = match self.next() {
            Some(b'{') => Unexpected::Map,
            Some(b'[') => Unexpected::Seq,
            Some(b'"') => Unexpected::Other("string"),
            Some(b'n') => Unexpected::Unit,
            Some(b't' | b'f') => Unexpected::Other("boolean"),
            _ => Unexpected::Other("number"),
        };
        if matches!(found, Unexpected::Map | Unexpected::Seq) {
            self.stop();
        } else {
            let _ = self.hand_over(|json| <bool as serde::Deserialize>::deserialize(json));
        }
        E::invalid_type(found, expected)
    }

    /// Handles a request for a value where no value can be. A type may request the same value
    /// twice, and `serde_json` does not move then.
    #[cold]
    pub(super) fn no_value(&mut self, is_malformed: bool) -> E {
        if is_malformed { self.lose() } else { E::custom("a value without a name") }
    }

    /// Moves back to the opening quote of the name that was read.
    pub(super) fn go_back_to_name(&mut self) {
        let start = self.text.len().wrapping_sub(self.member);
        self.rest = self.text.as_bytes().get(start..).unwrap_or_default();
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), E> {
        match behind_space(self.rest) {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(self.lose()),
        }
    }

    /// Checks that a value comes next, because a type may read nothing.
    #[inline]
    pub(in crate::event) fn expect_value(&mut self) -> Result<(), E> {
        match self.next() {
            Some(b',' | b'}') | None => Err(self.lose()),
            _ => Ok(()),
        }
    }

    /// Reads `null`, `true` or `false`, which comes next.
    #[inline]
    pub(super) fn word(&mut self, word: &[u8]) -> Result<(), E> {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.lose()),
        }
    }

    /// Returns the text from `from` to the start of `to`. Both are suffixes of the text.
    #[inline]
    pub(super) fn between(&self, from: &[u8], to: &[u8]) -> &'de str {
        let place = |rest: &[u8]| self.text.len().wrapping_sub(rest.len());
        self.text.get(place(from)..place(to)).unwrap_or_default()
    }

    /// Reads a string, after its opening quote.
    #[inline(always)]
    pub(super) fn string_inside(&mut self) -> Result<Cow<'de, str>, E> {
        let start = self.rest;
        let end = behind_plain(self.rest);
        let text = self.between(self.rest, end);
        match end {
            [b'"', rest @ ..] => {
                self.rest = rest;
                Ok(Cow::Borrowed(text))
            }
            _ => self.escaped_string(start).map(Cow::Owned),
        }
    }

    /// Lets `serde_json` read a string with escapes, or a malformed one.
    #[cold]
    fn escaped_string(&mut self, inside: &'de [u8]) -> Result<String, E> {
        let quote = self.text.len().wrapping_sub(inside.len()).wrapping_sub(1);
        let text = self.text.get(quote..).unwrap_or_default();
        let mut strings = serde_json::Deserializer::from_str(text).into_iter();
        if let Some(Ok(string)) = strings.next() {
            self.rest = text.as_bytes().get(strings.byte_offset()..).unwrap_or_default();
            return Ok(string);
        }
        self.rest = text.as_bytes();
        self.hand_over(|json| <String as serde::Deserialize>::deserialize(json))
    }

    /// Skips a value of any depth, and returns its text.
    pub(in crate::event) fn skip(&mut self) -> Result<&'de str, E> {
        let start = behind_space(self.rest);
        match behind_value(start) {
            Some(end) => {
                self.rest = end;
                self.leave_hidden_behind();
                Ok(self.between(start, end))
            }
            None => Err(self.lose()),
        }
    }

    /// Skips the outermost value like [`skip`](Self::skip), and checks for repeated names.
    pub(in crate::event) fn raw(&mut self) -> Result<&'de str, E> {
        if self.depth != LIMIT || self.next() != Some(b'{') {
            return self.skip();
        }
        let start = self.rest;
        // Raw JSON has no hidden members.
        self.hide(&[]);
        self.enter(b'}', |mut members| {
            while members.skip_name()? {
                members.reader().skip()?;
            }
            Ok(())
        })?;
        Ok(self.between(start, self.rest))
    }

    /// Lets `serde_json` read a scalar.
    pub(super) fn hand_over<T>(
        &mut self,
        read: impl FnOnce(&mut serde_json::Deserializer<StrRead<'de>>) -> serde_json::Result<T>,
    ) -> Result<T, E> {
        let piece = self.skip()?;
        let mut json = serde_json::Deserializer::from_str(piece);
        let value = read(&mut json);
        // `serde_json` may have stopped inside the scalar: `i128` reads the `1` of `1.5`.
        if json.end().is_err() {
            return Err(self.lose());
        }
        value.map_err(E::custom)
    }

    /// Reads the object or array that comes next, until `end` closes it.
    #[inline]
    pub(in crate::event) fn enter<T>(
        &mut self,
        end: u8,
        read: impl FnOnce(Inside<'_, 'de, E>) -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(([_], inside)) = self.rest.split_first_chunk::<1>() else { return Err(self.lose()) };
        if self.depth <= 1 {
            return Err(self.lose());
        }
        self.rest = inside;
        self.depth = self.depth.wrapping_sub(1);
        // The value stays in its `Result`, because records are large and each move copies them.
        let value = read(Inside::new(self, end));
        self.depth = self.depth.wrapping_add(1);
        if self.hidden_at != usize::MAX {
            self.pass_trailing_hidden();
        }
        // Like `serde_json`, this requires the end even after an error.
        match behind_space(self.rest) {
            [first, rest @ ..] if *first == end && self.member == 0 => self.rest = rest,
            _ => {
                let lost = self.lose();
                if value.is_ok() {
                    return Err(lost);
                }
            }
        }
        value
    }

    /// Remembers the member whose value failed, by the length of the remaining text at its start.
    #[cold]
    pub(super) fn fail_at(&mut self, left: usize) {
        let level = LIMIT.wrapping_sub(self.depth).wrapping_sub(1);
        let start = self.text.len().wrapping_sub(left);
        let Failure { starts, fixed } = &mut self.failure;
        // Text that was read after the reader was lost may belong to another object.
        if fixed.is_some_and(|fixed| fixed <= level) {
            return;
        }
        let Some(place) = starts.get_mut(level) else { return };
        *place = Some(start);
        if self.is_lost {
            *fixed = Some(level);
        }
        // An inner error that was ignored does not belong to this member.
        for inner in level.wrapping_add(1)..LEVELS {
            let is_inside = starts.get(inner).is_some_and(|inner| inner.is_some_and(|inner| inner > start));
            if let (false, Some(place)) = (is_inside, starts.get_mut(inner)) {
                *place = None;
            }
        }
    }

    /// Forgets ignored errors, at the end of the outermost object.
    pub(super) fn forget_failure(&mut self) {
        if !self.is_lost {
            self.failure = Failure::default();
        }
    }

    /// Skips hidden members that a type did not request, before the end of their object.
    #[cold]
    fn pass_trailing_hidden(&mut self) {
        loop {
            let rest = behind_space(self.rest);
            // There is no comma if the type did not request any member.
            let next = if let [b',', next @ ..] = rest { behind_space(next) } else { rest };
            if next.len() != self.hidden_at {
                return;
            }
            self.rest = next;
            self.pass_hidden();
        }
    }

    /// Moves to the end of the hidden range that begins here.
    #[cold]
    pub(super) fn pass_hidden(&mut self) {
        if let Some((range, others)) = self.hidden.split_first() {
            self.rest = self.text.as_bytes().get(range.end..).unwrap_or_default();
            self.hide(others);
        }
    }
}
