//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::line::{Line, Signals};
use super::occupancy::Occupancy;
use super::patience::{self, Streams, Written};
use super::seldom::Seldom;
use super::socket::Watch;
use super::spoken::{Beginning, Speaking, Spoken};
use crate::arrival::Uptake;
use crate::metrics::{Metrics, RefusalLabel};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client that has not sent the head of a first request by then is let go: it
/// attacks, or its network is broken.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// From an answer to the head of the next request on HTTP/1.1. hyper has one
/// timer for a quiet connection and a slow head. Load balancers keep quiet
/// connections for 60 s, Go's client for 90 s: were they closed here first, requests
/// on the way would be lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(100);
/// While draining, from the end of an answer on HTTP/1.1, or from the connection's beginning, to its
/// close: clients send the next request at once or much later, and one that is on the way when the
/// connection is closed is lost.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes of a request's head, in both versions: somewhat more than `request::head` takes, which tells
/// who is over it what is too much. Of headers hyper takes 100, with room on the stack.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How long a caller that has ended its side may wait for an answer until it is asked whether it is
/// still there: most answers of our own take less.
const PROBE_AFTER: Duration = Duration::from_millis(250);
/// How long the last words to who floods a connection may take.
const FAREWELL: Duration = Duration::from_millis(100);
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

/// How far the end of the listener has come; each stage follows the one before.
#[derive(Clone)]
pub(super) struct Stages {
    /// Callers are told to go elsewhere with their next request.
    pub(super) leaving: CancellationToken,
    /// Connections without open requests end.
    pub(super) draining: CancellationToken,
    /// All connections end.
    pub(super) cut: CancellationToken,
}

/// What a connection is served by, beside its requests.
pub(super) struct Conduct {
    pub(super) stages: Stages,
    /// Requests at a time over HTTP/2.
    pub(super) streams: u32,
    /// How long the caller may take nothing; `None`: as long as it likes.
    pub(super) client_write: Option<Duration>,
    /// Of the connection as a whole.
    pub(super) uptake: Uptake,
    /// Of the socket below.
    pub(super) watch: Watch,
    pub(super) metrics: Arc<Metrics>,
}

/// Serves a connection until it ends, is drained, or is cut.
pub(super) async fn serve<I, A, F, B>(io: I, answer: A, conduct: Conduct)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Unpin + Send + 'static,
{
    let stages = &conduct.stages;
    let occupancy = Arc::new(Occupancy::new(Instant::now()));
    let signals = Arc::new(Signals::default());
    let io = Written::new(io, conduct.client_write, conduct.uptake.clone());
    let mut line = Line::new(io, conduct.streams, signals.clone(), occupancy.clone());
    let first_head_until = Instant::now() + HEADER_TIMEOUT;
    let may_end = async {
        stages.draining.cancelled().await;
        occupancy.left(LINGER).await;
    };
    let mut may_end = pin!(may_end);
    let nothing_came = async {
        tokio::select! {
            () = tokio::time::sleep_until(first_head_until) => {}
            () = may_end.as_mut() => {}
            () = stages.cut.cancelled() => {}
        }
    };
    let Some(spoken) = begin(&mut line, nothing_came).await else {
        return;
    };
    let service = service_fn(|request: Request<Incoming>| {
        let version = request.version();
        let place = occupancy.enter(version);
        let leaving = stages.leaving.clone();
        let answering = answer(request);
        async move {
            let mut response = answering.await;
            let uptake = patience::of_stream();
            if leaving.is_cancelled() && version < Version::HTTP_2 {
                say_close(&mut response);
            }
            Ok::<_, Infallible>(response.map(|body| place.hold(body, uptake)))
        }
    });
    let io = TokioIo::new(line);
    let mut connection = match spoken {
        Spoken::Http1 => {
            let connection = http1().serve_connection(io, service).with_upgrades();
            Speaking::Http1(Box::pin(connection))
        }
        Spoken::Http2 => {
            let server = http2(conduct.streams, conduct.client_write);
            Speaking::Http2(Box::pin(server.serve_connection(io, service)))
        }
    };
    let nothing_asked = async {
        tokio::time::sleep_until(first_head_until).await;
        if occupancy.has_been_used() {
            std::future::pending().await
        }
    };
    let mut is_gone = pin!(gone(&conduct.watch, &signals, &conduct.uptake));
    let watching = async {
        tokio::select! {
            () = stages.cut.cancelled() => Turn::Cut,
            () = is_gone.as_mut() => Turn::Cut,
            () = signals.flooded() => Turn::Flooded,
            () = may_end.as_mut() => Turn::Leave,
            () = nothing_asked => Turn::Cut,
        }
    };
    let mut turn = drive(&mut connection, pin!(watching)).await;
    if let Turn::Leave = turn {
        connection.graceful_shutdown();
        let watching = async {
            tokio::select! {
                () = stages.cut.cancelled() => Turn::Cut,
                () = is_gone.as_mut() => Turn::Cut,
                () = signals.flooded() => Turn::Flooded,
            }
        };
        turn = drive(&mut connection, pin!(watching)).await;
    }
    match turn {
        Turn::Ended(Err(error)) => note_fault(&error, &conduct.metrics),
        Turn::Flooded => {
            conduct.metrics.refused(RefusalLabel::Flood);
            connection.graceful_shutdown();
            let ending = poll_fn(|cx| connection.poll(cx));
            let _ = tokio::time::timeout(FAREWELL, ending).await;
        }
        Turn::Ended(Ok(())) | Turn::Cut | Turn::Leave => {}
    }
}

/// Tells who shall go elsewhere with the next request, unless this one has become something else.
fn say_close<B>(response: &mut Response<B>) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
}

/// Waits for the first bytes, which are read again; `None`: the connection is at its end.
async fn begin<I>(line: &mut Line<I>, end: impl Future<Output = ()>) -> Option<Spoken>
where
    I: AsyncRead + Unpin,
{
    let begun = tokio::select! {
        begun = Beginning::read(line) => begun,
        () = end => return None,
    };
    let (spoken, beginning) = begun.ok()??;
    line.again(beginning);
    Some(spoken)
}

fn note_fault(error: &hyper::Error, metrics: &Metrics) {
    debug!(%error, "connection ended with an error");
    // hyper has answered 431 by itself.
    if error.is_parse_too_large() {
        metrics.refused(RefusalLabel::Head);
    }
}

/// What comes next of a connection.
enum Turn {
    /// It has ended by itself.
    Ended(hyper::Result<()>),
    /// It may end once no request is open.
    Leave,
    Flooded,
    Cut,
}

/// Serves until it ends, or until something else comes up.
async fn drive<I, S, F, B>(
    connection: &mut Speaking<I, S>,
    watching: impl Future<Output = Turn> + Unpin,
) -> Turn
where
    I: Read + Write + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future = F>,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    tokio::select! {
        // What comes up may have the connection say something.
        biased;
        turn = Seldom::new(watching) => turn,
        ended = poll_fn(|cx| connection.poll(cx)) => Turn::Ended(ended),
    }
}

/// Waits until the caller has left; one that has only ended its side is asked.
async fn gone(watch: &Watch, signals: &Signals, uptake: &Uptake) {
    watch.closes().await;
    tokio::time::sleep(PROBE_AFTER).await;
    signals.half_closed();
    uptake.doubt();
    watch.is_gone().await;
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
}

fn http2(streams: u32, client_write: Option<Duration>) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams {
        limit: client_write,
    });
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(streams)
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
