//! Receive Twenty CRM's webhooks.
