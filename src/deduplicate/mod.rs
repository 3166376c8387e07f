//! Stub.
mod claim;
mod error;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod store;
mod table;

pub use claim::{Claim, ClaimKey, ClaimOutcome};
pub use error::{StoreError, StoreErrorKind};
pub use memory::MemoryStore;
#[cfg(feature = "redis")]
pub use redis::{RedisStore, RedisStoreBuilder};
pub use store::{ClaimStore, StoreFuture};
