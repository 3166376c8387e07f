use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::{Receiver, Refusal, RefusalKind, intake::Intake, telemetry, tenants::Resolving};
use crate::verify::{SignatureValues, Verified, VerifiedBy};

/// How many bytes of a rejected body are read and discarded. A sender that is still writing does
/// not read the response, and closing the connection would reset it.
const DRAIN_LIMIT: usize = 64 << 10;

/// How long draining waits for a rejected body, in total. The response must not depend on a body
/// that may never arrive.
const DRAIN_WITHIN: Duration = Duration::from_millis(50);

/// How many frames are read before the reader yields to the runtime, so that a body that is always
/// ready does not starve other tasks.
const FRAMES_PER_POLL: usize = 128;

/// How many chunks of a body may be empty. No other limit counts empty chunks, and a server may
/// buffer any number of them.
const EMPTY_CHUNKS: usize = 1_000;

/// Reads a request's body in any framework. Hashes it, or discards it if the request is rejected.
pub(crate) struct Reading {
    stage: Stage,
    left_to_drain: usize,
    empty_chunks: usize,
    has_ended: bool,
    /// Whether the rejection is already in the log, with the resolver's error.
    is_logged: bool,
    /// Whether a middleware around this one deduplicates or acknowledges.
    is_inside_managed: bool,
    /// Created when the body is not ready for the first time.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Whether the deadline is the one for draining.
    is_drain_deadline: bool,
}

enum Stage {
    /// Waiting for the tenant's keys.
    Resolve(SignatureValues, Resolving),
    /// Reading the body.
    Take(Intake),
    /// Discarding the rest of the body.
    Drain(Refusal),
    /// The verdict was returned.
    Done,
}

impl Reading {
    /// Checks the request's head. `target` is path and query. For `at_least` see
    /// [`Receiver::check_head`], and for `is_inside_managed` see [`Nesting`](super::Nesting).
    pub(crate) fn begin<N, V, H>(
        receiver: &Receiver,
        target: &str,
        headers: H,
        at_least: u64,
        is_inside_managed: bool,
    ) -> Self
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
        H: IntoIterator<Item = (N, V)> + Clone,
    {
        let stage = match receiver.check_head(headers.clone(), at_least) {
            Ok(signature) => match receiver.resolve(target, headers.clone()) {
                Some(keys) => Stage::Resolve(signature, keys),
                None => Stage::Take(Intake::new(receiver, signature)),
            },
            Err(refusal) => Stage::Drain(refusal),
        };
        // A client that waits for `100 Continue` has not begun to send the body. If the middleware
        // read the body, the server would ask the client to send it.
        let is_waiting = || headers.into_iter().any(|(name, _)| name.as_ref().eq_ignore_ascii_case(b"expect"));
        let left_to_drain = if !matches!(stage, Stage::Take(_)) && is_waiting() { 0 } else { DRAIN_LIMIT };
        Self {
            stage,
            left_to_drain,
            empty_chunks: 0,
            has_ended: false,
            is_logged: false,
            is_inside_managed,
            deadline: None,
            is_drain_deadline: false,
        }
    }

    /// Returns whether part of the body was not read. The server cannot keep such an HTTP/1
    /// connection open, so the response must have `Connection: close`. Otherwise the client would
    /// send its next request on a connection that is being closed.
    pub(crate) fn leaves_body_unread(&self) -> bool {
        !self.has_ended
    }

    /// Reads until there is a verdict. `next` polls the body's next chunk; the kind of its error
    /// does not matter.
    pub(crate) fn poll<E>(
        &mut self,
        receiver: &Receiver,
        cx: &mut Context<'_>,
        next: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, E>>>,
    ) -> Poll<Result<Verified, Refusal>> {
        let verdict = ready!(self.poll_verdict(receiver, cx, next));
        Poll::Ready(verdict.inspect_err(|refusal| {
            let due = || receiver.warnings().due_or_suppressed(refusal.kind());
            telemetry::refused(refusal, || if self.is_logged { None } else { due() });
        }))
    }

    fn poll_verdict<E>(
        &mut self,
        receiver: &Receiver,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, E>>>,
    ) -> Poll<Result<Verified, Refusal>> {
        if self.poll_resolving(receiver, cx).is_pending() {
            // The body was not read yet, so it is drained, as after any other rejection.
            let refusal = ready!(self.poll_deadline(receiver, cx, RefusalKind::ResolverFailed));
            self.stage = Stage::Drain(refusal);
        }
        for _ in 0..FRAMES_PER_POLL {
            match self.stage {
                Stage::Drain(refusal) if self.left_to_drain == 0 => return Poll::Ready(Err(refusal)),
                _ => {}
            }
            match next(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    if chunk.is_empty() {
                        self.empty_chunks = self.empty_chunks.saturating_add(1);
                        if self.empty_chunks > EMPTY_CHUNKS {
                            return Poll::Ready(Err(self.give_up(RefusalKind::BodyTruncated)));
                        }
                    }
                    self.take(chunk);
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(self.give_up(RefusalKind::BodyTruncated))),
                Poll::Ready(None) => {
                    self.has_ended = true;
                    return Poll::Ready(self.finish(receiver));
                }
                Poll::Pending => return self.poll_deadline(receiver, cx, RefusalKind::BodyTimeout).map(Err),
            }
        }
        cx.waker().wake_by_ref();
        self.poll_deadline(receiver, cx, RefusalKind::BodyTimeout).map(Err)
    }

    fn poll_resolving(&mut self, receiver: &Receiver, cx: &mut Context<'_>) -> Poll<()> {
        let Stage::Resolve(signature, keys) = &mut self.stage else { return Poll::Ready(()) };
        self.stage = match ready!(keys.as_mut().poll(cx)) {
            Ok(keys) => {
                self.left_to_drain = DRAIN_LIMIT;
                Stage::Take(Intake::for_tenant(receiver, signature.clone(), keys))
            }
            Err(error) => {
                let kind = RefusalKind::ResolverFailed;
                telemetry::resolver_failed(&*error, || receiver.warnings().due_or_suppressed(kind));
                self.is_logged = true;
                Stage::Drain(kind.into())
            }
        };
        Poll::Ready(())
    }

    fn take(&mut self, chunk: Bytes) {
        match &mut self.stage {
            Stage::Take(intake) => {
                if let Err(refusal) = intake.push(chunk) {
                    self.stage = Stage::Drain(refusal);
                }
            }
            _ => self.left_to_drain = self.left_to_drain.saturating_sub(chunk.len()),
        }
    }

    fn finish(&mut self, receiver: &Receiver) -> Result<Verified, Refusal> {
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Take(intake) => {
                let is_managed = self.is_inside_managed || receiver.is_managed();
                Ok(intake.finish(receiver)?.verified_by(VerifiedBy { receiver_id: receiver.id(), is_managed }))
            }
            Stage::Drain(refusal) => Err(refusal),
            Stage::Resolve(..) | Stage::Done => Err(RefusalKind::BodyTruncated.into()),
        }
    }

    /// Releases the received bytes. An earlier refusal has priority.
    fn give_up(&mut self, kind: RefusalKind) -> Refusal {
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Drain(refusal) => refusal,
            _ => kind.into(),
        }
    }

    /// Waits until the deadline of the body, which is [`DRAIN_WITHIN`] if the body is being
    /// discarded.
    fn poll_deadline(&mut self, receiver: &Receiver, cx: &mut Context<'_>, late: RefusalKind) -> Poll<Refusal> {
        if matches!(self.stage, Stage::Drain(_)) && !self.is_drain_deadline {
            self.is_drain_deadline = true;
            let limit = receiver.deadline().min(DRAIN_WITHIN);
            let soon = Instant::now().checked_add(limit);
            let deadline = match (soon, &self.deadline) {
                (Some(soon), Some(deadline)) => sleep_until(soon.min(deadline.deadline())),
                _ => sleep(limit),
            };
            self.deadline = Some(Box::pin(deadline));
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(receiver.deadline())));
        deadline.as_mut().poll(cx).map(|()| self.give_up(late))
    }
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use std::{
        convert::Infallible,
        future::{pending, poll_fn},
    };

    use super::*;
    use crate::{
        receiver::TenantRequest,
        verify::{Keys, Secret, Signer, Verifier, VerifyErrorKind},
    };

    /// In each period, one rejection of each kind is a warning. Each further rejection is
    /// suppressed, and counts once.
    #[tokio::test(start_paused = true)]
    async fn refusals_count_as_suppressed_once() {
        let resolve = |request: TenantRequest| async move {
            match request.last_segment() {
                "fails" => Err("the database is down".into()),
                "hangs" => pending().await,
                id => Ok(Some(Keys::new(id, [Secret::new("another")?])?)),
            }
        };
        let verifier = || Verifier::builder().body_limit(10);
        let mismatch = RefusalKind::Verify(VerifyErrorKind::SignatureMismatch);
        let too_long = RefusalKind::Verify(VerifyErrorKind::BodyTooLong);
        for (kind, bodies) in [
            (RefusalKind::ResolverFailed, &[("/fails", "{}")][..]),
            (RefusalKind::ResolverFailed, &[("/hangs", "{}")]),
            (RefusalKind::ResolverFailed, &[("/fails", "{}"), ("/hangs", "{}")]),
            (RefusalKind::ResolverFailed, &[("/hangs", "{}"), ("/fails", "{}")]),
            (mismatch, &[("/acme", "{}")]),
            (too_long, &[("/acme", "12345678901")]),
            (RefusalKind::Overloaded, &[("/acme", "1234567890")]),
        ] {
            let receiver = Receiver::for_tenants(verifier(), resolve).unwrap().unverified_budget(5);
            for count in 0..5_u64 {
                for (nth, (target, body)) in bodies.iter().enumerate() {
                    let headers = Signer::new("secret").unwrap().sign(body).pairs();
                    let mut reading = Reading::begin(&receiver, target, headers, 0, false);
                    let mut chunks = [Bytes::from_static(body.as_bytes())].into_iter();
                    let mut next = |_: &mut Context<'_>| Poll::Ready(chunks.next().map(Ok::<_, Infallible>));
                    let refusal = poll_fn(|cx| reading.poll(&receiver, cx, &mut next)).await.unwrap_err();
                    assert_eq!(refusal.kind(), kind);
                    let before = count * bodies.len() as u64 + nth as u64;
                    assert_eq!(receiver.warnings().suppressed(kind), Some(before), "{kind:?} {bodies:?}");
                }
            }
        }
    }
}
