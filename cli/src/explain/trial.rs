//! Walks the steps of a request (`turnpike_dataplane::request`) over what a data plane would
//! hold, and notes what each of them says. Nothing is sent, and no counter is touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::Full;
use serde_json::json;
use turnpike_controller::compile;
use turnpike_controller::explain;
use turnpike_controller::source::{Kind, ObjectKey};
use turnpike_dataplane::Store;
use turnpike_dataplane::arrival::HostName;
use turnpike_dataplane::budget::Budget;
use turnpike_dataplane::request::admit::{
    Counted, LaidBy, Unselected, authorize, over, unselected,
};
use turnpike_dataplane::request::attempt::{
    self, Candidate, Offer, Order, candidate, chances, nobody, offer,
};
use turnpike_dataplane::request::authenticate::{Caller, authenticate, refuse_suspended};
use turnpike_dataplane::request::body_rules::Form;
use turnpike_dataplane::request::error::RequestError;
use turnpike_dataplane::request::life::find_domain;
use turnpike_dataplane::request::matching::{self, Facts, Matched, Unmet, unmet};
use turnpike_dataplane::request::models;
use turnpike_dataplane::request::routes::{Route, Routes};
use turnpike_dataplane::request::{operation, peek};
use turnpike_dataplane::store::Asker;
use turnpike_dataplane::store::view::{
    Amount, AuthenticationView, BackendView, Consumer, CounterPer, PathMatch, QuotaView, RuleView,
    SelectorView,
};
use turnpike_protocol::{Endpoint, Operation};
use turnpike_snapshot::credential::sha256;
use turnpike_snapshot::domain::{Domain, Template};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::{Name, Snapshot};

use super::Mistake;
use super::report::{
    self, Authorization, Backend, Claim, Explanation, Host, Issue, Limit, Quota, Refusal, Request,
    Rule, Service, Standing, Verdict,
};
use super::source::World;

/// The request in question.
pub(super) struct Question {
    pub(super) host: String,
    /// Without its query.
    pub(super) path: String,
    /// Empty: the request names none.
    pub(super) model: Arc<str>,
    pub(super) headers: HeaderMap,
    pub(super) identity: Identity,
}

/// How the caller shows who it is.
pub(super) enum Identity {
    /// As `Authorization` carries it.
    Key(HeaderValue),
    /// The name of a Consumer, without any proof.
    Consumer(String),
    Nobody,
}

/// What ends the walk.
enum End {
    Refused(RequestError),
    Mistake(Mistake),
}

impl From<RequestError> for End {
    fn from(error: RequestError) -> Self {
        End::Refused(error)
    }
}

/// Explains what would become of the request. `now` is in seconds since 1970.
///
/// Errors: [`Mistake`], for a consumer that does not exist.
pub(super) async fn explain(
    world: &World,
    question: &Question,
    now: i64,
) -> anyhow::Result<Explanation> {
    let mut trial = Trial::new(world, question);
    let ended = trial.walk(now).await;
    let mut told = trial.told;
    match ended {
        Ok(()) => {}
        Err(End::Refused(error)) => {
            told.verdict.is_carried = false;
            told.verdict.refusal = Some(refusal(&error));
        }
        Err(End::Mistake(mistake)) => return Err(mistake.into()),
    }
    told.issues = issues(world, &told, &trial.involved);
    Ok(told)
}

/// A walk under way.
struct Trial<'a> {
    world: &'a World,
    question: &'a Question,
    /// What the data plane would hold.
    store: Store,
    /// Every object that plays a part.
    involved: BTreeSet<ObjectKey>,
    told: Explanation,
}

impl<'a> Trial<'a> {
    fn new(world: &'a World, question: &'a Question) -> Self {
        let model = Some(&question.model).filter(|model| !model.is_empty());
        let told = Explanation {
            request: Request {
                method: method(&question.path).1,
                host: question.host.clone(),
                path: question.path.clone(),
                model: model.map(|model| model.to_string()),
            },
            host: Host::default(),
            caller: report::Caller {
                shown: match &question.identity {
                    Identity::Key(_) => "key",
                    Identity::Consumer(_) => "consumer",
                    Identity::Nobody => "nothing",
                },
                ..report::Caller::default()
            },
            routes: Vec::new(),
            authorization: None,
            backends: Vec::new(),
            quotas: Vec::new(),
            verdict: Verdict {
                is_carried: true,
                refusal: None,
                partly: None,
            },
            issues: Vec::new(),
            notes: world.notes.clone(),
        };
        Self {
            world,
            question,
            store: Store::with_snapshots(world.index.fleet_keys().to_vec(), Vec::new()),
            involved: BTreeSet::new(),
            told,
        }
    }

    /// The steps, in the order of the data plane's `life`.
    async fn walk(&mut self, now: i64) -> Result<(), End> {
        let question = self.question;
        let host = HostName::parse(&question.host);
        let domain = host.as_ref().ok().and_then(|host| self.load_domain(host));
        let view = find_domain(&self.store, host.as_ref(), Asker::Nobody).await?;
        let routes = Routes::of(view);
        let domain = domain.unwrap_or_else(|| Domain {
            namespace: routes.domain().namespace.to_string(),
            routes: Vec::new(),
            ..Domain::default()
        });
        self.told.notes.extend(client_rule(&domain));
        self.told.routes = routes
            .iter()
            .enumerate()
            .map(|(at, route)| unreached(route, &domain, at))
            .collect();
        routes.refuse_suspended()?;
        let operation = operation::recognise(&method(&question.path).0, &question.path)?;
        let caller = self.caller(&routes, now).await?;
        if let Some(answered) = self.answered_here(&operation, &routes, &caller) {
            return Ok(answered?);
        }
        let body = body(&operation, &question.model);
        let read = Full::new(body.clone());
        let charge = Budget::default().charge();
        let max_bytes = routes.max_body_bytes();
        let form = match operation.endpoint().is_form() {
            true => Form::of(&operation, &form_headers())?,
            false => Form::of(&operation, &question.headers)?,
        };
        let headers = &question.headers;
        let received = peek::read(read, headers, form, max_bytes, charge, |_| {}).await;
        let facts = Facts {
            path: &question.path,
            headers: &question.headers,
            model: &question.model,
        };
        self.judge_rules(&routes, &caller, facts);
        let mut received = received?;
        let matched = matching::find(&routes, &caller, facts)?;
        matched.route.refuse_suspended()?;
        let limited = received.limit(matched.route.max_body_bytes());
        let order = Order {
            operation: &operation,
            rule: matched.rule,
            model: &question.model,
            headers: &question.headers,
            body: received.into(),
            heartbeat: None,
        };
        let chosen = self.backends(&order);
        limited?;
        let authorized = matched
            .route
            .allow()
            .and_then(|allow| authorize(allow, matched.consumer.as_deref(), &question.model));
        self.told.authorization = Some(Authorization {
            route: matched.route.name().to_string(),
            rule: matched.rule.name.to_string(),
            consumer: matched.consumer.as_ref().map(|it| it.name.to_string()),
            refusal: authorized.as_ref().err().map(refusal),
        });
        authorized?;
        self.quotas(&routes, &matched);
        Ok(chosen?)
    }

    /// Has the store hold the domain as a data plane would.
    fn load_domain(&mut self, host: &HostName) -> Option<Domain> {
        let index = &self.world.index;
        let serving = explain::serving(index, host);
        let claims = explain::claims(index, host).into_iter();
        let claims = claims.map(|claim| {
            let key = ObjectKey {
                kind: Kind::AIRoute,
                name: claim.route.clone(),
            };
            self.involved.insert(key);
            claim_of(claim, serving.as_deref())
        });
        self.told.host.claims = claims.collect();
        let snapshots = explain::domain(index, host);
        let found = snapshots.iter().find_map(|(_, snapshot)| match snapshot {
            Snapshot::Domain(domain) => Some(domain.clone()),
            _ => None,
        });
        self.told.host.namespace = found.as_ref().map(|domain| domain.namespace.clone());
        self.told.host.served_by = serving;
        self.hold(snapshots);
        found
    }

    fn hold(&mut self, snapshots: Vec<(Name, Snapshot)>) {
        for (name, _) in &snapshots {
            let objects = compile::objects(&self.world.index, name);
            self.involved.extend(objects);
        }
        let refused = self.store.replace(snapshots).into_iter();
        let notes = refused.map(|words| format!("this build's data plane refuses {words}"));
        self.told.notes.extend(notes);
    }

    async fn caller(&mut self, routes: &Routes, now: i64) -> Result<Caller, End> {
        let caller = self.find_caller(routes, now).await;
        match &caller {
            Ok(Caller::Known(consumer)) => self.note_consumer(consumer),
            Ok(Caller::Keyless) => {
                self.told.caller.consumer = None;
                self.told.caller.groups.clear();
            }
            Err(End::Mistake(_)) => {}
            Err(End::Refused(error)) => self.told.caller.refusal = Some(refusal(error)),
        }
        caller
    }

    async fn find_caller(&mut self, routes: &Routes, now: i64) -> Result<Caller, End> {
        let namespace = routes.domain().namespace.clone();
        let mut headers = self.question.headers.clone();
        match &self.question.identity {
            Identity::Consumer(name) => {
                let name = ObjectName::new(&*namespace, name);
                let of = Name::Consumer(name.clone());
                self.hold(explain::with_references(&self.world.index, of));
                let consumer = self.store.consumer(&name);
                let consumer =
                    consumer.ok_or_else(|| End::Mistake(Mistake::NoConsumer(name.to_string())))?;
                self.note_consumer(&consumer);
                refuse_suspended(&consumer)?;
                return Ok(Caller::Known(consumer));
            }
            Identity::Key(header) => {
                headers.insert(AUTHORIZATION, header.clone());
            }
            Identity::Nobody => {}
        }
        // Keys may come in headers of any name that the data plane knows: each is looked up.
        for value in headers.values() {
            self.load_credential(&namespace, value);
        }
        let asker = Asker::Nobody;
        Ok(authenticate(&self.store, routes, &headers, asker, now).await?)
    }

    /// Has the store hold whose key it is, if it is anybody's.
    fn load_credential(&mut self, namespace: &str, value: &HeaderValue) {
        let bytes = value.as_bytes();
        let bearer = bytes.split_at_checked(7).map(|(_, key)| key.trim_ascii());
        for key in [Some(bytes.trim_ascii()), bearer].into_iter().flatten() {
            for fleet_key in self.world.index.fleet_keys() {
                let name = Name::Credential {
                    realm: namespace.to_owned(),
                    id: fleet_key.credential_id(&sha256(key)),
                };
                let snapshots = explain::with_references(&self.world.index, name);
                for (_, snapshot) in &snapshots {
                    if let Snapshot::Consumer(consumer) = snapshot {
                        self.note_consumer(consumer);
                    }
                }
                self.hold(snapshots);
            }
        }
    }

    fn note_consumer(&mut self, consumer: &Consumer) {
        self.told.caller.consumer = Some(consumer.name.to_string());
        self.told.caller.groups = consumer.groups.clone();
    }

    /// `None`: a provider is needed.
    fn answered_here(
        &mut self,
        operation: &Operation,
        routes: &Routes,
        caller: &Caller,
    ) -> Option<Result<(), RequestError>> {
        let question = models::Question {
            routes,
            caller,
            path: &self.question.path,
            headers: &self.question.headers,
        };
        let answer = match operation {
            Operation::Of(Endpoint::Models) => models::list(&question),
            Operation::Model { id } => models::describe(&question, id),
            Operation::Of(_) | Operation::Gemini { .. } => {
                return None;
            }
        };
        let note = "the gateway answers this itself, from the rules that the caller may use";
        self.told.notes.push(note.into());
        Some(answer.map(drop))
    }

    /// Says of every rule whether it matches, up to the first that does.
    fn judge_rules(&mut self, routes: &Routes, caller: &Caller, facts: Facts<'_>) {
        for (route, told) in routes.iter().zip(&mut self.told.routes) {
            let consumer = caller.on(route).ok().flatten();
            for (rule, told) in route.rules().zip(&mut told.rules) {
                let unmet = unmet(rule, facts, consumer.as_deref());
                if unmet.is_empty() {
                    told.standing = Standing::Matches;
                    return;
                }
                told.standing = Standing::DoesNotMatch;
                told.unmet = unmet.iter().map(|unmet| words(*unmet, facts)).collect();
            }
        }
    }

    /// Tells of the rule's backends. `Err`: what each request would be answered.
    fn backends(&mut self, order: &Order<'_>) -> Result<(), RequestError> {
        let RuleView { backends, .. } = order.rule;
        let offers: Vec<Offer> = backends.iter().map(|it| offer(it, order.model)).collect();
        let chances = chances(order.rule, order.model, 0);
        let total: u64 = chances.iter().copied().map(u64::from).sum();
        let mut refused = None;
        let mut is_carried = false;
        for ((backend, offer), &chance) in backends.iter().zip(&offers).zip(&chances) {
            let outcome = candidate(backend, order.model);
            let outcome = outcome.and_then(|candidate| encodable(order, candidate));
            let mut told = Backend {
                provider: backend.provider_name.to_string(),
                weight: backend.weight,
                priority: backend.priority,
                share: match total {
                    0 => 0.0,
                    total => f64::from(chance) * 100.0 / total as f64,
                },
                vendor: vendor(backend),
                service: service(backend),
                upstream_model: None,
                out: out(backend, *offer),
            };
            match outcome {
                Ok(model) => {
                    told.upstream_model = Some(model.to_string());
                    is_carried |= chance > 0;
                }
                Err(error) => {
                    told.out = told.out.or_else(|| Some(error.message().to_owned()));
                    if chance > 0 {
                        refused = Some(error);
                    }
                }
            }
            self.told.backends.push(told);
        }
        if total == 0 {
            return Err(nobody(order.rule, order.model));
        }
        match refused {
            Some(error) if is_carried => self.told.verdict.partly = Some(refusal(&error)),
            Some(error) => return Err(error),
            None => {}
        }
        Ok(())
    }

    fn quotas(&mut self, routes: &Routes, matched: &Matched<'_>) {
        let domain = routes.domain();
        let (Some(tenant), Some(fleet)) = (domain.tenant.load(), domain.fleet.load()) else {
            return;
        };
        let counted = Counted {
            namespace: &domain.namespace,
            route: matched.route.name(),
            consumer: matched.consumer.as_deref(),
            model: &self.question.model,
            estimate: 0,
            requests: 1,
        };
        for (quota, laid_by) in over(&tenant, &fleet) {
            let unmet = unselected(&quota.selector, &counted);
            let unmet = unmet.map(|unmet| unselected_words(&quota.selector, unmet));
            self.told.quotas.push(quota_of(&quota, laid_by, unmet));
        }
        let others = fleet.quotas.iter().filter(|it| !it.covers(&tenant.labels));
        for other in others {
            let labels = other.namespace_labels.iter();
            let labels: Vec<_> = labels
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let unmet = format!("the namespace lacks the label {}", labels.join(", "));
            if let Some(quota) = other.quota.load() {
                let told = quota_of(&quota, LaidBy::Fleet, Some(unmet));
                self.told.quotas.push(told);
            }
        }
    }
}

/// What a request must come by besides all that is tried here.
fn client_rule(domain: &Domain) -> Option<String> {
    let authorities: Vec<String> = domain
        .client_authorities
        .iter()
        .map(ToString::to_string)
        .collect();
    (!authorities.is_empty()).then(|| {
        format!(
            "this host is reached over TLS alone, by callers who show a certificate that a CA in \
             Secret {} has signed",
            authorities.join(" or ")
        )
    })
}

fn refusal(error: &RequestError) -> Refusal {
    Refusal {
        status: error.status().as_u16(),
        code: error.code().to_owned(),
        message: error.message().to_owned(),
    }
}

/// The method that the path takes: a caller who uses another is told so.
fn method(path: &str) -> (Method, &'static str) {
    match operation::recognise(&Method::GET, path) {
        Ok(_) => (Method::GET, "GET"),
        Err(_) => (Method::POST, "POST"),
    }
}

/// The shortest body that such a request may have.
fn body(operation: &Operation, model: &str) -> Bytes {
    let said = json!([{"role": "user", "content": "hello"}]);
    let parts = json!({"role": "user", "parts": [{"text": "hello"}]});
    let mut body = match operation.endpoint() {
        Endpoint::Embeddings | Endpoint::Responses | Endpoint::Moderations => {
            json!({"input": "hello"})
        }
        Endpoint::Completions | Endpoint::ImageGenerations => json!({"prompt": "hello"}),
        Endpoint::Speech => json!({"input": "hello", "voice": "alloy"}),
        Endpoint::Rerank => json!({"query": "hello", "documents": ["hello"]}),
        Endpoint::Messages | Endpoint::CountTokens => json!({"max_tokens": 1, "messages": said}),
        Endpoint::EmbedContent => json!({"content": parts}),
        Endpoint::BatchEmbedContents => json!({"requests": [{"content": parts}]}),
        Endpoint::GenerateContent
        | Endpoint::StreamGenerateContent
        | Endpoint::GeminiCountTokens => json!({"contents": [parts]}),
        endpoint if endpoint.is_form() => return form_body(model),
        _ => json!({"messages": said}),
    };
    if !model.is_empty() && operation.model().is_none() {
        body["model"] = model.into();
    }
    body.to_string().into()
}

const FORM_TYPE: &str = "multipart/form-data; boundary=explain";

fn form_headers() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(FORM_TYPE))])
}

fn form_body(model: &str) -> Bytes {
    let part = "--explain\r\ncontent-disposition: form-data; name=model\r\n\r\n";
    format!("{part}{model}\r\n--explain--\r\n").into()
}

fn claim_of(claim: explain::Claim, serving: Option<&str>) -> Claim {
    let is_serving = serving == Some(&*claim.hostname);
    let (standing, message) = match claim.fault {
        Some((reason, message)) => (reason, Some(message)),
        None if is_serving => ("Serves", None),
        None => ("GivesWay", None),
    };
    Claim {
        route: claim.route.to_string(),
        hostname: claim.hostname,
        standing,
        message,
    }
}

/// A route of which no rule was looked at yet. `domain` names the templates.
fn unreached(route: Route<'_>, domain: &Domain, at: usize) -> report::Route {
    let snapshot = domain.routes.get(at);
    let template = snapshot.and_then(|route| match &route.template {
        Some(Template::Rules(name)) => Some(Name::Rules(name.clone()).to_string()),
        Some(Template::Faulty { .. }) | None => None,
    });
    let own = snapshot.map_or(usize::MAX, |route| route.rules.len());
    let rules = route.rules().enumerate().map(|(at, rule)| Rule {
        name: rule.name.to_string(),
        from: template.clone().filter(|_| at >= own),
        standing: Standing::NotReached,
        unmet: Vec::new(),
    });
    report::Route {
        name: route.name().to_string(),
        authentication: match route.authentication() {
            AuthenticationView::Required => "Required".into(),
            AuthenticationView::Optional { anonymous: None } => "Optional".into(),
            AuthenticationView::Optional {
                anonymous: Some(slot),
            } => match slot.load() {
                Some(consumer) => format!("Optional as {}", consumer.name),
                None => "Optional as a consumer that does not exist".into(),
            },
        },
        rules: rules.collect(),
        fault: route.fault().map(str::to_owned),
        template,
    }
}

fn words(unmet: Unmet<'_>, facts: Facts<'_>) -> String {
    match unmet {
        Unmet::Path(PathMatch::Exact(path)) => format!("the path is not {path}"),
        Unmet::Path(PathMatch::Prefix(path)) => format!("the path is not {path} or below it"),
        Unmet::Model(globs) if facts.model.is_empty() => {
            format!("no model is named; it takes {globs}")
        }
        Unmet::Model(globs) => format!("the model is none of {globs}"),
        Unmet::Header(name, value) => {
            format!(
                "no header {name}: {}",
                String::from_utf8_lossy(value.as_bytes())
            )
        }
        Unmet::Groups(groups) => format!("the caller is in none of the groups {}", list(groups)),
    }
}

fn list(texts: &[Arc<str>]) -> String {
    texts.join(", ")
}

/// What the provider would be asked for, once the request is written in its protocol.
fn encodable(order: &Order<'_>, candidate: Candidate<'_>) -> Result<Arc<str>, RequestError> {
    if order.operation.endpoint() == Endpoint::Realtime {
        attempt::refuse_mute(candidate.upstream()?)?;
        return Ok(candidate.upstream_model);
    }
    let target = candidate.upstream()?.target(&candidate.upstream_model, 0);
    attempt::check(order, &target)?;
    Ok(candidate.upstream_model)
}

fn vendor(backend: &BackendView) -> Option<&'static str> {
    let provider = backend.provider.load()?;
    let upstream = provider.state.as_ref().ok()?;
    Some(upstream.vendor)
}

fn service(backend: &BackendView) -> Option<Service> {
    let provider = backend.provider.load()?;
    let service = provider.state.as_ref().ok()?.service.as_ref()?;
    Some(Service {
        name: service.name.to_string(),
        ready_endpoints: service.ready(),
    })
}

/// Why a backend is never chosen.
fn out(backend: &BackendView, offer: Offer) -> Option<String> {
    match offer {
        Offer::NotGranted => Some(format!(
            "its provider grants this namespace other models only: {}",
            backend.models
        )),
        Offer::NotOffered => Some("its provider does not offer the model".into()),
        Offer::Model | Offer::Faulty | Offer::Halted(_) if backend.weight == 0 => {
            Some("its weight is 0".into())
        }
        // What is wrong says whoever would ask it.
        Offer::Model | Offer::Faulty | Offer::Halted(_) => None,
    }
}

fn quota_of(quota: &QuotaView, laid_by: LaidBy, unmet: Option<String>) -> Quota {
    let limits = quota.limits.iter().map(|limit| {
        let (amount, unit) = match limit.amount {
            Amount::Tokens(tokens) => (tokens, "tokens"),
            Amount::Requests(requests) => (requests, "requests"),
        };
        Limit {
            name: limit.name.to_string(),
            amount,
            unit,
            window_seconds: limit.window.as_secs(),
        }
    });
    let per = quota.per.iter().map(|per| match per {
        CounterPer::Consumer => "consumer",
        CounterPer::Namespace => "namespace",
    });
    Quota {
        name: quota.name.to_string(),
        laid_by: match laid_by {
            LaidBy::Namespace => "namespace",
            LaidBy::Fleet => "fleet",
        },
        per: per.collect(),
        limits: limits.collect(),
        is_charged: unmet.is_none(),
        unmet,
    }
}

fn unselected_words(selector: &SelectorView, unmet: Unselected) -> String {
    let SelectorView {
        consumers,
        groups,
        routes,
        models,
    } = selector;
    match unmet {
        Unselected::Consumer => match (consumers.as_slice(), groups.as_slice()) {
            (names, []) => format!("the caller is none of {}", list(names)),
            ([], groups) => format!("the caller is in none of the groups {}", list(groups)),
            (names, groups) => format!(
                "the caller is none of {}, and in none of the groups {}",
                list(names),
                list(groups)
            ),
        },
        Unselected::Route => format!("the route is none of {}", list(routes)),
        Unselected::Model => format!("the model is none of {models}"),
    }
}

/// What is wrong with the objects that play a part, and with quotas of the namespace, which play
/// none for as long as it is.
fn issues(world: &World, told: &Explanation, involved: &BTreeSet<ObjectKey>) -> Vec<Issue> {
    let index = &world.index;
    let namespace = told.host.namespace.as_deref();
    let quotas = index.keys_with_status().filter(|key| {
        key.kind == Kind::TokenQuota && Some(key.name.namespace.as_str()) == namespace
    });
    let objects: BTreeSet<ObjectKey> = quotas.chain(involved.iter().cloned()).collect();
    let of = |object: ObjectKey| {
        let issues = compile::issues(index, &object).unwrap_or_default();
        issues.into_iter().map(move |issue| Issue {
            object: object.to_string(),
            reason: issue.reason,
            path: issue.path,
            message: issue.message,
        })
    };
    objects.into_iter().flat_map(of).collect()
}
