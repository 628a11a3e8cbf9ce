//! What the listener knows of a request before anybody reads it.

mod body;
mod forwarded;
mod host;
mod patience;
mod uptake;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use turnpike_snapshot::Version;
use turnpike_snapshot::name::ObjectName;

pub use body::{BodyFault, FLOOR, Pace, Paced, RequestBody, WINDOW};
pub use forwarded::{Forwarders, InvalidForwarders};
pub use host::{HostError, HostName};
pub use patience::Patience;
pub use uptake::Uptake;

/// Where and when a request came in, and for whom.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The caller's address: the peer of the connection, or whom trusted forwarders name.
    pub remote: IpAddr,
    /// The host asked for, normalised; the only place that anybody reads it from.
    pub host: Result<HostName, HostError>,
    /// What its connection was secured by; `None`: it came in the clear.
    pub tls: Option<Arc<Tls>>,
    /// Whether the caller takes the answer.
    pub uptake: Uptake,
    /// When the request's head was complete.
    pub at: Instant,
}

/// What both sides of a connection showed in its handshake.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The names of the certificate that the caller was shown.
    pub names: Arc<[Box<str>]>,
    /// What was asked of the caller.
    pub asked: ClientAuthorities,
    /// What the caller showed, its own certificate first; empty: nothing was asked.
    pub peer: Vec<CertificateDer<'static>>,
}

/// Which CAs may have signed a caller's certificate, each in its form at one moment, sorted by
/// name; `None`: it could not be had. Empty: no certificate is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientAuthorities(pub Vec<(ObjectName, Option<Version>)>);

impl ClientAuthorities {
    /// Whether both name the same CAs, in whatever form.
    pub fn names_same(&self, other: &Self) -> bool {
        let other = other.0.iter().map(|(name, _)| name);
        self.0.iter().map(|(name, _)| name).eq(other)
    }

    /// Writes them down: other bytes for every other form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, version) in &self.0 {
            bytes.extend(name.to_string().into_bytes());
            bytes.push(0);
            bytes.push(u8::from(version.is_some()));
            bytes.extend(version.map(Version::to_bytes).unwrap_or_default());
        }
        bytes
    }
}

impl Arrival {
    /// Reads who is asked for out of a request's head.
    pub fn of<B>(
        request: &http::Request<B>,
        remote: IpAddr,
        tls: Option<Arc<Tls>>,
        uptake: Uptake,
        at: Instant,
    ) -> Self {
        Self {
            remote,
            tls,
            uptake,
            host: HostName::of(request),
            at,
        }
    }
}
