//! Front proxies: what those that are listed say of where a caller is. Nobody else is believed.

use std::io;
use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName};
use ipnet::IpNet;
use ppp::{HeaderResult, PartialResult as _, v1, v2};

use crate::socket::Socket;

/// The proxies in front of this gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Front {
    /// Networks whose word counts; none by default.
    pub trusted: Vec<IpNet>,
    /// Whether connections from them begin with a header of the PROXY protocol, version 1 or 2.
    pub proxy_protocol: bool,
    /// The field in which they say where a caller is.
    pub source_field: SourceField,
}

/// A field that tells the source of a request. Only one is read: a proxy that sets one passes the other on as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceField {
    /// None: the source is that of the connection.
    #[default]
    None,
    /// `X-Forwarded-For`, with `X-Forwarded-Proto`.
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

/// Why a connection of a front proxy cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadHeader {
    #[error("the connection of a front proxy does not begin with a PROXY header")]
    Malformed,
    #[error("the connection ended before its PROXY header did")]
    Ended,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Front {
    /// Returns whether an address is that of a listed proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Returns where a caller is, and whether its connection was encrypted, as far as a trusted proxy says it in the fields
    /// of a request.
    pub(crate) fn source(&self, fields: &HeaderMap) -> (Option<IpAddr>, Option<bool>) {
        match self.source_field {
            SourceField::None => (None, None),
            SourceField::XForwardedFor => {
                let source = self.nearest(listed(fields, &X_FORWARDED_FOR).map(address));
                (source, secure(listed(fields, &X_FORWARDED_PROTO).last()))
            }
            SourceField::Forwarded => {
                let elements = || listed(fields, &FORWARDED);
                let source = self.nearest(elements().map(|element| parameter(element, "for").and_then(address)));
                (
                    source,
                    secure(elements().last().and_then(|element| parameter(element, "proto"))),
                )
            }
        }
    }

    /// Returns the last address that is not a trusted proxy's: each proxy appends whom it heard from, so what stands before
    /// is hearsay. What cannot be read ends the search.
    fn nearest<'f>(&self, hops: impl DoubleEndedIterator<Item = Option<IpAddr>> + 'f) -> Option<IpAddr> {
        let mut nearest = None;
        for hop in hops.rev() {
            let Some(hop) = hop else { break };
            nearest = Some(hop);
            if !self.trusts(hop) {
                break;
            }
        }
        nearest
    }
}

/// Reads the PROXY header that a connection begins with, and returns the source that it names. `None`: the proxy speaks for
/// itself, as for its health checks.
pub(crate) async fn read_proxy_header(socket: &mut Socket) -> Result<Option<IpAddr>, BadHeader> {
    loop {
        let read = HeaderResult::parse(socket.ahead());
        if read.is_complete() {
            let (source, length) = match read {
                HeaderResult::V1(Ok(header)) => (source_v1(&header.addresses), header.header.len()),
                HeaderResult::V2(Ok(header)) => (source_v2(&header), header.len()),
                HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => return Err(BadHeader::Malformed),
            };
            socket.skip(length);
            return Ok(source);
        }
        // The parser takes a line that ends too early for one that goes on.
        let ended = socket.ahead().starts_with(b"P") && socket.ahead().contains(&b'\n');
        if ended || socket.ahead().len() > HEADER_BYTES_MAX {
            return Err(BadHeader::Malformed);
        }
        if socket.read_ahead().await? == 0 {
            return Err(BadHeader::Ended);
        }
    }
}

/// Longest PROXY header, in octets: addresses and what else version 2 carries.
const HEADER_BYTES_MAX: usize = 4 * 1024;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

fn source_v1(addresses: &v1::Addresses) -> Option<IpAddr> {
    match addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(pair) => Some(pair.source_address.into()),
        v1::Addresses::Tcp6(pair) => Some(pair.source_address.into()),
    }
}

fn source_v2(header: &v2::Header<'_>) -> Option<IpAddr> {
    if header.command == v2::Command::Local {
        return None;
    }
    match header.addresses {
        v2::Addresses::IPv4(pair) => Some(pair.source_address.into()),
        v2::Addresses::IPv6(pair) => Some(pair.source_address.into()),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    }
}

/// Returns the elements of a field that is a list, from all its lines.
fn listed<'f>(fields: &'f HeaderMap, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'f str> + use<'f> {
    let lines = fields
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap_or_default());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// Returns the value of a parameter of an element of `Forwarded`: RFC 7239 §4.
fn parameter<'e>(element: &'e str, name: &str) -> Option<&'e str> {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs
        .filter(|(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value);
    values.next().map(|value| value.trim_matches('"'))
}

/// Reads an address with or without port, IPv6 in brackets or not.
fn address(text: &str) -> Option<IpAddr> {
    let address = text
        .parse()
        .ok()
        .or_else(|| text.parse().ok().map(|with_port: std::net::SocketAddr| with_port.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

fn secure(scheme: Option<&str>) -> Option<bool> {
    scheme.map(|scheme| scheme.eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn front(source_field: SourceField) -> Front {
        Front {
            trusted: vec![
                "10.0.0.0/8".parse().expect("a network"),
                "2001:db8::/32".parse().expect("a network"),
            ],
            proxy_protocol: false,
            source_field,
        }
    }

    fn source(field: SourceField, lines: &[(&'static str, &'static str)]) -> (Option<IpAddr>, Option<bool>) {
        let row = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        front(field).source(&lines.iter().map(row).collect())
    }

    fn at(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn the_last_address_that_no_trusted_proxy_has_is_the_source() {
        let rows = [
            ("192.0.2.1", at("192.0.2.1")),
            ("198.51.100.9, 192.0.2.1, 10.1.2.3", at("192.0.2.1")),
            ("192.0.2.1:4711", at("192.0.2.1")),
            ("[2001:db9::1]:80, [2001:db8::2]", at("2001:db9::1")),
            ("::ffff:192.0.2.1", at("192.0.2.1")),
            ("192.0.2.1, garbage, 10.0.0.1", at("10.0.0.1")),
            ("garbage", None),
            ("", None),
            ("10.0.0.7, 10.0.0.1", at("10.0.0.7")),
        ];
        for (value, expected) in rows {
            assert_eq!(
                source(SourceField::XForwardedFor, &[("x-forwarded-for", value)]).0,
                expected,
                "{value}"
            );
        }
        let two_lines = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-for", "192.0.2.8")];
        assert_eq!(source(SourceField::XForwardedFor, &two_lines).0, at("192.0.2.8"));
    }

    #[test]
    fn forwarded_is_read_when_it_is_the_field_and_otherwise_not() {
        let lines = [
            (
                "forwarded",
                "for=198.51.100.1, For=\"[2001:db9::1]:47\";proto=https;by=10.0.0.1",
            ),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(source(SourceField::Forwarded, &lines), (at("2001:db9::1"), Some(true)));
        assert_eq!(source(SourceField::XForwardedFor, &lines), (at("192.0.2.1"), None));
        assert_eq!(source(SourceField::None, &lines), (None, None));
        assert_eq!(source(SourceField::Forwarded, &[("forwarded", "for=_hidden")]).0, None);
    }
}
