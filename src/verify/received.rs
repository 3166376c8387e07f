use std::iter::once;

use bytes::{Bytes, BytesMut};

/// What is shorter is small, and copied: to keep a chunk costs 32 bytes, and keeps what else there is room for in the buffer it lies in.
const SMALL: usize = 4 << 10;

/// The body so far. Memory follows the bytes that came, never a length that somebody claimed: a body of one chunk is kept as it is, and so
/// are chunks that are not small; small ones are gathered in buffers that double.
#[derive(Default)]
pub(super) struct Received {
    first: Bytes,
    more: Vec<Bytes>,
    /// What came last.
    gathered: BytesMut,
    len: usize,
}

impl Received {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let is_first = self.len == 0;
        self.len = self.len.saturating_add(chunk.len());
        if is_first {
            self.first = chunk;
            return;
        }
        if chunk.len() >= SMALL {
            if !self.gathered.is_empty() {
                self.more.push(self.gathered.split().freeze());
            }
            self.more.push(chunk);
            return;
        }
        if self.first.len() < SMALL && self.more.is_empty() && self.gathered.is_empty() {
            self.gathered.reserve(self.len);
            self.gathered.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.gathered.extend_from_slice(&chunk);
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        once(&*self.first).chain(self.more.iter().map(|chunk| &**chunk)).chain(once(&*self.gathered))
    }

    /// In one piece: copied, unless it is.
    pub(super) fn into_bytes(self) -> Bytes {
        let Self { first, more, gathered, len } = self;
        match (first.len(), gathered.len()) {
            (all, _) if all == len => first,
            (_, all) if all == len => gathered.freeze(),
            _ => {
                let mut joined = Vec::with_capacity(len);
                // Each is let go of as soon as it is copied.
                once(first)
                    .chain(more)
                    .chain(once(gathered.freeze()))
                    .for_each(|chunk| joined.extend_from_slice(&chunk));
                joined.into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_any_length_stay_in_order() {
        const LENGTHS: [usize; 4] = [1, SMALL - 1, SMALL, SMALL + 1];
        for cut in 0..LENGTHS.len().pow(5) {
            let mut received = Received::default();
            let mut expected = Vec::new();
            for at in 0..5 {
                let fill = u8::try_from(at).unwrap();
                let chunk = vec![fill; LENGTHS[cut / LENGTHS.len().pow(at) % LENGTHS.len()]];
                expected.extend_from_slice(&chunk);
                received.push(chunk.into());
                assert_eq!(received.len(), expected.len());
                assert!(received.chunks().flatten().eq(&expected));
            }
            assert!(received.into_bytes() == expected);
        }
    }

    #[test]
    fn what_is_in_one_piece_is_not_copied() {
        for lengths in [&[1][..], &[SMALL], &[1, 1, 1], &[SMALL - 1; 3]] {
            let mut received = Received::default();
            lengths.iter().for_each(|&len| received.push(vec![b'x'; len].into()));
            let piece = received.chunks().find(|chunk| !chunk.is_empty()).map(<[u8]>::as_ptr);
            assert_eq!(Some(received.into_bytes().as_ptr()), piece, "{lengths:?}");
        }
    }

    #[test]
    fn keeps_what_is_not_small() {
        for first in [SMALL, SMALL + 1] {
            let mut received = Received::default();
            let large = [first, SMALL, SMALL].map(|len| Bytes::from(vec![b'x'; len]));
            for chunk in &large {
                received.push(chunk.clone());
                received.push(Bytes::from_static(b"small"));
            }
            let kept: Vec<_> = received.chunks().map(<[u8]>::as_ptr).collect();
            assert!(large.iter().all(|chunk| kept.contains(&chunk.as_ptr())));
        }
    }
}
