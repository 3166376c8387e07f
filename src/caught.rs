//! Catches panics of the user's code.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

/// Awaits a future. If it panics, returns the panic's message as an error. A panic while the future
/// is dropped is ignored, even if the future has not ended.
pub(crate) async fn caught<F: Future>(future: F) -> Result<F::Output, String> {
    let mut guarded = Guarded(Some(Box::pin(future)));
    poll_fn(|cx| {
        let Some(future) = &mut guarded.0 else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => {
                let message = message(&*panic).to_owned();
                drop_caught(panic);
                Poll::Ready(Err(message))
            }
        }
    })
    .await
}

/// The user's future, whose `Drop` can panic. `None` once it is dropped.
struct Guarded<F>(Option<Pin<Box<F>>>);

impl<F> Drop for Guarded<F> {
    fn drop(&mut self) {
        let future = self.0.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            drop_caught(panic);
        }
    }
}

/// Drops a panic's payload, which can panic again.
fn drop_caught(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        // Dropping this payload could panic again, and so on without end.
        std::mem::forget(again);
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
