//! Connections to providers, kept open between requests: HTTP/1.1 or HTTP/2 by ALPN, with or without TLS.
//!
//! One pool for all providers, so that tenants who use the same vendor share
//! connections, and one for each endpoint of a Service, so that it goes with it;
//! nothing of a request lives on in a connection. Redirects are never followed.
//! Errors name what failed and never an address.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector, capture_connection};
use hyper_util::client::legacy::{self, Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use super::addresses::{Addresses, Forbidden, Guarded, Resolver};
use super::body::PiecesBody;
use super::endpoint::{Connections, Endpoint};
use super::kept::{Past, Remembering};
use super::merged::Merging;

/// How long a connection may idle: under the 60 s after which common load balancers drop it unasked.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);
/// Idle connections kept for one address: what a busy one needs again within the idle time.
const IDLE_PER_ADDRESS: usize = 1024;
/// A connection whose peer went away without a word is noticed after interval + timeout.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// Bytes that a provider may send ahead of a slow caller: on one stream, and on all of a connection.
const WINDOW: (u32, u32) = (256 << 10, 16 << 20);

type Connector = Merging<HttpsConnector<Guarded<HttpConnector<Resolver>>>>;

/// Sends requests to providers. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Pool {
    client: Client<Connector, PiecesBody>,
    addresses: Addresses,
    has_roots: bool,
}

/// A request got no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection was not there in time.
    #[error("no connection to the provider within {0:?}")]
    ConnectTimeout(Duration),
    /// There is no connection: refused, no such host, no TLS.
    #[error("no connection to the provider: {0}")]
    Connect(&'static str),
    /// The connection broke before an answer came.
    #[error("the provider closed the connection without an answer")]
    Broken,
    /// The same of a connection that had served before and ended without a word: it was closed
    /// while it idled.
    #[error("the provider closed the connection without an answer")]
    Stale,
}

const FORBIDDEN: &str =
    "its address is private or reserved; who runs the gateway may open it by --allow-provider-cidr";

impl SendError {
    /// Whether the provider cannot have seen the request.
    pub fn is_unsent(&self) -> bool {
        !matches!(self, SendError::Broken | SendError::Stale)
    }
}

impl Pool {
    /// Builds the pool. Without root certificates on this machine only https fails, saying so.
    pub fn new(addresses: Addresses) -> Self {
        Self::with_roots(native_roots(), addresses)
    }

    /// Builds a pool that trusts these roots and no others.
    pub fn with_roots(roots: RootCertStore, addresses: Addresses) -> Self {
        let has_roots = !roots.is_empty();
        Self {
            client: client(roots, addresses.clone()),
            addresses,
            has_roots,
        }
    }

    /// Starts to send a request; it goes on as the result is awaited.
    pub fn start(&self, mut request: Request<PiecesBody>) -> Sending {
        let connection = capture_connection(&mut request);
        self.sending(self.client.request(request), connection)
    }

    /// The same to an endpoint, which is what the request's URI must name; its `host` may differ.
    ///
    /// Errors: an address that no endpoint may have.
    pub fn start_at(
        &self,
        endpoint: &Endpoint,
        mut request: Request<PiecesBody>,
    ) -> Result<Sending, SendError> {
        if !self.addresses.allow_endpoint(endpoint.address().ip()) {
            return Err(SendError::Connect(FORBIDDEN));
        }
        let connection = capture_connection(&mut request);
        let connections = endpoint.connections(new_connections);
        Ok(self.sending(connections.request(request), connection))
    }

    fn sending(&self, answer: ResponseFuture, connection: CaptureConnection) -> Sending {
        Sending {
            answer,
            early: None,
            connection,
            has_roots: self.has_roots,
        }
    }
}

/// A request on its way. Dropped, it is withdrawn: its connection is closed (HTTP/1.1) or its stream
/// reset (HTTP/2).
pub struct Sending {
    answer: ResponseFuture,
    /// An answer that came before anybody knew of the connection.
    early: Option<Result<Response<Incoming>, legacy::Error>>,
    connection: CaptureConnection,
    has_roots: bool,
}

impl Sending {
    /// Waits for a connection, new or idle; `bound` of `None`: as long as it takes. Cancel-safe.
    pub async fn connected(&mut self, bound: Option<Duration>) -> Result<(), SendError> {
        let connected = pin!(self.connection.wait_for_connection_metadata());
        let late = pin!(sleep_for(bound));
        tokio::select! {
            biased;
            answer = &mut self.answer => match answer {
                Ok(answer) => self.early = Some(Ok(answer)),
                Err(error) => return Err(explain(&error, self.has_roots)),
            },
            _ = connected => {}
            after = late => return Err(SendError::ConnectTimeout(after)),
        }
        Ok(())
    }

    /// Waits for the head of the answer. Cancel-safe.
    pub async fn answer(&mut self) -> Result<Response<Incoming>, SendError> {
        let answer = match self.early.take() {
            Some(answer) => answer,
            None => (&mut self.answer).await,
        };
        answer
            .inspect(|answer| Past::note_answer(answer.extensions()))
            .map_err(|error| explain(&error, self.has_roots))
    }
}

async fn sleep_for(bound: Option<Duration>) -> Duration {
    match bound {
        Some(after) => {
            tokio::time::sleep(after).await;
            after
        }
        None => std::future::pending().await,
    }
}

fn explain(error: &legacy::Error, has_roots: bool) -> SendError {
    if !error.is_connect() {
        return match Past::was_stale(error) {
            true => SendError::Stale,
            false => SendError::Broken,
        };
    }
    let is_tls = causes(error).any(|cause| cause.is::<rustls::Error>());
    if causes(error).any(|cause| cause.is::<Forbidden>()) {
        return SendError::Connect(FORBIDDEN);
    }
    SendError::Connect(match io_kind(error) {
        _ if is_tls && !has_roots => {
            "this machine has no root certificates; install ca-certificates"
        }
        _ if is_tls => "its TLS certificate or handshake was not accepted",
        Some(std::io::ErrorKind::ConnectionRefused) => "connection refused",
        Some(std::io::ErrorKind::ConnectionReset) => "connection reset",
        Some(std::io::ErrorKind::TimedOut) => "the network timed out",
        _ if causes(error).any(is_dns) => "its host name does not resolve",
        _ => "its address cannot be reached",
    })
}

fn client(roots: RootCertStore, addresses: Addresses) -> Client<Connector, PiecesBody> {
    let mut http = HttpConnector::new_with_resolver(Resolver::new(addresses.clone()));
    http.enforce_http(false);
    set_up(&mut http);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(roots))
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(Guarded::new(http, addresses));
    builder()
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .http2_keep_alive_timeout(KEEP_ALIVE.1)
        .http2_initial_stream_window_size(WINDOW.0)
        .http2_initial_connection_window_size(WINDOW.1)
        .build(Merging::new(connector))
}

/// Connections to one endpoint: HTTP/1.1 in the clear.
fn new_connections() -> Connections {
    let mut http = HttpConnector::new();
    set_up(&mut http);
    builder().build(Merging::new(Remembering::new(http)))
}

fn set_up<R>(http: &mut HttpConnector<R>) {
    http.set_nodelay(true);
    http.set_keepalive(Some(Duration::from_secs(60)));
}

fn builder() -> legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(IDLE_PER_ADDRESS);
    builder
}

fn tls(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for every version that rustls has")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn native_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        warn!("no root certificates found; providers over https cannot be reached");
    }
    roots
}

fn io_kind(error: &legacy::Error) -> Option<std::io::ErrorKind> {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind)
        .last()
}

fn is_dns(cause: &(dyn Error + 'static)) -> bool {
    cause.to_string().starts_with("dns error")
}

/// Walks down the reasons of an error, looking into wrapped I/O errors as well.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        let inner: Option<&'a (dyn Error + 'static)> = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static));
        inner.or_else(|| error.source())
    })
}
