//! The policy of every adapter: which deliveries are accepted, which limits apply, and how
//! rejections are answered.
//!
//! | situation | status |
//! |---|---|
//! | no signature headers (the webhook has no secret), stale, from the future, no secret matches, unknown tenant, another workspace or webhook than expected | 401, `WWW-Authenticate: Twenty-Webhook` |
//! | only one of signature and timestamp, or one of them repeated or malformed; truncated body | 400 |
//! | body did not arrive within its deadline | 408 |
//! | body is longer than the limit | 413 |
//! | `Content-Encoding` other than `identity` | 415, `Accept-Encoding: identity` |
//! | too many unverified bytes in memory; too many background handlers; draining; claim store down, under [`StoreFailure::Reject`]; inbox that can neither store nor handle; failed to resolve the tenant's keys | 503 |
//! | stored in the [inbox](crate::inbox); duplicate of a delivery that was handled or is in the inbox | 200 |
//! | duplicate of a delivery that is being handled | waits for it; 409 when another duplicate already waits, or more than a hundred duplicates are in flight |
//! | duplicate of a delivery that another route failed to handle | 409 |
//! | handler still running at the deadline of [`acknowledge_within`](Receiver::acknowledge_within) | 202 |
//! | no handler for the event, and no fallback (event router) | 200 |
//! | verified, but not JSON (extractor) | 400 |
//! | verified, but the record does not fit the extractor's type, or is of another object | 422 |
//! | extractor, router or inbox without the middleware; inbox behind a receiver that deduplicates or acknowledges; two receivers that both deduplicate or acknowledge, around one route | 500 |
//!
//! The middleware reads up to 64 KiB of a rejected body, and waits for it for at most 50 ms. On
//! HTTP/1, a rejection that leaves part of the body unread has `Connection: close`, and so does a 408.
//!
//! The middleware of the *same* receiver, or of unchanged clones, may wrap a route twice, for
//! example on a router and on its route: the inner one passes verified deliveries through. If two
//! different receivers wrap a route, a delivery must verify with both, and only one of them may
//! deduplicate or acknowledge.
//!
//! The middleware runs before the route can answer 405, so an unsigned `GET` gets a 401.
//!
//! HTTP requires the name of an authentication scheme with each 401. `Twenty-Webhook` is this
//! crate's own name, and is not registered.
//!
//! The response to a rejection has an empty body. Only you can see the reason: it is in the
//! response's extensions, as a [`Refusal`] or [`WebhookRejection`], and in the log.
//!
//! # Metrics
//!
//! With the feature `metrics`, metrics go to the recorder that your program installs. Install it
//! before you create the first `Receiver`, so that it gets the help texts and units:
//!
//! | name | kind | labels | what |
//! |---|---|---|---|
//! | `twenty_webhook_refusals_total` | counter | `kind` | rejected requests, by [`RefusalKind`], such as `signature_mismatch`, `store_failed` |
//! | `twenty_webhook_deliveries_total` | counter | `outcome` | verified deliveries, except those of another workspace or webhook than expected, by [`OutcomeKind`]: `handled`, `unmatched`, `stored`, `failed`, `aborted`, `duplicate`, `refused` |
//! | `twenty_webhook_handled_twice_total` | counter | | handlers that succeeded although a duplicate had been claimed elsewhere |
//! | `twenty_webhook_previous_secret_total` | counter | | deliveries that were verified with a secret other than the first one: while you change a secret, the old one is still in use |
//! | `twenty_webhook_store_failures_total` | counter | `call` | failures of the claim store: `claim`, `renew`, `complete`, `release` |
//! | `twenty_webhook_body_bytes` | histogram | | size of verified bodies |
//! | `twenty_webhook_age_seconds` | histogram | | from signature to verification |
//! | `twenty_webhook_verification_seconds` | histogram | | time spent hashing and comparing, not waiting |
//! | `twenty_webhook_handler_seconds` | histogram | | from verification to the end of the handler, including the wait for a duplicate; without unmatched and stored events, duplicates and rejections |
//! | `twenty_webhook_background_handlers` | gauge | | handlers running under [`acknowledge_within`](Receiver::acknowledge_within) |
//!
//! Counters start at zero for each value of their labels, so that an alert on an increase notices
//! the first increment after the first scrape. There are no other labels, so neither tenants nor
//! unauthenticated clients can increase the number of series.
//!
//! # Logs
//!
//! With the feature `tracing`, the middleware logs spans and events;
//! `RUST_LOG=twenty_webhook=debug` shows all of them. No level shows secrets, signatures, bodies or
//! personal data. Names and paths are truncated after 100 bytes, and a delivery causes only a few
//! lines, regardless of its content.
//!
//! Each verified delivery has a span `delivery`, at info, until its handler ends, even in the
//! background:
//!
//! | field | what |
//! |---|---|
//! | `twenty.event.name` | `person.created`, quoted |
//! | `keys.id` | the id of the [`Keys`](crate::verify::Keys) that verified it |
//! | `secret.index` | the index of the secret that verified it: 0 is the first |
//! | `body.len` | in bytes |
//! | `age_ms` | from signature to verification |
//! | `outcome` | `handled`, `unmatched`, `stored`, `failed`, `aborted`, `duplicate`, `refused` |
//! | `status` | what the handler answered, if it failed |
//! | `duration_ms` | from verification to the end |
//! | `error.type` | why it was not handled: the status, `aborted`, or the kind of rejection |
//! | `otel.status_code` | `ERROR` if it was not handled |
//!
//! | level | what |
//! |---|---|
//! | error | the claim store failed; `key_by` panicked; an extractor or an inbox is used without the middleware; two receivers that deduplicate or acknowledge wrap one route, or one of them wraps an inbox |
//! | warn | the claim's lease expired before the handler ended; a `MemoryStore` is full and forgets handled deliveries, at most once a minute |
//! | warn | a verified delivery was not handled: its handler failed or was aborted, an extractor rejected it, or the middleware rejected it; or one of its members has an unexpected type |
//! | warn, each reason at most every ten seconds | an unverified delivery was rejected, perhaps because of your configuration: no secret matches a well-formed and fresh signature, the body is too long, the budget is used up, or the resolver does not answer. `suppressed` is the number of rejections for that reason that were suppressed since the previous warning |
//! | warn, once for each event name | an event router has neither a matching handler nor a fallback. Each router warns about its first thousand names, and logs further names at debug |
//! | warn, when an event router is built | a pattern has an action that no known version of Twenty sends |
//! | warn, when a [`Verifier`](crate::Verifier) is built; for a tenant's keys at most every ten seconds | a secret has a newline, white space or quotation marks around it |
//! | debug | everything else: outcomes such as `handled` and `duplicate`, and rejections that unauthenticated clients can cause at any time |

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
