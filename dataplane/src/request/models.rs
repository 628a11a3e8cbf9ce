//! `GET /v1/models`: what this caller may use, answered here. No I/O.
//!
//! A name is listed if a request for it would find a rule, be authorized and
//! reach a provider: the same functions decide as for a real request. Names
//! come from where they stand plainly: rules, backends, providers' models.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::HeaderMap;
use turnpike_protocol::{ClientProtocol, model_object, models_list};

use super::admit::authorize;
use super::attempt::is_offered;
use super::authenticate::Caller;
use super::error::Result;
use super::matching::{self, Facts, model_not_found};
use super::routes::Routes;
use crate::store::view::RuleView;

/// Operations that a model may be for; the path of each decides which rules apply.
const USES: [&str; 12] = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/moderations",
    "/v1/rerank",
    "/v1/realtime",
];
/// Told by Anthropic's SDKs, and by no other.
const ANTHROPIC_VERSION: &str = "anthropic-version";
/// Names looked at for one list; beyond it a list helps nobody.
const MAX_NAMES: usize = 10_000;

/// Who asks, and under which prefix of the path.
pub struct Question<'a> {
    pub routes: &'a Routes,
    pub caller: &'a Caller,
    pub path: &'a str,
    pub headers: &'a HeaderMap,
}

/// Lists the models, sorted by name.
pub fn list(question: &Question<'_>) -> Result<Bytes> {
    question.must_be_known()?;
    let uses = question.uses();
    let mut names = plain_names(question.routes);
    names.retain(|name| question.may_use(&uses, name));
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(models_list(question.client(), &ids))
}

/// Describes one model; it may be one that is not listed but fits a pattern.
pub fn describe(question: &Question<'_>, id: &str) -> Result<Bytes> {
    question.must_be_known()?;
    if question.may_use(&question.uses(), id) {
        Ok(model_object(question.client(), id))
    } else {
        Err(model_not_found(id))
    }
}

impl Question<'_> {
    /// The protocol in whose shape the answer is: two have the same path.
    fn client(&self) -> ClientProtocol {
        match self.headers.contains_key(ANTHROPIC_VERSION) {
            true => ClientProtocol::Anthropic,
            false => ClientProtocol::of_path(self.path),
        }
    }

    /// Refuses a caller without a key where no route is open to one.
    fn must_be_known(&self) -> Result<()> {
        let mut refused = None;
        for route in self.routes.iter() {
            match self.caller.on(route) {
                Ok(_) => return Ok(()),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// The paths by which a model could be used, under the prefix of this request.
    fn uses(&self) -> [String; USES.len()] {
        let found = ["/v1/models", "/v1beta/models"].map(|path| self.path.find(path));
        let at = found.into_iter().flatten().next().unwrap_or(0);
        USES.map(|usage| format!("{}{usage}", &self.path[..at]))
    }

    fn may_use(&self, uses: &[String], model: &str) -> bool {
        uses.iter().any(|path| {
            let facts = Facts {
                path,
                headers: self.headers,
                model,
            };
            let Ok(matched) = matching::find(self.routes, self.caller, facts) else {
                return false;
            };
            if matched.route.refuse_suspended().is_err() {
                return false;
            }
            let allow = matched.route.allow();
            allow.is_ok_and(|allow| authorize(allow, matched.consumer.as_deref(), model).is_ok())
                && is_offered(matched.rule, model)
        })
    }
}

fn plain_names(routes: &Routes) -> BTreeSet<String> {
    let rules = routes.iter().flat_map(|route| route.rules());
    let mut names = BTreeSet::new();
    for rule in rules {
        add_names(rule, &mut names);
        if names.len() >= MAX_NAMES {
            break;
        }
    }
    names
}

fn add_names(rule: &RuleView, names: &mut BTreeSet<String>) {
    let said = rule.matches.iter().flat_map(|one| one.models.exact_names());
    names.extend(said.map(str::to_owned));
    for backend in &rule.backends {
        names.extend(backend.model.as_deref().map(str::to_owned));
        if let Some(provider) = backend.provider.load()
            && let Some(models) = provider.models()
        {
            let plain = models.iter().filter_map(|model| model.name.as_exact());
            names.extend(plain.map(str::to_owned));
        }
    }
}
