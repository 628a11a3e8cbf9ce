//! A quota: which requests it counts, and how many of what they may use.

use std::time::Duration;

/// A TokenQuota as a data plane needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Which requests are counted.
    pub selector: QuotaSelector,
    /// A counter is kept for each combination of these; sorted, without doubles, never empty.
    pub per: Vec<CounterPer>,
    /// All must pass.
    pub limits: Vec<Limit>,
    /// Told to callers who are over; `None`: the gateway's own words.
    pub exceeded_message: Option<String>,
    /// What happens while counters cannot be reached.
    pub on_store_failure: OnStoreFailure,
}

/// All conditions given must hold; an empty list is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaSelector {
    /// Consumer names; alternatives to the groups.
    pub consumers: Vec<String>,
    /// Consumer groups.
    pub groups: Vec<String>,
    /// Route names.
    pub routes: Vec<String>,
    /// Globs over the model that the client asked for.
    pub models: Vec<String>,
}

/// What requests must have in common to share a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CounterPer {
    /// The consumer; callers without one share a counter.
    Consumer,
    /// The tenant's namespace.
    Namespace,
}

/// So much in so long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Names the counter: renaming starts a new one, editing does not.
    pub name: String,
    /// How much of what.
    pub amount: Amount,
    /// Over any time of this length.
    pub window: Duration,
}

/// How much of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Input and output tokens together.
    Tokens(u64),
    /// Requests.
    Requests(u64),
}

/// What happens while counters cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// Requests pass; what they use is counted later.
    Allow,
    /// Requests are refused with 503.
    Deny,
}
