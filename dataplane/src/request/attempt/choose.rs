//! Who is asked: a backend by weight, the model as it calls it, a key in its turn. No I/O.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rand::Rng;
use smallvec::SmallVec;
use tokio_util::sync::CancellationToken;

use super::course::bit;
use crate::request::error::{RequestError, Result};
use crate::request::matching::model_not_found;
use crate::store::Pattern;
use crate::store::view::{
    BackendView, Halt, KeyView, ModelView, ProviderView, RuleView, Unusable, UpstreamView,
};
use crate::upstream::credentials::Signer;
use crate::upstream::{balance, keys};

/// A backend chosen, with the provider as it was then.
pub struct Candidate<'a> {
    pub backend: &'a BackendView,
    pub provider: Arc<ProviderView>,
    /// What the provider is asked for.
    pub upstream_model: Arc<str>,
    /// Cancelled when the provider is blocked.
    pub blocked: CancellationToken,
    key: Option<usize>,
}

impl Candidate<'_> {
    /// The provider, usable.
    pub fn upstream(&self) -> Result<&UpstreamView> {
        self.provider.state.as_ref().map_err(RequestError::from)
    }

    /// The key whose turn it is.
    pub fn key<'a>(&self, upstream: &'a UpstreamView) -> Option<&'a KeyView> {
        upstream.keys.get(self.key?)
    }

    /// What makes of that key what is sent; `None`: it is shown as it is.
    pub fn signer<'a>(&self, upstream: &'a UpstreamView) -> Option<&'a Signer> {
        self.key(upstream)?.signer.as_ref()
    }
}

/// The chances of each of the rule's backends: its weight, where it is of the lowest priority that
/// offers the model and was not tried (one bit each).
///
/// A faulty provider keeps its share, and answers it with 503: it loses its own traffic and no more.
/// A halted one has none: its share is the others'.
pub fn chances(rule: &RuleView, model: &str, tried: u64) -> SmallVec<[u32; 4]> {
    let weights = rule.backends.iter().enumerate().map(|(at, backend)| {
        let is_tried = tried & bit(at) != 0;
        match is_tried {
            true => 0,
            false => offer(backend, model).weight(backend),
        }
    });
    let mut chances: SmallVec<[u32; 4]> = weights.collect();
    let offering = rule.backends.iter().zip(&chances);
    let priorities = offering.filter_map(|(it, chance)| (*chance > 0).then_some(it.priority));
    if let Some(first) = priorities.min() {
        for (backend, chance) in rule.backends.iter().zip(&mut chances) {
            if backend.priority != first {
                *chance = 0;
            }
        }
    }
    chances
}

/// Chooses a backend by its chance; `None`: no one has any.
pub(super) fn pick(rule: &RuleView, model: &str, tried: u64, rng: &mut impl Rng) -> Option<usize> {
    balance::choose(chances(rule, model, tried).into_iter(), rng)
}

/// Takes a backend that was chosen.
///
/// Errors: 503 where it cannot be used, 404 where it does not offer the model.
pub fn candidate<'a>(backend: &'a BackendView, model: &Arc<str>) -> Result<Candidate<'a>> {
    if let Some(reason) = &backend.fault {
        return Err(RequestError::provider_unavailable(reason));
    }
    let blocked = backend.provider.runtime().attempt();
    let provider = backend
        .provider
        .load()
        .ok_or_else(|| RequestError::provider_unavailable("it does not exist"))?;
    let upstream = provider.state.as_ref().map_err(RequestError::from)?;
    if let Some(service) = &upstream.service
        && service.ready() == 0
    {
        return Err(RequestError::no_ready_endpoint(&service.name));
    }
    let asked = backend.model.as_ref().unwrap_or(model);
    let upstream_model =
        map_model(&upstream.models, asked).ok_or_else(|| model_not_found(model))?;
    let turn = &backend.provider.runtime().key_turn;
    let key = keys::next(turn, upstream.keys.len());
    Ok(Candidate {
        backend,
        provider,
        upstream_model,
        blocked,
        key,
    })
}

/// Whether some backend of the rule would be asked for this model.
pub fn is_offered(rule: &RuleView, model: &str) -> bool {
    let offers =
        |backend: &BackendView| backend.weight > 0 && offer(backend, model) == Offer::Model;
    rule.backends.iter().any(offers)
}

/// The longest total timeout over a rule's backends; `None`: some attempt may last for ever.
pub fn longest_total(rule: &RuleView) -> Option<Duration> {
    let mut longest = Duration::ZERO;
    for backend in &rule.backends {
        if let Some(provider) = backend.provider.load()
            && let Ok(upstream) = &provider.state
        {
            longest = longest.max(upstream.timeouts.total?);
        }
    }
    Some(longest)
}

/// What a backend makes of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It has it.
    Model,
    /// Nobody can say.
    Faulty,
    /// It has it, and its provider is taken out of use.
    Halted(Halt),
    /// Its provider does not grant it to the route's namespace.
    NotGranted,
    /// Its provider does not have it.
    NotOffered,
}

impl Offer {
    /// The chances of the backend, against those of the rule's others.
    pub fn weight(self, backend: &BackendView) -> u32 {
        match self {
            Offer::Model | Offer::Faulty => backend.weight,
            Offer::Halted(_) | Offer::NotGranted | Offer::NotOffered => 0,
        }
    }
}

/// Says what a backend makes of a model that a client asks for.
pub fn offer(backend: &BackendView, model: &str) -> Offer {
    if backend.fault.is_some() {
        return Offer::Faulty;
    }
    let asked = backend.model.as_deref().unwrap_or(model);
    if !backend.models.is_match(asked) {
        return Offer::NotGranted;
    }
    let Some(provider) = backend.provider.load() else {
        return Offer::Faulty;
    };
    let Some(models) = provider.models() else {
        return Offer::Faulty;
    };
    let is_known = models.is_empty() || find_model(models, asked).is_some();
    match &provider.state {
        _ if !is_known => Offer::NotOffered,
        Err(Unusable::Halted(halted)) => Offer::Halted(halted.halt),
        _ => Offer::Model,
    }
}

/// A plain name goes before the longest beginning (`gpt-4-*`), that before other patterns in their
/// order, and `*` comes last.
fn find_model<'a>(models: &'a [ModelView], asked: &str) -> Option<&'a ModelView> {
    let rank = |model: &ModelView| match &model.name {
        Pattern::Exact(_) => usize::MAX,
        Pattern::Prefix(prefix) if prefix.is_empty() => 0,
        Pattern::Prefix(prefix) => 1 + prefix.len(),
        Pattern::Glob(_) => 1,
    };
    let fitting = models.iter().filter(|model| model.name.is_match(asked));
    // The first of those that are equal.
    fitting.rev().max_by_key(|model| rank(model))
}

/// What the provider calls a model; `None`: it does not offer it.
fn map_model(models: &[ModelView], asked: &Arc<str>) -> Option<Arc<str>> {
    if models.is_empty() {
        return Some(asked.clone());
    }
    let model = find_model(models, asked)?;
    Some(
        model
            .upstream_model
            .clone()
            .unwrap_or_else(|| asked.clone()),
    )
}

/// Says why no backend has a chance.
pub fn nobody(rule: &RuleView, model: &str) -> RequestError {
    if rule.backends.iter().all(|backend| backend.weight == 0) {
        return RequestError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_backend",
            format!("rule {:?} has no backend with a weight", rule.name),
        );
    }
    let weighty = rule.backends.iter().filter(|backend| backend.weight > 0);
    let mut halts = weighty.filter_map(|backend| match offer(backend, model) {
        Offer::Halted(halt) => Some(halt),
        _ => None,
    });
    halts
        .next()
        .map_or_else(|| model_not_found(model), RequestError::provider_halted)
}

impl From<&Unusable> for RequestError {
    fn from(unusable: &Unusable) -> Self {
        match unusable {
            Unusable::Faulty(reason) => Self::provider_unavailable(reason),
            Unusable::Halted(halted) => Self::provider_halted(halted.halt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(pairs: &[(&str, Option<&str>)]) -> Vec<ModelView> {
        let model = |(name, upstream): &(&str, Option<&str>)| ModelView {
            name: Pattern::parse(name).unwrap(),
            upstream_model: upstream.map(Into::into),
        };
        pairs.iter().map(model).collect()
    }

    #[test]
    fn a_provider_without_models_takes_every_name() {
        assert_eq!(map_model(&[], &"m".into()).as_deref(), Some("m"));
    }

    #[test]
    fn a_plain_name_goes_before_the_longest_beginning_and_that_before_patterns() {
        let models = models(&[
            ("*", Some("any")),
            ("gpt-*", None),
            ("?pt-*", Some("pattern")),
            ("gpt-4*", Some("four")),
            ("gpt-4o", Some("omni")),
            ("[gm]*", Some("later")),
        ]);
        let mapped = |asked: &str| map_model(&models, &asked.into());
        assert_eq!(mapped("gpt-4o").as_deref(), Some("omni"));
        assert_eq!(mapped("gpt-4.1").as_deref(), Some("four"));
        assert_eq!(mapped("gpt-5").as_deref(), Some("gpt-5"));
        assert_eq!(mapped("opt-6").as_deref(), Some("pattern"));
        assert_eq!(mapped("mistral").as_deref(), Some("later"));
        assert_eq!(mapped("claude").as_deref(), Some("any"));
    }
}
