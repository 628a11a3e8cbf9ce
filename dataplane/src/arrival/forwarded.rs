//! Where a request really comes from, as told by the proxies in front.
//!
//! Pure. Each proxy adds the address that it was asked from to the right of what it was sent, and
//! whatever stands to the left of the last trusted one may be invented. So the walk goes from the
//! connection's peer to the left, for as long as who told is trusted.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::header::{AsHeaderName, FORWARDED, HeaderName};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Which proxies are believed when they say whom they were asked by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Forwarders {
    /// None: the headers are not read.
    #[default]
    Nobody,
    /// That many, whatever their addresses: callers come through each of them.
    Count(usize),
    /// Those with such addresses.
    Networks(Box<[IpNet]>),
}

/// Words that say neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give a count of proxies such as 1, or their addresses such as 10.0.0.0/8,fd00::/8")]
pub struct InvalidForwarders;

impl Forwarders {
    /// Finds the address that a request comes from: the nearest to the peer that is not a trusted
    /// proxy's, or the farthest where all are.
    ///
    /// `X-Forwarded-For` is read; `Forwarded` only where there is none of it, as most proxies write the
    /// former and pass the latter on as it came. What is no address (`unknown`, a name, garbage) ends
    /// the walk at the one before.
    ///
    /// Source: RFC 7239 §4 and §6; RFC 9110 §5.6.1 on empty elements, which do not count.
    pub fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        match headers.contains_key(X_FORWARDED_FOR) {
            _ if *self == Self::Nobody => peer,
            true => self.walk(peer, elements(headers, X_FORWARDED_FOR).map(address)),
            false => {
                let hops = elements(headers, FORWARDED);
                self.walk(peer, hops.map(|hop| address(node(hop)?)))
            }
        }
    }

    /// Whether the peer of a connection is believed.
    pub fn trust(&self, peer: IpAddr) -> bool {
        self.trust_hop(0, peer.to_canonical())
    }

    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut caller = peer;
        for (passed, hop) in hops.enumerate() {
            let Some(hop) = hop.filter(|_| self.trust_hop(passed, caller)) else {
                break;
            };
            caller = hop;
        }
        caller
    }

    /// Whether to believe whoever is that many hops behind the peer.
    fn trust_hop(&self, passed: usize, address: IpAddr) -> bool {
        match self {
            Self::Nobody => false,
            Self::Count(count) => passed < *count,
            Self::Networks(networks) => networks.iter().any(|network| network.contains(&address)),
        }
    }
}

impl FromStr for Forwarders {
    type Err = InvalidForwarders;

    fn from_str(text: &str) -> Result<Self, InvalidForwarders> {
        if let Ok(count) = text.trim().parse() {
            return match count {
                0 => Err(InvalidForwarders),
                count => Ok(Self::Count(count)),
            };
        }
        let network = |text: &str| {
            let text = text.trim();
            let address = text.parse().map(|one: IpAddr| IpNet::from(one));
            address.or_else(|_| text.parse())
        };
        let networks: Result<_, ipnet::AddrParseError> = text.split(',').map(network).collect();
        networks.map(Self::Networks).map_err(|_| InvalidForwarders)
    }
}

/// The elements of a list, the last first.
fn elements(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).iter().rev();
    lines
        // A line with other bytes than ASCII is one element that says nothing.
        .map(|line| HeaderValue::to_str(line).unwrap_or("?"))
        .flat_map(|line| line.rsplit(','))
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

/// Takes the node out of an element of `Forwarded`, such as `for="[2001:db8::1]:4711";proto=https`.
///
/// A comma in a quoted string cuts the element, and leaves nothing that can be read; a quote that is
/// never closed, as a caller may send it, swallows nothing to its right.
fn node(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"'),
        None => Some(value),
    }
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || {
        let inner = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        match inner {
            Some(inner) => inner.parse().ok().map(IpAddr::V6),
            None => text.parse().ok(),
        }
    };
    let with_port = || text.parse().ok().map(|one: SocketAddr| one.ip());
    bare().or_else(with_port).map(|one| one.to_canonical())
}

#[cfg(test)]
mod tests;
