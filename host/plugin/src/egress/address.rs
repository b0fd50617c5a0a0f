//! Addresses that no plugin reaches without being let: this machine, its networks, and what clouds put there.
//!
//! Source: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its updates).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reserved {
    Loopback,
    Private,
    /// Also where clouds serve their metadata.
    LinkLocal,
    /// Multicast, broadcast, documentation, reserved for later.
    Special,
}

impl Reserved {
    /// `None`: an address of the public network.
    pub fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => v4(address),
            IpAddr::V6(address) => v6(address),
        }
    }
}

impl fmt::Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "this machine",
            Self::Private => "a private network",
            Self::LinkLocal => "a link-local address, where clouds serve their metadata",
            Self::Special => "an address of no host",
        })
    }
}

fn v4(address: Ipv4Addr) -> Option<Reserved> {
    match address.octets() {
        [127, ..] => Some(Reserved::Loopback),
        // "This host": connecting to it reaches loopback.
        [0, ..] => Some(Reserved::Loopback),
        [10, ..] | [192, 168, ..] => Some(Reserved::Private),
        [172, second, ..] if (16..32).contains(&second) => Some(Reserved::Private),
        [100, second, ..] if (64..128).contains(&second) => Some(Reserved::Private),
        [169, 254, ..] => Some(Reserved::LinkLocal),
        // One cloud's metadata lies in the public range.
        [168, 63, 129, 16] => Some(Reserved::LinkLocal),
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some(Reserved::Special),
        [198, 18 | 19, ..] => Some(Reserved::Special),
        [first, ..] if first >= 224 => Some(Reserved::Special),
        _ => None,
    }
}

fn v6(address: Ipv6Addr) -> Option<Reserved> {
    let groups = address.segments();
    if let Some(inner) = embedded(groups) {
        return v4(inner);
    }
    match groups {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Some(Reserved::Loopback),
        [first, ..] if first & 0xfe00 == 0xfc00 => Some(Reserved::Private),
        // Deprecated site-local addresses are still routed in places.
        [first, ..] if first & 0xffc0 == 0xfec0 => Some(Reserved::Private),
        [first, ..] if first & 0xffc0 == 0xfe80 => Some(Reserved::LinkLocal),
        // Global unicast is 2000::/3; of it, documentation and benchmarking go nowhere.
        [0x2001, 0xdb8 | 0x2, ..] | [0x3fff, ..] => Some(Reserved::Special),
        [first, ..] if first & 0xe000 == 0x2000 => None,
        _ => Some(Reserved::Special),
    }
}

/// The IPv4 address that an IPv6 one leads to: mapped, compatible, translated (RFC 6052), 6to4.
fn embedded(groups: [u16; 8]) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match groups {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some(of(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(of(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Reserved> {
        Reserved::of(text.parse().expect(text))
    }

    #[test]
    fn each_range_is_what_the_registries_say() {
        for text in ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1"] {
            assert_eq!(of(text), Some(Reserved::Loopback), "{text}");
        }
        for text in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "fd00::1",
            "fec0::1",
            "2002:0a00:0001::1",
        ] {
            assert_eq!(of(text), Some(Reserved::Private), "{text}");
        }
        for text in ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "168.63.129.16"] {
            assert_eq!(of(text), Some(Reserved::LinkLocal), "{text}");
        }
        for text in ["224.0.0.1", "255.255.255.255", "ff02::1", "192.0.2.1", "2001:db8::1", "198.18.0.1"] {
            assert_eq!(of(text), Some(Reserved::Special), "{text}");
        }
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
