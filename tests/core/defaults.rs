//! The defaults that the documentation states, in its own units.

use std::time::Duration;

use twenty_webhook::Verifier;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const MIB: usize = 1_048_576;

#[test]
fn a_verifier_has_the_documented_defaults() {
    assert_eq!(Verifier::DEFAULT_TOLERANCE, 5 * MINUTE);
    assert_eq!(Verifier::DEFAULT_BODY_LIMIT, 2 * MIB);
}

#[cfg(feature = "receiver")]
#[test]
fn a_receiver_has_the_documented_defaults() {
    use twenty_webhook::{Receiver, deduplicate::Deduplicate};

    assert_eq!(Receiver::DEFAULT_BODY_DEADLINE, Duration::from_secs(5));
    assert_eq!(Receiver::DEFAULT_UNVERIFIED_BUDGET, 64 * MIB);
    assert_eq!(Receiver::DEFAULT_BACKGROUND_LIMIT, 1_000);
    assert_eq!(Deduplicate::DEFAULT_LEASE, MINUTE / 2);
    assert_eq!(Deduplicate::DEFAULT_REMEMBER_FOR, DAY);
}

#[cfg(feature = "inbox")]
#[test]
fn an_inbox_has_the_documented_defaults() {
    use twenty_webhook::inbox::{InboxBuilder, WorkerBuilder};

    assert_eq!(InboxBuilder::DEFAULT_MAX_PENDING, 1_000_000);
    assert_eq!(InboxBuilder::DEFAULT_MAX_BYTES, 2_147_483_648);
    assert_eq!(InboxBuilder::DEFAULT_REMEMBER_FOR, DAY);
    assert_eq!(InboxBuilder::DEFAULT_KEEP_DEAD_LETTERS_FOR, 30 * DAY);
    assert_eq!(WorkerBuilder::<()>::DEFAULT_CONCURRENCY, 16);
    assert_eq!(WorkerBuilder::<()>::DEFAULT_TIMEOUT, 5 * MINUTE);
}

#[cfg(feature = "redb")]
#[test]
fn an_inbox_in_a_file_has_the_documented_defaults() {
    use twenty_webhook::inbox::InboxBuilder;

    assert_eq!(InboxBuilder::DEFAULT_CACHE_SIZE, 16 * MIB);
    assert_eq!(InboxBuilder::DEFAULT_LOCK_TIMEOUT, MINUTE / 2);
}

#[cfg(feature = "postgres")]
#[test]
fn an_inbox_in_postgresql_has_the_documented_defaults() {
    use twenty_webhook::inbox::InboxBuilder;

    assert_eq!(InboxBuilder::DEFAULT_LEASE, MINUTE);
}
