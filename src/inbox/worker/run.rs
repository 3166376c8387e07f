//! The loop that takes events and starts their handlers.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    task::{Id, JoinError, JoinSet, yield_now},
    time::{Instant, sleep, timeout},
};

use super::{
    super::{
        DeadReason, Inner,
        store::{End, Lease, Take, Taken},
        telemetry,
    },
    shared::Shared,
};

/// What the owner of the worker wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Run,
    /// Take no more; wait for what runs.
    Drain,
    /// Cancel what runs.
    Abort,
}

/// How many events are taken at once.
const BATCH: u32 = 64;

/// How often the store is asked although nothing was notified: another process may have stored
/// something, and the clock may have been set.
const POLL: Duration = Duration::from_secs(1);

/// How often what is due is forgotten, and gauges are set.
const MAINTAIN: Duration = Duration::from_secs(10);

pub(super) struct Supervisor<S: Send + Sync + 'static> {
    shared: Arc<Shared<S>>,
    orders: watch::Receiver<Order>,
    tasks: JoinSet<()>,
    /// What was taken and runs, by its task.
    running: HashMap<Id, Lease>,
    turn: u64,
}

impl<S: Clone + Send + Sync + 'static> Supervisor<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, orders: watch::Receiver<Order>) -> Self {
        Self { shared, orders, tasks: JoinSet::new(), running: HashMap::new(), turn: 0 }
    }

    /// Until it is told to end. Returns how many handlers were cancelled.
    pub(super) async fn run(mut self) -> usize {
        let _place = Place(Arc::clone(&self.shared.inbox));
        // By itself, so that forgetting a lot delays no event.
        let mut upkeep = JoinSet::new();
        upkeep.spawn(maintain(Arc::clone(&self.shared.inbox)));
        if self.begin().await {
            self.work().await;
        }
        self.drain().await
    }

    /// `false` when it was told to end before the store answered.
    async fn begin(&mut self) -> bool {
        while self.order() == Order::Run {
            match self.shared.inbox.store.begin().await {
                Ok(()) => return true,
                Err(error) => telemetry::worker_failed("begin", &error),
            }
            self.unless_told(sleep(POLL)).await;
        }
        false
    }

    async fn work(&mut self) {
        let mut suspects = false;
        // When a suspect could not be taken: another process has locked it, or the store failed.
        let mut missed: Option<Instant> = None;
        while self.order() == Order::Run {
            self.reap();
            if suspects {
                suspects = self.run_alone().await;
                missed = (!suspects).then(Instant::now);
            } else {
                suspects = self.run_some(missed.is_none_or(|at| at.elapsed() >= POLL)).await;
            }
        }
    }

    /// Waits until nothing runs, then runs one suspect. Whether to look for another.
    async fn run_alone(&mut self) -> bool {
        let all = Arc::clone(&self.shared.slots).acquire_many_owned(self.shared.slot_count);
        let Some(Ok(slots)) = self.unless_told(all).await else { return false };
        self.reap();
        let Some(taken) = self.take(1, true).await else { return false };
        let is_one = !taken.events.is_empty();
        self.start(taken, slots, true);
        is_one
    }

    /// Takes as many events as there are free slots. Whether there are suspects, and their turn has come.
    async fn run_some(&mut self, is_their_turn: bool) -> bool {
        let slot = Arc::clone(&self.shared.slots).acquire_owned();
        let Some(Ok(mut slots)) = self.unless_told(slot).await else { return false };
        // Events that ended in one transaction free their slots at once: one take fills them.
        yield_now().await;
        let more = self.shared.slots.available_permits().min(BATCH as usize);
        let more = u32::try_from(more).unwrap_or(BATCH);
        if let Ok(more) = Arc::clone(&self.shared.slots).try_acquire_many_owned(more) {
            slots.merge(more);
        }
        let limit = slots.num_permits();
        let Some(taken) = self.take(limit, false).await else {
            drop(slots);
            self.unless_told(sleep(POLL)).await;
            return false;
        };
        self.turn = self.turn.wrapping_add(u64::try_from(taken.events.len()).unwrap_or_default());
        let suspects = taken.suspects && is_their_turn;
        let (next_due, is_full) = (taken.next_due, taken.events.len() == limit);
        self.start(taken, slots, false);
        if !suspects && !is_full {
            self.wait(next_due).await;
        }
        suspects
    }

    /// `None` when the store failed. Not cancelled, for what was taken must arrive.
    async fn take(&mut self, limit: usize, alone: bool) -> Option<Taken> {
        let busy = self.shared.busy().clone();
        // From now on, whoever frees a record wakes us; whether it matters is known afterwards.
        self.shared.left_busy.store(true, Ordering::Release);
        let take = Take { limit, turn: self.turn, busy, alone, longest_delay: self.shared.policy.longest };
        match self.shared.inbox.store.take(take).await {
            Ok(taken) => {
                self.shared.left_busy.store(taken.left_busy, Ordering::Release);
                Some(taken)
            }
            Err(error) => {
                telemetry::worker_failed("take", &error);
                None
            }
        }
    }

    fn start(&mut self, taken: Taken, mut slots: OwnedSemaphorePermit, is_alone: bool) {
        let Taken { events, unreadable, .. } = taken;
        for lease in unreadable {
            let shared = Arc::clone(&self.shared);
            let end = End::Dead { reason: DeadReason::Unreadable, message: "what is stored cannot be read".into() };
            let task = self.tasks.spawn(async move { _ = shared.end_for_sure(lease, end).await });
            self.running.insert(task.id(), lease);
        }
        for event in events {
            let lease = event.lease;
            let shared = Arc::clone(&self.shared);
            // An event that is handled at once may have occupied the record meanwhile; then this one
            // waits for its next turn.
            let slot = if is_alone { slots.split(slots.num_permits()) } else { slots.split(1) };
            let task = match (slot, self.shared.occupy(event.event.record)) {
                (Some(slot), Some(busy)) => self.tasks.spawn(shared.run(event, busy, slot)),
                _ => self.tasks.spawn(async move { _ = shared.end_for_sure(lease, End::Release).await }),
            };
            self.running.insert(task.id(), lease);
        }
    }

    /// Waits for something to do.
    async fn wait(&mut self, next_due: Option<Duration>) {
        let pause = next_due.map_or(POLL, |due| due.min(POLL));
        let shared = Arc::clone(&self.shared);
        self.unless_told(async move {
            tokio::select! {
                () = shared.inbox.store.work().notified() => {}
                () = shared.wake.notified() => {}
                () = sleep(pause) => {}
            }
        })
        .await;
    }

    fn order(&self) -> Order {
        // Without an owner there is nobody to give another order.
        if self.orders.has_changed().is_err() { Order::Abort } else { *self.orders.borrow() }
    }

    /// Awaits something, unless it is told to end.
    async fn unless_told<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.orders.wait_for(|order| *order != Order::Run) => None,
            value = future => Some(value),
        }
    }

    /// Forgets the tasks that ended.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(&ended);
        }
    }

    fn ended(&mut self, ended: &Result<(Id, ()), JoinError>) {
        // One that was cancelled, or that panicked outside of the handler, still has its lease.
        if let Ok((id, ())) = ended {
            self.running.remove(id);
        }
    }

    /// Waits for the handlers that run, until it is told to cancel them, and gives their events back.
    async fn drain(&mut self) -> usize {
        while self.order() != Order::Abort && !self.tasks.is_empty() {
            let Self { orders, tasks, .. } = self;
            let ended = tokio::select! {
                ended = tasks.join_next_with_id() => ended,
                _ = orders.wait_for(|order| *order == Order::Abort) => break,
            };
            if let Some(ended) = ended {
                self.ended(&ended);
            }
        }
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(&ended);
        }
        let left: Vec<_> = self.running.drain().map(|(_, lease)| lease).collect();
        let give_back = async {
            for &lease in &left {
                self.shared.end_for_sure(lease, End::Release).await;
            }
        };
        // If the store does not answer, it finds them when it is opened again, or when their leases end.
        let _ = timeout(Duration::from_secs(3), give_back).await;
        left.len()
    }
}

/// The place of the one worker that an inbox has in a process.
struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.direct.set_worker(None);
        self.0.has_worker.store(false, Ordering::Release);
    }
}

async fn maintain(inbox: Arc<Inner>) {
    loop {
        loop {
            match inbox.store.maintain().await {
                // In small steps, between which others get their turn.
                Ok(true) => sleep(Duration::from_millis(20)).await,
                Ok(false) => break,
                Err(error) => {
                    telemetry::worker_failed("maintain", &error);
                    break;
                }
            }
        }
        if let Ok(stats) = inbox.store.stats().await {
            telemetry::holds(&stats, inbox.clock.now());
        }
        sleep(MAINTAIN).await;
    }
}
