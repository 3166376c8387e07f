//! The crate's module `deduplicate`, compiled from its own source, with loom's lock and a clock
//! that tests move.
//!
//! The source imports its lock and its clock from `std::…`, so here `std` is this crate, which
//! re-exports the standard library except for those two. The source does not have to know about it.

extern crate self as std;
extern crate std as real;

#[allow(missing_docs, reason = "documented where it lives")]
#[path = "../../../src/deduplicate/mod.rs"]
pub mod deduplicate;

pub use real::{error, fmt, future, hash, num, pin};

pub mod sync {
    pub use loom::sync::{Mutex, MutexGuard};
    pub use real::sync::{Arc, LazyLock, PoisonError, atomic};
}

pub mod time;
