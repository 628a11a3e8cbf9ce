//! Connections to providers, kept open between requests: HTTP/1.1 or HTTP/2 by ALPN, with or without TLS.
//!
//! One pool for all providers that want nothing of their own, so that tenants who use the same
//! vendor share connections; one for each way that others want; and one for each endpoint of a
//! Service, so that it goes with it. Nothing of a request lives on in a connection. Redirects are
//! never followed. Errors name what failed and never an address.

use std::borrow::Cow;
use std::error::Error;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::UPGRADE;
use http::{Request, Response, Uri};
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use super::addresses::Addresses;
use super::body::{Arrived, PiecesBody};
use super::connect::{self as dialed, Connect, FORBIDDEN, NO_HOST, NO_HTTP};
use super::dial::Dialer;
use super::dns::Names;
use super::endpoint::{Endpoint, Plain};
use super::http1::{self, Answering, Driven};
use super::kept::Past;
use super::lanes::{Fault, Lanes, Link, Origin, Seat};
use super::way::{Tls, Way};

/// How often a request is sent again that the provider has not looked at.
const RESENDS: usize = 2;
/// Kept connections found to have ended, one after the other, until that is told.
const MAX_ENDED: usize = 8;

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

    /// The same to an endpoint, which is what the request's URI must name, unless HTTP/2 is spoken
    /// there; its `host` may differ.
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
        let connect = || match endpoint.plain() {
            Plain::Http1 => Connect::Endpoint,
            Plain::Http2 => Connect::Http2Endpoint(endpoint.address()),
        };
        let make = || Arc::new(Origin::new(Arc::new(connect())));
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
    stage: Stage,
    has_roots: bool,
}

enum Stage {
    /// Nothing is sent, and there is no connection for it.
    Waits,
    /// There is a connection.
    Connected(Place),
    /// It is on its way, on a connection that runs by itself or is driven here.
    Sent {
        answering: Answering,
        driven: Option<Driven>,
        past: Past,
        seat: Seat,
        /// The connection stood before.
        is_kept: bool,
    },
}

/// What is there at once.
enum Found {
    Place(Place),
    /// No connection, but maybe a place for one.
    Seat(Option<Seat>),
}

/// A connection to send on.
struct Place {
    link: Link,
    seat: Seat,
    is_kept: bool,
}

impl Sending {
    fn new(origin: Option<Arc<Origin>>, request: Request<PiecesBody>, has_roots: bool) -> Self {
        Self {
            origin,
            request: Some(request),
            stage: Stage::Waits,
            has_roots,
        }
    }

    /// Waits for a connection, new or idle; `bound` of `None`: as long as it takes. Cancel-safe.
    pub async fn connected(&mut self, bound: Option<Duration>) -> Result<(), SendError> {
        self.stage = Stage::Connected(match (self.find()?, bound) {
            (Found::Place(place), _) => place,
            (Found::Seat(seat), None) => self.connect(seat).await?,
            (Found::Seat(seat), Some(bound)) => {
                let connecting = tokio::time::timeout(bound, self.connect(seat)).await;
                connecting.map_err(|_| SendError::ConnectTimeout(bound))??
            }
        });
        Ok(())
    }

    /// Waits for the head of the answer. Cancel-safe.
    pub async fn answer(&mut self) -> Result<Response<Arrived>, SendError> {
        let (mut resends, mut ended) = (0, 0);
        loop {
            if let Stage::Waits = self.stage {
                self.stage = Stage::Connected(match self.find()? {
                    Found::Place(place) => place,
                    Found::Seat(seat) => self.connect(seat).await?,
                });
            }
            self.send().await?;
            match poll_fn(|cx| self.poll_answer(cx)).await {
                Err(SendError::Refused) if self.request.is_some() && resends < RESENDS => {
                    resends += 1;
                }
                // The connection had ended before anything was sent.
                Err(SendError::Stale) if self.request.is_some() && ended < MAX_ENDED => ended += 1,
                answer => return answer,
            }
        }
    }

    /// Looks for a connection that stands.
    fn find(&self) -> Result<Found, SendError> {
        let origin = self.origin.as_ref();
        let origin = origin.ok_or(SendError::Connect(NO_HOST.into()))?;
        let Some(seat) = origin.seat().now_or_never() else {
            return Ok(Found::Seat(None));
        };
        Ok(match seat.standing() {
            Some(link) => Found::Place(Place {
                link,
                seat,
                is_kept: true,
            }),
            None => Found::Seat(Some(seat)),
        })
    }

    /// Makes a connection. Boxed, as most requests find one that stands.
    fn connect(&self, seat: Option<Seat>) -> BoxFuture<'static, Result<Place, SendError>> {
        match (&self.origin, &self.request) {
            (Some(origin), Some(request)) => {
                let (origin, uri) = (origin.clone(), request.uri().clone());
                connect(origin, seat, uri, self.has_roots).boxed()
            }
            _ => std::future::ready(Err(SendError::Connect(NO_HOST.into()))).boxed(),
        }
    }

    /// Sends what has a connection.
    async fn send(&mut self) -> Result<(), SendError> {
        let place = match std::mem::replace(&mut self.stage, Stage::Waits) {
            Stage::Connected(place) => place,
            sent => {
                self.stage = sent;
                return Ok(());
            }
        };
        let Place {
            link,
            seat,
            is_kept,
        } = place;
        let request = self.request.take().ok_or(SendError::Broken)?;
        let (answering, driven, past) = match link {
            Link::Http1(mut driven) => {
                let (answering, past) = (driven.send(request), driven.past.clone());
                (answering, Some(driven), past)
            }
            Link::Http2(mut shared) => {
                self.request = again(&request);
                (shared.send(request), None, shared.past)
            }
            Link::Upgrading(kept) => {
                let past = kept.past();
                // Boxed, as few requests ask for it.
                let answering = Box::pin(http1::upgrade(*kept, request)).await;
                (answering.map_err(|_| SendError::Broken)?, None, past)
            }
        };
        self.stage = Stage::Sent {
            answering,
            driven,
            past,
            seat,
            is_kept,
        };
        Ok(())
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Arrived>, SendError>> {
        let Stage::Sent {
            answering, driven, ..
        } = &mut self.stage
        else {
            return Poll::Ready(Err(SendError::Broken));
        };
        let answer = ready!(match driven {
            Some(driven) => driven.poll_answer(cx, answering),
            None => answering.as_mut().poll(cx),
        });
        let Stage::Sent {
            driven,
            past,
            seat,
            is_kept,
            ..
        } = std::mem::replace(&mut self.stage, Stage::Waits)
        else {
            return Poll::Ready(Err(SendError::Broken));
        };
        Poll::Ready(match answer {
            Ok(answer) => {
                past.note_answer();
                self.request = None;
                Ok(answer.map(|body| Arrived::new(body, driven, seat)))
            }
            Err(mut error) => {
                let unsent = error.take_message();
                let is_refusal = causes(error.error()).any(is_refusal);
                if is_refusal {
                    seat.refused();
                }
                if let Some(request) = unsent.filter(|_| is_kept) {
                    // It ended while it was kept: the next one.
                    self.request = Some(request);
                    return Poll::Ready(Err(SendError::Stale));
                }
                if !is_refusal {
                    self.request = None;
                }
                Err(match past.is_stale() {
                    _ if is_refusal => SendError::Refused,
                    true => SendError::Stale,
                    false => SendError::Broken,
                })
            }
        })
    }
}

/// Waits for a place, and makes a connection if none stands there.
async fn connect(
    origin: Arc<Origin>,
    mut seat: Option<Seat>,
    uri: Uri,
    has_roots: bool,
) -> Result<Place, SendError> {
    loop {
        let seat = match seat.take() {
            Some(seat) => seat,
            None => origin.seat().await,
        };
        if let Some(link) = seat.standing() {
            return Ok(Place {
                link,
                seat,
                is_kept: true,
            });
        }
        if !seat.may_connect() {
            continue;
        }
        return match seat.connect(&uri).await {
            Ok(link) => Ok(Place {
                link,
                seat,
                is_kept: false,
            }),
            Err(Fault::Connect(fault)) => Err(SendError::Connect(dialed::words(&fault, has_roots))),
            Err(Fault::NoHttp) => Err(SendError::Connect(NO_HTTP.into())),
        };
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

#[cfg(test)]
mod tests;
