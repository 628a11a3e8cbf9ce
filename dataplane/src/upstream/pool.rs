//! Connections to providers, kept open between requests: HTTP/1.1 or HTTP/2 by ALPN, with or without TLS.
//!
//! One pool for all providers that want nothing of their own, so that tenants who use the same
//! vendor share connections; one for each way that others want; and one for each endpoint of a
//! Service, so that it goes with it. Nothing of a request lives on in a connection. Redirects are never followed.
//! Errors name what failed and never an address.

use std::borrow::Cow;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{self, Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use super::addresses::Addresses;
use super::body::PiecesBody;
use super::connect::{self, ConnectError, Connector, FORBIDDEN};
use super::dial::Dialer;
use super::dns::Names;
use super::endpoint::Endpoint;
use super::kept::Past;
use super::way::{Tls, Way};

/// How long a connection may idle: under the 60 s after which common load balancers drop it unasked.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);
/// Idle connections kept for one address: what a busy one needs again within the idle time.
const IDLE_PER_ADDRESS: usize = 1024;
/// A connection whose peer went away without a word is noticed after interval + timeout.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// Bytes that a provider may send ahead of a slow caller: on one stream, and on all of a connection.
const WINDOW: (u32, u32) = (256 << 10, 16 << 20);

/// Connections made one way; dropped, the idle ones are closed.
pub(super) type Lanes = Client<Connector, PiecesBody>;

/// Sends requests to providers. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Pool {
    lanes: Lanes,
    dialer: Dialer,
    addresses: Addresses,
    /// Of this machine.
    roots: Arc<RootCertStore>,
}

/// A request got no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection was not there in time.
    #[error("no connection to the provider within {0:?}")]
    ConnectTimeout(Duration),
    /// There is no connection: refused, no such host, no TLS.
    #[error("no connection to the provider: {0}")]
    Connect(Cow<'static, str>),
    /// The connection broke before an answer came.
    #[error("the provider closed the connection without an answer")]
    Broken,
    /// The same of a connection that had served before and ended without a word: it was closed
    /// while it idled.
    #[error("the provider closed the connection without an answer")]
    Stale,
}

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
        Self::with_names(Names::of_machine(), roots, addresses)
    }

    /// Builds a pool that has the addresses of host names from there.
    pub fn with_names(names: Names, roots: RootCertStore, addresses: Addresses) -> Self {
        let roots = Arc::new(roots);
        let dialer = Dialer::new(names, addresses.clone());
        let tls = tls(roots.clone(), None);
        let connector = Connector::to_providers(dialer.clone(), tls, None, None);
        Self {
            lanes: lanes(connector),
            dialer,
            addresses,
            roots,
        }
    }

    /// Starts to send a request by a way, `None`: that of all who want none of their own; it goes
    /// on as the result is awaited.
    pub fn start(&self, way: Option<&Way>, mut request: Request<PiecesBody>) -> Sending {
        let connection = capture_connection(&mut request);
        let lanes = way.map_or(&self.lanes, |way| way.lanes(|| self.lanes_of(way)));
        let has_own_roots = way.is_some_and(|way| way.has_roots());
        let has_roots = has_own_roots || !self.roots.is_empty();
        Sending::new(lanes.request(request), connection, has_roots)
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
            return Err(SendError::Connect(FORBIDDEN.into()));
        }
        let connection = capture_connection(&mut request);
        let lanes = endpoint.connections(|| builder().build(Connector::to_endpoints()));
        Ok(Sending::new(lanes.request(request), connection, true))
    }

    fn lanes_of(&self, way: &Way) -> Lanes {
        let own = way.tls.as_ref();
        let roots = own.and_then(|tls| tls.roots.clone()).map(Arc::new);
        let tls = tls(roots.unwrap_or_else(|| self.roots.clone()), own);
        let server_name = own.and_then(|tls| tls.server_name.clone());
        let proxy = way.proxy.clone();
        let dialer = self.dialer.clone();
        lanes(Connector::to_providers(dialer, tls, server_name, proxy))
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
    fn new(answer: ResponseFuture, connection: CaptureConnection, has_roots: bool) -> Self {
        Self {
            answer,
            early: None,
            connection,
            has_roots,
        }
    }

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
    let fault = causes(error).find_map(|cause| cause.downcast_ref::<ConnectError>());
    SendError::Connect(match fault {
        Some(fault) => connect::words(fault, has_roots),
        // Of HTTP/2: what came after the handshake was none.
        None => "what answers at its address speaks no HTTP".into(),
    })
}

fn lanes(connector: Connector) -> Lanes {
    builder()
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .http2_keep_alive_timeout(KEEP_ALIVE.1)
        .http2_initial_stream_window_size(WINDOW.0)
        .http2_initial_connection_window_size(WINDOW.1)
        .build(connector)
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

fn tls(roots: Arc<RootCertStore>, own: Option<&Tls>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for every version that rustls has")
        .with_root_certificates(roots);
    let mut config = match own.and_then(|tls| tls.identity.clone()) {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(Vec::from).into();
    config
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
