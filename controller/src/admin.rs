//! Health, metrics and debugging, on a port of their own: `/livez`, `/readyz`,
//! `/metrics`, `/debug/index`, and `POST /accept-mass-delete`.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Source: OpenMetrics 1.0, "Protocol negotiation".
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const INDEX: &str = "/debug/index";
const ACCEPT: &str = "/accept-mass-delete";
/// Probes and scrapes send small heads at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept, instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the admin port asks.
pub trait Health: Send + Sync + 'static {
    /// Gives the word why this process is not ready; `Ok`: it is.
    fn ready(&self) -> Result<(), &'static str>;

    /// Gives the OpenMetrics text.
    fn metrics(&self) -> Result<String, fmt::Error>;

    /// Gives the JSON of `/debug/index`, or what is wrong with the query. May take a while.
    fn index(&self, query: &str) -> Result<String, String>;

    /// Lets withheld mass deletions through.
    fn accept_mass_delete(&self);
}

/// A bound admin port.
#[derive(Debug)]
pub struct Admin {
    socket: TcpListener,
    address: SocketAddr,
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

    /// Answers until `stop`.
    pub async fn serve(self, health: Arc<dyn Health>, stop: CancellationToken) {
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

async fn serve(stream: TcpStream, health: Arc<dyn Health>) {
    let service = service_fn(move |request| {
        let health = health.clone();
        async move { Ok::<_, Infallible>(respond_to(health, &request).await) }
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

async fn respond_to<B>(health: Arc<dyn Health>, request: &Request<B>) -> Response<Full<Bytes>> {
    if request.uri().path() != INDEX || request.method() != Method::GET {
        return answer(&*health, request);
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    // It may compile tens of thousands of names.
    match tokio::task::spawn_blocking(move || health.index(&query)).await {
        Ok(Ok(json)) => respond(StatusCode::OK, json, JSON),
        Ok(Err(fault)) => text(StatusCode::BAD_REQUEST, format!("{fault}\n")),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn answer<B>(health: &dyn Health, request: &Request<B>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if path == ACCEPT {
        return match *request.method() {
            Method::POST => {
                health.accept_mass_delete();
                text(StatusCode::OK, "accepted for the next 10 minutes\n")
            }
            _ => text(StatusCode::METHOD_NOT_ALLOWED, "only POST\n"),
        };
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match path {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match health.ready() {
            Ok(()) => text(StatusCode::OK, "ok\n"),
            Err(word) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{word}\n")),
        },
        "/metrics" => match health.metrics() {
            Ok(metrics) => respond(StatusCode::OK, metrics, OPEN_METRICS),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        _ => text(
            StatusCode::NOT_FOUND,
            "try /livez, /readyz, /metrics or /debug/index\n",
        ),
    }
}

fn text(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    respond(status, text.into(), TEXT)
}

fn respond(status: StatusCode, text: String, kind: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known(Result<(), &'static str>);

    impl Health for Known {
        fn ready(&self) -> Result<(), &'static str> {
            self.0
        }

        fn metrics(&self) -> Result<String, fmt::Error> {
            Ok("# EOF\n".into())
        }

        fn index(&self, query: &str) -> Result<String, String> {
            match query {
                "" => Ok("{}".into()),
                query => Err(format!("{query}?")),
            }
        }

        fn accept_mass_delete(&self) {}
    }

    fn status(health: &Known, path: &str) -> u16 {
        let request = Request::get(path).body(()).unwrap();
        answer(health, &request).status().as_u16()
    }

    #[test]
    fn readiness_follows_health_and_liveness_does_not() {
        let unready = Known(Err("not synced yet"));
        assert_eq!(status(&unready, "/readyz"), 503);
        assert_eq!(status(&unready, "/livez"), 200);
        assert_eq!(status(&Known(Ok(())), "/readyz"), 200);
    }

    #[test]
    fn metrics_are_answered_and_other_paths_are_not() {
        let health = Known(Ok(()));
        assert_eq!(status(&health, "/metrics"), 200);
        assert_eq!(status(&health, "/"), 404);
        let request = Request::post("/metrics").body(()).unwrap();
        assert_eq!(answer(&health, &request).status(), 405);
    }

    #[tokio::test]
    async fn the_index_is_answered_or_the_query_faulted() {
        let health = Arc::new(Known(Ok(())));
        for (uri, code) in [("/debug/index", 200), ("/debug/index?x", 400)] {
            let request = Request::get(uri).body(()).unwrap();
            let response = respond_to(health.clone(), &request).await;
            assert_eq!(response.status().as_u16(), code, "{uri}");
        }
    }

    #[test]
    fn a_mass_deletion_is_accepted_by_post_alone() {
        let health = Known(Ok(()));
        let request = Request::post("/accept-mass-delete").body(()).unwrap();
        assert_eq!(answer(&health, &request).status(), 200);
        assert_eq!(status(&health, "/accept-mass-delete"), 405);
    }
}
