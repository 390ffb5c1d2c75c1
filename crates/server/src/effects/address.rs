//! Where a guest may reach: hosts that it was granted, at addresses that are not private.

use bivouac_protocol::manifest::Capabilities;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network that the operator allows, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `10.1.0.0/16`, `fd00::/8` or a single address.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| format!("`{text}` is not an address or a network: write `10.1.0.0/16` or `192.168.1.7`"))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |prefix| {
            prefix
                .parse()
                .ok()
                .filter(|prefix| *prefix <= longest)
                .ok_or_else(|| format!("`{text}`: the part after `/` must be a number from 0 to {longest}"))
        })?;
        Ok(Self { address, prefix })
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

/// Which addresses may be connected to.
#[derive(Clone, Debug, Default)]
pub struct AddressRules {
    /// Private networks that the operator allows.
    pub allowed: Vec<Network>,
    /// Development: loopback is allowed.
    pub loopback: bool,
}

impl AddressRules {
    /// Whether an address may be connected to: public ones, and private ones that the operator lists.
    #[must_use]
    pub fn permit(&self, address: IpAddr) -> bool {
        let address = plain(address);
        is_public(address)
            || (self.loopback && address.is_loopback())
            || self.allowed.iter().any(|network| network.contains(address))
    }
}

/// An IPv4 address in IPv6 clothes is an IPv4 address.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Source: the registry of special-purpose IPv4 addresses (RFC 6890 and its updates).
fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    !(v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast()
        || v4.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)))
}

/// Source: the registry of special-purpose IPv6 addresses; only global unicast is public, less what embeds or tunnels
/// to an IPv4 address.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    let segments = v6.segments();
    let global = segments[0] & 0xe000 == 0x2000;
    let documentation = segments[0] == 0x2001 && segments[1] == 0x0db8;
    let teredo_and_special = segments[0] == 0x2001 && segments[1] < 0x0200;
    let six_to_four = segments[0] == 0x2002;
    global && !documentation && !teredo_and_special && !six_to_four
}

/// Whether a deployment was granted a host and port.
#[must_use]
pub fn is_granted(grants: &Capabilities, host: &str, port: u16, default_port: u16) -> bool {
    grants.hosts.iter().any(|pattern| matches(pattern, host, port, default_port))
}

/// Whether a pattern (`api.example.com`, `*.example.com`, `localhost:*`, `127.0.0.1:8080`, `[::1]:*`) covers a host and
/// port; without a port, only the scheme's own.
#[must_use]
pub fn matches(pattern: &str, host: &str, port: u16, default_port: u16) -> bool {
    let (name, wanted) = match pattern.rsplit_once(':') {
        Some((name, wanted)) if !wanted.contains(']') => (name, Some(wanted)),
        _ => (pattern, None),
    };
    let port_fits = match wanted {
        None => port == default_port,
        Some("*") => true,
        Some(number) => number.parse() == Ok(port),
    };
    let host = host.trim_end_matches('.');
    let name_fits = match name.strip_prefix("*.") {
        Some(parent) => host
            .len()
            .checked_sub(parent.len() + 1)
            .is_some_and(|cut| cut > 0 && host.as_bytes()[cut] == b'.' && host[cut + 1..].eq_ignore_ascii_case(parent)),
        None => host.eq_ignore_ascii_case(name),
    };
    port_fits && name_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_refused_in_every_clothing() {
        let rules = AddressRules::default();
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fd00::1",
            "fe80::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "2001:db8::1",
            "198.18.0.1",
        ] {
            assert!(!rules.permit(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "93.184.216.34", "2606:4700::1111"] {
            assert!(rules.permit(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn an_operator_allows_networks_and_nothing_beside_them() {
        let rules = AddressRules { allowed: vec![Network::parse("10.1.0.0/16").unwrap()], loopback: true };
        assert!(rules.permit("10.1.255.1".parse().unwrap()));
        assert!(!rules.permit("10.2.0.1".parse().unwrap()));
        assert!(rules.permit("127.0.0.1".parse().unwrap()));
        assert!(rules.permit("::ffff:127.0.0.1".parse().unwrap()));
        assert!(Network::parse("10.1.0.0/33").unwrap_err().contains("0 to 32"));
        assert!(Network::parse("intranet").unwrap_err().contains("intranet"));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("9.9.9.9".parse().unwrap()));
    }

    #[test]
    fn a_pattern_covers_its_host_and_port_only() {
        assert!(matches("api.example.com", "API.example.com", 443, 443));
        assert!(!matches("api.example.com", "api.example.com", 8443, 443));
        assert!(matches("api.example.com:*", "api.example.com", 8443, 443));
        assert!(matches("*.example.com", "a.b.example.com", 443, 443));
        assert!(!matches("*.example.com", "example.com", 443, 443));
        assert!(!matches("*.example.com", "badexample.com", 443, 443));
        assert!(matches("127.0.0.1:8080", "127.0.0.1", 8080, 80));
        assert!(matches("[::1]:*", "[::1]", 9, 80));
        assert!(matches("[::1]", "[::1]", 80, 80));
    }
}
