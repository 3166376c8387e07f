//! In every order in which a few threads can claim, renew, complete and release one key, and move
//! the clock, the answers are those that a single thread could get in some order of the same calls.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use loom::thread;
use twenty_webhook_interleavings::{
    deduplicate::{Claim, ClaimKey, ClaimOutcome, ClaimStore, MemoryStore, StoreFuture},
    time::advance,
};

const LEASE: Duration = Duration::from_millis(10);
const TTL: Duration = Duration::from_millis(100);

/// The next step of a thread. A thread without the claim skips steps that require it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Claim,
    Renew,
    Complete,
    Release,
    Wait(Duration),
}

/// What a call answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Fresh,
    Running,
    Completed,
    Done(bool),
}

/// A call, when it began and ended, and what it answered.
#[derive(Clone, Copy, Debug)]
struct Call {
    thread: usize,
    step: Step,
    begin: usize,
    end: usize,
    answer: Answer,
}

/// The state of the key, as in the documentation of `ClaimStore`.
#[derive(Clone, Copy, Default)]
struct Model {
    now: Duration,
    /// The thread that claimed, whether it completed, and when that ends.
    entry: Option<(usize, bool, Duration)>,
}

impl Model {
    fn apply(&mut self, thread: usize, step: Step) -> Answer {
        let entry = self.entry.filter(|(.., end)| *end > self.now);
        let is_mine = entry.is_some_and(|(owner, completed, _)| owner == thread && !completed);
        match step {
            Step::Claim => match entry {
                None => {
                    self.entry = Some((thread, false, self.now + LEASE));
                    Answer::Fresh
                }
                Some((_, false, _)) => Answer::Running,
                Some((_, true, _)) => Answer::Completed,
            },
            Step::Renew => {
                if is_mine {
                    self.entry = Some((thread, false, self.now + LEASE));
                }
                Answer::Done(is_mine)
            }
            Step::Release => {
                if is_mine {
                    self.entry = None;
                }
                Answer::Done(is_mine)
            }
            Step::Complete => {
                let is_free_or_own = entry.is_none_or(|(owner, ..)| owner == thread);
                if is_free_or_own {
                    self.entry = Some((thread, true, self.now + TTL));
                }
                Answer::Done(is_free_or_own)
            }
            Step::Wait(time) => {
                self.now += time;
                Answer::Done(true)
            }
        }
    }
}

/// Returns whether the calls can have happened one after the other, each between its begin and its
/// end.
fn is_explained(calls: &[Call], model: Model) -> bool {
    let Some(first_end) = calls.iter().map(|call| call.end).min() else { return true };
    (0..calls.len()).any(|next| {
        let Call { thread, step, begin, answer, .. } = calls[next];
        let mut model = model;
        begin < first_end && model.apply(thread, step) == answer && {
            let rest: Vec<_> = calls.iter().enumerate().filter(|(at, _)| *at != next).map(|(_, call)| *call).collect();
            is_explained(&rest, model)
        }
    })
}

/// The call's answer. The store never waits, but for its lock.
fn now<T>(mut future: StoreFuture<'_, T>) -> T {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.expect("room for one key"),
        Poll::Pending => panic!("pending"),
    }
}

/// Runs the threads in every order and checks all answers. Returns the number of orders.
fn check<S: ClaimStore>(new: fn() -> S, threads: &'static [&'static [Step]]) -> usize {
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&orders);
    loom::model(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let key = ClaimKey::new("test", "keys", b"{}");
        let store = Arc::new(new());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let ticks = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = threads
            .iter()
            .enumerate()
            .map(|(thread, steps)| {
                let (store, calls, ticks) = (Arc::clone(&store), Arc::clone(&calls), Arc::clone(&ticks));
                thread::spawn(move || {
                    let tick = || ticks.fetch_add(1, Ordering::Relaxed);
                    let mut claim: Option<Claim> = None;
                    for step in *steps {
                        let begin = tick();
                        let answer = match (step, &claim) {
                            (Step::Wait(time), _) => {
                                advance(time.as_nanos() as u64);
                                Answer::Done(true)
                            }
                            (Step::Claim, _) => match now(store.claim(key, LEASE)) {
                                ClaimOutcome::Fresh(fresh) => {
                                    claim = Some(fresh);
                                    Answer::Fresh
                                }
                                ClaimOutcome::Running => Answer::Running,
                                ClaimOutcome::Completed => Answer::Completed,
                            },
                            (Step::Renew, Some(claim)) => Answer::Done(now(store.renew(claim, LEASE))),
                            (Step::Complete, Some(claim)) => Answer::Done(now(store.complete(claim, TTL))),
                            (Step::Release, Some(claim)) => Answer::Done(now(store.release(claim))),
                            (_, None) => continue,
                        };
                        let call = Call { thread, step: *step, begin, end: tick(), answer };
                        calls.lock().unwrap().push(call);
                    }
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        let calls = calls.lock().unwrap();
        assert!(is_explained(&calls, Model::default()), "no order of the calls explains {calls:#?}");
    });
    orders.load(Ordering::Relaxed)
}

fn memory() -> MemoryStore {
    MemoryStore::new(4)
}

/// A wrong store, which reads under one lock and writes under the next.
#[derive(Debug)]
struct Hasty(loom::sync::Mutex<bool>);

impl ClaimStore for Hasty {
    fn claim(&self, key: ClaimKey, _: Duration) -> StoreFuture<'_, ClaimOutcome> {
        let is_taken = *self.0.lock().unwrap();
        *self.0.lock().unwrap() = true;
        Box::pin(async move { Ok(if is_taken { ClaimOutcome::Running } else { ClaimOutcome::Fresh(Claim::new(key)) }) })
    }

    fn renew<'a>(&'a self, _: &'a Claim, _: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(true) })
    }

    fn complete<'a>(&'a self, _: &'a Claim, _: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(true) })
    }

    fn release<'a>(&'a self, _: &'a Claim) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(true) })
    }

    fn forget(&self, _: ClaimKey) -> StoreFuture<'_, bool> {
        Box::pin(async { Ok(true) })
    }
}

fn hasty() -> Hasty {
    Hasty(loom::sync::Mutex::new(false))
}

use Step::{Claim as CLAIM, Complete as COMPLETE, Release as RELEASE, Renew as RENEW, Wait};

const UNTIL_LOST: Step = Wait(LEASE);

/// (1) Of many callers that claim, one gets the claim; a completed key stays completed.
#[test]
fn one_of_three_handles() {
    let orders = check(memory, &[&[CLAIM, COMPLETE], &[CLAIM, COMPLETE], &[CLAIM, CLAIM]]);
    println!("{orders} orders");
}

/// (2) Leases expire while they are renewed and completed: a caller that lost its lease cannot
/// affect another claim.
#[test]
fn leases_run_out() {
    let orders = check(memory, &[&[CLAIM, RENEW, COMPLETE], &[CLAIM, RENEW, COMPLETE], &[UNTIL_LOST]]);
    println!("{orders} orders");
}

/// (3) A claim is released and taken again.
#[test]
fn releases() {
    let orders = check(memory, &[&[CLAIM, RELEASE, COMPLETE], &[CLAIM, RELEASE], &[CLAIM, UNTIL_LOST]]);
    println!("{orders} orders");
}

/// (4) A completed key is forgotten after its time to live, and no earlier.
#[test]
fn what_is_completed_stays() {
    let orders = check(memory, &[&[CLAIM, COMPLETE], &[UNTIL_LOST, Wait(TTL)], &[CLAIM, CLAIM]]);
    println!("{orders} orders");
}

/// Control: the check detects a store that can give one claim to two callers.
#[test]
#[should_panic(expected = "no order of the calls explains")]
fn a_race_is_seen() {
    check(hasty, &[&[CLAIM], &[CLAIM]]);
}

/// Control: it detects a store whose leases never expire, in one thread.
#[test]
#[should_panic(expected = "no order of the calls explains")]
fn an_endless_lease_is_seen() {
    check(hasty, &[&[CLAIM, UNTIL_LOST, CLAIM]]);
}
