//! Counts the receiver's answers.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    client::{Answer, PostError},
    output::{harmless_line, shortened, style, styled, wrapped},
    time::format_duration,
};

/// Counts answers.
#[derive(Default)]
pub(crate) struct Tally {
    answers: BTreeMap<String, u64>,
    latencies: Vec<Duration>,
    successes: u64,
    total: u64,
    first_error: Option<PostError>,
    /// Where the first redirect leads.
    location: Option<String>,
    /// The first body of a 4xx or 5xx answer, and its status.
    body: Option<(u16, Vec<u8>)>,
}

impl Tally {
    pub(crate) fn add(&mut self, answer: Result<Answer, PostError>) {
        self.total = self.total.saturating_add(1);
        let label = match answer {
            Ok(answer) => {
                self.successes = self.successes.saturating_add(u64::from(answer.is_success()));
                self.latencies.push(answer.latency);
                self.location = self.location.take().or(answer.location);
                if self.body.is_none() && !answer.body.is_empty() {
                    self.body = Some((answer.status, answer.body));
                }
                answer.status.to_string()
            }
            Err(error) => {
                let kind = error.kind().to_owned();
                self.first_error.get_or_insert(error);
                kind
            }
        };
        let count = self.answers.entry(label).or_default();
        *count = count.saturating_add(1);
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Returns whether every delivery was answered with a 2xx status.
    pub(crate) const fn is_success(&self) -> bool {
        self.successes == self.total
    }

    /// Returns a summary for people. `hint` says what to do about a 401.
    pub(crate) fn summary(mut self, took: Duration, hint: Option<&str>) -> String {
        self.latencies.sort_unstable();
        let mut summary = match (self.total, self.latencies.first(), self.answers.keys().next()) {
            (1, Some(latency), Some(status)) => {
                format!("{} in {}\n", styled(Self::style(status), status), format_duration(*latency))
            }
            // The rest of the summary says everything.
            (1, ..) => String::new(),
            _ => self.table(took),
        };
        if let (Some(hint), true) = (hint, self.answers.contains_key("401")) {
            summary += &wrapped("401: ", &format!("the signature was not accepted; {hint}"));
        }
        if self.answers.keys().any(|label| label.starts_with('3')) {
            summary += "3xx: Twenty follows a redirect, but drops the body after 301, 302 and 303\n";
            if let Some(location) = &self.location {
                summary += &format!("the redirect leads to {}: give Twenty that address\n", shortened(location));
            }
        }
        if let Some((status, body)) = &self.body {
            summary += &format!("the body of the {status}:\n{}", indented(body));
        }
        match &self.first_error {
            Some(PostError::TooLate) => summary += &format!("{}\n", styled(style::BAD, PostError::TooLate)),
            Some(error) => {
                summary += &format!("{} {}\n", styled(style::BAD, "no answer:"), harmless_line(&error.to_string()));
            }
            None => {}
        }
        summary
    }

    fn table(&self, took: Duration) -> String {
        let mut table = format!("{} deliveries in {}\n", self.total, format_duration(took));
        for (label, count) in &self.answers {
            let padded = format_args!("{label:<20}").to_string();
            table += &format!("  {}{count:>8}\n", styled(Self::style(label), padded));
        }
        if !self.latencies.is_empty() {
            table += &format!("latency  {}\n", Percentiles(&self.latencies));
        }
        table
    }

    fn style(label: &str) -> anstyle::Style {
        if label.starts_with('2') { style::GOOD } else { style::BAD }
    }
}

/// Returns the beginning of a body with any content: a few harmless lines with an indent, so that
/// none of them looks like a line of the summary.
fn indented(body: &[u8]) -> String {
    const CHARS: usize = 500;
    const LINES: usize = 20;
    let text = String::from_utf8_lossy(body);
    let end = text.char_indices().nth(CHARS).map_or(text.len(), |(end, _)| end);
    let mut lines = text.get(..end).unwrap_or_default().lines();
    let mut shown: String = lines.by_ref().take(LINES).map(|line| format!("  {}\n", harmless_line(line))).collect();
    if end < text.len() || lines.next().is_some() {
        shown += "  …\n";
    }
    shown
}

/// The percentiles of sorted latencies.
struct Percentiles<'a>(&'a [Duration]);

impl Percentiles<'_> {
    /// Returns a percentile by nearest rank: this percentage of the latencies is at most this long.
    fn at(&self, percent: usize) -> Duration {
        let rank = self.0.len().saturating_mul(percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Percentiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for percent in [50, 90, 99] {
            write!(f, "p{percent} {}  ", format_duration(self.at(percent)))?;
        }
        write!(f, "max {}", format_duration(self.at(100)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let latencies: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let at = |percent| Percentiles(&latencies).at(percent).as_millis();
        assert_eq!([50, 90, 99, 100].map(at), [100, 180, 198, 200]);
        let one = [Duration::from_millis(7)];
        assert_eq!([50, 99, 100].map(|percent| Percentiles(&one).at(percent).as_millis()), [7, 7, 7]);
    }

    #[test]
    fn anything_but_2xx_is_a_failure() {
        let answered = |status| {
            Ok(Answer { status, latency: Duration::from_millis(1), location: None, body: Vec::new(), date: None })
        };
        for (status, expected) in [(200, true), (202, true), (199, false), (301, false), (401, false), (503, false)] {
            let mut tally = Tally::default();
            tally.add(answered(status));
            assert_eq!(tally.is_success(), expected, "{status}");
        }
        let mut tally = Tally::default();
        tally.add(answered(200));
        tally.add(Err(PostError::TooLate));
        assert!(!tally.is_success());
        let summary = tally.summary(Duration::from_secs(5), None);
        assert!(summary.contains("2 deliveries in 5.00 s") && summary.contains("no answer in time"), "{summary}");
    }
}
