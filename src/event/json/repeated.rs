//! Finds names that may be repeated.

/// A Bloom filter of names, with 2,048 bits.
pub(super) struct Names {
    words: [u64; 32],
}

impl Names {
    pub(super) const fn new() -> Self {
        Self { words: [0; 32] }
    }

    /// Adds a name. Returns `true` if it was added before, and in rare cases also for a new name.
    #[inline]
    pub(super) fn insert(&mut self, name: &[u8]) -> bool {
        let [word, bit, other_bit, ..] = hash(name).to_be_bytes();
        let bits = 1 << (bit % 64) | 1 << (other_bit % 64);
        let Some(word) = self.words.get_mut(usize::from(word % 32)) else { return true };
        let was_there = *word & bits == bits;
        *word |= bits;
        was_there
    }
}

fn low(wide: u128) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = wide.to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Hashes the length and the first and last eight bytes, which distinguish field names.
#[inline]
fn hash(name: &[u8]) -> u64 {
    let (first, last) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (Some(first), Some(last)) => (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into()),
            _ => (name.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
        },
    };
    let folded = u128::from(first ^ name.len() as u64 ^ 0x9e37_79b9_7f4a_7c15)
        .wrapping_mul(u128::from(last.rotate_left(29) ^ 0xd6e8_feb8_6659_fd93));
    low(folded) ^ low(folded >> 64)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn finds_every_name_that_was_added(names in vec("[a-z]{0,20}", 1..60), which in any::<prop::sample::Index>()) {
            let mut filter = Names::new();
            for name in &names {
                filter.insert(name.as_bytes());
            }
            prop_assert!(filter.insert(which.get(&names).as_bytes()));
        }
    }

    #[test]
    fn distinguishes_the_names_of_fields() {
        // Each row of the table in the docs begins with the object and the name of a field.
        let rows: Vec<_> = include_str!("../record/FIELDS.md").lines().skip(2).collect();
        let fields_of = |object: &str| -> Vec<&str> {
            let rows = rows.iter().filter(|row| row.starts_with("| every object") || row.contains(object));
            rows.map(|row| row.rsplit('`').nth(5).unwrap()).collect()
        };
        let envelope =
            "eventName objectMetadata workspaceId webhookId eventDate userId workspaceMemberId record updatedFields";
        for names in [fields_of("`person`"), fields_of("`attachment`"), envelope.split(' ').collect()] {
            let mut filter = Names::new();
            assert!(names.len() > 8 && names.iter().all(|name| !filter.insert(name.as_bytes())), "{names:?}");
        }
    }
}
