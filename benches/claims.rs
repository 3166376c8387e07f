//! Measures a claim in a `MemoryStore` that remembers 10 to 1,000,000 deliveries. `new` claims a
//! new delivery and completes it, which replaces the oldest; `copy` claims a delivery that was
//! handled.
//!
//! ```sh
//! cargo bench --bench claims      # results: target/criterion/claims/*/*/new/estimates.json
//! ```

mod support;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use support::claims::{full_store, handle, key, meet_copy};

fn claims(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("claims");
    for remembered in [10, 1_000, 100_000, 1_000_000] {
        let store = full_store(remembered);
        let id = |what| BenchmarkId::new(what, remembered);
        let mut next = remembered as u64;
        group.bench_function(id("new"), |bencher| {
            bencher.iter(|| {
                handle(&store, key(next));
                next += 1;
            });
        });
        // From all over the table.
        let oldest = next - remembered as u64;
        let mut copies = (oldest..next).rev().step_by((remembered / 1_000).max(1)).cycle();
        group.bench_function(id("copy"), |bencher| bencher.iter(|| meet_copy(&store, key(copies.next().unwrap()))));
    }
}

criterion_group!(benches, claims);
criterion_main!(benches);
