//! Identify: from method and raw path to the operation of the catalogue. Everything unknown ends here.

use std::borrow::Cow;

use catalogue::{Catalogue, Matched, NotIdentified};
use feed::token::Kind;
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Version, header};

use crate::connection::Connection;
use crate::fields;
use crate::refusal::{Reason, Refusal};
use crate::settings::{Hosts, Settings};

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
pub(crate) fn check_head(parts: &Parts, settings: &Settings, connection: &Connection) -> Result<(), Reason> {
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
    if parts.version == Version::HTTP_2 {
        // Of HTTP/1.1 the limits have been seen to on the wire.
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        if target.len() > settings.limits.target_bytes_max {
            return Err(Reason::TargetTooLong);
        }
        if fields::are_too_large(&parts.headers, &settings.limits) {
            return Err(Reason::FieldsTooLarge);
        }
    }
    fields::check(&parts.headers)?;
    check_host(parts, &settings.hosts, connection)?;
    match parts.uri.query() {
        Some(query) => check_query(query),
        None => Ok(()),
    }
}

/// RFC 9112 §3.2: exactly one `Host`, and the same as in an absolute-form target. RFC 9113 §8.3.1: `:authority` stands in its
/// place, and a `Host` beside it must be the same.
fn check_host(parts: &Parts, hosts: &Hosts, connection: &Connection) -> Result<(), Reason> {
    let Some(value) = parts.headers.get(header::HOST) else {
        return match parts.uri.authority() {
            Some(authority) if parts.version == Version::HTTP_2 => check_authority(authority, hosts, connection),
            None if parts.version == Version::HTTP_10 => Ok(()),
            Some(_) | None => Err(Reason::RequestAmbiguous),
        };
    };
    let host =
        Authority::try_from(value.as_bytes()).map_err(|_invalid: http::uri::InvalidUri| Reason::RequestAmbiguous)?;
    if parts.uri.authority().is_some_and(|target| *target != host) {
        return Err(Reason::RequestAmbiguous);
    }
    check_authority(&host, hosts, connection)
}

fn check_authority(authority: &Authority, hosts: &Hosts, connection: &Connection) -> Result<(), Reason> {
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(Reason::RequestAmbiguous);
    }
    if hosts.admit(authority.host()) && connection.answers_for(authority.host()) {
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
