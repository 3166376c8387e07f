//! Sends news to browsers as server-sent events, to each browser at its own pace.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::Frame;
use tokio::{
    sync::{
        Semaphore,
        broadcast::error::RecvError,
        mpsc::{self, Receiver},
    },
    time::timeout,
};

use super::store::{RESYNC, Store};

/// The maximum number of open streams.
const STREAMS: usize = 32;

/// The number of messages that can wait for a connection, in addition to those that wait in the
/// store.
const WAITING: usize = 16;

/// The time without news after which a comment is sent, so that both sides notice a dead
/// connection.
const SILENCE: Duration = Duration::from_secs(15);

/// The open streams. Clones share them.
#[derive(Clone)]
pub(super) struct Streams(Arc<Semaphore>);

impl Streams {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }

    /// Opens a stream, which is a response that does not end.
    pub(super) fn open(&self, store: &Store) -> Response {
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else {
            return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n").into_response();
        };
        let mut news = store.news();
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let _place = place;
            // Sent immediately, so that the browser knows that it is connected.
            let mut next = ": hello\n\n".to_owned();
            // Sending fails if the browser has disconnected. If the browser is slow, sending waits,
            // and the browser fetches the whole list if it missed any news.
            while sender.send(Bytes::from(next)).await.is_ok() {
                let update = tokio::select! {
                    update = timeout(SILENCE, news.recv()) => update,
                    () = sender.closed() => return,
                };
                next = match update {
                    Ok(Ok(update)) => format!("data: {update}\n\n"),
                    Ok(Err(RecvError::Lagged(_))) => format!("data: {RESYNC}\n\n"),
                    Ok(Err(RecvError::Closed)) => return,
                    Err(_) => ":\n\n".to_owned(),
                };
            }
        });
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::new(Stream(receiver))).into_response()
    }
}

struct Stream(Receiver<Bytes>);

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::{super::entry::Entry, *};

    fn entry(number: usize) -> Entry {
        Entry { id: format!("{number}"), summary: format!("{{\"id\":\"{number}\"}}"), ..Entry::default() }
    }

    /// A browser that does not read delays nothing. When it reads again, it is notified that it
    /// must fetch the list.
    #[tokio::test(start_paused = true)]
    async fn a_slow_browser_misses_only_its_own_updates() {
        let (store, streams) = (Store::new(), Streams::new());
        let (mut slow, mut quick) = (streams.open(&store).into_body(), streams.open(&store).into_body());
        let mut got = 0;
        for number in 0..2_000 {
            store.add(entry(number));
            while got <= number {
                let text = quick.frame().await.unwrap().unwrap().into_data().unwrap();
                got += usize::from(text.starts_with(b"data: {\"added\""));
            }
        }
        let mut received = Vec::new();
        while let Ok(Some(Ok(frame))) = timeout(Duration::from_secs(1), slow.frame()).await {
            received.push(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap());
        }
        assert!(received.len() < 400 && received.contains(&format!("data: {RESYNC}\n\n")), "{}", received.len());
        assert_eq!(store.all().len(), 1_000, "the unverified deliveries, up to their bound");
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_bounded_and_end_with_their_browser() {
        let (store, streams) = (Store::new(), Streams::new());
        let open: Vec<_> = (0..STREAMS).map(|_| streams.open(&store)).collect();
        assert!(open.iter().all(|response| response.status() == StatusCode::OK));
        assert_eq!(streams.open(&store).status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(open);
        // Each task notices that its browser is gone.
        while streams.0.available_permits() < STREAMS {
            tokio::task::yield_now().await;
        }
        assert_eq!(streams.open(&store).status(), StatusCode::OK);
    }
}
