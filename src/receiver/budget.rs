use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The maximum length of a short body. Nearly all of Twenty's bodies are short: a person takes less
/// than 2 KiB.
const SHORT: usize = 16 << 10;

/// The limit for unverified bytes in memory, for all requests together.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicUsize,
    /// The part that only short bodies may use, so that a few attackers with long bodies cannot
    /// displace Twenty's deliveries.
    kept_for_short: usize,
}

impl Budget {
    /// Reserves half of the budget for short bodies, or less if a body as long as `body_limit`
    /// would not fit into the rest.
    pub(super) fn new(bytes: usize, body_limit: usize) -> Arc<Self> {
        let kept_for_short = (bytes / 2).min(bytes.saturating_sub(body_limit));
        Arc::new(Self { left: AtomicUsize::new(bytes), kept_for_short })
    }
}

/// One request's share of a [`Budget`], returned on drop.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    pub(super) const fn none_of(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Takes `bytes` more. Returns `false`, and takes nothing, if the budget does not have them.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let held = self.bytes.saturating_add(bytes);
        let keep = if held > SHORT { self.budget.kept_for_short } else { 0 };
        let take = |left: usize| left.checked_sub(bytes).filter(|left| *left >= keep);
        let taken = self.budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if taken {
            self.bytes = held;
        }
        taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::receiver::Receiver;

    #[test]
    fn shares_return_their_bytes_to_the_budget() {
        let budget = Budget::new(10, 5);
        let mut first = Share::none_of(Arc::clone(&budget));
        let mut second = Share::none_of(Arc::clone(&budget));
        assert!(first.grow(6));
        assert!(!second.grow(5));
        assert!(second.grow(4));
        assert!(!first.grow(1));
        drop(first);
        assert!(second.grow(6));
        drop(second);
        assert_eq!(budget.left.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn the_default_fits_two_long_bodies_and_as_many_bytes_of_short_ones() {
        for limit in [0, SHORT, 2 << 20, 16 << 20, 33 << 20, 50 << 20, 64 << 20] {
            let budget = Budget::new(Receiver::default_budget(limit), limit);
            let share = || Share::none_of(Arc::clone(&budget));
            let [mut one, mut other] = [share(), share()];
            assert!(one.grow(limit) && other.grow(limit), "{limit}");
            assert!(budget.kept_for_short >= 2 * limit && budget.kept_for_short >= 32 << 20, "{limit}");
        }
    }

    proptest! {
        /// If no other request holds bytes, a body fits if it is no longer than the limit and the
        /// budget, for any limit and any budget.
        #[test]
        fn an_idle_budget_takes_every_body_up_to_the_limit(
            bytes in 0..8 * SHORT,
            limit in 0..8 * SHORT,
            len in 0..8 * SHORT,
            chunk in 256..2 * SHORT,
        ) {
            let budget = Budget::new(bytes, limit);
            let len = len.min(limit);
            let mut share = Share::none_of(Arc::clone(&budget));
            let mut is_taken = true;
            let mut left = len;
            while left > 0 && is_taken {
                let next = chunk.min(left);
                is_taken = share.grow(next);
                left -= next;
            }
            prop_assert_eq!(is_taken, len <= bytes);
            drop(share);
            prop_assert_eq!(budget.left.load(Ordering::Relaxed), bytes);
        }
    }

    #[test]
    fn half_is_reserved_for_short_bodies() {
        let budget = Budget::new(4 * SHORT, SHORT);
        let share = || Share::none_of(Arc::clone(&budget));
        let [mut long, mut another] = [share(), share()];
        assert!(long.grow(SHORT));
        // From here on, the body counts as long.
        assert!(long.grow(SHORT));
        assert!(!long.grow(1));
        assert!(another.grow(SHORT));
        assert!(!another.grow(1));
        assert!(share().grow(SHORT));
        drop(long);
        assert!(another.grow(SHORT));
    }
}
