//! Measures a claim in a `MemoryStore` that remembers 10 to 1,000,000 deliveries. `new` claims a
//! new delivery and completes it, which replaces the oldest entry. `duplicate` claims a delivery
//! that was handled.
//!
//! ```sh
//! cargo bench --bench claims      # results: target/criterion/claims/*/*/new/estimates.json
//! ```

mod support;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use support::claims::{claim_duplicate, full_store, handle, key};

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
        // These keys are spread over the whole table.
        let oldest = next - remembered as u64;
        let mut duplicates = (oldest..next).rev().step_by((remembered / 1_000).max(1)).cycle();
        group.bench_function(id("duplicate"), |bencher| {
            bencher.iter(|| claim_duplicate(&store, key(duplicates.next().unwrap())));
        });
    }
}

criterion_group!(benches, claims);
criterion_main!(benches);
