//! What every adapter runs: which deliveries are accepted, which limits apply, how a rejection is
//! answered.
//!
//! | situation | status |
//! |---|---|
//! | no signature headers (the webhook has no secret), stale, from the future, no secret matches, unknown tenant, another workspace or webhook than expected | 401, `WWW-Authenticate: Twenty-Webhook` |
//! | signature or timestamp missing alone, repeated or malformed; body broken off | 400 |
//! | body not finished within its deadline | 408 |
//! | body is longer than the limit | 413 |
//! | `Content-Encoding` other than `identity` | 415, `Accept-Encoding: identity` |
//! | too many unverified bytes at once; too many background handlers; draining; claim store down, under [`StoreFailure::Reject`]; inbox that can neither store nor handle; failed to resolve the tenant's keys | 503 |
//! | stored in the [inbox](crate::inbox); duplicate of a delivery that was handled or is in the inbox | 200 |
//! | duplicate of one that is being handled | waits for it; 409 when another one waits already, or more than a hundred duplicates are under way |
//! | duplicate of one that another route failed to handle | 409 |
//! | handler still running at the deadline of [`acknowledge_within`](Receiver::acknowledge_within) | 202 |
//! | no handler for the event, and no fallback (event router) | 200 |
//! | verified, but no JSON (extractor) | 400 |
//! | verified, but not what the extractor's type asks for, or of another object | 422 |
//! | extractor, router or inbox without the middleware; inbox behind a receiver that deduplicates or acknowledges; two receivers' middlewares around each other that both deduplicate or acknowledge | 500 |
//!
//! On HTTP/1, every rejection that leaves some of the request's body unread says `Connection:
//! close`, and so does a 408. What has arrived of a rejected body is read, up to 64 KiB, and more
//! is waited for 50 ms at most.
//!
//! The middleware of the *same* receiver, or of clones that were not changed, may lie around a
//! route twice, on a router and on its route, for one: the inner one passes verified deliveries
//! through. With different receivers around each other, a delivery has to verify with both, and
//! only one of them may deduplicate or acknowledge.
//!
//! Whatever the method: the middleware comes before a route's 405, so an unsigned `GET` is a 401.
//!
//! `Twenty-Webhook` is a scheme name of this crate's own, since HTTP wants one with each 401; it is
//! not registered.
//!
//! The response to a rejection has an empty body. Its reason is only visible to you: as [`Refusal`]
//! or [`WebhookRejection`] in the response's extensions, and in logs.
//!
//! # Metrics
//!
//! With the feature `metrics`, for the recorder that your program installs. Install it before the
//! first `Receiver` is made, so that it learns help and units:
//!
//! | name | kind | labels | what |
//! |---|---|---|---|
//! | `twenty_webhook_refusals_total` | counter | `kind` | requests refused, by [`RefusalKind`]: `signature_mismatch`, `store_failed` |
//! | `twenty_webhook_deliveries_total` | counter | `outcome` | verified deliveries, but those of another workspace or webhook than expected, by [`OutcomeKind`]: `handled`, `unmatched`, `stored`, `failed`, `aborted`, `duplicate`, `refused` |
//! | `twenty_webhook_handled_twice_total` | counter | | handlers that succeeded although a duplicate had been claimed elsewhere |
//! | `twenty_webhook_store_failures_total` | counter | `call` | failures of the claim store: `claim`, `renew`, `complete`, `release` |
//! | `twenty_webhook_body_bytes` | histogram | | size of verified bodies |
//! | `twenty_webhook_age_seconds` | histogram | | from signature to verification |
//! | `twenty_webhook_verification_seconds` | histogram | | time spent hashing and comparing, not waiting |
//! | `twenty_webhook_handler_seconds` | histogram | | from verification to the handler's end, the wait for a copy included; neither unmatched nor stored events, nor duplicates, nor refusals |
//! | `twenty_webhook_background_handlers` | gauge | | handlers running under [`acknowledge_within`](Receiver::acknowledge_within) |
//!
//! Counters begin at zero, with each of their labels' values, so that an alert on an increase sees
//! the first one. There are no other labels, so neither tenants nor unauthenticated clients can
//! increase the number of series.
//!
//! # Logs
//!
//! With the feature `tracing`. No secret, signature, body or personal data is logged, at any level;
//! `RUST_LOG=twenty_webhook=debug` shows everything. Names and paths are cut after 100 bytes, and a
//! delivery causes a few lines at most, whatever it holds.
//!
//! Each verified delivery has a span `delivery`, at info, until its handler is done, in the
//! background too:
//!
//! | field | what |
//! |---|---|
//! | `twenty.event.name` | `person.created`, quoted |
//! | `keys.id` | id of the [`Keys`](crate::verify::Keys) that it was verified with |
//! | `secret.index` | which of their secrets: 0 is the first |
//! | `body.len` | in bytes |
//! | `age_ms` | from signature to verification |
//! | `outcome` | `handled`, `unmatched`, `stored`, `failed`, `aborted`, `duplicate`, `refused` |
//! | `status` | what the handler answered, if it failed |
//! | `duration_ms` | from verification to the end |
//! | `error.type` | why it was not handled: the status, `aborted`, or the kind of refusal |
//! | `otel.status_code` | `ERROR` if it was not handled |
//!
//! | level | what |
//! |---|---|
//! | error | the claim store failed; an extractor is used without the middleware |
//! | warn | a verified delivery was not handled: its handler failed or was aborted, no extractor took it, it was refused; or a member of it has an unexpected type |
//! | warn, each at most every ten seconds | an unverified delivery was refused, perhaps for a reason that lies here: no secret matches a well-formed and fresh signature, too long, budget used up, no answer from the resolver. `suppressed` counts those since the last such line |
//! | warn, once for each event name | no handler of an event router matches, and it has no fallback; the first thousand names of each router, the others at debug |
//! | warn, when an event router is built | a pattern has an action that no known version of Twenty sends |
//! | warn, when a [`Verifier`](crate::Verifier) is built; for a tenant's keys at most every ten seconds | a secret has a line end, white space or quotation marks around it |
//! | debug | everything else: what unauthenticated clients can cause at will |

mod background;
mod budget;
mod deduplicate;
mod delivery;
mod head;
mod intake;
mod nesting;
mod outcome;
mod reading;
mod refusal;
mod settings;
mod telemetry;
mod tenants;
mod warnings;

pub(crate) use background::Arrival;
pub use background::Drained;
pub(crate) use deduplicate::Route;
pub(crate) use delivery::{Delivered, Delivery};
pub(crate) use nesting::Nesting;
pub(crate) use outcome::Became;
pub use outcome::{Outcome, OutcomeKind};
pub(crate) use reading::Reading;
pub use refusal::{Refusal, RefusalKind, RefusalResponse, WebhookRejection};
pub use settings::Receiver;
pub use tenants::TenantRequest;

pub use crate::deduplicate::{Deduplicate, StoreFailure};
