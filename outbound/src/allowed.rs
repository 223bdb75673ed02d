//! Which addresses may be reached. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// Not a range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address or a range of them, for example 10.1.0.0/16")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| NotANetwork)?)),
            None => (text.trim(), None),
        };
        let first: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let width = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits <= width { Ok(Self { first, bits }) } else { Err(NotANetwork) }
    }
}

impl Network {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                u64::from(first.to_bits()) >> shift == u64::from(address.to_bits()) >> shift
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                first.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// Which addresses may be reached: those of the internet, and what the installation allows besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Allowed, whatever they are.
    pub besides: Vec<Network>,
    /// Any at all: for addresses that the installation itself names.
    pub any: bool,
}

impl Allowed {
    /// For addresses that whoever installs us has written down.
    pub const fn anywhere() -> Self {
        Self { besides: Vec::new(), any: true }
    }

    /// Whether this address may be reached.
    pub fn permits(&self, address: IpAddr) -> bool {
        // An IPv4 address in the clothes of IPv6 is what it is.
        let address = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        self.any || is_public(address) || self.besides.iter().any(|network| network.contains(address))
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    !(a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113))
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [first, second, ..] = v6.segments();
    let embedded = |low: u32| is_public_v4(Ipv4Addr::from_bits(low));
    match first {
        // 64:ff9b::/96, IPv4 behind NAT64.
        0x64 if second == 0xff9b => embedded(v6.to_bits() as u32),
        // 6to4 carries an IPv4 address behind its prefix.
        0x2002 => embedded((v6.to_bits() >> 80) as u32),
        // Teredo, documentation, ORCHID.
        0x2001 if second < 0x200 || second == 0xdb8 => false,
        // Only 2000::/3 is given out.
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(allowed: &Allowed, address: &str) -> bool {
        allowed.permits(address.parse().expect("an address"))
    }

    #[test]
    fn only_the_internet_is_reached_unless_allowed() {
        let internet = Allowed::default();
        for inside in [
            "127.0.0.1",
            "127.8.9.1",
            "0.0.0.0",
            "10.96.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "198.51.100.7",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "::127.0.0.1",
        ] {
            assert!(!permits(&internet, inside), "{inside}");
            assert!(permits(&Allowed::anywhere(), inside), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:101:101::",
        ] {
            assert!(permits(&internet, outside), "{outside}");
        }
    }

    #[test]
    fn what_is_allowed_besides_is_allowed_and_nothing_more() {
        let besides = ["10.1.0.0/16", "fd00::/8", "192.168.1.5"].map(|text| text.parse().expect("a network"));
        let allowed = Allowed { besides: besides.to_vec(), any: false };
        for yes in ["10.1.255.1", "::ffff:10.1.0.1", "fd12::1", "192.168.1.5"] {
            assert!(permits(&allowed, yes), "{yes}");
        }
        for no in ["10.2.0.1", "192.168.1.6", "fc00::1", "127.0.0.1"] {
            assert!(!permits(&allowed, no), "{no}");
        }
        let all: Network = "0.0.0.0/0".parse().expect("a network");
        assert!(
            all.contains(IpAddr::V4(Ipv4Addr::BROADCAST)) && !all.contains(IpAddr::V6(Ipv6Addr::LOCALHOST))
        );
        for wrong in ["", "x", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "10.0.0/8"] {
            assert_eq!(wrong.parse::<Network>(), Err(NotANetwork), "{wrong:?}");
        }
    }
}
