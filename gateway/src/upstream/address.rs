//! Addresses: which ones an upstream may have.
//!
//! A name is looked up by us and the address that was checked is the one that is connected to: whoever answers for the
//! name cannot lead us into the network that we stand in, or to the metadata service of a cloud.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

/// Addresses that an upstream may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    /// Any: it belongs to us, as the admin service does.
    Any,
    /// Those that its URL names; of those that a name leads to, the public ones; and these.
    PublicAnd(Vec<IpNet>),
}

/// How a URL names a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// By its address.
    Address(IpAddr),
    /// As the machine that we run on.
    Localhost,
    /// By a name that somebody answers for.
    Name,
}

/// An address that may not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {kind}: connected to only when upstream_addresses lists it")]
pub(crate) struct Denied {
    address: IpAddr,
    kind: &'static str,
}

impl Named {
    pub(super) fn of(host: &str) -> Self {
        match host.parse() {
            Ok(address) => Self::Address(address),
            Err(_name) if host.eq_ignore_ascii_case("localhost") => Self::Localhost,
            Err(_name) => Self::Name,
        }
    }
}

impl Addresses {
    /// Leaves of the addresses of a host those that may be connected to.
    ///
    /// # Errors
    /// Why the first is refused, when none may.
    pub(super) fn permitted(&self, named: Named, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, Option<Denied>> {
        let mut denied = None;
        let mut permitted = Vec::with_capacity(found.len());
        for address in found {
            match self.check(named, address.ip()) {
                Ok(()) => permitted.push(*address),
                Err(error) => denied = denied.or(Some(error)),
            }
        }
        if permitted.is_empty() {
            Err(denied)
        } else {
            Ok(permitted)
        }
    }

    fn check(&self, named: Named, address: IpAddr) -> Result<(), Denied> {
        let Self::PublicAnd(listed) = self else { return Ok(()) };
        let real = embedded(address);
        if listed
            .iter()
            .any(|range| range.contains(&address) || range.contains(&real))
        {
            return Ok(());
        }
        let kind = match (kind(real), named) {
            (Kind::Public, Named::Address(_) | Named::Name) => return Ok(()),
            (Kind::Loopback, Named::Address(_) | Named::Localhost) => return Ok(()),
            (Kind::Private, Named::Address(_)) => return Ok(()),
            (Kind::Public, Named::Localhost) => "not this machine's, though localhost leads there",
            (Kind::Private, Named::Name | Named::Localhost) => "a private address",
            (Kind::Loopback, Named::Name) => "a loopback address",
            (Kind::Never, _) => "a link-local, multicast, unspecified or broadcast address",
        };
        Err(Denied { address, kind })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Loopback,
    /// Of a network that is not the Internet.
    Private,
    /// No upstream has one of these.
    Never,
}

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(v4) if v4.is_loopback() => Kind::Loopback,
        IpAddr::V4(v4) if v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0 => {
            Kind::Never
        }
        IpAddr::V4(v4) if v4.is_private() || SHARED.contains(&v4) => Kind::Private,
        IpAddr::V4(_) => Kind::Public,
        IpAddr::V6(v6) if v6.is_loopback() => Kind::Loopback,
        IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified() => Kind::Never,
        // The latter: site-local addresses, deprecated by RFC 3879 and still routed here and there.
        IpAddr::V6(v6) if v6.is_unique_local() || v6.segments()[0] & 0xffc0 == 0xfec0 => Kind::Private,
        IpAddr::V6(_) => Kind::Public,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped ones, and those of a NAT64 (RFC 6052).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else {
        return address.to_canonical();
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => v6.into(),
    }
}

/// RFC 6598: behind a carrier's NAT, and the pods of some clusters.
const SHARED: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const ALWAYS_REFUSED: [&str; 9] = [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1",
        "224.0.0.1",
        "ff02::1",
        "0.0.0.0",
        "::",
        "255.255.255.255",
    ];
    const PRIVATE: [&str; 8] = [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "fd00::1",
        "fec0::1",
    ];
    const LOOPBACK: [&str; 3] = ["127.0.0.1", "127.9.9.9", "::1"];
    const PUBLIC: [&str; 4] = ["192.0.2.1", "100.128.0.1", "2001:db8::1", "172.32.0.1"];

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn may(addresses: &Addresses, named: Named, text: &str) -> bool {
        addresses.check(named, ip(text)).is_ok()
    }

    #[test]
    fn a_name_leads_to_public_addresses_only_and_an_address_means_what_it_says() {
        let addresses = Addresses::PublicAnd(Vec::new());
        let groups = [
            (&ALWAYS_REFUSED[..], [false, false, false]),
            (&PRIVATE[..], [false, true, false]),
            (&LOOPBACK[..], [false, true, true]),
            (&PUBLIC[..], [true, true, false]),
        ];
        for (group, [by_name, by_address, by_localhost]) in groups {
            for text in group {
                assert_eq!(may(&addresses, Named::Name, text), by_name, "{text} by a name");
                let literal = Named::Address(ip(text));
                assert_eq!(may(&addresses, literal, text), by_address, "{text} by itself");
                assert_eq!(
                    may(&addresses, Named::Localhost, text),
                    by_localhost,
                    "{text} by localhost"
                );
            }
        }
    }

    #[test]
    fn what_is_listed_may_be_connected_to_and_what_is_ours_always() {
        let listed = ["10.0.0.0/8", "169.254.0.0/16", "fe80::/10"].map(|range| range.parse().expect("a range"));
        let addresses = Addresses::PublicAnd(listed.to_vec());
        for text in ["10.1.2.3", "::ffff:10.1.2.3", "169.254.169.254", "fe80::1"] {
            assert!(may(&addresses, Named::Name, text), "{text}");
        }
        for text in ["192.168.0.1", "127.0.0.1", "224.0.0.1"] {
            assert!(!may(&addresses, Named::Name, text), "{text}");
            assert!(may(&Addresses::Any, Named::Name, text), "{text}");
        }
    }

    #[test]
    fn an_address_that_is_refused_takes_none_of_the_others_with_it() {
        let found = [SocketAddr::new(ip("10.0.0.1"), 1), SocketAddr::new(ip("192.0.2.1"), 1)];
        let addresses = Addresses::PublicAnd(Vec::new());
        assert_eq!(addresses.permitted(Named::Name, &found), Ok(vec![found[1]]));
        let error = addresses.permitted(Named::Name, &found[..1]).expect_err("none is left");
        assert!(error.expect("a reason").to_string().contains("upstream_addresses"));
        assert_eq!(addresses.permitted(Named::Name, &[]), Err(None));
    }

    #[test]
    fn a_host_is_an_address_localhost_or_a_name() {
        assert_eq!(Named::of("::1"), Named::Address(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(Named::of("LocalHost"), Named::Localhost);
        for name in ["localhost.", "a.localhost", "127.1", "0x7f000001", "example.com"] {
            assert_eq!(Named::of(name), Named::Name, "{name}");
        }
    }
}
