//! Shows deliveries, one after the other, on a thread of its own: a diagnosis may take long, and so may a terminal.

use std::{io, thread};

use sha2::{Digest, Sha256};
use tokio::sync::{
    mpsc::{self, Sender},
    oneshot,
};
use twenty_webhook::{Verifier, receiver::RefusalKind};

use super::{
    Format,
    observe::{Observed, Verdict},
    repetition::Repetitions,
    report::Report,
    save::Captures,
};
use crate::{capture::Capture, finding, output};

/// How many deliveries may wait to be shown before answers are held back.
const QUEUE: usize = 64;

/// What is reported of a request that this process forwarded before.
const LOOP: &str = "it came back to the listener that had forwarded it: --forward-to leads here again, by this or another \
                    name of this machine or through another listener";

pub(super) struct Printer {
    /// Ends when the thread does: once it gets a `None`, or nobody reads.
    pub(super) closed: oneshot::Receiver<()>,
    pub(super) thread: thread::JoinHandle<io::Result<()>>,
}

impl Printer {
    pub(super) fn start(
        verifier: Verifier,
        mut captures: Option<Captures>,
        format: Format,
    ) -> (Sender<Option<Observed>>, Self) {
        let (sender, mut deliveries) = mpsc::channel(QUEUE);
        let (closing, closed) = oneshot::channel();
        let thread = thread::spawn(move || {
            // Dropped with the thread, however it ends.
            let _closing: oneshot::Sender<()> = closing;
            let mut repetitions = Repetitions::default();
            while let Some(Some(observed)) = deliveries.blocking_recv() {
                let report = report(&observed, &verifier, &mut repetitions, captures.as_mut());
                output::write_out(&match format {
                    Format::Pretty => report.pretty(),
                    Format::Json => report.json(),
                })?;
            }
            Ok(())
        });
        (sender, Self { closed, thread })
    }
}

fn report(
    observed: &Observed,
    verifier: &Verifier,
    repetitions: &mut Repetitions,
    captures: Option<&mut Captures>,
) -> Report {
    let method = observed.method.as_str();
    let mut report = Report::new(observed.at, method, observed.status);
    match &observed.verdict {
        Verdict::Accepted(accepted) => report.accepted(accepted),
        Verdict::Rejected(rejection) => report.rejected(rejection.to_string()),
        Verdict::WrongMethod => report.rejected("verified, but it is no POST".to_owned()),
        Verdict::Loop => {
            report.rejected(LOOP.to_owned());
            // A copy of a delivery that is shown and saved when its answer is there.
            return report;
        }
        Verdict::Refused(refusal) => {
            report.refused(refusal.to_string());
            if let (RefusalKind::Verify(_), Some(body)) = (refusal.kind(), &observed.body) {
                report.findings = finding::all(method, &verifier.diagnose(&observed.headers, body));
            }
        }
    }
    if let Some(body) = &observed.body {
        let digest = Sha256::digest(body).into();
        // A forger may send a body again and again; a repetition is what Twenty signed twice.
        if let Verdict::Accepted(_) = observed.verdict {
            report.repetition = repetitions.count(digest);
        }
        if let Some(captures) = captures {
            let headers = observed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            let capture = Capture::write(method, &observed.target, headers, body, observed.at);
            report.saved(&captures.save(observed.verdict.is_verified(), digest, &capture));
        }
    }
    report
}
