use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::time::{Sleep, sleep};

use super::{Receiver, Refusal, RefusalKind, intake::Intake, telemetry, tenants::Resolving};
use crate::verify::{SignatureValues, Verified};

/// How much of a refused body is read and thrown away, in bytes: a sender that is still writing does not read the answer, and
/// closing the connection on it would reset it.
const DRAIN_LIMIT: usize = 64 << 10;

/// How many frames are taken before the runtime gets a turn: a body that is always ready must not starve the others.
const FRAMES_PER_POLL: usize = 128;

/// How many chunks of a body may be empty. They count against no other limit, and a server may gather more of them than are taken here.
const EMPTY_CHUNKS: usize = 1_000;

/// Reads a request's body, whatever the framework calls it: hashes it, or throws it away when the request is refused.
pub(crate) struct Reading {
    /// The lookup of the tenant's keys, which comes first.
    resolving: Option<(SignatureValues, Resolving)>,
    /// Gone once there is a verdict.
    intake: Option<Intake>,
    /// Once there is one, the rest of the body is thrown away.
    refusal: Option<Refusal>,
    left_to_drain: usize,
    empty_chunks: usize,
    /// Made when the body lets us wait for the first time.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Reading {
    /// Checks the request's head. `target`: path and query; for `at_least` see [`Receiver::check_head`].
    pub(crate) fn begin<N, V, H>(receiver: &Receiver, target: &str, headers: H, at_least: u64) -> Self
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
        H: IntoIterator<Item = (N, V)> + Clone,
    {
        let begun = receiver.check_head(headers.clone(), at_least).and_then(|signature| {
            match receiver.resolve(target, headers.clone()) {
                Some(keys) => Ok((None, Some((signature, keys)))),
                None => Ok((Some(receiver.begin(signature)?), None)),
            }
        });
        // Who waits for `100 Continue` has not begun to write, and would be asked to by our reading.
        let is_waiting = || headers.into_iter().any(|(name, _)| name.as_ref().eq_ignore_ascii_case(b"expect"));
        let ((intake, resolving), refusal) = match begun {
            Ok(begun) => (begun, None),
            Err(refusal) => ((None, None), Some(refusal)),
        };
        let left_to_drain = if intake.is_none() && is_waiting() { 0 } else { DRAIN_LIMIT };
        Self { resolving, intake, refusal, left_to_drain, empty_chunks: 0, deadline: None }
    }

    /// Reads on. `next` gives the body's next chunk; which error it ends with does not matter.
    pub(crate) fn poll<E>(
        &mut self,
        receiver: &Receiver,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, E>>>,
    ) -> Poll<Result<Verified, Refusal>> {
        if self.poll_resolving(receiver, cx).is_pending() {
            return self.poll_deadline(receiver, cx, RefusalKind::ResolverFailed);
        }
        for _ in 0..FRAMES_PER_POLL {
            match self.refusal {
                Some(refusal) if self.left_to_drain == 0 => return Poll::Ready(Err(refusal)),
                _ => {}
            }
            match next(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    if chunk.is_empty() {
                        self.empty_chunks = self.empty_chunks.saturating_add(1);
                        if self.empty_chunks > EMPTY_CHUNKS {
                            return Poll::Ready(Err(self.give_up(RefusalKind::BodyBrokenOff)));
                        }
                    }
                    self.take(chunk);
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(self.give_up(RefusalKind::BodyBrokenOff))),
                Poll::Ready(None) => return Poll::Ready(self.finish(receiver)),
                Poll::Pending => return self.poll_deadline(receiver, cx, RefusalKind::BodyTimeout),
            }
        }
        cx.waker().wake_by_ref();
        self.poll_deadline(receiver, cx, RefusalKind::BodyTimeout)
    }

    fn poll_resolving(&mut self, receiver: &Receiver, cx: &mut Context<'_>) -> Poll<()> {
        let Some((_, keys)) = &mut self.resolving else { return Poll::Ready(()) };
        let found = ready!(keys.as_mut().poll(cx));
        let Some((signature, _)) = self.resolving.take() else { return Poll::Ready(()) };
        let intake = match found {
            Ok(keys) => receiver.begin_for_tenant(signature, keys),
            Err(error) => {
                let kind = RefusalKind::ResolverFailed;
                telemetry::resolver_failed(&*error, || receiver.is_warning_due(kind));
                Err(kind.into())
            }
        };
        match intake {
            Ok(intake) => {
                self.intake = Some(intake);
                self.left_to_drain = DRAIN_LIMIT;
            }
            Err(refusal) => self.refusal = Some(refusal),
        }
        Poll::Ready(())
    }

    fn take(&mut self, chunk: Bytes) {
        match &mut self.intake {
            Some(intake) => {
                if let Err(refusal) = intake.push(chunk) {
                    self.intake = None;
                    self.refusal = Some(refusal);
                }
            }
            None => self.left_to_drain = self.left_to_drain.saturating_sub(chunk.len()),
        }
    }

    fn finish(&mut self, receiver: &Receiver) -> Result<Verified, Refusal> {
        match self.intake.take() {
            Some(intake) => intake.finish(receiver),
            None => Err(self.give_up(RefusalKind::BodyBrokenOff)),
        }
    }

    /// Lets go of what was read. A refusal that is already there goes first.
    fn give_up(&mut self, kind: RefusalKind) -> Refusal {
        self.intake = None;
        self.refusal.unwrap_or_else(|| kind.into())
    }

    fn poll_deadline(
        &mut self,
        receiver: &Receiver,
        cx: &mut Context<'_>,
        late: RefusalKind,
    ) -> Poll<Result<Verified, Refusal>> {
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(receiver.deadline())));
        deadline.as_mut().poll(cx).map(|()| Err(self.give_up(late)))
    }
}
