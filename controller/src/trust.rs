//! How the two ends of a snapshot stream know each other: certificates of a CA that the
//! controllers make themselves, and service-account tokens that the API server reviews.
//!
//! ```text
//! Secret ⇄ keeper (rotation: pure) ─→ Identity ─→ listener ─ TLS ─→ gRPC ─→ Gate ─→ streams
//!                                                    └ lobby: who showed no token yet ┘
//! ConfigMap ←┘ what data planes trust                                        ↕
//!                                                    reviewer (reviews: pure) ⇄ API server
//! ```
//! A data plane learns from the certificate that it talks to its controller, the
//! controller from the token which account it talks to. Neither works without the other:
//! a token is never sent without TLS.

pub mod certificate;
pub mod complaints;
pub mod dial;
pub mod gate;
pub mod guard;
pub mod identity;
pub mod keeper;
pub mod listener;
pub mod lobby;
pub mod moment;
pub mod preface;
pub mod reviewer;
pub mod reviews;
pub mod rotation;
pub mod secret;
pub mod token;

#[cfg(test)]
mod scripted;

/// Whom a token must be meant for, so that it is of use nowhere else.
pub const AUDIENCE: &str = "turnpike-controller";
