//! Receive Twenty CRM's webhooks.

pub mod deduplicate;
