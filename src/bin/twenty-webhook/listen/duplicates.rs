//! Recognises deliveries that were received before.

use std::collections::{HashMap, VecDeque};

/// The number of remembered deliveries.
const LIMIT: usize = 100_000;

/// Counts bodies by their digests. Twenty signs a duplicate again, so only the body is the same.
#[derive(Default)]
pub(super) struct Duplicates {
    counts: HashMap<[u8; 32], u64>,
    order: VecDeque<[u8; 32]>,
}

impl Duplicates {
    /// Returns how many times the body was received before.
    pub(super) fn count(&mut self, digest: [u8; 32]) -> u64 {
        if let Some(count) = self.counts.get_mut(&digest) {
            *count = count.saturating_add(1);
            return *count;
        }
        if self.order.len() >= LIMIT {
            self.order.pop_front().map(|oldest| self.counts.remove(&oldest));
        }
        self.order.push_back(digest);
        self.counts.insert(digest, 0);
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        digest
    }

    #[test]
    fn the_oldest_delivery_is_forgotten() {
        let mut duplicates = Duplicates::default();
        assert_eq!([0, 0, 0].map(|number| duplicates.count(digest(number))), [0, 1, 2]);
        for number in 1..=LIMIT {
            assert_eq!(duplicates.count(digest(number)), 0);
        }
        assert_eq!(duplicates.count(digest(LIMIT)), 1);
        assert_eq!(duplicates.count(digest(0)), 0);
        assert_eq!(duplicates.counts.len(), LIMIT);
    }
}
