//! Identify: from method and raw path to the operation of the catalogue. Everything unknown ends here.

use std::borrow::Cow;

use catalogue::{Catalogue, Matched, NotIdentified};
use feed::token::Kind;
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Version, header};

use crate::connection::Connection;
use crate::refusal::{Reason, Refusal};
use crate::{fields, settings::Hosts};

/// Finds the operation that a request asks for.
pub(crate) fn identify<'p>(catalogue: &Catalogue, parts: &'p Parts) -> Result<Matched<'p>, Refusal> {
    catalogue
        .identify(parts.method.as_str(), parts.uri.path())
        .map_err(|none| match none {
            NotIdentified::Ambiguous(problem) => Refusal::caused_by(Reason::RequestAmbiguous, problem),
            NotIdentified::UnknownPath => Reason::OperationUnknown.into(),
            NotIdentified::UnknownMethod(allow) => Refusal::method_not_allowed(allow),
        })
}

/// Checks that the head of a request can be read in one way only, before anything is decided on it.
pub(crate) fn check_head(parts: &Parts, hosts: &Hosts, connection: &Connection) -> Result<(), Reason> {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if !known.contains(&parts.method) {
        return Err(Reason::MethodUnknown);
    }
    fields::check(&parts.headers)?;
    // RFC 9112 §6.1: a transfer coding in HTTP/1.0 is a faulty framing.
    if parts.version == Version::HTTP_10 && parts.headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Reason::RequestAmbiguous);
    }
    check_host(parts, hosts, connection)?;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > TARGET_BYTES_MAX {
        return Err(Reason::TargetTooLong);
    }
    match parts.uri.query() {
        Some(query) => check_query(query),
        None => Ok(()),
    }
}

/// Longest request target, in octets.
pub(crate) const TARGET_BYTES_MAX: usize = 8 * 1024;

/// RFC 9112 §3.2: exactly one `Host`, the same as in an absolute-form target, and one that the caller may ask for here.
fn check_host(parts: &Parts, hosts: &Hosts, connection: &Connection) -> Result<(), Reason> {
    let Some(value) = parts.headers.get(header::HOST) else {
        let allowed = parts.version == Version::HTTP_10 && parts.uri.authority().is_none();
        return if allowed { Ok(()) } else { Err(Reason::RequestAmbiguous) };
    };
    let host =
        Authority::try_from(value.as_bytes()).map_err(|_invalid: http::uri::InvalidUri| Reason::RequestAmbiguous)?;
    if host.as_str().contains('@') {
        return Err(Reason::RequestAmbiguous);
    }
    if parts.uri.authority().is_some_and(|target| *target != host) {
        return Err(Reason::RequestAmbiguous);
    }
    if hosts.admit(host.host()) && connection.answers_for(host.host()) {
        Ok(())
    } else {
        Err(Reason::HostUnknown)
    }
}

fn check_query(query: &str) -> Result<(), Reason> {
    if !query.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(Reason::RequestAmbiguous);
    }
    // RFC 6750 §2.3 has a query parameter for tokens and warns of it; ours are known by their prefix in any parameter. What
    // cannot be decoded is looked at as it is.
    let decoded = catalogue::segment::decode(query).unwrap_or(Cow::Borrowed(query));
    let exposed =
        decoded.contains(Kind::Token.prefix()) || decoded.split('&').any(|pair| pair.starts_with("access_token="));
    if exposed {
        Err(Reason::CredentialInQuery)
    } else {
        Ok(())
    }
}
