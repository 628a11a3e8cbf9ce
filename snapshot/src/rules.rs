//! A route template: what many routes take from one place, so that a change of it
//! is one change, however many take it.

use std::time::Duration;

use crate::domain::{Authentication, Grant, OnDisconnect, Rule};

/// What an AIRoute without hosts lends to routes that name it.
///
/// Providers are the template's own; consumers, groups and quotas those of the
/// route that takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// For routes without their own. A template with an anonymous consumer says
    /// `Required` here: its routes carry a copy of their own, since that consumer is theirs.
    pub authentication: Authentication,
    /// For routes without their own; empty: every consumer of the route's namespace.
    pub allow: Vec<Grant>,
    /// First match wins.
    pub rules: Vec<Rule>,
    /// Bytes, for routes without their own.
    pub max_body_bytes: u64,
    /// Bytes of a request body that are held while its model is awaited, for routes without their own;
    /// `None`: the default.
    pub head_bytes: Option<u64>,
    /// How long a stream may be silent until its caller is sent a comment, for routes without their
    /// own; zero: for ever, `None`: the default.
    pub heartbeat: Option<Duration>,
    /// What becomes of the answer of a caller that hangs up, for routes without their own; `None`: the
    /// default.
    pub on_disconnect: Option<OnDisconnect>,
}
