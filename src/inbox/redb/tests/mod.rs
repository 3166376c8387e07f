mod cuts;
mod disk;
mod faults;
mod model;
mod others;
mod outcomes;
mod rewriting;

use std::{sync::Arc, time::Duration};

use disk::Disk;

use super::{
    super::{
        InboxError,
        model::{BOUNDS, EndOne as _, clock, event, key, take},
        store::{Bounds, Take},
    },
    RedbStore, file,
    writer::Source,
};
use crate::{deduplicate::ClaimKey, verify::FixedClock};

const CACHE: usize = 1 << 20;

/// Returns a disk with an empty inbox.
fn created() -> Disk {
    let disk = Disk::default();
    file::initialise(disk.clone(), CACHE).unwrap();
    disk
}

impl<F: FnMut() -> Result<redb::Database, InboxError> + Send> Source for F {
    fn open(&mut self) -> Result<redb::Database, InboxError> {
        self()
    }

    fn check(&mut self) {}
}

fn open(disk: &Disk, bounds: Bounds, clock: &FixedClock) -> Result<RedbStore, InboxError> {
    let database = file::open_backend(disk.clone(), CACHE)?;
    let disk = disk.clone();
    let reopen = Box::new(move || file::open_backend(disk.clone(), CACHE));
    RedbStore::start(Some(database), reopen, bounds, Arc::new(clock.clone()))
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Awaits all futures concurrently.
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
