//! A claim store that fails when a test requests it.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use twenty_webhook::deduplicate::{
    Claim, ClaimKey, ClaimOutcome, ClaimStore, MemoryStore, StoreError, StoreErrorKind, StoreFuture,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Claim,
    Renew,
    Complete,
    Release,
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The operation does not happen, and the answer is an error.
    Refuse,
    /// The operation happens, but its answer is lost.
    LoseAnswer,
    /// The operation happens at once, but its answer takes a second.
    AnswerLate,
    /// The store never answers.
    Hang,
    /// The operation does not happen, and the store panics.
    Panic,
}

/// A claim store with a script. Clones share their entries.
#[derive(Clone, Debug)]
pub struct ScriptedStore {
    inner: Arc<MemoryStore>,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    faults: HashMap<Op, Fault>,
    is_remote: bool,
    delay: Duration,
    /// The time to live of each requested completion.
    ttls: Vec<Duration>,
    asked: HashMap<Op, usize>,
    keys: Vec<ClaimKey>,
}

impl ScriptedStore {
    pub fn new() -> Self {
        Self { inner: Arc::new(MemoryStore::new(1000)), script: Arc::default() }
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, other tasks run during each call, as with a store in a network.
    pub fn go_far_away(&self) {
        self.script().is_remote = true;
    }

    /// From now on, each answer takes this long.
    pub fn answer_after(&self, delay: Duration) {
        self.script().delay = delay;
    }

    /// From now on, the operation fails, until [`mend`](Self::mend).
    pub fn fail(&self, op: Op, fault: Fault) {
        self.script().faults.insert(op, fault);
    }

    /// From now on, all operations fail.
    pub fn fail_all(&self) {
        for op in [Op::Claim, Op::Renew, Op::Complete, Op::Release] {
            self.fail(op, Fault::Refuse);
        }
    }

    pub fn mend(&self) {
        self.script().faults.clear();
    }

    /// Returns how often this operation was called.
    pub fn asked(&self, op: Op) -> usize {
        self.script().asked.get(&op).copied().unwrap_or(0)
    }

    pub fn ttls(&self) -> Vec<Duration> {
        self.script().ttls.clone()
    }

    /// Returns the key that was claimed last.
    pub fn last_key(&self) -> ClaimKey {
        *self.script().keys.last().expect("a claim")
    }

    /// Claims a key as a receiver elsewhere does.
    pub async fn claim_elsewhere(&self, key: ClaimKey, lease: Duration) -> ClaimOutcome {
        self.inner.claim(key, lease).await.unwrap()
    }

    pub fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    async fn play<T>(
        &self,
        op: Op,
        work: impl Future<Output = Result<T, StoreError>>,
        lose: impl FnOnce(T, StoreError) -> StoreError,
    ) -> Result<T, StoreError> {
        let fault = {
            let mut script = self.script();
            *script.asked.entry(op).or_default() += 1;
            script.faults.get(&op).copied()
        };
        if self.script().is_remote {
            tokio::task::yield_now().await;
        }
        let delay = self.script().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match fault {
            None => work.await,
            Some(Fault::Refuse) => Err(StoreErrorKind::Refused.into()),
            Some(Fault::LoseAnswer) => Err(lose(work.await?, StoreErrorKind::Timeout.into())),
            Some(Fault::AnswerLate) => {
                let answer = work.await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                answer
            }
            Some(Fault::Hang) => pending().await,
            Some(Fault::Panic) => panic!("the store has a defect"),
        }
    }
}

impl ClaimStore for ScriptedStore {
    fn claim(&self, key: ClaimKey, lease: Duration) -> StoreFuture<'_, ClaimOutcome> {
        Box::pin(async move {
            self.script().keys.push(key);
            let with_claim = |outcome, error: StoreError| match outcome {
                ClaimOutcome::Fresh(claim) => error.with_claim(claim),
                _ => error,
            };
            self.play(Op::Claim, self.inner.claim(key, lease), with_claim).await
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.play(Op::Renew, self.inner.renew(claim, lease), |_, error| error))
    }

    fn complete<'a>(&'a self, claim: &'a Claim, ttl: Duration) -> StoreFuture<'a, bool> {
        self.script().ttls.push(ttl);
        Box::pin(self.play(Op::Complete, self.inner.complete(claim, ttl), |_, error| error))
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> StoreFuture<'a, bool> {
        Box::pin(self.play(Op::Release, self.inner.release(claim), |_, error| error))
    }

    fn forget(&self, key: ClaimKey) -> StoreFuture<'_, bool> {
        self.inner.forget(key)
    }
}
