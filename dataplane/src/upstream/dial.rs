//! A TCP connection to a host: to whichever of its addresses answers first.
//!
//! The addresses are tried one after the other, each a moment after the one before, without giving
//! that one up. One that failed, or was overtaken, is tried last for a while.
//!
//! Source: RFC 8305, "Happy Eyeballs Version 2".

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use smallvec::SmallVec;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::addresses::Addresses;
use super::dns::{NameError, Names};

/// Between two attempts; what RFC 8305 recommends.
const STAGGER: Duration = Duration::from_millis(250);
/// How long an address that failed is tried last.
const REST: Duration = Duration::from_secs(30);
/// Addresses that are remembered to have failed.
const MAX_RESTING: usize = 1024;
/// After which the kernel asks whether the other end of a silent connection is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Makes connections. Cheap to clone; clones share.
#[derive(Clone)]
pub(super) struct Dialer(Arc<Inner>);

struct Inner {
    names: Names,
    addresses: Addresses,
    resting: Mutex<HashMap<SocketAddr, Instant>>,
}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("an address that providers may not have")]
    Forbidden,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{0}")]
    Network(#[from] io::Error),
}

impl Dialer {
    pub(super) fn new(names: Names, addresses: Addresses) -> Self {
        let resting = Mutex::default();
        Self(Arc::new(Inner {
            names,
            addresses,
            resting,
        }))
    }

    /// Connects to a host, which may be an address; never to one that providers may not have.
    pub(super) async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let found = match literal(host) {
            Some(address) => vec![address],
            None => self.0.names.find(host).await?,
        };
        let allowed = found.into_iter().filter(|it| self.0.addresses.allow(*it));
        let allowed: Vec<_> = allowed.map(|it| SocketAddr::new(it, port)).collect();
        if allowed.is_empty() {
            return Err(DialError::Forbidden);
        }
        Ok(self.race(&self.in_order(&allowed)).await?)
    }

    /// Looks at a host that is an address itself, which somebody else is going to connect to.
    pub(super) fn check_literal(&self, host: &str) -> Result<(), DialError> {
        match literal(host) {
            Some(address) if !self.0.addresses.allow(address) => Err(DialError::Forbidden),
            _ => Ok(()),
        }
    }

    /// Connects to whichever address answers first; `addresses` is not empty.
    async fn race(&self, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
        let mut left = addresses.iter().copied();
        let mut attempts = Attempts {
            dialer: self,
            started: SmallVec::new(),
        };
        let mut under_way = FuturesUnordered::new();
        let mut first_fault = None;
        loop {
            if let Some(address) = left.next() {
                attempts.started.push(address);
                under_way.push(async move { (address, connect(address).await) });
            }
            let has_more = left.len() > 0;
            let (address, connected) = tokio::select! {
                Some(ended) = under_way.next() => ended,
                () = sleep(STAGGER), if has_more => continue,
                else => return Err(first_fault.unwrap_or_else(|| io::ErrorKind::NotFound.into())),
            };
            attempts.started.retain(|started| *started != address);
            match connected {
                Ok(stream) => {
                    self.0.resting.lock().remove(&address);
                    return Ok(stream);
                }
                Err(fault) => {
                    self.rest(address);
                    first_fault.get_or_insert(fault);
                }
            }
        }
    }

    /// Those that rest last; of the others by turns one of IPv6 and one of IPv4.
    fn in_order(&self, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        let now = Instant::now();
        let resting = self.0.resting.lock();
        let rests = |it: &SocketAddr| resting.get(it).is_some_and(|until| now < *until);
        let (last, first): (Vec<_>, Vec<_>) = addresses.iter().partition(|it| rests(it));
        let mut order = by_turns(first);
        order.extend(by_turns(last));
        order
    }

    fn rest(&self, address: SocketAddr) {
        let now = Instant::now();
        let mut resting = self.0.resting.lock();
        if resting.len() >= MAX_RESTING {
            resting.retain(|_, until| now < *until);
        }
        if resting.len() < MAX_RESTING {
            resting.insert(address, now + REST);
        }
    }
}

/// The attempts under way. Those that are given up, since another was faster or nobody waits any
/// more, were too slow.
struct Attempts<'a> {
    dialer: &'a Dialer,
    started: SmallVec<[SocketAddr; 4]>,
}

impl Drop for Attempts<'_> {
    fn drop(&mut self) {
        for address in &self.started {
            self.dialer.rest(*address);
        }
    }
}

/// Connects to one address, whatever it is.
pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
    Ok(stream)
}

fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (six, four): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let pairs = std::iter::from_fn(|| match (six.next(), four.next()) {
        (None, None) => None,
        pair => Some([pair.0, pair.1]),
    });
    pairs.flatten().flatten().collect()
}

/// The address that a host is, if it is one.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let host = host.strip_prefix('[').unwrap_or(host);
    host.strip_suffix(']').unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests;
