//! Deduplication: claims on deliveries, and the stores that keep the claims.
//!
//! Twenty may send a delivery again after a crash, and anyone who captured a delivery can replay
//! it. A receiver therefore *claims* each delivery before it handles it. The [`ClaimKey`] is the
//! same for every duplicate. Afterwards the receiver *completes* the claim or *releases* it:
//!
//! ```text
//!            claim ─► Fresh ──► the handler runs, renew ─┬─ success ─► complete ─► remembered for the time to live
//!              │                                         ├─ failure ─► release ──► free: a duplicate can be handled
//!              │                                         └─ crash ───────────────► free when the lease expires
//!              ├──► Running:   a duplicate is being handled
//!              └──► Completed: a duplicate was handled
//! ```
//!
//! 1. A claim lasts for its **lease**, so a crash does not block a delivery forever. The lease
//!    should be several times as long as the interval between renewals, and [ten times as long as
//!    the store may take to answer](Deduplicate::lease). Otherwise two machines can handle one
//!    delivery.
//! 2. A completed delivery is remembered for its **time to live**, which must cover the time in
//!    which a duplicate passes verification. A day is usual.
//! 3. A claim has a **token**. A handler whose lease expired cannot renew, complete or release a
//!    later claim on the same key. [`ClaimStore`] lists what each call does in each state.
//! 4. A store that fails returns a [`StoreError`], never a wrong answer. Twenty does not repeat a
//!    rejected delivery, so you usually handle it without a claim and
//!    [complete it afterwards](StoreError::into_claim).
//!
//! [`MemoryStore`] serves one process; `RedisStore` (feature `redis`) serves many. Other stores
//! implement [`ClaimStore`].
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
//! let ClaimOutcome::Fresh(claim) = store.claim(key, lease).await? else { unreachable!("no other caller") };
//! assert_eq!(store.claim(key, lease).await?, ClaimOutcome::Running, "a duplicate during handling");
//!
//! assert!(store.complete(&claim, ttl).await?);
//! assert_eq!(store.claim(key, lease).await?, ClaimOutcome::Completed, "a duplicate after handling");
//! # Ok(())
//! # }
//! ```
#![doc(alias = "idempotency")]
#![doc(alias = "replay")]

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
