//! Keeps the bytes that the receiver reads from a body, so that a rejected delivery can be shown,
//! saved and diagnosed.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};

/// A body that keeps the bytes that are read.
pub(super) struct Tee {
    body: Body,
    kept: Kept,
}

/// The bytes that were read from a body. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: BytesMut,
    is_whole: bool,
}

impl Tee {
    pub(super) fn new(body: Body) -> (Self, Kept) {
        let kept = Kept::default();
        kept.update(|state| state.is_whole = body.is_end_stream());
        (Self { body, kept: kept.clone() }, kept)
    }
}

impl Kept {
    /// Returns the body if it was read to its end. A request can be rejected before that.
    pub(super) fn take_whole(&self) -> Option<Bytes> {
        self.update(|state| state.is_whole.then(|| std::mem::take(&mut state.bytes).freeze()))
    }

    fn update<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpBody for Tee {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.kept.update(|state| match &frame {
            Some(Ok(frame)) => {
                state.bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                state.is_whole = self.body.is_end_stream();
            }
            // The body was truncated.
            Some(Err(_)) => {}
            None => state.is_whole = true,
        });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
