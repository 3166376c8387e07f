//! The loop that takes events and starts their handlers.

use std::{
    collections::HashMap,
    future::{Future, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    super::{
        DeadReason,
        store::{End, Lease, Take, Taken},
        telemetry,
    },
    shared::{Done, Shared},
    upkeep::{Place, maintain},
};

/// The orders that the worker's owner gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Run,
    /// Take no more events, and wait for the running handlers.
    Drain,
    /// Cancel the running handlers.
    Abort,
}

/// The maximum number of events that one take returns.
const BATCH: usize = 64;

/// The interval at which the store is polled without a notification. Another process may have
/// stored an event, or the clock may have been set.
const POLL: Duration = Duration::from_secs(1);

/// The maximum time for which ended handlers wait for handlers that started with them, so that all
/// share a transaction. They wait for a quarter of the last transaction's time, and no longer than
/// this.
const LONGEST_GATHERING: Duration = Duration::from_millis(2);

/// The pauses after the store failed double from the first to the last.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), POLL];

/// How long cancelled handlers have to end. After that, the events of ended handlers are released
/// without waiting for the other handlers.
const TO_END: Duration = Duration::from_millis(100);

/// Takes events, runs their handlers, and writes their ends to the store. One transaction ends
/// handled events and takes the next ones.
pub(super) struct Supervisor<S: Send + Sync + 'static> {
    shared: Arc<Shared<S>>,
    /// Running handlers hold this place, too, because a handler that blocks its thread outlives the
    /// worker.
    place: Arc<Place>,
    orders: watch::Receiver<Order>,
    /// The number of cancelled handlers.
    cancelled: Arc<AtomicUsize>,
    tasks: JoinSet<Done>,
    /// Running events, by their tasks.
    running: HashMap<Id, Lease>,
    /// Events that have ended, but whose ends are not in the store yet. They keep their slots.
    done: Vec<Done>,
    /// Events that have ended, but whose rows are locked by another transaction.
    locked: Vec<Done>,
    unlock_at: Instant,
    /// Whether a suspect is running.
    is_alone: bool,
    /// Whether there are suspects, and the next take must take one.
    is_suspects_turn: bool,
    /// When a suspect could not be taken, because another transaction had locked its row.
    missed_suspect: Option<Instant>,
    /// Whether there may be events to take.
    is_work: bool,
    /// When to poll the store without a notification.
    look_again_at: Instant,
    turn: u64,
    /// The maximum number of events to take. It is reduced after the store failed, because events
    /// may be large.
    most: usize,
    /// How many events the last transaction took.
    started: usize,
    gathering: Duration,
    /// The pause after the store failed.
    pause: Option<Duration>,
}

impl<S: Clone + Send + Sync + 'static> Supervisor<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, orders: watch::Receiver<Order>, cancelled: Arc<AtomicUsize>) -> Self {
        Self {
            place: Arc::new(Place(Arc::clone(&shared.inbox))),
            shared,
            orders,
            cancelled,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            done: Vec::new(),
            locked: Vec::new(),
            unlock_at: Instant::now(),
            is_alone: false,
            is_suspects_turn: false,
            missed_suspect: None,
            is_work: true,
            look_again_at: Instant::now(),
            turn: 0,
            most: BATCH,
            started: 0,
            gathering: Duration::ZERO,
            pause: None,
        }
    }

    /// Runs until the owner orders it to end.
    pub(super) async fn run(mut self) {
        // Maintenance runs on a separate task, so that forgetting many keys delays no event.
        let mut upkeep = JoinSet::new();
        upkeep.spawn(maintain(Arc::clone(&self.shared.inbox)));
        if self.begin().await {
            self.work().await;
        }
        self.drain().await;
        self.give_back().await;
    }

    /// Prepares the store. Returns `false` if the owner ordered the worker to end before the store
    /// answered.
    async fn begin(&mut self) -> bool {
        while self.order() == Order::Run {
            match self.shared.inbox.store.begin().await {
                Ok(()) => return true,
                Err(error) => telemetry::worker_failed("begin", &error),
            }
            self.unless_ordered(Order::Run, sleep(POLL)).await;
        }
        false
    }

    async fn work(&mut self) {
        while self.order() == Order::Run {
            self.wait().await;
            self.gather().await;
            if self.order() == Order::Run {
                self.exchange(self.to_take()).await;
                self.back_off(Order::Run).await;
            }
        }
    }

    /// Returns how many events to take now, and whether to take a suspect.
    fn to_take(&self) -> (usize, bool) {
        if self.is_suspects_turn {
            (usize::from(self.running.is_empty()), true)
        } else if self.is_work && !self.is_alone {
            (self.shared.slot_count.saturating_sub(self.running.len()).min(self.most), false)
        } else {
            (0, false)
        }
    }

    /// Waits until there are events to end or to take, or an order.
    async fn wait(&mut self) {
        while self.done.is_empty() && self.to_take().0 == 0 {
            let Self { shared, orders, tasks, .. } = self;
            let ended = tokio::select! {
                biased;
                _ = orders.wait_for(|order| *order != Order::Run) => return,
                Some(ended) = tasks.join_next_with_id() => Some(ended),
                () = shared.inbox.store.work().notified(), if !self.is_work => None,
                () = shared.wake.notified(), if !self.is_work => None,
                () = sleep_until(self.look_again_at), if !self.is_work => None,
                () = sleep_until(self.unlock_at), if !self.locked.is_empty() => return,
            };
            match ended {
                Some(ended) => self.ended(ended),
                None => self.is_work = true,
            }
        }
    }

    /// Waits a moment for handlers that started together with the handlers that have ended.
    async fn gather(&mut self) {
        if self.unlock_at <= Instant::now() {
            self.done.append(&mut self.locked);
        }
        let until = Instant::now().checked_add(self.gathering).unwrap_or_else(Instant::now);
        loop {
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                self.ended(ended);
            }
            if self.done.is_empty() || self.done.len() >= self.started || self.tasks.is_empty() {
                break;
            }
            let Self { tasks, orders, .. } = self;
            let ended = tokio::select! {
                biased;
                _ = orders.wait_for(|order| *order != Order::Run) => break,
                ended = tasks.join_next_with_id() => ended,
                () = sleep_until(until) => break,
            };
            ended.into_iter().for_each(|ended| self.ended(ended));
        }
        // Events that were stored meanwhile are taken in the same transaction.
        self.is_work |= tokio::select! {
            biased;
            () = self.shared.inbox.store.work().notified() => true,
            () = ready(()) => false,
        };
    }

    /// Ends handled events and takes the next ones, in one transaction. This future is not
    /// cancelled, because the worker must receive the taken events.
    async fn exchange(&mut self, (limit, alone): (usize, bool)) {
        if limit > 0 {
            // From now on, this loop wakes when a record becomes free. The result of the take shows
            // whether that is necessary.
            self.shared.left_busy.store(true, Ordering::Release);
        }
        let busy = self.shared.busy().clone();
        let ends = self.done.iter().map(|done| (done.lease, done.end.clone())).collect();
        let take = Take { ends, limit, turn: self.turn, busy, alone, longest_delay: self.shared.policy.longest };
        let begun = Instant::now();
        let mut taken = match self.shared.inbox.store.take(take).await {
            Ok(taken) => taken,
            Err(error) => {
                telemetry::worker_failed("take", &error);
                self.done.iter_mut().for_each(|done| done.has_failed = true);
                if limit > 0 {
                    self.most = limit.div_ceil(2);
                }
                let [first, last] = PAUSES;
                self.pause = Some(self.pause.map_or(first, |pause| pause.saturating_mul(2).min(last)));
                return;
            }
        };
        self.pause = None;
        self.gathering = begun.elapsed().checked_div(4).unwrap_or_default().min(LONGEST_GATHERING);
        let mut next_due = taken.next_due;
        for (done, is_held) in self.done.drain(..).zip(std::mem::take(&mut taken.ended)) {
            if taken.locked.contains(&done.lease) {
                self.locked.push(done);
                self.unlock_at = in_time(POLL);
                continue;
            }
            if let End::Retry { delay } = done.end {
                next_due = Some(next_due.map_or(delay, |due| due.min(delay)));
            }
            done.report(is_held);
        }
        if limit > 0 {
            self.most = self.most.saturating_mul(2).min(BATCH);
            self.look_again_at = in_time(POLL);
            self.took(&taken, limit, alone);
            self.start(taken, alone);
        }
        if let Some(due) = next_due {
            self.look_again_at = self.look_again_at.min(in_time(due));
        }
    }

    /// Updates the state for the next take.
    fn took(&mut self, taken: &Taken, limit: usize, alone: bool) {
        let count = taken.events.len();
        self.is_alone = alone && count > 0;
        if alone {
            self.is_suspects_turn = self.is_alone;
            self.missed_suspect = (!self.is_alone).then(Instant::now);
            self.is_work = true;
            return;
        }
        self.shared.left_busy.store(taken.left_busy, Ordering::Release);
        self.turn = self.turn.wrapping_add(u64::try_from(count).unwrap_or_default());
        self.is_suspects_turn = taken.suspects && self.missed_suspect.is_none_or(|at| at.elapsed() >= POLL);
        self.is_work = count == limit;
    }

    fn start(&mut self, taken: Taken, alone: bool) {
        let Taken { events, unreadable, .. } = taken;
        self.started = events.len();
        for lease in unreadable {
            let end = End::Dead { reason: DeadReason::Unreadable, message: "the stored event cannot be read".into() };
            telemetry::unreadable(lease.event);
            self.done.push(Done::new(lease, end, None));
        }
        for event in events {
            let lease = event.lease;
            // Meanwhile an event that is handled directly may have occupied the record. In this
            // case, the taken event waits for its next turn.
            let Some(busy) = self.shared.occupy(event.event.record) else {
                self.done.push(Done::new(lease, End::Release, None));
                continue;
            };
            // tokio reserves the last spawned task for the thread that spawned it. If the renewal
            // were last, a handler that blocks this thread would delay it.
            let renewal = self.shared.renew(lease);
            let (run, place) = (Arc::clone(&self.shared).run(event, busy, alone), Arc::clone(&self.place));
            let task = self.tasks.spawn(async move {
                let _held = (place, renewal);
                run.await
            });
            self.running.insert(task.id(), lease);
        }
    }

    /// Waits after the store failed.
    async fn back_off(&mut self, order: Order) {
        if let Some(pause) = self.pause {
            self.unless_ordered(order, sleep(pause)).await;
        }
    }

    fn order(&self) -> Order {
        // The owner was dropped, so there will be no other order.
        if self.orders.has_changed().is_err() { Order::Abort } else { *self.orders.borrow() }
    }

    /// Awaits a future as long as the order does not change.
    async fn unless_ordered<T>(&mut self, order: Order, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.orders.wait_for(|now| *now != order) => None,
            value = future => Some(value),
        }
    }

    fn ended(&mut self, ended: Result<(Id, Done), JoinError>) {
        let done = match ended {
            Ok((id, done)) => {
                self.running.remove(&id);
                Some(done)
            }
            Err(error) if error.is_cancelled() => {
                self.running.remove(&error.id()).map(|lease| Done::new(lease, End::Release, None))
            }
            // All code of the user runs inside `caught` or `report`, so this is a mistake in this
            // crate.
            Err(error) => self.running.remove(&error.id()).map(|lease| {
                let end = End::Retry { delay: self.shared.policy.longest };
                Done::new(lease, end, None)
            }),
        };
        self.is_alone &= !self.running.is_empty();
        self.done.extend(done);
    }

    /// Waits for the running handlers, until the owner orders it to cancel them.
    async fn drain(&mut self) {
        while self.order() == Order::Drain && !(self.tasks.is_empty() && self.is_all_written()) {
            if self.done.is_empty() {
                let Self { orders, tasks, .. } = self;
                let ended = tokio::select! {
                    biased;
                    _ = orders.wait_for(|order| *order == Order::Abort) => break,
                    Some(ended) = tasks.join_next_with_id() => Some(ended),
                    () = sleep_until(self.unlock_at), if !self.locked.is_empty() => None,
                };
                ended.into_iter().for_each(|ended| self.ended(ended));
            }
            self.gather().await;
            self.exchange((0, false)).await;
            self.back_off(Order::Drain).await;
        }
    }

    /// Cancels the running handlers, and releases their events.
    async fn give_back(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(ended);
        }
        self.cancelled.store(self.running.len(), Ordering::Release);
        self.tasks.abort_all();
        while !self.tasks.is_empty() {
            match timeout(TO_END, self.tasks.join_next_with_id()).await {
                Ok(ended) => ended.into_iter().for_each(|ended| self.ended(ended)),
                // The remaining handlers block their threads, and keep their leases until they end.
                Err(_) if self.is_all_written() => {}
                Err(_) => self.write_ends().await,
            }
        }
        let written = async {
            while !self.is_all_written() {
                self.write_ends().await;
                sleep(if self.locked.is_empty() { self.pause.unwrap_or_default() } else { TO_END }).await;
            }
        };
        // If the store does not answer, it recovers the events later: when it is opened again, or
        // when their leases end.
        let _ = timeout(Duration::from_secs(3), written).await;
    }

    const fn is_all_written(&self) -> bool {
        self.done.is_empty() && self.locked.is_empty()
    }

    async fn write_ends(&mut self) {
        self.done.append(&mut self.locked);
        self.exchange((0, false)).await;
    }
}

fn in_time(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time.min(POLL)).unwrap_or(now)
}
