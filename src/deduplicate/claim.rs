//! Claim keys and claims.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

/// Identifies one delivery in a [`ClaimStore`](super::ClaimStore): 32 opaque bytes, the same for
/// every duplicate of the delivery.
///
/// A key is a SHA-256 digest, so it reveals nothing about the delivery. [`Debug`](fmt::Debug) shows
/// the first four bytes only, which is enough to find a key in a log or in Redis.
///
/// ```
/// use twenty_webhook::deduplicate::ClaimKey;
///
/// let body = br#"{"eventName":"person.created"}"#;
/// let key = ClaimKey::new("twenty", "tenant-1", body);
/// assert_eq!(key, ClaimKey::new("twenty", "tenant-1", body));
/// assert_ne!(key, ClaimKey::new("twenty", "tenant-2", body), "one tenant cannot claim a delivery of another");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimKey([u8; 32]);

impl ClaimKey {
    /// Returns the key of a body: SHA-256 over `namespace`, `keys_id` and the body. The length of
    /// each of the first two precedes it as a big-endian `u64`.
    ///
    /// `namespace` separates receivers that share a store. `keys_id` names the keys that verified
    /// the body, so that one signer cannot claim another signer's identical body.
    #[must_use]
    pub fn new(namespace: &str, keys_id: &str, body: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hash_part(&mut hasher, namespace.as_bytes());
        hash_part(&mut hasher, keys_id.as_bytes());
        hasher.update(body);
        Self(hasher.finalize().into())
    }

    /// Returns a key made of parts that you choose, such as the webhook's id, the event's name, the
    /// record's id and the time of its last change.
    ///
    /// The boundaries of the parts matter: `["ab", "c"]` and `["a", "bc"]` give different keys. The
    /// result never equals a key from [`ClaimKey::new`].
    ///
    /// ```
    /// use twenty_webhook::deduplicate::ClaimKey;
    ///
    /// let key = ClaimKey::from_parts("twenty", "tenant-1", ["person.updated", "2fa1…", "2026-01-31T12:00:00Z"]);
    /// # let _ = key;
    /// ```
    #[must_use]
    pub fn from_parts<I>(namespace: &str, keys_id: &str, parts: I) -> Self
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let mut hasher = Sha256::new();
        // `new` begins with the length of the namespace, which is never `u64::MAX`.
        hasher.update(u64::MAX.to_be_bytes());
        hash_part(&mut hasher, namespace.as_bytes());
        hash_part(&mut hasher, keys_id.as_bytes());
        for part in parts {
            hash_part(&mut hasher, part.as_ref());
        }
        Self(hasher.finalize().into())
    }

    /// Restores a key from its bytes.
    #[cfg(feature = "inbox")]
    #[cfg_attr(
        not(any(feature = "postgres", feature = "redb")),
        allow(dead_code, reason = "only durable stores restore keys")
    )]
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes under which a [`ClaimStore`](super::ClaimStore) stores the claim.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn hash_part(hasher: &mut Sha256, part: &[u8]) {
    hasher.update((part.len() as u64).to_be_bytes());
    hasher.update(part);
}

/// Hashes only the first eight bytes, because a part of a digest is as random as the whole, and
/// each request looks up its key about ten times.
impl Hash for ClaimKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "ClaimKey({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// One handler's claim on a key. A random token distinguishes it from every other claim on that
/// key.
///
/// A [`ClaimStore`](super::ClaimStore) returns it in [`ClaimOutcome::Fresh`], and `renew`,
/// `complete` and `release` take it. It cannot be cloned, so one claim belongs to one handler.
/// Dropping it does nothing: the lease expires.
///
/// [`Debug`](fmt::Debug) shows the key as [`ClaimKey`] does, without the token.
#[must_use = "a claim that is neither completed nor released blocks its key until the lease expires"]
#[derive(PartialEq, Eq)]
pub struct Claim {
    key: ClaimKey,
    token: [u8; 16],
}

impl Claim {
    /// Creates a claim on `key` with a new token. For implementations of
    /// [`ClaimStore`](super::ClaimStore): the claim takes effect when the store has stored it.
    pub fn new(key: ClaimKey) -> Self {
        Self { key, token: token() }
    }

    /// Returns the claimed key.
    #[must_use]
    pub fn key(&self) -> ClaimKey {
        self.key
    }

    /// Returns the token, which a [`ClaimStore`](super::ClaimStore) stores and compares.
    #[must_use]
    pub fn token(&self) -> &[u8; 16] {
        &self.token
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Returns a token that is unique among all processes that share a store. It need not be secret,
/// because no client sends one. The token is a keyed hash of a counter. The two keys come from the
/// standard library, which gets them from the system, so no system call is necessary.
fn token() -> [u8; 16] {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let [low, high] = KEYS.each_ref().map(|key| key.hash_one(count));
    ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
}

/// The result of [`ClaimStore::claim`](super::ClaimStore::claim). A key has no other state, so this
/// enum will not grow.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a fresh claim that is neither completed nor released blocks its key until the lease expires"]
pub enum ClaimOutcome {
    /// The key was free, and the caller has claimed it. Handle the delivery, then complete or
    /// release.
    Fresh(Claim),
    /// The key is claimed and the lease has not expired: the delivery is being handled.
    Running,
    /// The delivery was handled, and its time to live has not expired.
    Completed,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Computed with Python: `hashlib.sha256(struct.pack(">Q", 6) + b"twenty" + …)`.
    #[test]
    fn keys_have_the_documented_form() {
        let key = ClaimKey::new("twenty", "tenant", &[0xab; 32]);
        assert_eq!(hex(key), "18c54d8ac4782ed9b9195e9800d9e0b199e7f5b7a3b06c3e1bbff17ea98b9cf8");
        let key = ClaimKey::from_parts("twenty", "tenant", ["a", "bc"]);
        assert_eq!(hex(key), "5b9ffaead36bb94d47f0fd5f8b018eb61cf81f75cfd4273b6a1b6464745d0688");
    }

    fn hex(key: ClaimKey) -> String {
        key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn parts_never_collide() {
        let digest = [b'd'; 32];
        let keys = [
            ClaimKey::new("a", "bc", &digest),
            ClaimKey::new("ab", "c", &digest),
            ClaimKey::new("", "abc", &digest),
            ClaimKey::from_parts("a", "bc", [digest]),
            ClaimKey::from_parts("a", "bc", [&digest[..16], &digest[16..]]),
            ClaimKey::from_parts("a", "bc", [&digest[..], &[]]),
            ClaimKey::from_parts("a", "bc", [[]; 0]),
            ClaimKey::from_parts("a", "bc", [[]; 1]),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
    }

    #[test]
    fn debug_shows_four_bytes_of_the_key_and_no_token() {
        let key = ClaimKey([0x5a; 32]);
        assert_eq!(format!("{key:?}"), "ClaimKey(5a5a5a5a…)");
        let claim = Claim { key, token: [0x7e; 16] };
        assert_eq!(format!("{claim:?}"), "Claim { key: ClaimKey(5a5a5a5a…), .. }");
    }

    #[test]
    fn tokens_differ() {
        let threads: Vec<_> =
            (0..4).map(|_| std::thread::spawn(|| (0..10_000).map(|_| token()).collect::<Vec<_>>())).collect();
        let tokens: HashSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(tokens.len(), 40_000);
        for half in [0..8, 8..16] {
            assert_eq!(tokens.iter().map(|token| &token[half.clone()]).collect::<HashSet<_>>().len(), 40_000);
        }
    }
}
