//! Reads the deliveries that `--save` wrote earlier.

use std::path::{Path, PathBuf};

use twenty_webhook::{
    Verifier, WebhookEvent,
    verify::{FixedClock, Secret, SystemClock},
};

use super::{
    super::{printer::is_too_long, report::Report},
    entry::{Entry, Received, Source},
    store::{Store, VERIFIED},
};
use crate::{
    capture::Capture,
    finding, input,
    output::{Failure, harmless_line, note},
    secrets::SecretOptions,
    time,
};

/// The maximum number of unverified captures that are read. Each diagnosis may take long.
const UNVERIFIED: usize = 100;

/// The captures of a directory, the newest first.
#[derive(Default)]
pub(in super::super) struct Saved {
    pub(in super::super) verified: Vec<PathBuf>,
    pub(in super::super) unverified: Vec<PathBuf>,
}

pub(super) struct History {
    pub(super) saved: Saved,
    pub(super) options: SecretOptions,
    pub(super) secret: Secret,
}

impl History {
    /// Reads the captures into the store, verified captures first, up to the store's bounds.
    pub(super) fn read(self, store: &Store) {
        let (mut unread, mut bytes) = (0_u32, 0_usize);
        let mut entries = Vec::new();
        for path in self.saved.verified.iter().take(VERIFIED.count) {
            match self.entry(path, store) {
                Ok(entry) => {
                    bytes = bytes.saturating_add(entry.size());
                    if bytes > VERIFIED.bytes {
                        break;
                    }
                    entries.push(entry);
                }
                Err(_) => unread = unread.saturating_add(1),
            }
        }
        store.add_history(entries);
        let unverified: Vec<_> =
            self.saved.unverified.iter().take(UNVERIFIED).map(|path| self.entry(path, store)).collect();
        unread =
            unread.saturating_add(u32::try_from(unverified.iter().filter(|entry| entry.is_err()).count()).unwrap_or(0));
        store.add_history(unverified.into_iter().flatten());
        if unread > 0 {
            note(&format!("captures that could not be read, and are not shown: {unread}"));
        }
    }

    fn entry(&self, path: &Path, store: &Store) -> Result<Entry, Failure> {
        let file = input::read(path)?;
        let capture = Capture::parse(&file).map_err(|error| Failure::about(input::name(path), &error))?;
        let pairs = || capture.headers.iter().map(|(name, value)| (name, value));
        let claimed = self.verifier(None)?.claimed_timestamp(pairs());
        let at =
            capture.captured_at.or_else(|| claimed.and_then(time::to_civil)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let mut report = Report::new(at, &capture.method, 0);
        report.saved(&Ok(path.to_path_buf()));
        let verifier = self.verifier(Some(at))?;
        let mut is_event = false;
        match verifier.verify(pairs(), capture.body.clone()) {
            Ok(verified) => match WebhookEvent::from_verified(verified) {
                Ok(_) if !finding::is_post(&capture.method) => {
                    report.verified_but_rejected("verified, but its method is not POST".to_owned());
                }
                Ok(event) => {
                    is_event = true;
                    report.accepted(&event);
                }
                Err(error) => report.verified_but_rejected(error.to_string()),
            },
            Err(error) => {
                report.rejected(harmless_line(&error.to_string()).into_owned());
                if !is_too_long(&capture.body) {
                    report.findings = finding::all(&capture.method, &verifier.diagnose(pairs(), &capture.body));
                }
            }
        }
        let Capture { method, headers, body, .. } = capture;
        let (target, body) = (target(&file), Some(body.into()));
        let source = Source::Saved;
        Ok(Entry::new(
            &report,
            Received { at, method, target, headers, body, signed_at: claimed, source, is_event },
            store,
        ))
    }

    /// Returns a verifier for the time of a capture, or for the current time.
    fn verifier(&self, at: Option<jiff::Timestamp>) -> Result<Verifier, Failure> {
        match at.and_then(time::from_civil) {
            Some(at) => self.options.verifier(self.secret.clone(), FixedClock::at(at)),
            None => self.options.verifier(self.secret.clone(), SystemClock),
        }
    }
}

/// Returns the path and query in the request line, which is the capture's first line.
fn target(file: &[u8]) -> String {
    let line = file.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).filter(|target| target.starts_with(b"/"));
    target.map_or_else(|| "/".to_owned(), |target| String::from_utf8_lossy(target).into_owned())
}
