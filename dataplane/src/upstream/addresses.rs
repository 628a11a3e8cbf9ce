//! Which addresses a provider may have: whoever may write an AIProvider must not reach, through
//! the gateway, what only the gateway's machine can.
//!
//! Looked at when a connection is made, on the very address that it goes to: a name that answers
//! differently the second time gains nothing. Addresses of this machine's link and of cloud
//! metadata are reached by nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

/// The addresses that providers may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// All but those of the link and of metadata: for a gateway of one's own, beside one's own
    /// servers.
    Any,
    /// Those of the public Internet, and these.
    PublicAnd(Arc<[IpNet]>),
}

/// What kind of place an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Public,
    /// Loopback, private, shared, or reserved for what is no provider.
    Private,
    /// Link-local, multicast, unspecified, or a cloud's metadata server.
    Never,
}

/// Metadata servers that stand outside the link-local blocks: Alibaba Cloud's, Oracle's older
/// one, and AWS's over IPv6.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
];

impl Addresses {
    /// Whether a provider may have the address.
    pub fn allow(&self, address: IpAddr) -> bool {
        let address = carried(address);
        match (Place::of(address), self) {
            (Place::Never, _) => false,
            (Place::Public, _) | (Place::Private, Addresses::Any) => true,
            (Place::Private, Addresses::PublicAnd(more)) => {
                more.iter().any(|block| block.contains(&address))
            }
        }
    }

    /// Whether an endpoint of a Service may have the address: pods live in private ranges. This
    /// machine itself, its link and metadata are no pods.
    pub fn allow_endpoint(&self, address: IpAddr) -> bool {
        let is_loopback = carried(address).is_loopback();
        let is_private = Place::of(carried(address)) == Place::Private;
        self.allow(address) || is_private && !is_loopback
    }
}

impl Place {
    /// Source: IANA's registries of special-purpose IPv4 and IPv6 addresses.
    fn of(address: IpAddr) -> Self {
        if METADATA.contains(&address) || address.is_multicast() || address.is_unspecified() {
            return Place::Never;
        }
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        match (a, b, c) {
            (0, ..) | (169, 254, _) => Place::Never,
            (10 | 127 | 240.., ..)
            | (100, 64..128, _)
            | (172, 16..32, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113) => Place::Private,
            _ => Place::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        match address.segments() {
            [0xfe80..=0xfebf, ..] => Place::Never,
            // Unique local, old site-local, documentation, loopback and what is not handed out.
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x2001, 0xdb8, ..] => Place::Private,
            [0x2000..=0x3fff, ..] => Place::Public,
            _ => Place::Private,
        }
    }
}

/// The IPv4 address that an IPv6 one stands for, else the address itself.
///
/// Source: RFC 4291 (mapped), RFC 6052 (NAT64), RFC 3056 (6to4).
fn carried(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else {
        return address;
    };
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match six.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            four(high, low)
        }
        [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(blocks: &[&str]) -> Addresses {
        Addresses::PublicAnd(blocks.iter().map(|block| block.parse().unwrap()).collect())
    }

    fn allows(addresses: &Addresses, address: &str) -> bool {
        addresses.allow(address.parse().unwrap())
    }

    #[test]
    fn only_the_internet_is_open_in_a_cluster() {
        let cluster = cluster(&[]);
        for open in [
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "2606:4700::1",
        ] {
            assert!(allows(&cluster, open), "{open}");
        }
        for closed in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "255.255.255.255",
            "::1",
            "fd12::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
        ] {
            assert!(!allows(&cluster, closed), "{closed}");
            assert!(allows(&Addresses::Any, closed), "{closed}");
        }
    }

    #[test]
    fn an_endpoint_may_be_private_and_nothing_else_that_is_closed() {
        let cluster = cluster(&[]);
        let allows = |address: &str| cluster.allow_endpoint(address.parse().unwrap());
        for open in ["10.1.2.3", "100.64.0.1", "240.0.0.1", "fd12::1", "8.8.8.8"] {
            assert!(allows(open), "{open}");
        }
        for closed in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            assert!(!allows(closed), "{closed}");
        }
        assert!(self::cluster(&["127.0.0.0/8"]).allow_endpoint([127, 0, 0, 2].into()));
    }

    #[test]
    fn blocks_are_opened_one_by_one() {
        let cluster = cluster(&["10.1.0.0/16", "fd12::/64"]);
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.2.3", false),
            ("fd12::1", true),
            ("fd13::1", false),
        ] {
            assert_eq!(allows(&cluster, address), expected, "{address}");
        }
    }

    #[test]
    fn metadata_and_the_link_are_reached_by_nobody() {
        let all = cluster(&["0.0.0.0/0", "::/0"]);
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "ff02::1",
        ] {
            assert!(!allows(&all, address), "{address}");
            assert!(!allows(&Addresses::Any, address), "{address}");
        }
    }
}
