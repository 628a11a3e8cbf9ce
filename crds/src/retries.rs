//! What a rule does when a provider fails before its answer has begun.

use std::time;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::Duration;

/// Sends a request whose attempt failed to another of the rule's backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failover {
    /// Which failures another backend, or a retry, is tried after.
    #[serde(default = "FailoverCondition::usual")]
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub conditions: Vec<FailoverCondition>,
}

/// A way in which an attempt fails before the first content of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FailoverCondition {
    /// It took longer than a timeout of the provider, or than `perAttemptTimeout`.
    Timeout,
    /// The provider could not be reached, or cannot be used: it is gone, faulty or not admitted.
    ConnectFailure,
    /// The provider said that it is full: 429, 529 or words to that effect.
    RateLimited,
    /// The provider failed: 5xx, a broken connection, or an answer that is none.
    ServerError,
    /// The provider refused the credential: 401, 403 or words to that effect.
    CredentialRejected,
}

impl FailoverCondition {
    /// Those of a rule that does not say: all that may pass by themselves.
    pub fn usual() -> Vec<Self> {
        vec![
            Self::Timeout,
            Self::ConnectFailure,
            Self::RateLimited,
            Self::ServerError,
        ]
    }
}

/// Tries again what failed, once no other backend is left to try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// Further attempts, over all backends of the rule.
    #[serde(default = "Retry::default_attempts")]
    #[schemars(range(min = 0, max = 10))]
    pub attempts: i32,
    /// The longest pause before the first of them; it doubles with each, up to 2 s, and is a random
    /// part of that. A provider's `retry-after` of up to 10 s is heeded instead.
    #[serde(default = "Retry::default_backoff")]
    pub backoff: Duration,
    /// How long each attempt may take to its first content, a whole answer to its end; default: as
    /// long as the provider's timeouts let it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_attempt_timeout: Option<Duration>,
}

impl Retry {
    fn default_attempts() -> i32 {
        2
    }

    fn default_backoff() -> Duration {
        Duration(time::Duration::from_millis(100))
    }
}
