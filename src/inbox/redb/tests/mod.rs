mod cuts;
mod disk;
mod faults;
mod model;
mod others;

use std::{sync::Arc, time::Duration};

use disk::Disk;

use super::{
    super::{
        InboxBuilder, InboxError, RecordKey, StoredEvent,
        store::{Bounds, Take},
    },
    RedbStore, file,
};
use crate::{
    deduplicate::ClaimKey,
    verify::{FixedClock, Signer, Timestamp, Verifier},
};

const CACHE: usize = 1 << 20;

const BOUNDS: Bounds = Bounds {
    max_pending: 1_000,
    max_bytes: 1 << 30,
    remember_for: InboxBuilder::DEFAULT_REMEMBER_FOR,
    keep_dead_for: InboxBuilder::DEFAULT_KEEP_DEAD_LETTERS_FOR,
};

const NOW: Timestamp = Timestamp::from_millis(1_790_932_471_733);

fn clock() -> FixedClock {
    FixedClock::at(NOW)
}

/// An empty inbox.
fn created() -> Disk {
    let disk = Disk::default();
    file::initialise(disk.clone(), CACHE).unwrap();
    disk
}

fn open(disk: &Disk, bounds: Bounds, clock: &FixedClock) -> Result<RedbStore, InboxError> {
    let database = file::open_backend(disk.clone(), CACHE)?;
    let disk = disk.clone();
    let reopen = Box::new(move || file::open_backend(disk.clone(), CACHE));
    RedbStore::start(database, reopen, bounds, Arc::new(clock.clone()))
}

/// The event of this number, about one of few records; of none for each fifth.
fn event(number: u64) -> StoredEvent {
    let body = format!(r#"{{"eventName":"note.created","record":{{"id":"{}","n":{number}}}}}"#, number % 5);
    let verifier =
        Verifier::builder().secret(crate::verify::Secret::new("secret").unwrap()).clock(clock()).build().unwrap();
    let verified = verifier.verify(Signer::new("secret").unwrap().sign_at(NOW, &body).pairs(), body).unwrap();
    let record = if number % 5 == 4 { RecordKey::NONE } else { RecordKey::of_body(verified.body()) };
    StoredEvent { key: key(number), record, accepted_at: NOW, verified }
}

fn key(number: u64) -> ClaimKey {
    ClaimKey::new("", "", &number.to_be_bytes())
}

fn take(limit: usize) -> Take {
    Take { limit, turn: 1, busy: [].into(), alone: false, longest_delay: Duration::from_secs(3600) }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Awaits them all at once.
async fn join_all<F: Future + Unpin>(futures: Vec<F>) -> Vec<F::Output> {
    let mut slots: Vec<_> = futures.into_iter().map(|future| (Some(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in &mut slots {
            if let Some(running) = future
                && let std::task::Poll::Ready(value) = std::pin::Pin::new(running).poll(cx)
            {
                (*future, *output) = (None, Some(value));
            }
        }
        if slots.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    slots.into_iter().map(|(_, output)| output.unwrap()).collect()
}
