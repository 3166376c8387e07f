//! Keeps panics of the user's recorder or subscriber away from deliveries.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a report, and catches panics of the user's recorder or subscriber. For example,
/// `tracing_subscriber::fmt` panics if its output and the standard error are closed pipes.
pub(crate) fn report(report: impl FnOnce()) {
    _ = catch_unwind(AssertUnwindSafe(report));
}
