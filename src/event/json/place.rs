//! How a text is read twice, for two types side by side.

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
    /// Where it stands, to come back to it.
    pub(in crate::event) const fn place(&self) -> Place<'de> {
        Place { rest: self.rest, hidden: self.hidden }
    }

    /// Goes back to the beginning of the outermost object whose names are looked at.
    pub(in crate::event) fn go_back(&mut self, place: Place<'de>) {
        if !self.is_lost {
            self.rest = place.rest;
            self.hide(place.hidden);
            self.names = Names::new();
        }
    }

    /// Forgets hidden members inside of a value that was passed over: of two types, one may take a
    /// value apart that the other ignores.
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

    /// Whether it stands where it stood before.
    ///
    /// # Errors
    ///
    /// When it stands elsewhere.
    pub(in crate::event) fn expect_place(&mut self, place: Place<'de>) -> Result<(), E> {
        let is_there = (self.rest.len(), self.hidden.len()) == (place.rest.len(), place.hidden.len());
        if is_there && !self.is_lost { Ok(()) } else { Err(self.lose()) }
    }
}
