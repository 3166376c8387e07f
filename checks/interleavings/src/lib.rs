//! The crate's module `deduplicate`, compiled from its very source, on loom's lock and on a clock
//! that tests move.
//!
//! It names its lock and its clock by `std::…`, so here `std` is this crate: the standard library
//! but for those two. The source needs to know nothing of it.

extern crate self as std;
extern crate std as real;

#[allow(missing_docs, reason = "documented where it lives")]
#[path = "../../../src/deduplicate/mod.rs"]
pub mod deduplicate;

pub use real::{error, fmt, future, hash, num, pin};

pub mod sync {
    pub use loom::sync::Mutex;
    pub use real::sync::{Arc, LazyLock, PoisonError, atomic};
}

pub mod time;
