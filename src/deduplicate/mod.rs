//! No delivery handled twice, none lost half-way: claims of deliveries, and the stores that remember them.
//!
//! Twenty may send a delivery again, after a crash of its own, and so may anybody who captured one. A receiver therefore
//! *claims* each delivery before handling it, under a [`ClaimKey`] that is the same for every copy, and afterwards
//! *completes* the claim or *releases* it:
//!
//! ```text
//!            claim ─► Fresh ──► the handler runs, renew ─┬─ it succeeded ─► complete ─► remembered for the time to live
//!              │                                         ├─ it failed ────► release ──► free: the next copy is handled
//!              │                                         └─ it vanished ──► nothing ──► free when the lease runs out
//!              ├──► Running:   another copy is being handled
//!              └──► Completed: another copy was handled
//! ```
//!
//! 1. A claim lasts for its **lease** only, so that a crash cannot hold a delivery for ever. Make the lease a few times as
//!    long as the interval at which you renew it.
//! 2. A completed delivery is remembered for its **time to live**. Make it no shorter than a delivery stays fresh, that is,
//!    passes verification; a day is usual.
//! 3. A claim has a **token**. A handler that lost its lease to another can neither renew, complete nor release the
//!    other's claim: [`ClaimStore`] says what each call does in each state.
//! 4. **A failing store says so**, with a [`StoreError`], and never by an answer that is wrong. Twenty does not repeat a
//!    delivery that was refused, so one should usually be handled then, and
//!    [completed afterwards](StoreError::into_claim).
//!
//! [`MemoryStore`] serves one process; `RedisStore` (feature `redis`) serves many. Other stores implement [`ClaimStore`].
//!
//! ```
//! use std::time::Duration;
//! use twenty_webhook::deduplicate::{ClaimKey, ClaimOutcome, ClaimStore, MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new(100_000);
//! let key = ClaimKey::new("twenty", "tenant-1", b"{}");
//! let (lease, ttl) = (Duration::from_secs(30), Duration::from_secs(24 * 60 * 60));
//!
//! let ClaimOutcome::Fresh(claim) = store.claim(key, lease).await? else { unreachable!("nobody else is here") };
//! assert_eq!(store.claim(key, lease).await?, ClaimOutcome::Running, "a copy that arrives meanwhile");
//!
//! assert!(store.complete(&claim, ttl).await?);
//! assert_eq!(store.claim(key, lease).await?, ClaimOutcome::Completed, "a copy that arrives later");
//! # Ok(())
//! # }
//! ```
#![doc(alias = "idempotency")]

mod claim;
mod error;
mod memory;
#[cfg(feature = "receiver")]
mod naming;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "receiver")]
mod settings;
mod store;
mod table;

pub use claim::{Claim, ClaimKey, ClaimOutcome};
pub use error::{StoreError, StoreErrorKind};
pub use memory::MemoryStore;
#[cfg(feature = "receiver")]
pub(crate) use naming::Naming;
#[cfg(feature = "redis")]
pub use redis::{RedisStore, RedisStoreBuilder};
#[cfg(feature = "receiver")]
pub use settings::{Deduplicate, StoreFailure};
pub use store::{ClaimStore, StoreFuture};
