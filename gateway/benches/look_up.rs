//! The cache at a million tokens: nanoseconds for a look-up, octets for a token.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use feed::token::Kind;
use feed::{Digest, Record, RoleBinding, Scope, Secret, Subject, SubjectKind, Token};
use gateway::cache::Cache;

/// The allocator of the binary, so that the memory is that of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOKENS: usize = 1_000_000;
const TOKENS_PER_SUBJECT: usize = 10;

fn secret(number: usize) -> Secret {
    let mut random = [0; 32];
    // Spread over all octets, so that digests are those of ordinary tokens.
    for (at, octet) in random.iter_mut().enumerate() {
        *octet = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (at % 8 * 8)) as u8;
    }
    Secret::from_random(Kind::Token, random)
}

fn fill(cache: &Cache) {
    let mut snapshot = Cache::begin_snapshot("bench".to_owned(), 1);
    for number in 0..TOKENS {
        let subject = format!("s-{:032x}", number / TOKENS_PER_SUBJECT);
        if number % TOKENS_PER_SUBJECT == 0 {
            snapshot.add(Record::Subject(Subject {
                id: subject.clone(),
                kind: SubjectKind::ServiceUser,
                org: "my-org".to_owned(),
                roles: vec![RoleBinding {
                    scope: Scope::org("my-org"),
                    role: "member".to_owned(),
                }],
            }));
        }
        let token = Token {
            digest: secret(number).digest(),
            id: format!("token-{number}"),
            subject,
            expires_ms: None,
            certificate: None,
        };
        snapshot.add(Record::Token(token));
    }
    cache.replace(snapshot).expect("it is the first");
}

/// Resident memory of this process, in octets.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("it is told");
    let kib: usize = line
        .split_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .expect("a number");
    kib * 1024
}

fn look_up(criterion: &mut Criterion) {
    let before = resident();
    let cache = Cache::new();
    fill(&cache);
    let octets = || (resident() - before) / TOKENS;
    println!(
        "{} octets a token when it is filled, with {TOKENS_PER_SUBJECT} tokens a subject",
        octets()
    );
    let presented: Vec<String> = (0..4096)
        .map(|n| secret(n * 241 % TOKENS).reveal().to_owned())
        .collect();
    let digests: Vec<Digest> = (0..4096).map(|n| secret(n * 241 % TOKENS).digest()).collect();
    let mut next = 0;
    criterion.bench_function("look up a token of 1,000,000", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % digests.len();
            black_box(cache.caller(&digests[next], 0).is_ok())
        });
    });
    criterion.bench_function("check, hash and look up a token of 1,000,000", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % presented.len();
            let digest = Digest::of_presented(Kind::Token, presented[next].as_bytes()).expect("well formed");
            black_box(cache.caller(&digest, 0).is_ok())
        });
    });
    criterion.bench_function("refuse a token with a wrong check sum", |bencher| {
        let wrong = format!("{}0", &presented[0][..53]);
        bencher.iter(|| black_box(Digest::of_presented(Kind::Token, wrong.as_bytes()).is_err()));
    });
    println!("{} octets a token after that", octets());
}

criterion_group!(benches, look_up);
criterion_main!(benches);
