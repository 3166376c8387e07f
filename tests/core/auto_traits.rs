//! Checks which public types can be sent between threads and held across panics. The table is
//! compared with the source, so it cannot miss a new type.

use std::{
    convert::Infallible,
    panic::{RefUnwindSafe, UnwindSafe},
};

use ::tower::util::BoxCloneSyncService;
use http::{Request, Response};
use twenty_webhook::{
    WebhookEvent, actix_web, axum,
    deduplicate::*,
    diagnose::*,
    event::{field::*, record::*, *},
    inbox::*,
    receiver::*,
    testing::*,
    tower,
    verify::*,
};

use crate::support::source;

type Inner = BoxCloneSyncService<Request<tower::VerifiedBody>, Response<String>, Infallible>;

fn threads<T: Send + Sync + Unpin>() {}
fn panics<T: UnwindSafe + RefUnwindSafe>() {}
fn sends<T: Send>() {}

macro_rules! table {
    ($($name:literal $type:ty: $($bound:ident)+;)+) => {
        /// Returns the names of the types. Does not compile if a type loses one of its auto traits.
        fn names() -> Vec<&'static str> {
            $($($bound::<$type>();)+)+
            vec![$($name),+]
        }
    };
}

// Types without `panics` hold a closure, a store or a clock of the user's, which may not be unwind
// safe.
table! {
    "verify::Secret" Secret: threads panics;
    "verify::Keys" Keys: threads panics;
    "verify::Signer" Signer: threads panics;
    "verify::SignatureHeaders" SignatureHeaders: threads panics;
    "verify::Timestamp" Timestamp: threads panics;
    "verify::FixedClock" FixedClock: threads panics;
    "verify::SystemClock" SystemClock: threads panics;
    "verify::Verified" Verified: threads panics;
    "verify::VerifyError" VerifyError: threads panics;
    "verify::VerifyErrorKind" VerifyErrorKind: threads panics;
    "verify::ConfigError" ConfigError: threads panics;
    "verify::SecretFileError" SecretFileError: threads;
    "diagnose::Diagnosis" Diagnosis: threads panics;
    "diagnose::Cause" Cause: threads panics;
    "diagnose::SecretEncoding" SecretEncoding: threads panics;
    "diagnose::Rewriting" Rewriting: threads panics;
    "verify::Verifier" Verifier: threads;
    "verify::VerifierBuilder" VerifierBuilder: threads;
    "verify::Verification" Verification: threads;
    "event::EventName" EventName: threads panics;
    "event::Action" Action: threads panics;
    "event::EventPattern" EventPattern: threads panics;
    "event::PatternError" PatternError: threads panics;
    "event::ObjectMetadata" ObjectMetadata: threads panics;
    "event::UnexpectedMember" UnexpectedMember: threads panics;
    "event::EventError" EventError: threads panics;
    "event::EventErrorKind" EventErrorKind: threads panics;
    "event::RawJson" RawJson: threads panics;
    "event::JsonType" JsonType: threads panics;
    "event::WebhookEvent" WebhookEvent: threads panics;
    "event::Address" Address: threads panics;
    "event::RichText" RichText: threads panics;
    "event::Id" Id: threads panics;
    "event::Links" Links: threads panics;
    "event::Link" Link: threads panics;
    "event::FileRef" FileRef: threads panics;
    "event::Actor" Actor: threads panics;
    "event::ActorContext" ActorContext: threads panics;
    "event::ActorSource" ActorSource: threads panics;
    "event::Date" Date: threads panics;
    "event::Currency" Currency: threads panics;
    "event::Decimal" Decimal: threads panics;
    "event::FullName" FullName: threads panics;
    "event::Emails" Emails: threads panics;
    "event::Phones" Phones: threads panics;
    "event::PhoneNumber" PhoneNumber: threads panics;
    "event::Record" Record: threads panics;
    "event::CustomRecord" CustomRecord: threads panics;
    "event::MetadataEvent" MetadataEvent: threads panics;
    "event::FieldChange" FieldChange: threads panics;
    "event::Person" Person: threads panics;
    "event::Company" Company: threads panics;
    "event::OpportunityStage" OpportunityStage: threads panics;
    "event::Opportunity" Opportunity: threads panics;
    "event::Note" Note: threads panics;
    "event::NoteTarget" NoteTarget: threads panics;
    "event::TaskStatus" TaskStatus: threads panics;
    "event::Task" Task: threads panics;
    "event::TaskTarget" TaskTarget: threads panics;
    "event::Attachment" Attachment: threads panics;
    "event::WorkspaceMember" WorkspaceMember: threads panics;
    "event::CalendarEvent" CalendarEvent: threads panics;
    "event::ResponseStatus" ResponseStatus: threads panics;
    "event::CalendarEventParticipant" CalendarEventParticipant: threads panics;
    "event::Message" Message: threads panics;
    "event::Workflow" Workflow: threads panics;
    "event::WorkflowVersion" WorkflowVersion: threads panics;
    "event::WorkflowRun" WorkflowRun: threads panics;
    "event::WorkflowStatus" WorkflowStatus: threads panics;
    "event::WorkflowRunStatus" WorkflowRunStatus: threads panics;
    "event::MessageParticipant" MessageParticipant: threads panics;
    "event::MessageParticipantRole" MessageParticipantRole: threads panics;
    "event::MessageDirection" MessageDirection: threads panics;
    "event::MessageThread" MessageThread: threads panics;
    "event::MessageThreadTarget" MessageThreadTarget: threads panics;
    "event::MessageCampaign" MessageCampaign: threads panics;
    "event::MessageCampaignStatus" MessageCampaignStatus: threads panics;
    "event::CallRecording" CallRecording: threads panics;
    "event::CallRecordingStatus" CallRecordingStatus: threads panics;
    "event::CalendarEventTarget" CalendarEventTarget: threads panics;
    "event::Dashboard" Dashboard: threads panics;
    "event::With" With<Person, Dashboard>: threads panics;
    "deduplicate::Claim" Claim: threads panics;
    "deduplicate::ClaimKey" ClaimKey: threads panics;
    "deduplicate::ClaimOutcome" ClaimOutcome: threads panics;
    "deduplicate::StoreErrorKind" StoreErrorKind: threads panics;
    "deduplicate::MemoryStore" MemoryStore: threads;
    "deduplicate::RedisStore" RedisStore: threads;
    "deduplicate::RedisStoreBuilder" RedisStoreBuilder: threads;
    "deduplicate::StoreError" StoreError: threads;
    "inbox::EventId" EventId: threads panics;
    "inbox::Stats" Stats: threads panics;
    "inbox::Accepted" Accepted: threads panics;
    "inbox::DeadReason" DeadReason: threads panics;
    "inbox::InboxErrorKind" InboxErrorKind: threads panics;
    "inbox::InboxFailure" InboxFailure: threads panics;
    "inbox::Attempt" Attempt: threads panics;
    "inbox::RetryPolicy" RetryPolicy: threads panics;
    "inbox::Shutdown" Shutdown: threads panics;
    "inbox::StartError" StartError: threads panics;
    "inbox::DeadLetter" DeadLetter: threads panics;
    "inbox::DeadLetters" DeadLetters: threads;
    "inbox::InboxError" InboxError: threads;
    "inbox::HandlerError" HandlerError: threads;
    "inbox::InboxBuilder" InboxBuilder: threads;
    "inbox::Inbox" Inbox: threads;
    "inbox::WorkerBuilder" WorkerBuilder<()>: threads;
    "inbox::Worker" Worker: threads;
    "receiver::Refusal" Refusal: threads panics;
    "receiver::RefusalKind" RefusalKind: threads panics;
    "receiver::RefusalResponse" RefusalResponse: threads panics;
    "receiver::WebhookRejection" WebhookRejection: threads panics;
    "receiver::Outcome" Outcome: threads panics;
    "receiver::OutcomeKind" OutcomeKind: threads panics;
    "deduplicate::StoreFailure" StoreFailure: threads panics;
    "receiver::Drained" Drained: threads panics;
    "receiver::TenantRequest" TenantRequest: threads panics;
    "receiver::Receiver" Receiver: threads;
    "deduplicate::Deduplicate" Deduplicate: threads;
    "tower::WebhookLayer" tower::WebhookLayer: threads;
    "tower::WebhookService" tower::WebhookService<Inner>: threads;
    "tower::ResponseFuture" tower::ResponseFuture<Inner, String>: sends;
    "tower::VerifiedBody" tower::VerifiedBody: threads panics;
    "tower::ResponseBody" tower::ResponseBody<String>: threads panics;
    "tower::EventRouter" tower::EventRouter<(), (), ()>: threads;
    "tower::EventService" tower::EventService<(), (), ()>: threads;
    "axum::EventRouter" axum::EventRouter: threads;
    "axum::EventHandler" axum::EventHandler: threads;
    "testing::Delivery" Delivery: threads panics;
    "testing::SignedDelivery" SignedDelivery: threads panics;
    "testing::Forgery" Forgery: threads panics;
    "testing::ParseForgeryError" ParseForgeryError: threads panics;
    "testing::SetError" SetError: threads;
    "actix_web::WebhookMiddleware" actix_web::WebhookMiddleware: threads;
    "actix_web::EventRouter" actix_web::EventRouter: threads;
    "actix_web::EventHandler" actix_web::EventHandler: threads;
}

#[test]
fn every_type_has_its_auto_traits() {
    source::assert_covers(names(), &source::public_types());
}
