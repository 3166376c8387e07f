use bytes::{Bytes, BytesMut};

/// The body so far. Memory follows the bytes that came, never a length that somebody claimed: a body of one chunk is kept as it is, and more
/// are gathered in a buffer that doubles. To keep them as they are would keep the buffers that they lie in as well, with whatever a
/// stranger put between them.
#[derive(Default)]
pub(super) struct Received {
    first: Bytes,
    /// All, once there is more than the first.
    gathered: BytesMut,
}

impl Received {
    pub(super) fn push(&mut self, chunk: Bytes) {
        if self.as_slice().is_empty() {
            self.first = chunk;
            return;
        }
        if self.gathered.is_empty() && !chunk.is_empty() {
            let first = std::mem::take(&mut self.first);
            self.gathered.reserve(first.len().saturating_add(chunk.len()));
            self.gathered.extend_from_slice(&first);
        }
        self.gathered.extend_from_slice(&chunk);
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        if self.gathered.is_empty() { &self.first } else { &self.gathered }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        if self.gathered.is_empty() { self.first } else { self.gathered.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 4] = [0, 1, 4 << 10, 70_000];

    #[test]
    fn chunks_of_any_length_stay_in_order() {
        for cut in 0..LENGTHS.len().pow(4) {
            let mut received = Received::default();
            let mut expected = Vec::new();
            for at in 0..4 {
                let fill = u8::try_from(at).unwrap();
                let chunk = vec![fill; LENGTHS[cut / LENGTHS.len().pow(at) % LENGTHS.len()]];
                expected.extend_from_slice(&chunk);
                received.push(chunk.into());
                assert!(received.as_slice() == expected);
            }
            assert!(received.into_bytes() == expected);
        }
    }

    #[test]
    fn one_chunk_is_not_copied() {
        for len in LENGTHS {
            let mut received = Received::default();
            let chunk = Bytes::from(vec![b'x'; len]);
            for chunk in [Bytes::new(), chunk.clone(), Bytes::new()] {
                received.push(chunk);
            }
            assert!(len == 0 || received.into_bytes().as_ptr() == chunk.as_ptr());
        }
    }

    #[test]
    fn nothing_is_kept_of_the_buffers_that_several_lie_in() {
        for len in LENGTHS.into_iter().filter(|len| *len > 0) {
            let mut received = Received::default();
            let mut buffers: Vec<_> = (0..3).map(|_| Bytes::from(vec![b'x'; 100_000])).collect();
            for buffer in &mut buffers {
                received.push(buffer.split_to(len));
            }
            assert!(buffers.iter().all(Bytes::is_unique), "{len}");
        }
    }
}
