//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::arrival::Arrival;
use crate::gateway::Gateway;
use crate::request::life;

/// A client that takes longer to send a request's head is let go: slow heads
/// are an attack or a broken network.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// More than any SDK or proxy chain sends.
const MAX_HEADERS: usize = 128;
/// Bytes of a request's head, in both versions.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Requests at a time on one connection; more wait at the client.
const MAX_STREAMS: u32 = 256;
/// Streams reset before they were taken up, as in the rapid-reset attack; more ends the connection.
const MAX_PENDING_RESETS: usize = 32;
/// Streams that this side had to reset; more ends the connection.
const MAX_OWN_RESETS: usize = 128;
/// The protocol's 64 KiB would hold an upload of 10 MB at a hundred round trips.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Finds peers that vanished without a word.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves a connection until it ends, is drained, or is cut.
pub(super) async fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    gateway: Arc<Gateway>,
    draining: CancellationToken,
    cut: CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let gateway = gateway.clone();
        async move {
            let arrival = Arrival::of(&request, remote, Instant::now());
            Ok::<_, Infallible>(life::serve(&gateway, arrival, request).await)
        }
    });
    let server = server();
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cut.cancelled() => return,
        () = draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(%remote, %error, "connection ended with an error");
    }
}

fn server() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
