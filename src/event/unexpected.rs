//! Reads an object without the members that do not fit. Each of these is left out and reported.
//!
//! A type that rejects a record does not report which member it rejected. The reader knows the
//! member whose value failed last, so the object is read again *after* that member, and so on; all
//! these reads together are one pass. Then the object is read once more, with all failed members
//! hidden. The result is what `serde_json` reads from the object without these members.
//!
//! If two types are read from one object ([`With`](super::With)), failed members are searched
//! separately for each type. A member that does not fit one of them is hidden from both.
//!
//! In one of Twenty's composite fields, only the inner member is hidden. If a type requires it, the
//! value of that type fails in the next search, and is hidden instead. Any other member is hidden
//! as a whole, because keys inside it may be data, which must not be in a path.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    fmt,
    ops::Range,
};

use serde::de::Error;

use super::{
    EventError, FromRecord, JsonType, UnexpectedMember,
    field::COMPOSITE_MEMBERS,
    json::{self, Failure, LEVELS, Member, Members, NotRead, OddName, Reader},
    record::Payload,
};

/// The maximum number of members that are left out of a record. It is more than any standard object
/// has.
pub(super) const MAX_UNEXPECTED: usize = 64;

/// An object in the body.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    /// The whole body, for positions in errors.
    pub(super) body: &'a str,
    pub(super) text: &'a str,
    /// The position in the body at which the object ends.
    pub(super) end: usize,
    /// The name of the object's member in the envelope.
    pub(super) path: &'a str,
}

/// A member that is left out.
struct Odd {
    range: Range<usize>,
    /// The path below the object.
    path: String,
    found: JsonType,
    is_repeated: bool,
    /// The positions of the members that contain it, outermost first.
    around: Vec<usize>,
}

impl Odd {
    fn with_odd_name(odd: &OddName<'_>) -> Self {
        Self { is_repeated: odd.is_repeated, ..Self::new(&odd.member) }
    }

    fn new(member: &Member<'_>) -> Self {
        Self {
            range: member.start..member.end,
            path: printable(&member.name()),
            found: JsonType::of(member.value),
            is_repeated: false,
            around: Vec::new(),
        }
    }

    /// Returns the outermost member that contains it, or `None` if it is in no other member.
    fn outermost(&self, text: &str) -> Option<Self> {
        Some(Self::new(&Members::member_at(text, *self.around.first()?)?))
    }
}

/// Returns a member's name for a path. A name that no field can have may be data, and is not shown.
pub(super) fn printable(name: &[u8]) -> String {
    let is_plain =
        (1..=64).contains(&name.len()) && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if is_plain { String::from_utf8_lossy(name).into_owned() } else { "?".to_owned() }
}

/// Reads an object, and returns the members that were left out.
///
/// # Errors
///
/// Fails if `T` rejects the object for another reason than a member's value, or if more than
/// [`MAX_UNEXPECTED`] members would be left out. Also fails if finding the members would require
/// reading much more than twice the length of the object.
#[cold]
pub(super) fn read<T: FromRecord>(
    payload: Payload<'_>,
    object: Object<'_>,
) -> Result<(T, Vec<UnexpectedMember>), EventError> {
    let odd: Vec<_> =
        json::odd_names(object.text).take(MAX_UNEXPECTED + 1).map(|odd| Odd::with_odd_name(&odd)).collect();
    if let Some(too_many) = odd.get(MAX_UNEXPECTED) {
        return Err(too_odd(object, too_many));
    }
    let mut search = Search { payload, object, odd, is_first: true };
    for _ in 0..LEVELS {
        T::search(&mut search)?;
        if let Some(record) = Attempt::<T, NotRead>::new(payload, object.text, ranges(&search.odd)).record {
            return Ok((record, report(search.odd, object.path)));
        }
        // A type may reject a value without what was left out inside it. The next search finds it.
        search.is_first = false;
    }
    Err(explain::<T>(payload, object, &search.odd))
}

/// The search for the members of an object that do not fit a type.
///
/// Public because the sealed [`FromRecord`] mentions it; its path is private.
#[doc(hidden)]
pub struct Search<'a> {
    payload: Payload<'a>,
    object: Object<'a>,
    /// The members found so far.
    odd: Vec<Odd>,
    is_first: bool,
}

impl fmt::Debug for Search<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").finish_non_exhaustive()
    }
}

impl Search<'_> {
    /// Finds further members that do not fit `T`.
    pub(super) fn find<T: FromRecord>(&mut self) -> Result<(), EventError> {
        let Self { payload, object, ref mut odd, is_first } = *self;
        let mut attempt = Attempt::<T, NotRead>::new(payload, object.text, ranges(odd));
        if attempt.record.is_some() {
            return Ok(());
        }
        let mut from = 0;
        // If a type continues after an error, each read goes to the end of the object. Each read
        // also begins with the names of the objects around the failed member.
        let passes = if is_first { 2 } else { 1 };
        let mut budget = object.text.len().saturating_mul(passes).saturating_add(MAX_UNEXPECTED * 128);
        let mut outer = HashMap::new();
        while let Some(mut failed) = innermost(object.text, attempt.failure, &mut outer) {
            // The first search finds all members that do not fit, unless the type continues after
            // an error. In this case the outermost member is left out.
            if !is_first && !odd.iter().any(|odd| failed.range.contains(&odd.range.start)) {
                failed = failed.outermost(object.text).unwrap_or(failed);
            }
            let Some(left) = budget.checked_sub(attempt.read_bytes) else {
                return Err(too_odd(object, &failed));
            };
            budget = left;
            let mut hidden = before(object.text, &failed);
            hidden.extend(ranges(odd));
            // A member may fail because earlier members inside it are hidden. Such a failure is not
            // new.
            let is_new = failed.range.start >= from;
            from = failed.range.end;
            if is_new {
                odd.retain(|odd| !failed.range.contains(&odd.range.start));
                if odd.len() == MAX_UNEXPECTED {
                    return Err(too_odd(object, &failed));
                }
                odd.push(failed);
            }
            attempt = Attempt::new(payload, object.text, hidden);
        }
        if from != 0 {
            return Ok(());
        }
        // The record may require something inside one of its members.
        if is_first || odd.iter().all(|odd| odd.around.is_empty()) {
            return Err(explain::<T>(payload, object, odd));
        }
        let mut end = 0;
        odd.sort_by_key(|odd| odd.range.start);
        odd.retain_mut(|odd| {
            let is_outside = odd.range.start >= end;
            if is_outside {
                if let Some(outermost) = odd.outermost(object.text) {
                    *odd = outermost;
                }
                end = odd.range.end;
            }
            is_outside
        });
        Ok(())
    }
}

/// Returns the members that no type reads because of their names, up to the reported maximum.
pub(super) fn odd_names(object: Object<'_>) -> Vec<UnexpectedMember> {
    let odd = json::odd_names(object.text).take(MAX_UNEXPECTED).map(|odd| Odd::with_odd_name(&odd)).collect();
    report(odd, object.path)
}

/// One read of an object.
struct Attempt<T, E> {
    /// The record, if `serde_json` would have read it, too.
    record: Option<T>,
    failure: Failure,
    /// The number of bytes read, without hidden members.
    read_bytes: usize,
    error: Option<E>,
}

impl<T: FromRecord, E: Error> Attempt<T, E> {
    fn new(payload: Payload<'_>, text: &str, mut hidden: Vec<Range<usize>>) -> Self {
        hidden.sort_by_key(|range| (range.start, Reverse(range.end)));
        let mut end = 0;
        hidden.retain(|range| {
            let is_outside = range.start >= end;
            end = end.max(range.end);
            is_outside
        });
        let mut reader = Reader::<E>::hiding(text, &hidden);
        let record = T::read(payload, &mut reader);
        let is_complete = reader.is_complete();
        let read_until = reader.read_until();
        let read_bytes = hidden
            .iter()
            .map(|range| range.end.min(read_until).saturating_sub(range.start))
            .fold(read_until, usize::saturating_sub);
        let attempt = Self { record: None, failure: reader.failure(), read_bytes, error: None };
        match record {
            Ok(record) if is_complete => Self { record: Some(record), ..attempt },
            Ok(_) => attempt,
            Err(error) => Self { error: Some(error), ..attempt },
        }
    }
}

/// A member that contains others.
struct Outer {
    end: usize,
    /// The names that are repeated inside it. A path cannot distinguish their members.
    repeated: HashSet<String>,
}

impl Outer {
    fn at(text: &str, start: usize) -> Self {
        let Some(member) = Members::member_at(text, start) else {
            return Self { end: start, repeated: HashSet::new() };
        };
        let repeated = json::odd_names(member.value).filter(|odd| odd.is_repeated);
        Self { end: member.end, repeated: repeated.map(|odd| printable(&odd.member.name())).collect() }
    }
}

/// Returns the innermost failed member that a path can name. `outer` keeps the containing members
/// by their positions.
fn innermost(text: &str, failure: Failure, outer: &mut HashMap<usize, Outer>) -> Option<Odd> {
    let mut path = String::new();
    let mut around: Vec<usize> = Vec::new();
    for start in failure.starts() {
        let name = printable(&Members::name_at(text, start)?.0);
        match around.last() {
            None => path = name,
            Some(last) if COMPOSITE_MEMBERS.contains(&name.as_str()) => {
                let outer = outer.entry(*last).or_insert_with(|| Outer::at(text, *last));
                // The failure may be an ignored error inside a later member.
                if start >= outer.end || outer.repeated.contains(&name) {
                    break;
                }
                path = format!("{path}.{name}");
            }
            Some(_) => break,
        }
        around.push(start);
    }
    let member = Members::member_at(text, around.pop()?)?;
    Some(Odd { path, around, ..Odd::new(&member) })
}

/// Returns the ranges to hide so that the next read begins after `odd`: the earlier siblings of
/// each member that contains `odd`, and in the innermost object everything up to the end of `odd`.
fn before(text: &str, odd: &Odd) -> Vec<Range<usize>> {
    let mut object = 0;
    let mut hidden = Vec::new();
    for &member in &odd.around {
        hidden.extend(members_before(text, object, member));
        object = Members::name_at(text, member).map_or(object, |(_, value)| value);
    }
    hidden.extend(first_member(text, object).map(|first| first..odd.range.end));
    hidden
}

/// Returns the range of the members before the one at `member`, in the object that begins at
/// `object`. Returns `None` if there are none.
fn members_before(text: &str, object: usize, member: usize) -> Option<Range<usize>> {
    let before = text.get(..member)?.trim_ascii_end().strip_suffix(',')?;
    Some(first_member(text, object)?..before.trim_ascii_end().len())
}

/// Returns the position of the first member of the object that begins at `object`.
fn first_member(text: &str, object: usize) -> Option<usize> {
    let members = text.get(object..)?.trim_ascii_start().strip_prefix('{')?.trim_ascii_start();
    text.len().checked_sub(members.len())
}

fn ranges(odd: &[Odd]) -> Vec<Range<usize>> {
    odd.iter().map(|odd| odd.range.clone()).collect()
}

fn report(mut odd: Vec<Odd>, path: &str) -> Vec<UnexpectedMember> {
    odd.sort_by_key(|odd| odd.range.start);
    odd.into_iter()
        .map(|odd| UnexpectedMember {
            path: format!("{path}.{}", odd.path),
            found: odd.found,
            is_repeated: odd.is_repeated,
        })
        .collect()
}

fn too_odd(object: Object<'_>, member: &Odd) -> EventError {
    let offset = object.end.saturating_sub(object.text.len()).saturating_add(member.range.end);
    EventError::mismatch(&format!("{}.{}", object.path, member.path), false, object.body, offset)
}

/// Returns why `T` rejects the object.
fn explain<T: FromRecord>(payload: Payload<'_>, object: Object<'_>, odd: &[Odd]) -> EventError {
    let attempt = Attempt::<T, serde_json::Error>::new(payload, object.text, ranges(odd));
    // serde reports this only with these words. The name comes from the requested type.
    let words = attempt.error.map(|error| error.to_string()).unwrap_or_default();
    let missing = words.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')).map(|(field, _)| field);
    match missing {
        Some(field) => {
            let left_out = odd.iter().find(|odd| odd.path == field);
            let path = format!("{}.{}", object.path, printable(field.as_bytes()));
            EventError::mismatch(&path, left_out.is_none(), object.body, object.end)
        }
        None => EventError::mismatch(object.path, false, object.body, object.end),
    }
}
