//! Compares contenders. Each contender runs for a slice of every round, so that noise affects all
//! contenders in the same way.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a contender runs in a round. A slice is short, so that most slices are not interrupted.
const SLICE: Duration = Duration::from_micros(200);

/// A contender, with the nanoseconds that its operation took in each round.
pub struct Contender<'a> {
    name: String,
    run: Box<dyn FnMut(u64) + 'a>,
    nanoseconds: Vec<f64>,
}

impl<'a> Contender<'a> {
    pub fn new<T>(name: impl Into<String>, mut operation: impl FnMut() -> T + 'a) -> Self {
        let run = move |times| {
            for _ in 0..times {
                black_box(operation());
            }
        };
        Self { name: name.into(), run: Box::new(run), nanoseconds: Vec::new() }
    }

    fn time(&mut self, times: u64) -> Duration {
        let start = Instant::now();
        (self.run)(times);
        start.elapsed()
    }

    /// Returns how many operations fill a slice. This also warms the contender up.
    fn calibrate(&mut self) -> u64 {
        let mut times = 1;
        loop {
            let taken = self.time(times);
            if taken >= SLICE / 2 {
                return (times as f64 * SLICE.as_secs_f64() / taken.as_secs_f64()).ceil() as u64;
            }
            times *= 2;
        }
    }
}

/// Runs all contenders in each of `rounds` rounds. Each round begins with another contender.
pub fn race(mut contenders: Vec<Contender<'_>>, rounds: usize) -> Value {
    let times: Vec<u64> = contenders.iter_mut().map(Contender::calibrate).collect();
    let count = contenders.len();
    for round in 0..rounds {
        for turn in 0..count {
            let index = (round + turn) % count;
            let taken = contenders[index].time(times[index]);
            contenders[index].nanoseconds.push(taken.as_nanos() as f64 / times[index] as f64);
        }
    }
    let results = contenders.into_iter().map(|contender| (contender.name, json!(contender.nanoseconds)));
    Value::Object(results.collect())
}
