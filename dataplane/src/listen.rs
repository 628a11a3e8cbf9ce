//! Takes connections and hands each request on: HTTP/1.1 and HTTP/2 on one port, in the
//! clear or over TLS.
//!
//! Told to stop, it goes on accepting for a delay, in which load balancers learn of
//! it and each answer says `connection: close`. Then it accepts no more, sends GOAWAY,
//! and lets open requests finish for as long as the drain lasts. It never closes a
//! connection for a change of configuration.

mod connection;
mod occupancy;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use self::connection::Stages;
use crate::arrival::{Arrival, Tls};
use crate::gateway::Gateway;
use crate::request::life;
use crate::store::Asker;

pub use self::tls::Handshakes;

/// After accept failed for want of something (file descriptors, memory), that
/// long passes before the next try, instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Gives the address that is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then drains; returns when all connections have ended. Without
    /// handshakes, in the clear.
    pub async fn serve(
        self,
        gateway: Arc<Gateway>,
        handshakes: Option<Arc<Handshakes>>,
        drain: Drain,
        shutdown: CancellationToken,
    ) {
        let open = Open {
            gateway,
            handshakes,
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
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, remote)) => open.spawn(stream, remote),
                    Err(error) => {
                        warn!(%error, "connection not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

/// The connections that are open.
struct Open {
    gateway: Arc<Gateway>,
    handshakes: Option<Arc<Handshakes>>,
    connections: TaskTracker,
    stages: Stages,
}

impl Open {
    fn spawn(&self, stream: TcpStream, remote: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, %remote, "nodelay not set");
        }
        let gateway = self.gateway.clone();
        let answer = move |request: Request<Incoming>, tls: Option<Arc<Tls>>| {
            let gateway = gateway.clone();
            async move {
                let arrival = Arrival::of(&request, remote, tls, Instant::now());
                life::serve(&gateway, arrival, request).await
            }
        };
        let stages = self.stages.clone();
        let Some(handshakes) = self.handshakes.clone() else {
            let answer = move |request| answer(request, None);
            self.connections
                .spawn(connection::serve(stream, answer, stages));
            return;
        };
        self.connections.spawn(async move {
            let securing = handshakes.secure(stream, Asker::from(remote.ip()));
            let secured = stages.cut.run_until_cancelled(securing).await;
            if let Some((stream, tls)) = secured.flatten() {
                let answer = move |request| answer(request, Some(tls.clone()));
                connection::serve(stream, answer, stages).await;
            }
        });
    }

    async fn drain(self, limit: Duration) {
        self.stages.draining.cancel();
        self.connections.close();
        let finished = tokio::time::timeout(limit, self.connections.wait()).await;
        if finished.is_err() {
            warn!(
                connections = self.connections.len(),
                "drain is over, requests are cut"
            );
            self.stages.cut.cancel();
            self.connections.wait().await;
        }
    }
}
