//! Who comes in, and on what terms: shared by all listeners of the process.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::debug;

use super::headcount::{Headcount, Seat};
use super::proxy_protocol;
use super::tls::Handshakes;
use crate::arrival::Forwarders;
use crate::metrics::RefusalLabel;
use crate::store::Asker;

/// Finds callers that vanished without a word, or hung up while nothing is sent to them; HTTP/2 has
/// pings of its own beside it.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(30))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);

/// On what terms connections are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Which proxies are believed when they say whom they were asked by.
    pub forwarders: Forwarders,
    /// Peers whose connections begin with a header of the PROXY protocol; nobody else's may.
    pub proxied: Box<[IpNet]>,
    /// Open connections of one address, but for trusted forwarders; `None`: no bound.
    pub connections_per_address: Option<usize>,
    /// Requests at a time on one connection over HTTP/2; more wait at the client.
    pub streams_per_connection: u32,
    /// How long a caller may take nothing of its answer; `None`: as long as it likes.
    pub client_write: Option<Duration>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            forwarders: Forwarders::Nobody,
            proxied: Box::default(),
            connections_per_address: Some(20_000),
            streams_per_connection: 256,
            client_write: Some(Duration::from_secs(60)),
        }
    }
}

/// What a listener asks of whoever comes.
#[derive(Clone)]
pub struct Door {
    pub(super) terms: Arc<Terms>,
    pub(super) handshakes: Option<Arc<Handshakes>>,
    present: Headcount,
    room: Arc<Semaphore>,
}

/// Somebody who has come in.
pub(super) struct Guest {
    pub(super) stream: TcpStream,
    /// The peer, or whom the PROXY protocol names.
    pub(super) address: SocketAddr,
    pub(super) seat: Option<Seat>,
}

impl Door {
    /// A door in the clear, with room for that many connections over all listeners.
    pub fn new(terms: Terms, room: usize) -> Self {
        Self {
            terms: Arc::new(terms),
            handshakes: None,
            present: Headcount::default(),
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// The same, over TLS.
    pub fn secured(&self, handshakes: Arc<Handshakes>) -> Self {
        Self {
            handshakes: Some(handshakes),
            ..self.clone()
        }
    }

    /// Gives room for one connection at once; `None`: there is none.
    pub(super) fn find_room(&self) -> Option<OwnedSemaphorePermit> {
        self.room.clone().try_acquire_owned().ok()
    }

    /// Waits for room for one connection. Cancel-safe.
    pub(super) async fn await_room(&self) -> Option<OwnedSemaphorePermit> {
        self.room.clone().acquire_owned().await.ok()
    }

    /// Finds out who comes, and whether there is a place for it.
    pub(super) async fn let_in(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
    ) -> Result<Guest, RefusalLabel> {
        if let Err(error) = prepare(&stream) {
            debug!(%error, %peer, "socket options not set");
        }
        let mut address = peer;
        if self.is_proxied(peer) {
            let named = proxy_protocol::read(&mut stream).await;
            let named = named.map_err(|error| {
                debug!(%error, %peer, "no PROXY header");
                RefusalLabel::ProxyHeader
            })?;
            address = named.unwrap_or(peer);
        }
        Ok(Guest {
            stream,
            address,
            seat: self.seat(address)?,
        })
    }

    fn is_proxied(&self, peer: SocketAddr) -> bool {
        let peer = peer.ip().to_canonical();
        self.terms.proxied.iter().any(|one| one.contains(&peer))
    }

    fn seat(&self, address: SocketAddr) -> Result<Option<Seat>, RefusalLabel> {
        let Some(limit) = self.terms.connections_per_address else {
            return Ok(None);
        };
        if self.terms.forwarders.trust(address.ip()) {
            return Ok(None);
        }
        let seat = self.present.take(Asker::from(address.ip()), limit);
        seat.map(Some).ok_or(RefusalLabel::Address)
    }
}

impl Default for Door {
    fn default() -> Self {
        Self::new(Terms::default(), Semaphore::MAX_PERMITS)
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&KEEPALIVE)
}
