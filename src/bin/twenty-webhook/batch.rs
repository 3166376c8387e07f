//! Posts deliveries, several at the same time.

use std::{
    num::NonZeroUsize,
    panic::resume_unwind,
    process::ExitCode,
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::{JoinError, JoinSet};

use crate::{
    client::Client,
    listen::asked_to_end,
    output::{self, Failure},
    tally::Tally,
    target::Target,
};

/// The minimum number of deliveries for which a progress bar is shown.
const MANY: u64 = 50;

/// A delivery, ready to be sent.
pub(crate) struct Ready {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Posts deliveries to an address and prints a summary, also after Ctrl-C. Each delivery is created
/// just before it is sent, so that its timestamp is fresh. `hint` says what to do about a 401.
pub(crate) fn post(
    target: &Target,
    concurrency: NonZeroUsize,
    count: u64,
    deliveries: impl Iterator<Item = Result<Ready, Failure>>,
    hint: Option<&str>,
) -> Result<ExitCode, Failure> {
    let client = Client::new(target.clone())?;
    let began = Instant::now();
    let progress = progress_bar(count);
    let tally = output::run_async(async {
        let mut tally = Tally::default();
        tokio::select! {
            biased;
            () = asked_to_end() => {}
            posted = post_all(&client, concurrency, &progress, deliveries, &mut tally) => posted?,
        }
        Ok::<_, Failure>(tally)
    })
    .flatten()?;
    progress.finish_and_clear();
    let missing = count.saturating_sub(tally.total());
    if missing > 0 {
        output::note(&format!("interrupted: {missing} of {count} deliveries were not answered"));
    }
    let code = if missing == 0 && tally.is_success() { ExitCode::SUCCESS } else { ExitCode::from(1) };
    output::print(&tally.summary(began.elapsed(), hint))?;
    Ok(code)
}

async fn post_all(
    client: &Client,
    concurrency: NonZeroUsize,
    progress: &ProgressBar,
    deliveries: impl Iterator<Item = Result<Ready, Failure>>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut under_way = JoinSet::new();
    let mut answered = |answer: Result<_, JoinError>| {
        // These tasks are never aborted, so the error can only be a panic.
        tally.add(answer.unwrap_or_else(|error| resume_unwind(error.into_panic())));
        progress.inc(1);
    };
    for delivery in deliveries {
        if under_way.len() >= concurrency.get()
            && let Some(answer) = under_way.join_next().await
        {
            answered(answer);
        }
        let Ready { method, headers, body } = delivery?;
        let client = client.clone();
        under_way.spawn(async move { client.send(method, &headers, body).await });
    }
    while let Some(answer) = under_way.join_next().await {
        answered(answer);
    }
    Ok(())
}

/// Shows a progress bar on standard error, if that is a terminal.
fn progress_bar(count: u64) -> ProgressBar {
    let target = if count < MANY { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(count), target);
    bar.enable_steady_tick(Duration::from_millis(200));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// The resolution of a name cannot be cancelled, and takes up to half a minute.
    #[test]
    fn the_end_does_not_wait_for_the_resolution_of_names() {
        let (_resolved, resolving) = mpsc::channel::<()>();
        let (done, resolution) = mpsc::channel();
        let deliveries = std::iter::once_with(move || {
            tokio::task::spawn_blocking(move || {
                let _ = resolving.recv_timeout(Duration::from_secs(30));
                let _ = done.send(());
            });
            Err(Failure::new("the end"))
        });
        let target = "http://127.0.0.1:9/".parse().unwrap();
        assert!(post(&target, NonZeroUsize::MIN, 1, deliveries, None).is_err());
        assert_eq!(resolution.try_recv(), Err(mpsc::TryRecvError::Empty));
    }
}
