//! Measures reading events, compared with parsing the same bytes into an unverified
//! `serde_json::Value`. The typed events start from verified bytes, so add the time of `verify` to
//! theirs.
//!
//! ```sh
//! cargo bench --bench events      # results: target/criterion/events/*/*/new/estimates.json
//! ```

mod support;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;
use support::{FiveFields, NoFields, SECRET, deliveries::DELIVERIES, delivery, headers, long_note, verified, verifier};
use twenty_webhook::{WebhookEvent, event::record::Person};

fn events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("events");
    let bodies = DELIVERIES.map(|name| (name, delivery(name))).into_iter().chain([("long-note", long_note())]);
    for (name, body) in bodies {
        group.throughput(Throughput::Bytes(body.len() as u64));
        let id = |what| BenchmarkId::new(what, name);
        group.bench_function(id("Value"), |bencher| bencher.iter(|| serde_json::from_slice::<Value>(&body).unwrap()));

        let (headers, verifier) = (headers(&body), verifier(&[SECRET]));
        group.bench_function(id("verify"), |bencher| {
            bencher.iter(|| verifier.verify(headers.iter().map(|(n, v)| (n, v)), body.clone()).unwrap());
        });

        let verified = verified(body);
        macro_rules! event {
            ($Record:ty) => {
                group.bench_function(id(stringify!($Record)), |bencher| {
                    bencher.iter(|| WebhookEvent::<$Record>::from_verified(verified.clone()).unwrap());
                });
            };
        }
        type Any = twenty_webhook::event::Record;
        event!(Any);
        if name.starts_with("person.") {
            event!(Person);
            event!(FiveFields);
            event!(NoFields);
        }
    }
}

criterion_group!(benches, events);
criterion_main!(benches);
