//! What the listener knows of a request before anybody reads it.

mod host;

use std::net::SocketAddr;
use std::time::Instant;

pub use host::{HostError, HostName};

/// Where and when a request came in, and for whom.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The peer of the connection.
    pub remote: SocketAddr,
    /// The host asked for, normalised; the only place that anybody reads it from.
    pub host: Result<HostName, HostError>,
    /// When the request's head was complete.
    pub at: Instant,
}

impl Arrival {
    /// Reads who is asked for out of a request's head.
    pub fn of<B>(request: &http::Request<B>, remote: SocketAddr, at: Instant) -> Self {
        Self {
            remote,
            host: HostName::of(request),
            at,
        }
    }
}
