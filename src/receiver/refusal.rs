//! Why a request is rejected, and with which status: see the table in [`super`].

use std::{error::Error, fmt};

use bytes::Bytes;

use crate::{
    event::{EventError, EventErrorKind},
    verify::{VerifyError, VerifyErrorKind},
};

/// Why the middleware rejected a request. The handler did not run.
///
/// It is in the response's extensions, for outer layers such as metrics and logs. It contains no
/// secret, signature or body.
///
/// ```
/// use twenty_webhook::{receiver::{Refusal, RefusalKind}, verify::VerifyErrorKind};
///
/// /// For a layer outside the middleware: counts forgeries, but not late deliveries.
/// fn is_forged(extensions: &http::Extensions) -> bool {
///     let kind = extensions.get().map(Refusal::kind);
///     kind == Some(RefusalKind::Verify(VerifyErrorKind::SignatureMismatch))
/// }
/// # let mut extensions = http::Extensions::new();
/// # assert!(!is_forged(&extensions));
/// # extensions.insert(Refusal::from(VerifyErrorKind::SignatureMismatch));
/// # assert!(is_forged(&extensions));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    kind: RefusalKind,
}

impl Refusal {
    /// Returns what was wrong.
    #[must_use]
    pub const fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// Returns the status, as in the table in [`receiver`](super).
    #[must_use]
    pub const fn status(&self) -> u16 {
        use VerifyErrorKind as Verify;
        match self.kind {
            RefusalKind::Verify(
                Verify::MissingSignature
                | Verify::MissingTimestamp
                | Verify::RepeatedSignature
                | Verify::RepeatedTimestamp
                | Verify::MalformedSignature
                | Verify::MalformedTimestamp
                | Verify::TimestampInSeconds,
            )
            | RefusalKind::BodyTruncated => 400,
            RefusalKind::Verify(
                Verify::Unsigned | Verify::TooOld | Verify::FromTheFuture | Verify::SignatureMismatch,
            )
            | RefusalKind::OtherWorkspace
            | RefusalKind::OtherWebhook
            | RefusalKind::UnknownTenant => 401,
            RefusalKind::BodyTimeout => 408,
            RefusalKind::BeingHandled | RefusalKind::OtherRoute => 409,
            RefusalKind::Verify(Verify::BodyTooLong) => 413,
            RefusalKind::ContentEncoding => 415,
            RefusalKind::Nested => 500,
            RefusalKind::Overloaded
            | RefusalKind::BackgroundFull
            | RefusalKind::Draining
            | RefusalKind::ResolverFailed
            | RefusalKind::StoreFailed => 503,
        }
    }
}

#[cfg(feature = "tracing")]
impl Refusal {
    /// Returns whether this loses a verified delivery. If a duplicate waits, nothing is lost.
    pub(super) const fn is_of_authentic(&self) -> bool {
        matches!(
            self.kind,
            RefusalKind::OtherWorkspace
                | RefusalKind::OtherWebhook
                | RefusalKind::StoreFailed
                | RefusalKind::BackgroundFull
                | RefusalKind::Draining
        )
    }

    /// Returns what to do, for the log.
    pub(super) const fn hint(&self) -> Option<&'static str> {
        match self.kind {
            RefusalKind::Verify(VerifyErrorKind::SignatureMismatch) => Some(
                "if Twenty sent the delivery, compare the secret with the webhook's secret in Twenty; for the cause, \
                 capture a delivery and run `twenty-webhook verify`, or call `Verifier::diagnose`",
            ),
            _ => None,
        }
    }
}

impl From<RefusalKind> for Refusal {
    fn from(kind: RefusalKind) -> Self {
        Self { kind }
    }
}

impl From<VerifyErrorKind> for Refusal {
    fn from(kind: VerifyErrorKind) -> Self {
        RefusalKind::Verify(kind).into()
    }
}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Self {
        error.kind().into()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RefusalKind::Verify(kind) => VerifyError::from(kind).fmt(f),
            RefusalKind::ContentEncoding => f.write_str("body has a Content-Encoding, but Twenty sends none"),
            RefusalKind::BodyTruncated => f.write_str("truncated body"),
            RefusalKind::BodyTimeout => f.write_str("body did not arrive within its deadline"),
            RefusalKind::OtherWorkspace => f.write_str("verified, but from another workspace than expected"),
            RefusalKind::OtherWebhook => f.write_str("verified, but from another webhook than expected"),
            RefusalKind::UnknownTenant => f.write_str("unknown tenant"),
            RefusalKind::ResolverFailed => f.write_str("failed to resolve the tenant's keys"),
            RefusalKind::Overloaded => f.write_str("too many unverified bytes in memory"),
            RefusalKind::BeingHandled => {
                f.write_str("the delivery is being handled, and a duplicate already waits for it")
            }
            RefusalKind::StoreFailed => f.write_str("the claim store failed"),
            RefusalKind::BackgroundFull => f.write_str("too many background handlers"),
            RefusalKind::Draining => f.write_str("the receiver is draining: the program is shutting down"),
            RefusalKind::OtherRoute => {
                f.write_str("a duplicate arrived at another route first, and its handler failed")
            }
            RefusalKind::Nested => {
                f.write_str("two receivers that deduplicate or acknowledge wrap the same route: remove one of them")
            }
        }
    }
}

impl Error for Refusal {}

/// Why a request was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// Verification failed.
    Verify(VerifyErrorKind),
    /// A `Content-Encoding` other than `identity`. Twenty sends none, so a proxy encoded the body,
    /// and the signature cannot match.
    ContentEncoding,
    /// The body ended with an error, or had more than 1,000 empty chunks.
    BodyTruncated,
    /// The body did not arrive in time.
    BodyTimeout,
    /// Verified, but from a workspace that was not [expected](super::Receiver::expect_workspace).
    OtherWorkspace,
    /// Verified, but from a webhook that was not [expected](super::Receiver::expect_webhook).
    OtherWebhook,
    /// The [resolver](super::Receiver::for_tenants) knows no such tenant.
    UnknownTenant,
    /// The [resolver](super::Receiver::for_tenants) failed or timed out.
    ResolverFailed,
    /// The [budget](super::Receiver::unverified_budget) for unverified bytes is used up.
    Overloaded,
    /// Verified, but the delivery is already being handled, and another duplicate waits.
    BeingHandled,
    /// Verified, but the claim store failed, under
    /// [`StoreFailure::Reject`](super::StoreFailure::Reject).
    StoreFailed,
    /// Verified, but a duplicate arrived at another route first, and that route's handler failed.
    /// That route may handle the delivery again.
    OtherRoute,
    /// Verified, but no more handlers may run in the background.
    BackgroundFull,
    /// Verified, but the receiver is [draining](super::Receiver::drain), or its runtime is being
    /// shut down.
    Draining,
    /// The middleware of another receiver wraps this one, and both deduplicate or acknowledge. This
    /// is a mistake in the program.
    Nested,
}

#[cfg(feature = "metrics")]
impl RefusalKind {
    pub(super) const ALL: [Self; 26] = {
        use VerifyErrorKind as Verify;
        [
            Self::Verify(Verify::Unsigned),
            Self::Verify(Verify::MissingSignature),
            Self::Verify(Verify::MissingTimestamp),
            Self::Verify(Verify::RepeatedSignature),
            Self::Verify(Verify::RepeatedTimestamp),
            Self::Verify(Verify::MalformedSignature),
            Self::Verify(Verify::MalformedTimestamp),
            Self::Verify(Verify::TimestampInSeconds),
            Self::Verify(Verify::TooOld),
            Self::Verify(Verify::FromTheFuture),
            Self::Verify(Verify::BodyTooLong),
            Self::Verify(Verify::SignatureMismatch),
            Self::ContentEncoding,
            Self::BodyTruncated,
            Self::BodyTimeout,
            Self::OtherWorkspace,
            Self::OtherWebhook,
            Self::UnknownTenant,
            Self::ResolverFailed,
            Self::Overloaded,
            Self::BeingHandled,
            Self::StoreFailed,
            Self::OtherRoute,
            Self::BackgroundFull,
            Self::Draining,
            Self::Nested,
        ]
    };
}

#[cfg(any(feature = "metrics", feature = "tracing"))]
impl RefusalKind {
    /// Returns a short name, for logs and metrics.
    pub(super) const fn label(self) -> &'static str {
        use VerifyErrorKind as Verify;
        match self {
            Self::Verify(Verify::Unsigned) => "unsigned",
            Self::Verify(Verify::MissingSignature) => "missing_signature",
            Self::Verify(Verify::MissingTimestamp) => "missing_timestamp",
            Self::Verify(Verify::RepeatedSignature) => "repeated_signature",
            Self::Verify(Verify::RepeatedTimestamp) => "repeated_timestamp",
            Self::Verify(Verify::MalformedSignature) => "malformed_signature",
            Self::Verify(Verify::MalformedTimestamp) => "malformed_timestamp",
            Self::Verify(Verify::TimestampInSeconds) => "timestamp_in_seconds",
            Self::Verify(Verify::TooOld) => "too_old",
            Self::Verify(Verify::FromTheFuture) => "from_the_future",
            Self::Verify(Verify::BodyTooLong) => "body_too_long",
            Self::Verify(Verify::SignatureMismatch) => "signature_mismatch",
            Self::ContentEncoding => "content_encoding",
            Self::BodyTruncated => "body_truncated",
            Self::BodyTimeout => "body_timeout",
            Self::OtherWorkspace => "other_workspace",
            Self::OtherWebhook => "other_webhook",
            Self::UnknownTenant => "unknown_tenant",
            Self::ResolverFailed => "resolver_failed",
            Self::Overloaded => "overloaded",
            Self::BeingHandled => "being_handled",
            Self::StoreFailed => "store_failed",
            Self::OtherRoute => "other_route",
            Self::BackgroundFull => "background_full",
            Self::Draining => "draining",
            Self::Nested => "nested",
        }
    }
}

/// The response to a rejected request. By default it has only the status in the table.
///
/// ```
/// use twenty_webhook::receiver::{Receiver, RefusalResponse};
/// # use twenty_webhook::verify::Verifier;
/// # let verifier = Verifier::new("secret")?;
///
/// // hide the receiver from unauthenticated clients
/// let receiver = Receiver::new(verifier).respond_with(|refusal| match refusal.status() {
///     401 => RefusalResponse::new(404).body("text/plain", "not found"),
///     status => RefusalResponse::new(status),
/// });
/// # let _ = receiver;
/// # Ok::<(), twenty_webhook::verify::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RefusalResponse {
    status: u16,
    content_type: Option<&'static str>,
    body: Bytes,
}

impl RefusalResponse {
    /// Creates a response with this status and no body. The headers that HTTP requires are added:
    /// `WWW-Authenticate` with 401, `Accept-Encoding` with 415, and on HTTP/1 `Connection: close`
    /// with 408 and if part of the request's body was not read.
    ///
    /// A number that is not a final status (200 to 599) becomes 500.
    pub const fn new(status: u16) -> Self {
        let status = if matches!(status, 200..=599) { status } else { 500 };
        Self { status, content_type: None, body: Bytes::new() }
    }

    /// Adds a body. The sender of the request reads it, so it must not help a forger. A content
    /// type that is not a valid header value is left out.
    ///
    /// The statuses 204, 205 and 304 allow no content (RFC 9110), so their body and content type
    /// are dropped. On HTTP/1 the client would read the body as the beginning of the next response.
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.content_type = Some(content_type);
        self.body = body.into();
        self
    }
}

impl RefusalResponse {
    /// Returns status, headers and body. `has_connection_header` says whether the protocol has this
    /// header, as HTTP/1 does. `leaves_body_unread` says whether part of the request's body was not
    /// read.
    pub(crate) fn into_parts(
        self,
        has_connection_header: bool,
        leaves_body_unread: bool,
    ) -> (u16, impl Iterator<Item = (&'static str, &'static str)>, Bytes) {
        let demanded = match self.status {
            401 => Some(("www-authenticate", "Twenty-Webhook")),
            415 => Some(("accept-encoding", "identity")),
            _ => None,
        };
        let has_content = !matches!(self.status, 204 | 205 | 304);
        let content_type = self.content_type.filter(|_| has_content).map(|content_type| ("content-type", content_type));
        let body = if has_content { self.body } else { Bytes::new() };
        let closes = has_connection_header && (leaves_body_unread || self.status == 408);
        let connection = closes.then_some(("connection", "close"));
        (self.status, demanded.into_iter().chain(connection).chain(content_type), body)
    }
}

/// Why an extractor or an inbox rejected a request. The handler did not run.
///
/// The response has an empty body, and its extensions contain the rejection. To keep the delivery
/// instead of rejecting it, take the rejection as an argument:
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use twenty_webhook::{Verified, WebhookEvent, event::record::Person, receiver::WebhookRejection};
///
/// async fn on_person(event: Result<WebhookEvent<Person>, WebhookRejection>, verified: Verified) {
///     match event {
///         Ok(event) => println!("{}", event.name),
///         Err(rejection) => eprintln!("{rejection}: put aside, {} bytes", verified.body().len()),
///     }
/// }
/// # axum::Router::<()>::new().route("/", axum::routing::post(on_person));
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookRejection {
    /// The route is not wrapped in the middleware, so nothing was verified.
    MissingMiddleware,
    /// The verified body is not the event that the handler expects.
    Event(EventError),
    /// The receiver in front of the [inbox](crate::inbox) deduplicates or acknowledges, which the
    /// inbox does itself. This is a mistake in the program.
    InboxBehindManaged,
    /// The inbox could neither store nor handle the delivery.
    NotStored,
}

impl WebhookRejection {
    /// Returns the status, as in the table in [`receiver`](super).
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::MissingMiddleware | Self::InboxBehindManaged => 500,
            Self::NotStored => 503,
            Self::Event(error) => match error.kind() {
                EventErrorKind::NotJson => 400,
                EventErrorKind::Mismatch | EventErrorKind::WrongObject => 422,
            },
        }
    }
}

impl WebhookRejection {
    pub(crate) fn log(&self) {
        #[cfg(feature = "tracing")]
        crate::report::report(|| match self {
            Self::MissingMiddleware | Self::InboxBehindManaged => tracing::error!("{self}"),
            // The inbox has logged it.
            Self::NotStored => {}
            // The event is lost for this handler, because Twenty does not retry.
            Self::Event(_) => {
                tracing::warn!(status = self.status(), "an extractor rejected a verified delivery: {self}");
            }
        });
    }
}

impl From<EventError> for WebhookRejection {
    fn from(error: EventError) -> Self {
        Self::Event(error)
    }
}

impl fmt::Display for WebhookRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingMiddleware => {
                f.write_str("request was not verified: wrap this route with the webhook middleware")
            }
            Self::Event(error) => error.fmt(f),
            Self::InboxBehindManaged => f.write_str(
                "the inbox already deduplicates and acknowledges: remove `deduplicate` and `acknowledge_within` \
                 from its receiver",
            ),
            Self::NotStored => f.write_str("the inbox could neither store nor handle the delivery"),
        }
    }
}

impl Error for WebhookRejection {
    // `Display` shows the event's error itself, so the source would be the error's source.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        None
    }
}
