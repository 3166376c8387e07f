//! Decides which deliveries are duplicates.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::ClaimKey;
use crate::{event::WebhookEvent, verify::Verified};

type KeyBy = dyn Fn(&WebhookEvent) -> Option<Vec<String>> + Send + Sync;

/// Identifies deliveries by their bodies, or by the user's function.
#[derive(Clone, Default)]
pub(crate) struct Naming {
    pub(crate) namespace: Arc<str>,
    key_by: Option<Arc<KeyBy>>,
}

impl Naming {
    pub(crate) fn key_by(&mut self, key_by: impl Fn(&WebhookEvent) -> Option<Vec<String>> + Send + Sync + 'static) {
        self.key_by = Some(Arc::new(key_by));
    }

    /// Returns the delivery's key. If the user's function panics, the body is used, so that the
    /// delivery is not lost.
    pub(crate) fn key(&self, verified: &Verified, on_panic: impl FnOnce()) -> ClaimKey {
        let parts = self.key_by.as_ref().and_then(|key_by| {
            let event = WebhookEvent::read(verified.clone()).ok()?;
            catch_unwind(AssertUnwindSafe(|| key_by(&event))).inspect_err(|_| on_panic()).ok().flatten()
        });
        match parts {
            Some(parts) if !parts.is_empty() => ClaimKey::from_parts(&self.namespace, verified.keys_id(), parts),
            _ => ClaimKey::new(&self.namespace, verified.keys_id(), verified.body()),
        }
    }
}

impl fmt::Debug for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Naming")
            .field("namespace", &self.namespace)
            .field("has_key_by", &self.key_by.is_some())
            .finish()
    }
}
