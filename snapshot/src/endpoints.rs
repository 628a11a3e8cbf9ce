//! Who serves a port of a Service: the addresses of its ready pods.

use std::net::SocketAddr;

/// The endpoints of one port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Ready to take requests; sorted, without doubles. Empty: nobody is.
    pub addresses: Vec<SocketAddr>,
    /// They speak HTTP/2 in the clear, and know it beforehand; else HTTP/1.1.
    pub is_http2: bool,
}
