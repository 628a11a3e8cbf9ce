//! A provider: where to send, what is spoken there, and with which keys.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::uri::{self, Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Uri};
use turnpike_protocol::vendor::{
    self, At, Auth, Preset, Quirks, ReasoningField, Transport, WireProtocol,
};
use turnpike_protocol::{Endpoint, Endpoints, OnUnsupported, Target, vertex};
use turnpike_snapshot::provider::{
    Cloud, Halt, Halted, KeyHeader, KeySecret, Manner, Model, Provider, ProviderKey, ProviderKind,
    Service, Timeouts, Upstream, UpstreamTls,
};

use super::{CompileError, EndpointsSlot};
use crate::store::glob::Pattern;
use crate::store::tables::Tables;
use crate::upstream::credentials::Signer;
use crate::upstream::{Endpoint as Pod, Way};

const BEDROCK: &str = "Bedrock";
const VERTEX: &str = "VertexAI";

/// A provider, usable or not.
#[derive(Debug)]
pub struct ProviderView {
    /// `Err`: why no new request is sent to it.
    pub state: Result<UpstreamView, Unusable>,
}

/// Why no new request is sent to a provider.
#[derive(Debug)]
pub enum Unusable {
    /// It cannot be used, for this reason, in words for whoever wrote the resource.
    Faulty(Arc<str>),
    /// It shall not be used.
    Halted(HaltedView),
}

/// A provider taken out of use by whoever runs it.
#[derive(Debug)]
pub struct HaltedView {
    /// What becomes of the requests under way.
    pub halt: Halt,
    /// What it would offer; empty: every model.
    pub models: Vec<ModelView>,
}

/// A usable provider.
#[derive(Debug)]
pub struct UpstreamView {
    /// The vendor's name, or the protocol's: one of a few, fit for a label.
    pub vendor: &'static str,
    /// What it speaks.
    pub protocol: WireProtocol,
    /// Over the network, or in this process.
    pub transport: Transport,
    /// How it is shown a key.
    pub auth: Auth,
    /// The endpoints that it takes as clients send them.
    pub natives: Endpoints,
    /// How it is spoken to.
    pub manner: MannerView,
    /// Where it is; `None` only for those in this process.
    pub base_url: Option<BaseUrl>,
    /// Who serves it there, where that is a Service of the cluster.
    pub service: Option<ServiceView>,
    /// How connections to it are made; `None`: as to everybody.
    pub way: Option<Arc<Way>>,
    /// Used in turn; empty: requests carry no key.
    pub keys: Vec<KeyView>,
    /// Empty: every model name is passed on as it is.
    pub models: Vec<ModelView>,
    /// How long each part of an attempt may take.
    pub timeouts: TimeoutsView,
    /// Where in a vendor's cloud.
    pub cloud: Option<Box<Cloud>>,
}

/// How a provider is spoken to.
#[derive(Debug)]
pub struct MannerView {
    quirks: Quirks,
    on_unsupported: OnUnsupported,
    /// Where endpoints are, as the resource says.
    paths: Vec<(Endpoint, Box<str>)>,
    /// Where the vendor has them.
    vendors: &'static [(Endpoint, At)],
    azure: Option<AzureView>,
}

/// Azure's ways.
#[derive(Debug)]
struct AzureView {
    /// `None`: the API without versions.
    api_version: Option<Box<str>>,
}

/// A Service whose endpoints are asked in place of the base URL's host.
#[derive(Debug)]
pub struct ServiceView {
    /// `namespace/name`.
    pub name: Arc<str>,
    /// What each of them is told it is: the Service's name in the cluster, and its port.
    pub host: HeaderValue,
    /// Empty until they are known.
    pub endpoints: Arc<EndpointsSlot>,
}

/// Those behind a port of a Service that take requests, in the order of their addresses.
#[derive(Debug)]
pub struct EndpointsView(pub Vec<Arc<Pod>>);

/// A base URL, as the vendor's own SDK takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: Authority,
    /// Begins with `/` and does not end with one; empty for the root.
    pub path_prefix: Arc<str>,
}

/// A key, ready to be sent.
#[derive(Clone)]
pub struct KeyView {
    /// Names it in logs and metrics; not secret.
    pub name: Arc<str>,
    /// The header that carries it, marked sensitive; `None`: this provider takes no key, or is sent
    /// signatures.
    pub header: Option<(HeaderName, HeaderValue)>,
    /// What makes of each request what proves who sends it, in place of a header.
    pub signer: Option<Signer>,
}

/// A model that the provider offers.
#[derive(Debug)]
pub struct ModelView {
    /// What clients and routes say.
    pub name: Pattern,
    /// What the provider is asked for; `None`: the name that was said.
    pub upstream_model: Option<Arc<str>>,
}

/// How long each part of an attempt may take; `None`: no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutsView {
    /// To connect, TLS included.
    pub connect: Option<Duration>,
    /// From the request sent to the first content of the answer.
    pub first_token: Option<Duration>,
    /// Between two pieces of an answer.
    pub idle: Option<Duration>,
    /// The whole attempt.
    pub total: Option<Duration>,
}

impl ProviderView {
    pub(crate) fn compile(provider: &Provider, tables: &Tables) -> Result<Self, CompileError> {
        let state = match provider {
            Provider::Upstream(upstream) => Ok(UpstreamView::compile(upstream, tables)?),
            Provider::Halted(halted) => Err(Unusable::Halted(HaltedView::compile(halted)?)),
            Provider::Faulty { reason, .. } => Err(Unusable::Faulty(reason.as_str().into())),
        };
        Ok(Self { state })
    }

    /// Whether what it is answering must end.
    pub(crate) fn is_blocked(&self) -> bool {
        matches!(&self.state, Err(Unusable::Halted(halted)) if halted.halt == Halt::Blocked)
    }

    /// The models on offer, were it in use; empty: every model. `None`: nobody can say.
    pub fn models(&self) -> Option<&[ModelView]> {
        match &self.state {
            Ok(upstream) => Some(&upstream.models),
            Err(Unusable::Halted(halted)) => Some(&halted.models),
            Err(Unusable::Faulty(_)) => None,
        }
    }
}

impl HaltedView {
    fn compile(halted: &Halted) -> Result<Self, CompileError> {
        let models = halted.models.iter().map(ModelView::compile);
        Ok(Self {
            halt: halted.halt,
            models: models.collect::<Result<_, _>>()?,
        })
    }
}

/// What is spoken, and how, before the resource says where.
struct Speech {
    vendor: &'static str,
    protocol: WireProtocol,
    transport: Transport,
    auth: Auth,
    base_url: Option<&'static str>,
    natives: Endpoints,
    quirks: Quirks,
    paths: &'static [(Endpoint, At)],
}

impl UpstreamView {
    /// What a request is encoded for. `created`: seconds since 1970.
    pub fn target<'a>(&self, upstream_model: &'a str, created: u64) -> Target<'a> {
        let usual = Target {
            protocol: self.protocol,
            natives: self.natives,
            quirks: self.manner.quirks,
            on_unsupported: self.manner.on_unsupported,
            upstream_model,
            created,
            anthropic_version: None,
        };
        match self.vertex() {
            Some(_) => Target {
                on_unsupported: self.manner.on_unsupported,
                ..vertex::target(upstream_model, created)
            },
            None => usual,
        }
    }

    /// Where it has an endpoint; `None`: nowhere.
    pub fn uri(&self, endpoint: Endpoint, model: &str, is_streaming: bool) -> Option<Uri> {
        let base = self.base_url.as_ref()?;
        let said = self.manner.paths.iter().find(|(one, _)| *one == endpoint);
        if let Some((_, path)) = said {
            return base.join(&At::with(path, model)).ok();
        }
        if let Some(place) = self.vertex() {
            let path = vertex::path(&place, model, endpoint, is_streaming)?;
            return base.join(&path).ok();
        }
        let vendors = self.manner.vendors.iter().find(|(one, _)| *one == endpoint);
        if let Some((_, at)) = vendors {
            return match at {
                At::Base(path) => base.join(&At::with(path, model)).ok(),
                At::Host(path) => base.at_host(&At::with(path, model)).ok(),
            };
        }
        let path = vendor::path(self.protocol, endpoint, model, is_streaming);
        match &self.manner.azure {
            Some(azure) => azure.uri(base, &path, model),
            None => base.join(&path).ok(),
        }
    }

    /// Where in Vertex AI; `None`: it is elsewhere.
    pub fn vertex(&self) -> Option<vertex::Place<'_>> {
        match self.cloud.as_deref()? {
            Cloud::Gcp { project, location } if self.vendor == VERTEX => Some(vertex::Place {
                project: project.as_deref(),
                location,
            }),
            _ => None,
        }
    }

    fn compile(upstream: &Upstream, tables: &Tables) -> Result<Self, CompileError> {
        let speech = Speech::of(&upstream.kind)?;
        let service = upstream.service.as_deref();
        let service = service.filter(|_| speech.transport == Transport::Http);
        let url = match service {
            Some(service) => Some(service_url(service, speech.protocol)),
            None => upstream.url.clone().or_else(|| cloud_url(upstream)),
        };
        let manner = upstream.manner.as_deref();
        let base_url = base_url(&speech, url.as_deref())?;
        let said = manner.map(|manner| &manner.paths[..]).unwrap_or_default();
        let paths: Vec<(Endpoint, Box<str>)> = said
            .iter()
            .filter_map(|(name, path)| Some((Endpoint::named(name)?, path.as_str().into())))
            .collect();
        let more: Vec<Endpoint> = paths.iter().map(|(endpoint, _)| *endpoint).collect();
        let service = service.zip(base_url.as_ref());
        let service = service.map(|(service, url)| ServiceView::new(service, url, tables));
        Ok(Self {
            service: service.transpose()?,
            base_url,
            way: tables
                .ways
                .find(upstream.tls.as_deref(), upstream.egress_proxy.as_deref())?,
            keys: keys(upstream, speech.auth, manner, tables)?,
            cloud: upstream.cloud.clone(),
            models: upstream
                .models
                .iter()
                .map(ModelView::compile)
                .collect::<Result<_, _>>()?,
            timeouts: TimeoutsView::from(upstream.timeouts),
            vendor: speech.vendor,
            protocol: speech.protocol,
            transport: speech.transport,
            auth: speech.auth,
            natives: speech.natives.and(Endpoints::of(&more)),
            manner: MannerView {
                quirks: quirks(speech.quirks, manner),
                on_unsupported: match manner.is_some_and(|manner| manner.drops_unsupported) {
                    true => OnUnsupported::Drop,
                    false => OnUnsupported::Reject,
                },
                paths,
                vendors: speech.paths,
                azure: (speech.vendor == "AzureOpenAI").then(|| AzureView {
                    api_version: manner
                        .and_then(|manner| manner.azure_api_version.as_deref())
                        .map(Into::into),
                }),
            },
        })
    }
}

/// What the vendor has, changed by what the resource says.
fn quirks(usual: Quirks, manner: Option<&Manner>) -> Quirks {
    let Some(said) = manner.map(|manner| &manner.quirks) else {
        return usual;
    };
    Quirks {
        developer_role: said.developer_role.unwrap_or(usual.developer_role),
        stream_options: said.stream_options.unwrap_or(usual.stream_options),
        json_schema: said.json_schema.unwrap_or(usual.json_schema),
        parallel_tool_calls: said
            .parallel_tool_calls
            .unwrap_or(usual.parallel_tool_calls),
        max_completion_tokens: said
            .max_completion_tokens
            .unwrap_or(usual.max_completion_tokens),
        reasoning: match said.reasoning.as_deref() {
            Some("Effort") => ReasoningField::Effort,
            Some("Object") => ReasoningField::Object,
            Some("ThinkingType") => ReasoningField::ThinkingType,
            Some("EnableThinking") => ReasoningField::EnableThinking,
            Some("None") => ReasoningField::None,
            _ => usual.reasoning,
        },
    }
}

impl AzureView {
    /// The three shapes of a URL: of one call, used as it is; of a deployment; of a resource, where the
    /// model names the deployment. Without a version there is one place for all.
    ///
    /// Source: learn.microsoft.com, "Azure OpenAI REST API reference", "API version lifecycle".
    fn uri(&self, base: &BaseUrl, path: &str, model: &str) -> Option<Uri> {
        const DEPLOYMENTS: &str = "/openai/deployments/";
        let prefix = &*base.path_prefix;
        let Some(version) = &self.api_version else {
            return match prefix.ends_with("/openai/v1") {
                true => base.join(path).ok(),
                false => base.join(&format!("/openai/v1{path}")).ok(),
            };
        };
        let version = format!("?api-version={version}");
        match prefix.split_once(DEPLOYMENTS) {
            // One call: whatever it is, it is what was meant.
            Some((_, rest)) if rest.contains('/') => base.join(&version).ok(),
            Some(_) => base.join(&format!("{path}{version}")).ok(),
            None => {
                let deployment = vendor::segment(model);
                base.join(&format!("{DEPLOYMENTS}{deployment}{path}{version}"))
                    .ok()
            }
        }
    }
}

/// Where a vendor in a cloud is reached unless told otherwise.
///
/// Source: docs.aws.amazon.com, "Amazon Bedrock endpoints and quotas"; cloud.google.com, Vertex AI, "REST
/// reference".
fn cloud_url(upstream: &Upstream) -> Option<String> {
    let ProviderKind::Vendor(vendor) = &upstream.kind else {
        return None;
    };
    match (upstream.cloud.as_deref()?, vendor.as_str()) {
        (Cloud::Aws { region }, BEDROCK) => {
            let domain = match region.starts_with("cn-") {
                true => "amazonaws.com.cn",
                false => "amazonaws.com",
            };
            Some(format!("https://bedrock-runtime.{region}.{domain}"))
        }
        (Cloud::Gcp { project, location }, VERTEX) => {
            let host = vertex::host(&vertex::Place {
                project: project.as_deref(),
                location,
            });
            Some(format!("https://{host}"))
        }
        _ => None,
    }
}

/// Tokens are asked for through the same proxy, and of whom the same CAs vouch for; what else is said of
/// connections is about the provider alone.
fn keys(
    upstream: &Upstream,
    auth: Auth,
    manner: Option<&Manner>,
    tables: &Tables,
) -> Result<Vec<KeyView>, CompileError> {
    let said = manner.and_then(|manner| manner.key_header.as_ref());
    let tls = upstream.tls.as_deref().map(|tls| UpstreamTls {
        authorities: tls.authorities.clone(),
        ..UpstreamTls::default()
    });
    let tls = tls.filter(|tls| !tls.authorities.is_empty());
    let proxy = upstream.egress_proxy.as_deref();
    let way = tables.ways.find(tls.as_ref(), proxy)?;
    let region = match upstream.cloud.as_deref() {
        Some(Cloud::Aws { region }) => Some(region.as_str()),
        _ => None,
    };
    let auth = match upstream.cloud.as_deref() {
        // Vertex AI's express mode.
        Some(Cloud::Gcp { .. }) if auth != Auth::None => Auth::XGoogApiKey,
        _ => auth,
    };
    let keys = upstream.keys.iter().map(|key| {
        let signer = Signer::of(&key.secret, region, way.as_ref(), &tables.tokens);
        let wrong = |fault| CompileError::Credential(key.name.clone(), fault);
        KeyView::compile(key, auth, said, signer.map_err(wrong)?)
    });
    keys.collect()
}

/// A Service under its name in the cluster.
///
/// Source: Kubernetes, "DNS for Services and Pods".
fn service_url(service: &Service, protocol: WireProtocol) -> String {
    let name = &service.port.service;
    let path = service.path.as_deref().unwrap_or(protocol.default_path());
    let port = service.port.port;
    format!("http://{}.{}.svc:{port}{path}", name.name, name.namespace)
}

impl ServiceView {
    fn new(service: &Service, url: &BaseUrl, tables: &Tables) -> Result<Self, CompileError> {
        let wrong = |_| CompileError::Header(url.authority.to_string());
        Ok(Self {
            name: service.port.service.to_string().into(),
            host: HeaderValue::from_str(url.authority.as_str()).map_err(wrong)?,
            endpoints: tables.endpoints.slot(&service.port),
        })
    }

    /// How many take requests.
    pub fn ready(&self) -> usize {
        self.endpoints.load().map_or(0, |view| view.0.len())
    }
}

impl Speech {
    fn of(kind: &ProviderKind) -> Result<Self, CompileError> {
        match kind {
            ProviderKind::Vendor(name) => vendor::preset(name)
                .map(Self::of_preset)
                .ok_or_else(|| CompileError::UnknownVendor(name.clone())),
            ProviderKind::Protocol(name) => name
                .parse()
                .map(Self::of_protocol)
                .map_err(|_| CompileError::UnknownProtocol(name.clone())),
        }
    }

    fn of_preset(preset: &'static Preset) -> Self {
        Self {
            vendor: preset.name,
            protocol: preset.protocol,
            transport: preset.transport,
            auth: preset.auth,
            base_url: preset.base_url,
            natives: preset.natives(),
            quirks: preset.quirks,
            paths: preset.paths,
        }
    }

    fn of_protocol(protocol: WireProtocol) -> Self {
        Self {
            vendor: protocol.as_str(),
            protocol,
            transport: Transport::Http,
            auth: protocol.default_auth(),
            base_url: None,
            natives: protocol.natives(),
            // A server that says what it speaks is taken at its word.
            quirks: Quirks::OPENAI,
            paths: &[],
        }
    }
}

fn base_url(speech: &Speech, url: Option<&str>) -> Result<Option<BaseUrl>, CompileError> {
    match speech.transport {
        Transport::Echo => Ok(None),
        Transport::Http => {
            let url = url.or(speech.base_url).ok_or(CompileError::MissingUrl)?;
            BaseUrl::parse(url).map(Some)
        }
    }
}

impl BaseUrl {
    /// Reads `http[s]://host[:port][/path]`.
    pub fn parse(url: &str) -> Result<Self, CompileError> {
        let wrong = |fault| CompileError::Url {
            url: without_user(url),
            fault,
        };
        let uri: Uri = url.parse().map_err(|_| wrong("not a URL"))?;
        let parts = uri.into_parts();
        let scheme = parts
            .scheme
            .filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme))
            .ok_or_else(|| wrong("it must begin with http:// or https://"))?;
        let authority = parts.authority.ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("user information is not allowed; use credentials"));
        }
        if authority.host().is_empty() {
            return Err(wrong("it names no host"));
        }
        let path = parts
            .path_and_query
            .unwrap_or(PathAndQuery::from_static("/"));
        if path.query().is_some() {
            return Err(wrong("a query is not allowed"));
        }
        Ok(Self {
            scheme,
            authority,
            path_prefix: path.path().trim_end_matches('/').into(),
        })
    }

    /// Appends a path that begins with `/`.
    pub fn join(&self, path: &str) -> Result<Uri, http::Error> {
        self.at_host(&[&self.path_prefix, path].concat())
    }

    /// The same host at another path.
    fn at_host(&self, path: &str) -> Result<Uri, http::Error> {
        let whole = Bytes::copy_from_slice(path.as_bytes());
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::from_maybe_shared(whole)?);
        Ok(Uri::from_parts(parts)?)
    }
}

/// Cuts what may be a password out of a URL that is going to be shown.
fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let start = rest[..end].rfind('@').map_or(0, |at| at + 1);
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{}", &rest[start..])
}

impl KeyView {
    fn compile(
        key: &ProviderKey,
        auth: Auth,
        said: Option<&KeyHeader>,
        signer: Option<Signer>,
    ) -> Result<Self, CompileError> {
        let header = match (&key.secret, said) {
            (KeySecret::Plain(secret), None) => shown(secret, auth),
            (KeySecret::Plain(secret), Some(said)) => Some(said_header(said, secret)?),
            _ => None,
        };
        Ok(Self {
            name: key.name.as_str().into(),
            header: header
                .map(|(name, value)| sensitive(&value, &key.name).map(|value| (name, value)))
                .transpose()?,
            signer,
        })
    }
}

/// The header that shows a key as it is.
fn shown(secret: &str, auth: Auth) -> Option<(HeaderName, String)> {
    let of = |name| (HeaderName::from_static(name), secret.to_owned());
    match auth {
        Auth::Bearer | Auth::Aws => Some((AUTHORIZATION, format!("Bearer {secret}"))),
        Auth::Raw => Some((AUTHORIZATION, secret.to_owned())),
        Auth::XApiKey => Some(of("x-api-key")),
        Auth::ApiKey => Some(of("api-key")),
        Auth::XGoogApiKey => Some(of("x-goog-api-key")),
        Auth::None => None,
    }
}

/// The header that the resource names.
fn said_header(said: &KeyHeader, secret: &str) -> Result<(HeaderName, String), CompileError> {
    let name = HeaderName::try_from(&said.name);
    let name = name.map_err(|_| CompileError::Header(said.name.clone()))?;
    let value = match &said.scheme {
        Some(scheme) => format!("{scheme} {secret}"),
        None => secret.to_owned(),
    };
    Ok((name, value))
}

fn sensitive(value: &str, key_name: &str) -> Result<HeaderValue, CompileError> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| CompileError::Key(key_name.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

impl std::fmt::Debug for KeyView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyView")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl ModelView {
    fn compile(model: &Model) -> Result<Self, CompileError> {
        Ok(Self {
            name: Pattern::parse(&model.name)?,
            upstream_model: model.upstream_model.as_deref().map(Into::into),
        })
    }
}

impl From<Timeouts> for TimeoutsView {
    fn from(timeouts: Timeouts) -> Self {
        let bound = |duration: Duration| (!duration.is_zero()).then_some(duration);
        Self {
            connect: bound(timeouts.connect),
            first_token: bound(timeouts.first_token),
            idle: bound(timeouts.idle),
            total: bound(timeouts.total),
        }
    }
}

#[cfg(test)]
mod tests;
