//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tracing::debug;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client that has not sent the head of a first request by then is let go: it
/// attacks, or its network is broken.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// From an answer to the head of the next request on HTTP/1.1. hyper has one
/// timer for a quiet connection and a slow head. Load balancers keep quiet
/// connections for 60 s, Go's client for 90 s: were they closed here first, requests
/// on the way would be lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(100);
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
pub(super) async fn serve<I, A, F, B>(
    io: I,
    answer: A,
    draining: CancellationToken,
    cut: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let has_asked = Arc::new(AtomicBool::new(false));
    let asked = has_asked.clone();
    let service = service_fn(move |request| {
        asked.store(true, Ordering::Relaxed);
        let answering = answer(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let server = server();
    let mut connection = pin!(server.serve_connection(TokioIo::new(io), service));
    let mut first_head = pin!(tokio::time::sleep(HEADER_TIMEOUT));
    let mut awaits_first_head = true;
    let mut is_draining = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = cut.cancelled() => return,
            () = draining.cancelled(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = first_head.as_mut(), if awaits_first_head => {
                awaits_first_head = false;
                if !has_asked.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended with an error");
    }
}

fn server() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
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

#[cfg(test)]
mod tests;
