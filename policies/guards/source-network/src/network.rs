//! Networks of IPv4 and IPv6 addresses.

use core::net::{IpAddr, Ipv6Addr};

/// Reads an address. One of IPv4 that is written as IPv6 (`::ffff:192.0.2.1`) is the same as in IPv4.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// Tells whether an address is in a network, written `192.0.2.0/24`, `2001:db8::/32`, or as a single address; `None` if
/// the network is none. Bits of it that the prefix does not cover do not count.
pub(crate) fn contains(network: &str, address: IpAddr) -> Option<bool> {
    let (base, prefix) = match network.split_once('/') {
        Some((base, prefix)) => (base, Some(prefix)),
        None => (network, None),
    };
    let base: IpAddr = base.parse().ok()?;
    let bits = if base.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
        None => bits,
    };
    if prefix > bits {
        return None;
    }
    // Both as IPv6, so that a network of either spelling holds its addresses; IPv4 has a prefix of its own there.
    let differ = mapped(base).to_bits() ^ mapped(address).to_bits();
    Some(differ.checked_shr(bits - prefix).unwrap_or(0) == 0)
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, source: &str) -> bool {
        contains(network, address(source).expect(source)).expect(network)
    }

    #[test]
    fn a_network_holds_the_addresses_of_its_prefix() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("10.1.2.3/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7/32", "::ffff:192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("0.0.0.0/0", "::ffff:1.2.3.4", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::1", "2001:db8:0::1", "2001:db8::2"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.0.0.1"),
        ] {
            assert!(holds(network, inside), "{network} {inside}");
            assert!(!holds(network, outside), "{network} {outside}");
        }
        assert!(holds("::/0", "2001:db8::1"));
    }

    #[test]
    fn what_is_no_network_or_address_is_refused() {
        let source = address("192.0.2.1").expect("it is one");
        for network in [
            "",
            "192.0.2.0/33",
            "2001:db8::/129",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2.0/-1",
            "192.0.2/24",
            "a",
            "/8",
            "192.0.2.0/24/8",
            "192.0.2.0/999999999999",
            "192.0.2.0 /8",
            "fe80::1%eth0/64",
        ] {
            assert_eq!(contains(network, source), None, "{network}");
        }
        for text in ["", "192.0.2.1:80", "[::1]", "fe80::1%eth0", "localhost", "192.0.2.01"] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
