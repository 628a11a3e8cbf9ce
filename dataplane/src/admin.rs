//! Health and metrics, on a port of their own: `/livez`, `/readyz`, `/metrics`, `/debug/store`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::metrics::Metrics;
use crate::store::Store;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Source: OpenMetrics 1.0, "Protocol negotiation".
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// Probes and scrapes send small heads at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept, instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound admin port.
pub struct Admin {
    socket: TcpListener,
    address: SocketAddr,
}

/// What the admin port tells of.
#[derive(Clone)]
pub struct Health {
    /// Names this data plane to people.
    pub name: Arc<str>,
    /// Its controller must have been heard once.
    pub store: Store,
    /// Shown by `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Once cancelled, no new traffic is wanted.
    pub draining: CancellationToken,
}

impl Admin {
    /// Binds the port; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Gives the address that is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`: through the whole drain, so that probes see its end.
    pub async fn serve(self, health: Health, stop: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let serve = serve(stream, health.clone());
                    connections.spawn(stop.clone().run_until_cancelled_owned(serve));
                }
                Err(error) => {
                    warn!(%error, "admin connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

async fn serve(stream: TcpStream, health: Health) {
    let service = service_fn(move |request| {
        let health = health.clone();
        async move { Ok::<_, Infallible>(health.answer(request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "admin connection ended with an error");
    }
}

impl Health {
    async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return answer(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into(), TEXT);
        }
        match request.uri().path() {
            "/livez" => answer(StatusCode::OK, "ok\n".into(), TEXT),
            "/readyz" => self.ready(),
            "/metrics" => self.metrics(),
            "/debug/store" => self.store(request.uri().query()).await,
            _ => answer(
                StatusCode::NOT_FOUND,
                "try /livez, /readyz, /metrics or /debug/store\n".into(),
                TEXT,
            ),
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let (status, word) = if self.draining.is_cancelled() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        } else if !self.store.is_ready() {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "no controller has answered yet\n",
            )
        } else {
            (StatusCode::OK, "ok\n")
        };
        answer(status, word.into(), TEXT)
    }

    /// A large store takes a while to write down: on a thread that no request waits for.
    async fn store(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let (store, name) = (self.store.clone(), self.name.clone());
        let prefix = parameter(query.unwrap_or_default(), "prefix").unwrap_or_default();
        let written = spawn_blocking(move || {
            let report = store.report(&name, &prefix);
            serde_json::to_string(&report).map_err(|error| error.to_string())
        });
        match written.await.map_err(|error| error.to_string()).flatten() {
            Ok(text) => answer(StatusCode::OK, text, JSON),
            Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, error, TEXT),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match self.metrics.encode() {
            Ok(text) => answer(StatusCode::OK, text, OPEN_METRICS),
            Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), TEXT),
        }
    }
}

/// Finds the first parameter of this name in `name=value&…`.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn answer(status: StatusCode, text: String, kind: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
