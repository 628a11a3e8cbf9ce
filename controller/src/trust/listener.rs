//! The snapshot port with TLS in front: what comes out has shaken hands, and ends unless it shows an
//! accepted token soon.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected;
use tracing::{debug, info, warn};

use crate::metrics::Reason;
use crate::trust::complaints::Complaints;
use crate::trust::lobby::{Lobby, Outcome, Visitor, Wait};
use crate::trust::preface::{self, Preface};

/// A handshake within a cluster takes a few milliseconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that have not shaken hands; more of them wait in the system's queue.
const HANDSHAKES: usize = 256;
/// Connections that have and that the server has not taken yet.
const BACKLOG: usize = 16;
/// After a failed accept, instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For a client without TLS to read why.
const PARTING_TIME: Duration = Duration::from_secs(1);

/// A connection that has shaken hands.
pub struct Tls {
    stream: TlsStream<TcpStream>,
    visitor: Visitor,
    /// Until a token is accepted; `None`: one was.
    wait: Option<Wait>,
    complaints: Complaints,
}

/// Takes connections until `stop`; the receiver gives those that speak TLS.
pub fn spawn(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    lobby: Lobby,
    complaints: Complaints,
    stop: CancellationToken,
) -> mpsc::Receiver<io::Result<Tls>> {
    let (ready, connections) = mpsc::channel(BACKLOG);
    let door = Door {
        acceptor: TlsAcceptor::from(config),
        lobby,
        complaints,
        ready,
    };
    tokio::spawn(stop.run_until_cancelled_owned(accept(listener, door)));
    connections
}

#[derive(Clone)]
struct Door {
    acceptor: TlsAcceptor,
    lobby: Lobby,
    complaints: Complaints,
    ready: mpsc::Sender<io::Result<Tls>>,
}

/// Ends when nobody takes connections any more; handshakes under way end with it.
async fn accept(listener: TcpListener, door: Door) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let handshakes = TaskTracker::new();
    while !door.ready.is_closed() {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shaking = door.clone().shake(stream);
                let shaking = stop.clone().run_until_cancelled_owned(shaking);
                handshakes.spawn(async move {
                    shaking.await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "connection of a data plane not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Why a connection does not come in.
enum Failure {
    /// Nothing was said.
    Silent,
    /// It speaks no TLS.
    Plaintext(Preface, TcpStream),
    /// It speaks TLS, and not with us.
    Handshake(io::Error),
}

impl Door {
    async fn shake(self, stream: TcpStream) {
        let address = stream.peer_addr().ok();
        let remote = address.map(tracing::field::display);
        let note = |reason| self.complaints.note(reason, address.map(|it| it.ip()));
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, self.greet(stream)).await {
            Ok(Ok(stream)) => {
                let connection = self.receive(stream, address);
                // Nobody takes it when the server ends.
                let _ = self.ready.send(Ok(connection)).await;
            }
            Ok(Err(Failure::Silent)) => debug!(remote, "connection closed without a word"),
            Ok(Err(Failure::Plaintext(preface, stream))) => {
                if let Some(unsaid) = note(Reason::Plaintext) {
                    info!(remote, ?preface, unsaid, "connection without TLS refused");
                }
                let parting = turn_away(stream, preface);
                let _ = tokio::time::timeout(PARTING_TIME, parting).await;
            }
            Ok(Err(Failure::Handshake(error))) => {
                if let Some(unsaid) = note(Reason::Handshake) {
                    info!(remote, %error, unsaid, "TLS handshake failed");
                }
            }
            Err(_) => {
                if let Some(unsaid) = note(Reason::Handshake) {
                    info!(remote, unsaid, "TLS handshake not done in time");
                }
            }
        }
    }

    fn receive(&self, stream: TlsStream<TcpStream>, remote: Option<SocketAddr>) -> Tls {
        let (visitor, wait) = self.lobby.enter(remote);
        Tls {
            stream,
            visitor,
            wait: Some(wait),
            complaints: self.complaints.clone(),
        }
    }

    async fn greet(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let mut first = [0; preface::ENOUGH];
        let length = stream.peek(&mut first).await.unwrap_or(0);
        match preface::recognise(&first[..length]) {
            _ if length == 0 => Err(Failure::Silent),
            Preface::Tls => {
                // Small messages go at once; without that they only wait a little.
                let _ = stream.set_nodelay(true);
                let accepted = self.acceptor.accept(stream).await;
                accepted.map_err(Failure::Handshake)
            }
            preface => Err(Failure::Plaintext(preface, stream)),
        }
    }
}

/// Says why, and reads what was sent: closed over unread bytes, a connection is reset,
/// and what was said may not arrive.
async fn turn_away(mut stream: TcpStream, preface: Preface) -> io::Result<()> {
    stream.write_all(&preface.answer()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

impl Tls {
    /// Ready once it has to go: no token was accepted.
    fn poll_sent_away(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(wait) = &mut self.wait else {
            return Poll::Pending;
        };
        match ready!(Pin::new(wait).poll(cx)) {
            Outcome::LetIn => {
                self.wait = None;
                Poll::Pending
            }
            Outcome::SentAway => {
                let remote = self.visitor.remote();
                let ip = remote.map(|remote| remote.ip());
                if let Some(unsaid) = self.complaints.note(Reason::Idle, ip) {
                    let remote = remote.map(tracing::field::display);
                    info!(remote, unsaid, "connection without an accepted token ended");
                }
                Poll::Ready(io::Error::from(io::ErrorKind::TimedOut))
            }
        }
    }
}

impl Connected for Tls {
    type ConnectInfo = Visitor;

    fn connect_info(&self) -> Visitor {
        self.visitor.clone()
    }
}

impl AsyncRead for Tls {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_sent_away(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tls {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
