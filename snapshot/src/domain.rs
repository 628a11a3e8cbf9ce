//! A domain: everything that decides what happens to a request for one host,
//! by reference to providers, the tenant and the fleet.

use std::time::Duration;

use crate::name::ObjectName;
use crate::retries::Retries;

/// How long a request body may be where neither a route nor its template says: 32 MiB, so that
/// prompts with images pass and a flood of them does not.
pub const DEFAULT_MAX_BODY_BYTES: u64 = 32 << 20;
/// How much of a request body is held in memory while its model is awaited, where neither a route nor
/// its template says: 1 MiB; what comes after it waits on disk.
pub const DEFAULT_HEAD_BYTES: u64 = 1 << 20;
/// How long a stream may be silent until its caller is sent a comment, where neither a route nor its
/// template says: 15 s, a quarter of what load balancers and proxies let pass as a rule.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(15);

/// All routes of one namespace for one host, oldest route first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// The tenant: providers, consumers and quotas are its own.
    pub namespace: String,
    /// Rules apply in this order; the first that matches wins.
    pub routes: Vec<Route>,
    /// Certificates that may be shown for it, oldest route's first, without doubles; where none
    /// is for the host, one of the fleet's is.
    pub certificates: Vec<ObjectName>,
    /// CAs, any of which must have signed the caller's certificate, sorted, without doubles;
    /// empty: none is asked for.
    pub client_authorities: Vec<ObjectName>,
}

/// The rules of one AIRoute and who may use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The AIRoute's name in the domain's namespace.
    pub name: String,
    /// How callers show who they are; `None`: as the template says.
    pub authentication: Option<Authentication>,
    /// Any one suffices; empty: every consumer of the namespace. `None`: as the template says.
    pub allow: Option<Vec<Grant>>,
    /// First match wins; the template's follow.
    pub rules: Vec<Rule>,
    /// Bytes; a longer request body is refused with 413. `None`: as the template says.
    pub max_body_bytes: Option<u64>,
    /// Bytes of a request body that are held in memory while its model is awaited. `None`: as the
    /// template says, or the default.
    pub head_bytes: Option<u64>,
    /// How long a stream may be silent until its caller is sent a comment; zero: for ever. `None`: as
    /// the template says, or the default.
    pub heartbeat: Option<Duration>,
    /// What becomes of the answer of a caller that hangs up. `None`: as the template says, or the
    /// default.
    pub on_disconnect: Option<OnDisconnect>,
    /// Where what is missing comes from; without one nothing is.
    pub template: Option<Template>,
    /// What callers are told with the 403 that each of its requests is answered; `None`: it is
    /// in force.
    pub suspension: Option<String>,
}

/// What becomes of the answer of a caller that hangs up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The provider is cancelled; what it had still to come is estimated.
    #[default]
    Cancel,
    /// It is read on in the background, for what it costs exactly.
    Drain,
}

/// Where a route takes from what it has not of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Template {
    /// The snapshot `rules/<namespace>/<name>`.
    Rules(ObjectName),
    /// There is none to be had: what the route's own rules leave over is answered with 503.
    Faulty {
        /// In words for whoever wrote the route; never a secret.
        reason: String,
    },
}

/// How callers show who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// A key is needed.
    Required,
    /// Callers without a key go by the name of this consumer, or by none.
    Optional {
        /// A Consumer of the domain's namespace that stands for callers without a key.
        anonymous_consumer: Option<String>,
    },
}

/// Lets consumers through that are of these names or groups, for these models.
///
/// An empty list means no condition. Names and groups are alternatives; both
/// empty: every consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Consumer names.
    pub consumers: Vec<String>,
    /// Consumer groups.
    pub groups: Vec<String>,
    /// Globs over the model that the client asked for.
    pub models: Vec<String>,
}

/// Where matching requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As the route names it, else `rules[i]`; for logs and metrics.
    pub name: String,
    /// Any one suffices; empty: everything matches.
    pub matches: Vec<Match>,
    /// Of the lowest priority that offers the model, one is chosen by weight.
    pub backends: Vec<Backend>,
    /// What happens after an attempt that failed.
    pub retries: Retries,
}

/// All conditions given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Over the request's path, without its query.
    pub path: Option<PathMatch>,
    /// Globs over the model; any one suffices.
    pub models: Vec<String>,
    /// All must hold.
    pub headers: Vec<HeaderMatch>,
    /// The consumer is in any one of these.
    pub groups: Vec<String>,
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Whole path segments: `/v1` covers `/v1` and `/v1/x`, not `/v1x`.
    Prefix(String),
}

/// A header with exactly this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    /// Compared byte for byte.
    pub value: String,
}

/// One provider that a rule may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The AIProvider.
    pub provider: ObjectName,
    /// The model to ask it for, as its `models` call it; `None`: the one that the client asked for.
    pub model: Option<String>,
    /// Its share among the rule's backends of its priority; 0: never chosen.
    pub weight: u32,
    /// Which comes first: those of 0, then those of 1, and so on.
    pub priority: u32,
    /// Globs over the model that the provider is asked for, as its `models` call it: what
    /// the provider grants. Empty: every model.
    pub models: Vec<String>,
    /// Why this route cannot use it: requests that choose it are answered with 503.
    pub fault: Option<String>,
}
