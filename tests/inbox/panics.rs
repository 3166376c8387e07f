//! Tests of handlers whose errors, futures and panics themselves panic.

use twenty_webhook::inbox::HandlerError;

use super::worker::fate;

/// A part of a handler that panics when it is used or dropped, or an error without an end.
#[derive(Debug)]
enum Hostile {
    Display,
    Source,
    Drop,
    Endless,
    Cycle,
}

impl std::fmt::Display for Hostile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Display => panic!("in Display"),
            Self::Endless => loop {
                f.write_str("an error that never ends")?;
            },
            _ => f.write_str("hostile"),
        }
    }
}

impl std::error::Error for Hostile {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Source => panic!("in source"),
            Self::Cycle => Some(self),
            _ => None,
        }
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if matches!(self, Self::Drop) {
            panic!("in Drop");
        }
    }
}

/// The attempt fails and the event does not stay running, whichever part panics.
#[tokio::test(start_paused = true)]
async fn a_panic_in_any_part_of_a_handler_ends_its_attempt() {
    use Hostile::{Cycle, Display, Drop, Endless, Source};

    let error = |hostile: fn() -> Hostile| move |_| async move { Err(HandlerError::from(hostile())) };
    let fates = [
        fate(error(|| Display)).await,
        fate(error(|| Source)).await,
        fate(error(|| Drop)).await,
        fate(error(|| Endless)).await,
        fate(error(|| Cycle)).await,
        fate(async |_| std::panic::panic_any(Drop)).await,
        // The timeout drops the future, and with it the value that panics.
        fate(async |_| {
            let _held = Drop;
            std::future::pending().await
        })
        .await,
    ];
    for (number, (stats, _)) in fates.into_iter().enumerate() {
        assert_eq!((stats.running, stats.dead, stats.delayed), (0, 0, 1), "{number}");
    }
}
