//! Head: octets of a request, through the whole way to the upstream request that needs no socket.
//!
//! A head that the wire lets pass is read as hyper reads it, and taken through the checks, the catalogue and the list of
//! fields. What comes out is written as HTTP/1.1 and read anew, and must be what the policy saw: one method, one target, one
//! host, no field that is not on the list, no octet that the caller did not send.

#![no_main]

use gateway::fuzzing::{Canonical, Canonicaliser};
use gateway::refusal::Reason;
use gateway::settings::{Hosts, Limits};
use gateway::wire;
use gateway_fuzz::cuts::pass;
use gateway_fuzz::normal::{decoded, normal};
use gateway_fuzz::strict::{self, Request};
use http::HeaderName;
use http::request::Parts;
use libfuzzer_sys::fuzz_target;

const PREFIX: &str = "/prefix";

/// A field beyond the built-in list, as an operator may configure one.
const MORE: &str = "x-more";

thread_local! {
    static CANONICALISER: Canonicaliser = {
        let hosts = Hosts::These(vec!["a".to_owned(), "api.example".to_owned(), "[::1]".to_owned()]);
        Canonicaliser::new(hosts, Limits::default(), vec![HeaderName::from_static(MORE)], PREFIX)
    };
}

fuzz_target!(|octets: &[u8]| {
    let passed = pass(limits(), octets, || usize::MAX);
    let requests = strict::read(&passed.octets).expect("what was handed on can be read");
    for request in &requests {
        let parts = read_like_hyper(&passed.octets[request.head.0..request.head.1]);
        CANONICALISER.with(|canonicaliser| match canonicaliser.forward(&parts) {
            Ok(canonical) => assert_same(canonicaliser, request, &parts, &canonical),
            Err(reason) => assert!(is_of_the_head(reason), "{reason:?}"),
        });
    }
});

fn limits() -> wire::Limits {
    let limits = Limits::default();
    wire::Limits {
        target_bytes_max: limits.target_bytes_max,
        fields_bytes_max: limits.fields_bytes_max,
        fields_max: limits.fields_max,
    }
}

/// hyper's `proto::h1::role`, as far as a head goes.
fn read_like_hyper(head: &[u8]) -> Parts {
    let mut fields = [httparse::EMPTY_HEADER; 101];
    let mut parsed = httparse::Request::new(&mut fields);
    assert!(parsed.parse(head).expect("httparse reads it").is_complete());
    let mut request = http::Request::new(());
    let method = parsed.method.expect("it is complete");
    *request.method_mut() = method.parse().expect("a method");
    *request.uri_mut() = parsed.path.expect("it is complete").parse().expect("a target");
    *request.version_mut() = match parsed.version {
        Some(1) => http::Version::HTTP_11,
        _ => http::Version::HTTP_10,
    };
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).expect("a name");
        let value = http::HeaderValue::from_bytes(field.value).expect("a value");
        request.headers_mut().append(name, value);
    }
    request.into_parts().0
}

/// Whether a head alone can be refused for it.
fn is_of_the_head(reason: Reason) -> bool {
    use Reason as R;
    matches!(
        reason,
        R::RequestAmbiguous | R::CredentialInQuery | R::CredentialsTwice | R::ExpectationFailed | R::HostUnknown
    ) || matches!(reason, R::MethodUnknown | R::MethodNotAllowed | R::OperationUnknown)
}

fn assert_same(canonicaliser: &Canonicaliser, request: &Request<'_>, parts: &Parts, canonical: &Canonical<'_>) {
    let octets = write(parts, canonical);
    let written = strict::read(&octets).expect("what is sent can be read");
    let [sent] = &written[..] else {
        panic!("{} requests are sent", written.len())
    };
    assert_eq!(sent.end, Some(octets.len()));
    assert_eq!(pass(limits(), &octets, || 1).octets, octets, "it would pass here again");
    assert_eq!((sent.method, sent.minor), (request.method, 1));
    assert_target(canonicaliser, request, canonical, sent);
    assert_host(request, sent);
    assert_fields(request, sent);
    for name in ONCE {
        assert!(request.values(name).len() <= 1, "{name} came twice");
    }
}

/// hyper's way of writing.
fn write(parts: &Parts, canonical: &Canonical<'_>) -> Vec<u8> {
    assert!(!canonical.fields.contains_key("host"), "the host is the upstream's own");
    let mut octets = format!(
        "{} {} HTTP/1.1\r\nhost: upstream.example\r\n",
        parts.method, canonical.target
    )
    .into_bytes();
    for (name, value) in &canonical.fields {
        octets.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    octets.extend_from_slice(b"\r\n");
    octets
}

fn assert_target(canonicaliser: &Canonicaliser, request: &Request<'_>, canonical: &Canonical<'_>, sent: &Request<'_>) {
    let target = std::str::from_utf8(sent.target).expect("a target is ASCII");
    let target = target.strip_prefix(PREFIX).expect("it begins as configured");
    let came = std::str::from_utf8(request.target).expect("a target is ASCII");
    match came.strip_suffix(target) {
        Some("") => {}
        Some(origin) => assert!(
            origin.contains("://") && !origin.contains(['?', '@']),
            "{came} was sent on as {target}"
        ),
        None => panic!("{came} was sent on as {target}"),
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    assert_eq!(normal(path), path);
    let method = std::str::from_utf8(sent.method).expect("a method is ASCII");
    let again = canonicaliser.catalogue().identify(method, path);
    let again = again.expect("it was found before");
    assert_eq!(again.operation.id, canonical.operation.operation.id);
    assert!(again.raw_parameters().eq(canonical.operation.raw_parameters()));
    assert!(
        !decoded(query, |octet| octet.is_ascii()).contains("pstn_"),
        "a token in {query}"
    );
}

/// One host came, at most two ways, and it is told on in one spelling.
fn assert_host(request: &Request<'_>, sent: &Request<'_>) {
    let hosts = request.values("host");
    let [host] = hosts[..] else {
        panic!("{} hosts came", hosts.len())
    };
    assert_eq!(sent.values("x-forwarded-host"), [host.to_ascii_lowercase()]);
    assert_eq!(sent.values("host"), [b"upstream.example"]);
    assert_eq!(sent.values("x-forwarded-for"), [b"127.0.0.1"]);
    assert_eq!(sent.values("x-forwarded-proto"), [b"http"]);
    if !request.target.starts_with(b"/") {
        let origin = request.target.get(..7).map(<[u8]>::to_ascii_lowercase);
        assert_eq!(origin.as_deref(), Some(&b"http://"[..]));
        let authority = request.target[7..].split(|octet| matches!(octet, b'/' | b'?')).next();
        assert!(authority.unwrap_or_default().eq_ignore_ascii_case(host));
    }
}

/// Each field was sent by the caller under that name, in that order, and is one of those that may go on.
fn assert_fields(request: &Request<'_>, sent: &Request<'_>) {
    let named: Vec<u8> = request.values("connection").join(&b',').to_ascii_lowercase();
    let named: Vec<&[u8]> = named.split(|octet| *octet == b',').map(<[u8]>::trim_ascii).collect();
    for (name, _) in &sent.fields {
        let name = std::str::from_utf8(name).expect("a name is ASCII");
        if OWN.contains(&name) {
            continue;
        }
        assert!(may_go_on(name), "{name} was sent on");
        assert!(!named.contains(&name.as_bytes()), "{name} belongs to the connection");
        assert_eq!(sent.values(name), request.values(name));
    }
}

const OWN: [&str; 4] = ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// Fields that a policy could see one of and an upstream another.
const ONCE: [&str; 9] = [
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "if-match",
    "range",
    "traceparent",
];

/// What may go on, by the words of the documents: no name that others write differently.
fn may_go_on(name: &str) -> bool {
    let plain = [
        "accept",
        "baggage",
        "cache-control",
        "humanitec-user-agent",
        "idempotency-key",
        "last-event-id",
        "range",
        "traceparent",
        "tracestate",
        "user-agent",
        MORE,
    ];
    let family = ["accept-", "content-", "if-"]
        .iter()
        .any(|start| name.starts_with(start));
    (plain.contains(&name) || family) && name != "content-length" && !name.contains('_')
}
