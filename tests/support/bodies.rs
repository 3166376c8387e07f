//! Bodies that run a script.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::{SIGNATURE, signed};

/// A step of a body.
#[derive(Clone, Debug)]
pub enum Step {
    Data(Bytes),
    Trailers,
    Break,
    /// Waits forever.
    Stall,
}

pub fn chunk(bytes: impl Into<Bytes>) -> Step {
    Step::Data(bytes.into())
}

/// The error of a broken body.
#[derive(Debug)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

/// A body that runs one step after another. It never announces its end before it has reached it.
pub struct Scripted {
    steps: Box<dyn Iterator<Item = Step> + Send>,
    hint: SizeHint,
    taken: Arc<AtomicUsize>,
    is_stalled: bool,
}

pub fn scripted<I>(steps: I) -> Scripted
where
    I: IntoIterator<Item = Step>,
    I::IntoIter: Send + 'static,
{
    Scripted { steps: Box::new(steps.into_iter()), hint: SizeHint::default(), taken: Arc::default(), is_stalled: false }
}

impl Scripted {
    /// Declares these bounds of its length.
    pub fn claiming(mut self, lower: u64, upper: Option<u64>) -> Self {
        let mut hint = SizeHint::new();
        hint.set_lower(lower);
        if let Some(upper) = upper {
            hint.set_upper(upper);
        }
        self.hint = hint;
        self
    }

    /// Returns the number of steps that were taken. The counter outlives the body.
    pub fn taken(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.taken)
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.is_stalled {
            return Poll::Pending;
        }
        let step = self.steps.next();
        self.taken.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(match step {
            Some(Step::Data(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Step::Trailers) => {
                let signature = (HeaderName::from_static(SIGNATURE), HeaderValue::from_static("0"));
                Some(Ok(Frame::trailers(HeaderMap::from_iter([signature]))))
            }
            Some(Step::Break) => Some(Err(Broken)),
            Some(Step::Stall) => {
                self.is_stalled = true;
                return Poll::Pending;
            }
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// A body that gets its chunks from a channel, and ends when the sender is dropped.
pub struct Sent(mpsc::UnboundedReceiver<Bytes>);

pub fn channel() -> (mpsc::UnboundedSender<Bytes>, Sent) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Sent(receiver))
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Returns a delivery with the body `body` and headers that sign `text`.
pub fn delivery<B>(text: impl AsRef<[u8]>, body: B) -> Request<B> {
    let mut request = unsigned(body);
    for (name, value) in signed(text) {
        request.headers_mut().insert(HeaderName::try_from(name).unwrap(), value.try_into().unwrap());
    }
    request
}

/// Returns a delivery of a webhook without a secret.
pub fn unsigned<B>(body: B) -> Request<B> {
    Request::post("/webhooks/twenty").body(body).unwrap()
}
