//! What is told of a request, as plain data; field names are those of `--output json`.

use serde::Serialize;

/// Everything that is told. Holds no key, no secret and no value of the request's headers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    pub(super) request: Request,
    pub(super) host: Host,
    pub(super) caller: Caller,
    /// In the order in which they are asked.
    pub(super) routes: Vec<Route>,
    /// Of the rule that matches; `None`: none was reached.
    pub(super) authorization: Option<Authorization>,
    pub(super) backends: Vec<Backend>,
    pub(super) quotas: Vec<Quota>,
    pub(super) verdict: Verdict,
    pub(super) issues: Vec<Issue>,
    /// What limits this explanation.
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) model: Option<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Host {
    /// The host itself or a wildcard; `None`: nobody serves it.
    pub(super) served_by: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) claims: Vec<Claim>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Claim {
    pub(super) route: String,
    pub(super) hostname: String,
    /// `Serves`, `GivesWay` (a more specific name serves), or the reason of the condition.
    pub(super) standing: &'static str,
    pub(super) message: Option<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Caller {
    /// `key`, `consumer` or `nothing`.
    pub(super) shown: &'static str,
    pub(super) consumer: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) refusal: Option<Refusal>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Route {
    pub(super) name: String,
    /// `Required`, `Optional`, or `Optional as CONSUMER`.
    pub(super) authentication: String,
    pub(super) template: Option<String>,
    pub(super) fault: Option<String>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    pub(super) name: String,
    /// Whose it is, if not the route's own: `rules/<namespace>/<name>`.
    pub(super) from: Option<String>,
    pub(super) standing: Standing,
    /// Of each of its matches what does not hold.
    pub(super) unmet: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Standing {
    Matches,
    DoesNotMatch,
    NotReached,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Authorization {
    pub(super) route: String,
    pub(super) rule: String,
    pub(super) consumer: Option<String>,
    pub(super) refusal: Option<Refusal>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Backend {
    pub(super) provider: String,
    pub(super) weight: u32,
    /// Those of 0 are tried first.
    pub(super) priority: u32,
    /// Of the requests that come so far, in percent.
    pub(super) share: f64,
    pub(super) vendor: Option<&'static str>,
    /// Where it is a Service of the cluster.
    pub(super) service: Option<Service>,
    pub(super) upstream_model: Option<String>,
    /// Why it is never chosen, or what it answers when it is.
    pub(super) out: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service {
    /// `namespace/name`.
    pub(super) name: String,
    /// How many of its endpoints are ready.
    pub(super) ready_endpoints: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Quota {
    pub(super) name: String,
    /// `namespace` or `fleet`.
    pub(super) laid_by: &'static str,
    pub(super) per: Vec<&'static str>,
    pub(super) limits: Vec<Limit>,
    pub(super) is_charged: bool,
    pub(super) unmet: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Limit {
    pub(super) name: String,
    pub(super) amount: u64,
    pub(super) unit: &'static str,
    pub(super) window_seconds: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    pub(super) is_carried: bool,
    /// What the gateway would answer instead.
    pub(super) refusal: Option<Refusal>,
    /// What a part of the requests would be answered.
    pub(super) partly: Option<Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Issue {
    pub(super) object: String,
    pub(super) reason: &'static str,
    pub(super) path: String,
    pub(super) message: String,
}
