//! Positions in a text, with which an object is read twice, as two types.

use std::ops::Range;

use serde::de::Error;

use super::{reader::Reader, repeated::Names};

/// A place in a text.
#[derive(Clone, Copy)]
pub(in crate::event) struct Place<'de> {
    rest: &'de [u8],
    hidden: &'de [Range<usize>],
}

impl<'de, E: Error> Reader<'de, E> {
    /// Returns the current position.
    pub(in crate::event) const fn place(&self) -> Place<'de> {
        Place { rest: self.rest, hidden: self.hidden }
    }

    /// Moves back to the start of the outermost object whose names are checked.
    pub(in crate::event) fn go_back(&mut self, place: Place<'de>) {
        if !self.is_lost {
            self.rest = place.rest;
            self.hide(place.hidden);
            self.names = Names::new();
        }
    }

    /// Forgets hidden members inside a skipped value, because one of two types may read a value
    /// that the other ignores.
    #[inline]
    pub(super) fn leave_hidden_behind(&mut self) {
        if self.hidden_at != usize::MAX {
            self.hide_what_follows();
        }
    }

    #[cold]
    fn hide_what_follows(&mut self) {
        let (position, hidden) = (self.position(), self.hidden);
        let behind = hidden.iter().take_while(|range| range.start < position).count();
        self.hide(hidden.get(behind..).unwrap_or_default());
    }

    /// Checks that the reader is at this position.
    ///
    /// # Errors
    /// Fails if the reader is at another position.
    pub(in crate::event) fn expect_place(&mut self, place: Place<'de>) -> Result<(), E> {
        let is_there = (self.rest.len(), self.hidden.len()) == (place.rest.len(), place.hidden.len());
        if is_there && !self.is_lost { Ok(()) } else { Err(self.lose()) }
    }
}
