//! How much of a request's body must be known before it can go on. Pure.
//!
//! Two questions: what a rule is found by, and what the rule's providers are sent. A body that is held
//! as a whole answers both, so they are asked of large bodies alone.

use super::admit::over;
use super::routes::Routes;
use crate::store::view::{BackendView, FleetView, RuleView, TenantView};
use turnpike_protocol::Endpoint;
use turnpike_protocol::vendor::Transport;

use crate::upstream::credentials::Signer;

/// What must have come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing: what there is to know of it is seen as it passes.
    Nothing,
    /// The model.
    Head,
    /// All.
    Whole,
}

/// What a rule, who may use it and what it is charged to are found by: the model, if a match, a grant
/// or the selector of a quota looks at it.
pub fn for_matching(routes: &Routes) -> Need {
    let by_rule = |rule: &RuleView| rule.matches.iter().any(|one| !one.models.is_empty());
    let by_route = routes.iter().any(|route| {
        let grants = route.allow().unwrap_or_default();
        route.rules().any(by_rule) || grants.iter().any(|grant| !grant.models.is_empty())
    });
    let domain = routes.domain();
    let by_quota = match (domain.tenant.load(), domain.fleet.load()) {
        (Some(tenant), Some(fleet)) => is_of_quotas(&tenant, &fleet),
        // The request will be refused for it.
        _ => false,
    };
    match by_route || by_quota {
        true => Need::Head,
        false => Need::Nothing,
    }
}

fn is_of_quotas(tenant: &TenantView, fleet: &FleetView) -> bool {
    let mut quotas = over(tenant, fleet).into_iter();
    quotas.any(|(quota, _)| !quota.selector.models.is_empty())
}

/// What the providers of a rule are sent: the highest need of those that may be asked.
pub fn for_sending(rule: &RuleView, endpoint: Endpoint) -> Need {
    let asked = rule.backends.iter().filter(|backend| backend.weight > 0);
    asked
        .map(|backend| of_backend(backend, endpoint))
        .max()
        .unwrap_or(Need::Nothing)
}

fn of_backend(backend: &BackendView, endpoint: Endpoint) -> Need {
    let Some(provider) = backend.provider.load() else {
        return Need::Nothing;
    };
    let Ok(upstream) = &provider.state else {
        return Need::Nothing;
    };
    let takes_it = upstream.target("", 0).natives.contains(endpoint);
    let signers = upstream.keys.iter().filter_map(|key| key.signer.as_ref());
    let is_passed = upstream.transport == Transport::Http
        && takes_it
        && !signers.clone().any(Signer::needs_whole_body);
    let is_chosen_by_model = !backend.models.is_empty() || !upstream.models.is_empty();
    match is_passed {
        false => Need::Whole,
        true if is_chosen_by_model || backend.model.is_some() => Need::Head,
        true => Need::Nothing,
    }
}

#[cfg(test)]
mod tests;
