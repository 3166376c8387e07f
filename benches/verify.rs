//! Measures a verification, compared with a bare HMAC over the same bytes with a prepared key. The
//! bodies have 256 B to 1 MiB. There are 1, 2 and 4 secrets, of which the last one signed.
//!
//! ```sh
//! cargo bench --bench verify      # results: target/criterion/verify/*/*/new/estimates.json
//! ```

mod support;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use support::{SECRET, SIGNATURE, TIMESTAMP, headers, verifier};

fn verify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify");
    for len in [256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20] {
        let body = Bytes::from(vec![b'x'; len]);
        let headers = headers(&body);
        group.throughput(Throughput::Bytes(len as u64));

        let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        let header = |name| headers.iter().find(|header| header.0 == name).unwrap().1.as_bytes();
        let (timestamp, signature) = (header(TIMESTAMP), header(SIGNATURE));
        group.bench_function(BenchmarkId::new("hmac", len), |bencher| {
            bencher.iter(|| {
                let mut expected = [0; 32];
                hex::decode_to_slice(signature, &mut expected).unwrap();
                let mac = mac.clone().chain_update(timestamp).chain_update(b":").chain_update(&body);
                mac.verify((&expected).into()).unwrap();
            });
        });

        for secrets in [1, 2, 4] {
            let mut secrets_in_use = vec!["another secret"; secrets];
            secrets_in_use[secrets - 1] = SECRET;
            let verifier = verifier(&secrets_in_use);
            group.bench_function(BenchmarkId::new(format!("secrets-{secrets}"), len), |bencher| {
                bencher.iter(|| verifier.verify(headers.iter().map(|(n, v)| (n, v)), body.clone()).unwrap());
            });
        }
    }
}

criterion_group!(benches, verify);
criterion_main!(benches);
