use std::{future::Future, pin::Pin};

use super::{Attempt, HandlerError, HandlerResult, attempt::Kind};
use crate::{
    event::{EventError, EventName, FromRecord, WebhookEvent},
    verify::Verified,
};

type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send>>;

/// A handler of a worker: an async function or closure of `(state, WebhookEvent<T>, Attempt)`,
/// `(state, WebhookEvent<T>)` or `(WebhookEvent<T>)`.
///
/// `Args` distinguishes these forms. This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of an inbox whose worker's state is `{S}`",
    note = "a handler is an async function of `({S}, WebhookEvent<T>, Attempt)`, `({S}, WebhookEvent<T>)` or \
            `(WebhookEvent<T>)`, whose future is `Send`, and which returns `()` or `Result<(), HandlerError>`"
)]
pub trait Handler<S, Args>: sealed::Sealed<S, Args> + Send + Sync + 'static {
    /// Checks whether the handler's type accepts events with this name.
    #[doc(hidden)]
    fn check_object(name: &EventName) -> Result<(), EventError>;

    /// Reads the event, and calls the function.
    #[doc(hidden)]
    fn call(&self, state: S, verified: Verified, attempt: Attempt) -> HandlerFuture;
}

/// A handler of any type.
pub(super) type Boxed<S> = Box<dyn Fn(S, Verified, Attempt) -> HandlerFuture + Send + Sync>;

pub(super) fn boxed<S: 'static, Args, H: Handler<S, Args>>(handler: H) -> Boxed<S> {
    Box::new(move |state, verified, attempt| handler.call(state, verified, attempt))
}

/// Awaits a handler, unless the event does not fit its type.
fn run<F>(called: Result<F, EventError>) -> HandlerFuture
where
    F: Future<Output: HandlerResult> + Send + 'static,
{
    match called {
        Ok(future) => Box::pin(async move { future.await.into_result() }),
        Err(error) => Box::pin(std::future::ready(Err(HandlerError::new(Kind::Mismatch, error)))),
    }
}

macro_rules! handlers {
    ($($Args:ty: |$state:pat_param, $event:ident, $attempt:pat_param| ($($Param:ty),*) ($($argument:expr),*);)*) => {
        $(
            impl<S, T, F, R> sealed::Sealed<S, $Args> for F
            where
                F: Fn($($Param),*) -> R,
            {
            }

            impl<S, T, F, R> Handler<S, $Args> for F
            where
                S: Send + 'static,
                T: FromRecord + Send + 'static,
                F: Fn($($Param),*) -> R + Send + Sync + 'static,
                R: Future<Output: HandlerResult> + Send + 'static,
            {
                fn check_object(name: &EventName) -> Result<(), EventError> {
                    T::check_object(name)
                }

                fn call(&self, $state: S, verified: Verified, $attempt: Attempt) -> HandlerFuture {
                    run(WebhookEvent::<T>::from_verified(verified).map(|$event| self($($argument),*)))
                }
            }
        )*
    };
}

handlers! {
    (T,): |_, event, _| (WebhookEvent<T>) (event);
    (S, T): |state, event, _| (S, WebhookEvent<T>) (state, event);
    (S, T, Attempt): |state, event, attempt| (S, WebhookEvent<T>, Attempt) (state, event, attempt);
}

mod sealed {
    pub trait Sealed<S, Args> {}
}
