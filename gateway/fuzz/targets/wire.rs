//! Wire: arbitrary octets in arbitrary pieces.
//!
//! The first octet chooses the pieces. Whatever they are, the same is handed on and it ends alike; and what is handed on has
//! one reading: that of the wire, of a strict reader, of `httparse`, and of the types that hyper puts a head into.

#![no_main]

use gateway::refusal::Reason;
use gateway::wire::{Limits, Violation};
use gateway_fuzz::cuts::{lengths, pass};
use gateway_fuzz::strict::{self, Request};
use libfuzzer_sys::fuzz_target;

/// Small, so that they are met.
const LIMITS: Limits = Limits {
    target_bytes_max: 100,
    fields_bytes_max: 300,
    fields_max: 8,
};

fuzz_target!(|input: &[u8]| {
    let Some((seed, octets)) = input.split_first() else {
        return;
    };
    let single = pass(LIMITS, octets, || 1);
    let whole = pass(LIMITS, octets, || usize::MAX);
    let cut = pass(LIMITS, octets, lengths(*seed));
    for other in [&whole, &cut] {
        assert_eq!(single.octets, other.octets);
        assert_eq!(single.violation.is_some(), other.violation.is_some());
        if let (Some(one), Some(other)) = (&single.violation, &other.violation) {
            assert_alike(one, other);
        }
    }
    let requests = strict::read(&single.octets).expect("what was handed on can be read");
    let heads: Vec<(usize, usize)> = requests.iter().map(|request| request.head).collect();
    assert_eq!(heads, single.heads, "heads and bodies end where the wire says");
    assert!(octets.starts_with(&single.octets), "nothing is changed");
    for request in &requests {
        assert_read_alike(request, &single.octets[request.head.0..request.head.1]);
    }
});

/// A line that is too long may be found malformed first, when all of it is there.
fn assert_alike(one: &Violation, other: &Violation) {
    let too_long = |reason| matches!(reason, Reason::TargetTooLong | Reason::FieldsTooLarge);
    assert_eq!(one.in_head, other.in_head);
    if !too_long(one.reason) && !too_long(other.reason) {
        assert_eq!(one, other);
    }
}

fn assert_read_alike(request: &Request<'_>, head: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; LIMITS.fields_max];
    let mut parsed = httparse::Request::new(&mut fields);
    let read = parsed.parse(head).expect("httparse reads it");
    assert_eq!(read, httparse::Status::Complete(head.len()));
    assert_eq!(parsed.method.map(str::as_bytes), Some(request.method));
    assert_eq!(parsed.path.map(str::as_bytes), Some(request.target));
    assert_eq!(parsed.version, Some(request.minor));
    let fields: Vec<(&[u8], &[u8])> = parsed.headers.iter().map(|f| (f.name.as_bytes(), f.value)).collect();
    assert_eq!(fields, request.fields);
    http::Method::from_bytes(request.method).expect("hyper takes the method");
    http::Uri::try_from(request.target).expect("hyper takes the target");
    for (name, value) in &request.fields {
        http::HeaderName::from_bytes(name).expect("hyper takes the name");
        http::HeaderValue::from_bytes(value).expect("hyper takes the value");
    }
}
