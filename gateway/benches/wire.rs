//! What the strict reader costs: one head as CI jobs send it, admitted whole.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gateway::wire::{Limits, Wire};

const HEAD: &[u8] = b"GET /orgs/my-org/apps/sample-app/envs/development/deploys?limit=20 HTTP/1.1\r\n\
    Host: postern.example.com\r\n\
    User-Agent: terraform-provider-humanitec/1.12.0\r\n\
    Accept: application/json\r\n\
    Authorization: Bearer pstn_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG01234567890\r\n\
    Content-Type: application/json\r\n\
    Accept-Encoding: gzip\r\n\
    \r\n";

fn head(criterion: &mut Criterion) {
    let limits = Limits {
        target_bytes_max: 8 * 1024,
        fields_bytes_max: 32 * 1024,
        fields_max: 100,
    };
    let mut group = criterion.benchmark_group("wire");
    group.throughput(Throughput::Bytes(HEAD.len() as u64));
    group.bench_function("head", |bencher| {
        let mut wire = Wire::new(limits);
        bencher.iter(|| assert_eq!(wire.look(black_box(HEAD)), Ok(HEAD.len())));
    });
    group.finish();
}

criterion_group!(benches, head);
criterion_main!(benches);
