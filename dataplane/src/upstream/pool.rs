//! Connections to providers, kept open between requests: HTTP/1.1 or HTTP/2 by ALPN, with or without TLS.
//!
//! One pool for all providers that want nothing of their own, so that tenants who use the same
//! vendor share connections; one for each way that others want; and one for each endpoint of a
//! Service, so that it goes with it. Nothing of a request lives on in a connection. Redirects are
//! never followed. Errors name what failed and never an address.

use std::borrow::Cow;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::UPGRADE;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{self, ResponseFuture};
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use super::addresses::Addresses;
use super::body::{Arrived, PiecesBody};
use super::connect::{self, Connect, ConnectError, FORBIDDEN, NO_HOST};
use super::dial::Dialer;
use super::dns::Names;
use super::endpoint::Endpoint;
use super::kept::Past;
use super::lanes::{Lanes, Origin, Seat};
use super::way::{Tls, Way};

/// How often a request is sent again that the provider has not looked at.
const RESENDS: usize = 2;

/// Sends requests to providers. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Pool {
    lanes: Arc<Lanes>,
    /// For requests to endpoints that become something else.
    upgrading_endpoints: Arc<Origin>,
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
    /// The provider says that it has not looked at the request: it takes no more streams, or is about
    /// to close.
    #[error("the provider took no more requests on its connection")]
    Refused,
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
        let connect = Connect::to_providers(dialer.clone(), tls, None, None);
        Self {
            lanes: Arc::new(Lanes::new(connect)),
            upgrading_endpoints: Arc::new(Origin::upgrading(Arc::new(Connect::Endpoint))),
            dialer,
            addresses,
            roots,
        }
    }

    /// Starts to send a request by a way, `None`: that of all who want none of their own; it goes
    /// on as the result is awaited. One for an upgrade goes by a connection of its own.
    pub fn start(&self, way: Option<&Way>, request: Request<PiecesBody>) -> Sending {
        let lanes = way.map_or(&*self.lanes, |way| way.lanes(|| self.lanes_of(way)));
        let has_own_roots = way.is_some_and(|way| way.has_roots());
        let has_roots = has_own_roots || !self.roots.is_empty();
        let origin = match is_upgrade(&request) {
            true => Some(lanes.upgrading()),
            false => lanes.origin(request.uri()),
        };
        Sending::new(origin, request, has_roots)
    }

    /// The same to an endpoint, which is what the request's URI must name; its `host` may differ.
    ///
    /// Errors: an address that no endpoint may have.
    pub fn start_at(
        &self,
        endpoint: &Endpoint,
        request: Request<PiecesBody>,
    ) -> Result<Sending, SendError> {
        if !self.addresses.allow_endpoint(endpoint.address().ip()) {
            return Err(SendError::Connect(FORBIDDEN.into()));
        }
        let make = || Arc::new(Origin::new(Arc::new(Connect::Endpoint)));
        let origin = match is_upgrade(&request) {
            true => self.upgrading_endpoints.clone(),
            false => endpoint.connections(make),
        };
        Ok(Sending::new(Some(origin), request, true))
    }

    fn lanes_of(&self, way: &Way) -> Lanes {
        let own = way.tls.as_ref();
        let roots = own.and_then(|tls| tls.roots.clone()).map(Arc::new);
        let tls = tls(roots.unwrap_or_else(|| self.roots.clone()), own);
        let server_name = own.and_then(|tls| tls.server_name.clone());
        let proxy = way.proxy.clone();
        let dialer = self.dialer.clone();
        Lanes::new(Connect::to_providers(dialer, tls, server_name, proxy))
    }
}

fn is_upgrade(request: &Request<PiecesBody>) -> bool {
    request.headers().contains_key(UPGRADE)
}

/// A request on its way. Dropped, it is withdrawn: its connection is closed (HTTP/1.1) or its stream
/// reset (HTTP/2).
pub struct Sending {
    /// `None`: the URI has none.
    origin: Option<Arc<Origin>>,
    /// What is still to be sent; kept for another time while it may be refused.
    request: Option<Request<PiecesBody>>,
    sent: Option<Sent>,
    has_roots: bool,
}

/// A request that has its place.
struct Sent {
    answer: ResponseFuture,
    /// An answer that came before anybody knew of the connection.
    early: Option<Result<Response<Incoming>, legacy::Error>>,
    connection: CaptureConnection,
    seat: Seat,
}

impl Sending {
    fn new(origin: Option<Arc<Origin>>, request: Request<PiecesBody>, has_roots: bool) -> Self {
        Self {
            origin,
            request: Some(request),
            sent: None,
            has_roots,
        }
    }

    /// Waits for a connection, new or idle; `bound` of `None`: as long as it takes. Cancel-safe.
    pub async fn connected(&mut self, bound: Option<Duration>) -> Result<(), SendError> {
        let late = pin!(sleep_for(bound));
        tokio::select! {
            biased;
            connected = self.connect() => connected,
            after = late => Err(SendError::ConnectTimeout(after)),
        }
    }

    /// Waits for the head of the answer. Cancel-safe.
    pub async fn answer(&mut self) -> Result<Response<Arrived>, SendError> {
        let mut resends = 0;
        loop {
            match self.hear().await {
                Err(SendError::Refused) if self.request.is_some() && resends < RESENDS => {
                    resends += 1;
                }
                answer => return answer,
            }
        }
    }

    async fn connect(&mut self) -> Result<(), SendError> {
        let has_roots = self.has_roots;
        let sent = self.sent().await?;
        if sent.early.is_some() {
            return Ok(());
        }
        let connected = pin!(sent.connection.wait_for_connection_metadata());
        tokio::select! {
            biased;
            answer = &mut sent.answer => {
                let fault = answer.as_ref().err().map(|error| explain(error, has_roots));
                match fault {
                    // There was a connection, and there may be another.
                    None | Some(SendError::Refused) => sent.early = Some(answer),
                    Some(fault) => return Err(fault),
                }
            }
            _ = connected => {}
        }
        Ok(())
    }

    async fn hear(&mut self) -> Result<Response<Arrived>, SendError> {
        let has_roots = self.has_roots;
        let sent = self.sent().await?;
        let answer = match sent.early.take() {
            Some(answer) => answer,
            None => (&mut sent.answer).await,
        };
        let Some(Sent { seat, .. }) = self.sent.take() else {
            return Err(SendError::Broken);
        };
        match answer {
            Ok(answer) => {
                Past::note_answer(answer.extensions());
                self.request = None;
                Ok(answer.map(|body| Arrived::new(body, seat)))
            }
            Err(error) => {
                let fault = explain(&error, has_roots);
                if fault == SendError::Refused {
                    seat.refused();
                }
                Err(fault)
            }
        }
    }

    /// Waits for a place, and sends from there.
    async fn sent(&mut self) -> Result<&mut Sent, SendError> {
        if self.sent.is_none() {
            let origin = self.origin.as_ref();
            let origin = origin.ok_or(SendError::Connect(NO_HOST.into()))?;
            let seat = origin.seat().await;
            let mut request = self.request.take().ok_or(SendError::Broken)?;
            if !seat.is_http1() {
                self.request = again(&request);
            }
            let connection = capture_connection(&mut request);
            self.sent = Some(Sent {
                answer: seat.client().request(request),
                early: None,
                connection,
                seat,
            });
        }
        self.sent.as_mut().ok_or(SendError::Broken)
    }
}

/// The same request, if its body is at hand.
fn again(request: &Request<PiecesBody>) -> Option<Request<PiecesBody>> {
    let mut copy = Request::new(request.body().again()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.version_mut() = request.version();
    Some(copy)
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
    if causes(error).any(is_refusal) {
        return SendError::Refused;
    }
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

/// Whether the provider says that it has not looked at the request.
///
/// Source: RFC 9113, section 8.7 "Request Reliability".
fn is_refusal(cause: &(dyn Error + 'static)) -> bool {
    let Some(error) = cause.downcast_ref::<h2::Error>() else {
        return false;
    };
    let is_reset = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (is_reset || error.is_go_away())
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
