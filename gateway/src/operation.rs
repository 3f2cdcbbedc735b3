//! Identify: from method and raw path to the operation of the catalogue. Everything unknown ends here.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use catalogue::{Catalogue, Matched, NotIdentified};
use feed::token::Kind;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::Scheme;
use http::{Method, Version};

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
    check_scheme(parts, connection.origin.secure)?;
    check_host(parts, &settings.hosts, connection)?;
    match parts.uri.query() {
        Some(query) => check_query(query),
        None => Ok(()),
    }
}

/// RFC 9112 §3.2: exactly one `Host`, and the same as in an absolute-form target. RFC 9113 §8.3.1: `:authority` stands in its
/// place, and a `Host` beside it must be the same.
fn check_host(parts: &Parts, hosts: &Hosts, connection: &Connection) -> Result<(), Reason> {
    let named = parts.headers.get(header::HOST).map(HeaderValue::as_bytes);
    let asked = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = match (named, asked) {
        (Some(named), Some(asked)) if !named.eq_ignore_ascii_case(asked) => return Err(Reason::RequestAmbiguous),
        (Some(named), _) => named,
        (None, Some(asked)) if parts.version == Version::HTTP_2 => asked,
        // HTTP/1.0 need not name a host; where it matters which, that is not enough.
        (None, None) if parts.version == Version::HTTP_10 && *hosts == Hosts::Any => return Ok(()),
        (None, None) if parts.version == Version::HTTP_10 => return Err(Reason::HostUnknown),
        (None, Some(_) | None) => return Err(Reason::RequestAmbiguous),
    };
    let host = host_of(host).ok_or(Reason::RequestAmbiguous)?;
    if hosts.admit(host) && connection.answers_for(host) {
        Ok(())
    } else {
        Err(Reason::HostUnknown)
    }
}

/// Returns the host of `host[:port]`: a name in the letters of names, or an address; no user, no list.
fn host_of(authority: &[u8]) -> Option<&str> {
    let authority = std::str::from_utf8(authority).ok()?;
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(end);
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_'))
        }
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|digit| digit.is_ascii_digit()) && (digits.is_empty() || digits.parse::<u16>().is_ok())
        });
    (is_host && is_port).then_some(host)
}

/// A target in absolute-form is for the scheme that is spoken here. Over HTTP/2 a proxy in front may have spoken the other.
fn check_scheme(parts: &Parts, secure: bool) -> Result<(), Reason> {
    let own = if secure { Scheme::HTTPS } else { Scheme::HTTP };
    let other_is_known = parts.version == Version::HTTP_2;
    match parts.uri.scheme() {
        None => Ok(()),
        Some(scheme) if *scheme == own => Ok(()),
        Some(scheme) if other_is_known && [Scheme::HTTP, Scheme::HTTPS].contains(scheme) => Ok(()),
        Some(_) => Err(Reason::RequestAmbiguous),
    }
}

fn check_query(query: &str) -> Result<(), Reason> {
    if !query.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(Reason::RequestAmbiguous);
    }
    // RFC 6750 §2.3 has a query parameter for tokens and warns of it; ours are known by their prefix in any parameter. What
    // cannot be decoded is looked at as it is.
    let decoded = catalogue::segment::decode(query).unwrap_or(Cow::Borrowed(query));
    let exposed = decoded.contains(Kind::Token.prefix())
        || decoded.split(['&', ';']).any(|pair| pair.starts_with("access_token="));
    if exposed {
        Err(Reason::CredentialInQuery)
    } else {
        Ok(())
    }
}
