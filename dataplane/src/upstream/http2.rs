//! Connections of HTTP/2, shared by requests; each runs in a task of its own, until the last request
//! on it has ended and its lane has another or none.

use std::time::Duration;

use http::Request;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::body::PiecesBody;
use super::http1::Answering;
use super::kept::{Kept, Past};
use super::lanes::MAX_STREAMS;

/// A connection whose peer went away without a word is noticed after interval + timeout.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// Bytes that a provider may send ahead of a slow caller on one stream, and on all of a connection:
/// however many callers are slow, the others' streams go on.
const WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = WINDOW * MAX_STREAMS as u32;

/// A connection that takes requests. Clones share it; with the last it ends.
#[derive(Clone)]
pub(super) struct Shared {
    sender: SendRequest<PiecesBody>,
    pub(super) past: Past,
}

impl Shared {
    /// Begins to speak on a connection; it runs as long as the future is polled.
    pub(super) async fn begin(kept: Kept) -> hyper::Result<(Self, impl Future<Output = ()>)> {
        let past = kept.past();
        let handshake = builder().handshake(TokioIo::new(kept));
        let (sender, connection) = handshake.await?;
        let running = async move {
            // How it ended is told where an answer is waited for.
            let _ = connection.await;
        };
        Ok((Self { sender, past }, running))
    }

    /// Whether it takes no more requests.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request.
    pub(super) fn send(&mut self, request: Request<PiecesBody>) -> Answering {
        Box::pin(self.sender.try_send_request(request))
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}
