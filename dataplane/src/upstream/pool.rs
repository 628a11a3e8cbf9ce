//! Connections to providers, kept open between requests: HTTP/1.1 or HTTP/2 by ALPN, with or without TLS.
//!
//! One pool for all providers that want nothing of their own, so that tenants who use the same
//! vendor share connections; one for each way that others want; and one for each endpoint of a
//! Service, so that it goes with it. Nothing of a request lives on in a connection. Redirects are
//! never followed. Errors name what failed and never an address.

use std::sync::Arc;

use http::Request;
use http::header::UPGRADE;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use super::addresses::Addresses;
use super::body::PiecesBody;
use super::connect::{Connect, FORBIDDEN};
use super::dial::Dialer;
use super::dns::Names;
use super::endpoint::{Endpoint, Plain};
use super::lanes::{Lanes, Origin};
use super::sending::{SendError, Sending};
use super::way::{Tls, Way};

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
