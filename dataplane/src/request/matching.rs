//! Step 4: which rule a request falls under. Pure.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::authenticate::Caller;
use super::error::{RequestError, Result};
use super::routes::{Route, Routes};
use crate::store::Globs;
use crate::store::view::{Consumer, MatchView, PathMatch, RuleView};

/// What rules look at.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Without its query.
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    pub model: &'a str,
}

/// The rule that a request falls under.
pub struct Matched<'a> {
    pub route: Route<'a>,
    pub rule: &'a RuleView,
    /// Who the caller is on this route; `None`: nobody in particular.
    pub consumer: Option<Arc<Consumer>>,
}

/// The first condition of a match that does not hold.
#[derive(Clone, Copy, Debug)]
pub enum Unmet<'a> {
    /// The path is another.
    Path(&'a PathMatch),
    /// The model fits none of these.
    Model(&'a Globs),
    /// This header is missing, or has another value.
    Header(&'a HeaderName, &'a HeaderValue),
    /// The caller is in none of these groups.
    Groups(&'a [Arc<str>]),
}

/// Finds the first rule that matches, over the routes in their order.
///
/// Errors: 401 if that rule's route needs a key and none came; 404 if there is no such rule, or 503
/// if there may be one in a template that cannot be had.
pub fn find<'a>(routes: &'a Routes, caller: &Caller, facts: Facts<'_>) -> Result<Matched<'a>> {
    first(routes, caller, facts, ModelCounts::Yes)
        .unwrap_or_else(|| Err(nothing_matches(routes, caller, facts)))
}

/// Whether a match's condition on the model counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ModelCounts {
    Yes,
    No,
}

fn first<'a>(
    routes: &'a Routes,
    caller: &Caller,
    facts: Facts<'_>,
    model_counts: ModelCounts,
) -> Option<Result<Matched<'a>>> {
    for route in routes.iter() {
        let identity = caller.on(route);
        let consumer = identity.as_ref().ok().and_then(Option::as_deref);
        let fits = |rule: &&RuleView| rule_matches(rule, facts, consumer, model_counts);
        if let Some(rule) = route.rules().find(fits) {
            return Some(identity.map(|consumer| Matched {
                route,
                rule,
                consumer,
            }));
        }
    }
    None
}

fn rule_matches(
    rule: &RuleView,
    facts: Facts<'_>,
    consumer: Option<&Consumer>,
    model_counts: ModelCounts,
) -> bool {
    let fits = |one: &MatchView| unmet_of(one, facts, consumer, model_counts).is_none();
    rule.matches.is_empty() || rule.matches.iter().any(fits)
}

/// Says why a rule does not match: of each of its matches the first condition that does not
/// hold. Empty: it matches.
pub fn unmet<'a>(
    rule: &'a RuleView,
    facts: Facts<'_>,
    consumer: Option<&Consumer>,
) -> Vec<Unmet<'a>> {
    if rule_matches(rule, facts, consumer, ModelCounts::Yes) {
        return Vec::new();
    }
    let matches = rule.matches.iter();
    matches
        .filter_map(|one| unmet_of(one, facts, consumer, ModelCounts::Yes))
        .collect()
}

fn unmet_of<'a>(
    one: &'a MatchView,
    facts: Facts<'_>,
    consumer: Option<&Consumer>,
    model_counts: ModelCounts,
) -> Option<Unmet<'a>> {
    if let Some(path) = &one.path
        && !path_matches(path, facts.path)
    {
        return Some(Unmet::Path(path));
    }
    if model_counts == ModelCounts::Yes && !one.models.is_match(facts.model) {
        return Some(Unmet::Model(&one.models));
    }
    if let Some((name, value)) = missing_header(one, facts.headers) {
        return Some(Unmet::Header(name, value));
    }
    (!in_groups(&one.groups, consumer)).then_some(Unmet::Groups(&one.groups))
}

fn path_matches(wanted: &PathMatch, path: &str) -> bool {
    match wanted {
        PathMatch::Exact(whole) => path == whole,
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            let rest = path.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}

fn missing_header<'a>(
    one: &'a MatchView,
    headers: &HeaderMap,
) -> Option<&'a (HeaderName, HeaderValue)> {
    let has = |(name, value): &(HeaderName, HeaderValue)| {
        headers.get_all(name).iter().any(|given| given == value)
    };
    one.headers.iter().find(|wanted| !has(wanted))
}

/// Whether the consumer is in one of the groups, or there is no condition.
pub fn in_groups(groups: &[Arc<str>], consumer: Option<&Consumer>) -> bool {
    let is_member = |consumer: &Consumer| {
        let mut own = consumer.groups.iter();
        own.any(|own| groups.iter().any(|group| **group == **own))
    };
    groups.is_empty() || consumer.is_some_and(is_member)
}

fn nothing_matches(routes: &Routes, caller: &Caller, facts: Facts<'_>) -> RequestError {
    // The rule that is missing might have matched.
    if let Some(reason) = routes.iter().find_map(Route::fault) {
        return RequestError::route_unavailable(reason);
    }
    match first(routes, caller, facts, ModelCounts::No) {
        Some(Err(needs_key)) => needs_key,
        Some(Ok(_)) => model_not_found(facts.model),
        None => RequestError::new(
            StatusCode::NOT_FOUND,
            "no_matching_rule",
            "no rule of this host matches the request's path, headers and consumer",
        ),
    }
}

/// There is no such model here, for this caller.
pub fn model_not_found(model: &str) -> RequestError {
    // A model's name is the caller's own text; a page of it helps nobody.
    let shown: String = model.chars().take(200).collect();
    RequestError::new(
        StatusCode::NOT_FOUND,
        "model_not_found",
        format!("the model {shown:?} does not exist here; GET /v1/models lists those that do"),
    )
    .param("model")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_whole_segments() {
        let prefix = |text: &str| PathMatch::Prefix(text.into());
        for (wanted, path, expected) in [
            (prefix("/v1"), "/v1", true),
            (prefix("/v1"), "/v1/x", true),
            (prefix("/v1"), "/v1x", false),
            (prefix("/v1/"), "/v1/x", true),
            (prefix("/v1/"), "/v1", true),
            (prefix("/"), "/anything", true),
            (prefix("/V1"), "/v1", false),
            (PathMatch::Exact("/v1/x".into()), "/v1/x", true),
            (PathMatch::Exact("/v1/x".into()), "/v1/x/", false),
        ] {
            assert_eq!(path_matches(&wanted, path), expected, "{wanted:?} {path}");
        }
    }

    #[test]
    fn a_models_name_in_an_error_is_cut_short() {
        let error = model_not_found(&"ü".repeat(10_000));
        assert!(error.body("r").message.len() < 700);
    }
}
