//! Takes connections and hands each request on: HTTP/1.1 and HTTP/2 on one port, in the
//! clear or over TLS.
//!
//! Told to stop, it goes on accepting for a delay, in which load balancers learn of
//! it and each answer says `connection: close`. Then it accepts no more, sends GOAWAY,
//! and lets open requests finish for as long as the drain lasts. It never closes a
//! connection for a change of configuration.

mod connection;
mod door;
mod frames;
mod headcount;
mod line;
mod occupancy;
mod patience;
mod proxy_protocol;
mod seldom;
mod socket;
mod spoken;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::connection::{Conduct, Stages};
use self::door::Guest;
use self::socket::Socket;
use crate::arrival::{Arrival, RequestBody, Tls, Uptake};
use crate::gateway::Gateway;
use crate::request::answering::Answering;
use crate::request::life;
use crate::request::relay::ResponseBody;
use crate::request::socket::Sockets;
use crate::store::Asker;

pub use self::door::{Door, Terms};
pub use self::tls::Handshakes;

/// After accept failed for want of something (file descriptors, memory), that
/// long passes before the next try, instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that the kernel keeps for us: those of callers that all come back at once, and those
/// that wait for room. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// How a listener ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long new connections are still taken.
    pub delay: Duration,
    /// How long open requests may take to finish after that.
    pub limit: Duration,
}

/// A bound port, not served yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds a port; port 0 takes a free one.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Gives the address that is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then drains; returns when all connections have ended.
    pub async fn serve(
        self,
        gateway: Arc<Gateway>,
        door: Door,
        drain: Drain,
        shutdown: CancellationToken,
    ) {
        let open = Open {
            host: Arc::new(Host {
                gateway,
                sockets: Sockets::new(door.terms.client_write),
                door,
            }),
            connections: TaskTracker::new(),
            stages: Stages {
                leaving: shutdown.child_token(),
                draining: CancellationToken::new(),
                cut: CancellationToken::new(),
            },
        };
        self.accept_until(&open, shutdown.cancelled()).await;
        self.accept_until(&open, tokio::time::sleep(drain.delay))
            .await;
        drop(self.socket);
        open.drain(drain.limit).await;
    }

    async fn accept_until(&self, open: &Open, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                biased;
                () = end.as_mut() => return,
                accepted = self.accept(&open.host) => {
                    if let Some((stream, peer, room)) = accepted {
                        open.spawn(stream, peer, room);
                    }
                }
            }
        }
    }

    /// Takes a connection once there is room for one; until then it waits in the kernel's queue.
    ///
    /// Cancel-safe.
    async fn accept(&self, host: &Host) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let room = match host.door.find_room() {
            Some(room) => room,
            None => {
                host.gateway.metrics.accept_paused();
                host.door.await_room().await?
            }
        };
        match self.socket.accept().await {
            Ok((stream, peer)) => Some((stream, peer, room)),
            Err(error) => {
                host.gateway.metrics.accept_paused();
                warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

/// The connections that are open.
struct Open {
    host: Arc<Host>,
    connections: TaskTracker,
    stages: Stages,
}

/// What each connection is received by.
struct Host {
    gateway: Arc<Gateway>,
    door: Door,
    sockets: Sockets,
}

impl Host {
    /// Serves a connection to its end, and keeps its room until then.
    async fn receive(
        self: Arc<Self>,
        (stream, peer, _room): (TcpStream, SocketAddr, OwnedSemaphorePermit),
        stages: Stages,
    ) {
        let metrics = &self.gateway.metrics;
        // Boxed, so that a connection takes no room for how it was begun.
        let let_in = Box::pin(self.door.let_in(stream, peer));
        let guest = match stages.cut.run_until_cancelled(let_in).await {
            None => return,
            Some(Err(refusal)) => return metrics.refused(refusal),
            Some(Ok(guest)) => guest,
        };
        let _open = metrics.connected();
        let Guest {
            stream,
            address,
            seat: _seat,
        } = guest;
        let (socket, watch) = Socket::new(stream);
        let conduct = Conduct {
            stages,
            streams: self.door.terms.streams_per_connection,
            client_write: self.door.terms.client_write,
            uptake: Uptake::default(),
            watch,
            metrics: metrics.clone(),
        };
        let whole = conduct.uptake.clone();
        let sockets = Arc::new(self.sockets.of_connection());
        let opening = sockets.clone();
        let answer = |request: Request<Incoming>, tls| {
            let (host, whole, sockets) = (self.clone(), whole.clone(), opening.clone());
            Answering::new(async move {
                let uptake = patience::of_stream().unwrap_or(whole);
                host.answer(request, address, tls, uptake, &sockets).await
            })
        };
        let Some(handshakes) = &self.door.handshakes else {
            let answer = |request| answer(request, None);
            // Boxed, as below: what hyper needs is given back while a session goes on.
            Box::pin(connection::serve(socket, answer, conduct)).await;
            return sockets.closed().await;
        };
        // Apart, so that a connection in the clear takes no room for the state of one over TLS.
        let securing = Box::pin(handshakes.secure(socket, Asker::from(address.ip())));
        let cut = conduct.stages.cut.clone();
        if let Some(Some((stream, tls))) = cut.run_until_cancelled(securing).await {
            let answer = |request| answer(request, Some(tls.clone()));
            Box::pin(connection::serve(stream, answer, conduct)).await;
            sockets.closed().await;
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        address: SocketAddr,
        tls: Option<Arc<Tls>>,
        uptake: Uptake,
        sockets: &Sockets,
    ) -> Response<ResponseBody> {
        let forwarders = &self.door.terms.forwarders;
        let remote = forwarders.caller(address.ip(), request.headers());
        let arrival = Arrival::of(&request, remote, tls, uptake, Instant::now());
        let request = request.map(RequestBody::new);
        life::serve(&self.gateway, sockets, arrival, request).await
    }
}

impl Open {
    fn spawn(&self, stream: TcpStream, peer: SocketAddr, room: OwnedSemaphorePermit) {
        let guest = (stream, peer, room);
        let receiving = self.host.clone().receive(guest, self.stages.clone());
        self.connections.spawn(receiving);
    }

    async fn drain(self, limit: Duration) {
        self.stages.draining.cancel();
        self.connections.close();
        let drains = &self.host.gateway.drains;
        let all = async {
            self.connections.wait().await;
            drains.wait().await;
        };
        let finished = tokio::time::timeout(limit, all).await;
        if finished.is_err() {
            warn!(
                connections = self.connections.len(),
                "drain is over, requests are cut"
            );
            // First, so that nothing of what is cut is read on.
            drains.end();
            // Over HTTP/2 their last words go by connections that are cut next.
            self.host.sockets.end().await;
            self.stages.cut.cancel();
            self.connections.wait().await;
            drains.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, F: Future>(_: impl Fn(Arc<Host>, A, Stages) -> F) -> usize {
        size_of::<F>()
    }

    /// Each open connection costs this much beside its buffers.
    #[test]
    fn a_connection_stays_small() {
        let size = size_of_future(Host::receive);
        assert!(size <= 2048, "{size} bytes");
    }
}
