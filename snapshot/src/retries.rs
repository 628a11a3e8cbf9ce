//! What a rule does when an attempt fails before the first content of its answer.

use std::time::Duration;

/// How a request goes on after an attempt that failed. The default: it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// After which failures another attempt is made, without doubles.
    pub conditions: Vec<Failure>,
    /// Whether backends that were not tried yet come next, those of the same priority first.
    pub is_failover: bool,
    /// Further attempts once no other backend is left to try.
    pub attempts: u32,
    /// The longest pause before the first of those; it doubles with each.
    pub backoff: Duration,
    /// To the first content of a stream, or the end of a whole answer; zero: no bound.
    pub per_attempt_timeout: Duration,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// It took too long.
    Timeout,
    /// The provider could not be reached or cannot be used.
    Connect,
    /// The provider is full.
    RateLimited,
    /// The provider failed.
    Server,
    /// The provider refused the credential.
    CredentialRejected,
}
