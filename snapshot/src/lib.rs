//! What a controller tells a data plane: the snapshot model, its versions and
//! the gRPC protocol that carries it.
//!
//! Plain data lives in one module a kind; [`convert`] turns it into protobuf
//! and back; [`proto`] is the generated protocol. This crate knows nothing of
//! Kubernetes and nothing of any provider's wire format.

#![warn(missing_docs)]

pub mod certificate;
pub mod consumer;
pub mod convert;
pub mod credential;
pub mod domain;
pub mod endpoints;
pub mod name;
pub mod provider;
pub mod quota;
pub mod retries;
pub mod rules;
pub mod tenant;
pub mod version;

mod content;

pub use content::{
    CLOUDS, EGRESS_PROXY, ENDPOINTS, FAILOVER, GRANTS, H2C, HALT, ON_DISCONNECT, PROVIDER_MANNER,
    PROVIDER_TLS, SUSPENSION, Snapshot, TEMPLATES, TLS,
};
pub use name::Name;
pub use version::Version;

/// The version of the protocol that this build speaks.
///
/// Raised only for a change that an older peer could not ignore; what a single
/// snapshot needs is named by its features instead ([`Snapshot::features`]).
pub const PROTOCOL_VERSION: u32 = 1;

/// The generated gRPC protocol of `proto/`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod proto {
    tonic::include_proto!("turnpike.snapshot.v1");
}
