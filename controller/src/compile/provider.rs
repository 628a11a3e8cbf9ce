//! AIProviders: address, keys and models, self-contained but for the endpoints of a Service.
//!
//! Keys that cannot be had are left out while one is left; without any the
//! provider is faulty, and so it is when its URL is none, its Service has no such
//! port, what connections are to be made with cannot be had, or what it says of
//! its models is no glob. One that is drained or blocked
//! is that before all, whatever else is wrong with it, and its keys stay here.

use hyper::Uri;
use turnpike_crds::AIProviderSpec;
use turnpike_crds::ai_provider::{OnUnsupported, ProviderCredential, ProviderModel, ProviderState};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::provider::{
    Halt, Halted, KeyHeader, Manner, Model, Provider, ProviderKey, ProviderKind, Quirks, Service,
    Timeouts, Upstream,
};

use crate::compile::finding::{Finding, Issue, Subject, joined};
use crate::compile::reference::{glob_issue, glob_issues, secret_issue};
use crate::compile::{cloud, connection, endpoints};
use crate::glob;
use crate::index::Index;
use crate::index::secrets::SecretFault;

pub(crate) fn compile(index: &Index, name: &ObjectName) -> Option<Provider> {
    let spec = &index.providers.get(name)?.spec;
    if let Some(halt) = halt(spec.state) {
        let models = spec.models.iter();
        let models = models.filter(|model| glob::fault(&model.name).is_none());
        return Some(Provider::Halted(Halted {
            halt,
            models: models.map(model).collect(),
        }));
    }
    let (keys, key_issues) = keys(index, name, spec);
    let spec_issues = spec_issues(spec);
    if !spec_issues.is_empty() {
        return Some(faulty(name, &spec_issues));
    }
    if keys.is_empty() && !spec.credentials.is_empty() {
        return Some(faulty(name, &key_issues));
    }
    let service = match service(index, name, spec) {
        Ok(service) => service,
        Err(issue) => return Some(faulty(name, &[issue])),
    };
    let Some(kind) = kind(spec) else {
        let reason = format!("AIProvider {name}: spec names neither vendor nor protocol");
        return Some(Provider::Faulty {
            reason,
            keeps_previous: false,
        });
    };
    let connection = match connection::read(index, name, spec) {
        Ok(connection) => connection,
        Err(fault) => {
            return Some(Provider::Faulty {
                reason: words(name, &fault.issues),
                keeps_previous: fault.keeps_previous,
            });
        }
    };
    Some(Provider::Upstream(Upstream {
        kind,
        url: spec.url.clone(),
        service,
        tls: connection.tls,
        egress_proxy: connection.egress_proxy,
        manner: manner(spec),
        cloud: cloud::place(spec),
        keys,
        models: spec.models.iter().map(model).collect(),
        timeouts: Timeouts {
            connect: spec.timeouts.connect.0,
            first_token: spec.timeouts.first_token.0,
            idle: spec.timeouts.idle.0,
            total: spec.timeouts.total.0,
        },
    }))
}

pub(crate) fn issues(index: &Index, name: &ObjectName) -> Option<Vec<Issue>> {
    let spec = &index.providers.get(name)?.spec;
    let mut issues = spec_issues(spec);
    issues.extend(grant_issues(spec));
    issues.extend(service(index, name, spec).err());
    issues.extend(keys(index, name, spec).1);
    let unconnectable = connection::read(index, name, spec).err();
    issues.extend(unconnectable.into_iter().flat_map(|fault| fault.issues));
    Some(issues)
}

/// Says that somebody took the provider out of use; `None`: nobody did.
pub(crate) fn halted(index: &Index, name: &ObjectName) -> Option<Finding> {
    let halt = halt(index.providers.get(name)?.spec.state)?;
    let (reason, message) = match halt {
        Halt::Drain => (
            "Draining",
            "spec.state is Drain: no new requests are sent to it; those under way go on",
        ),
        Halt::Blocked => (
            "Blocked",
            "spec.state is Blocked: no requests are sent to it, and those under way were ended",
        ),
    };
    Some(Finding {
        is_true: false,
        reason,
        message: message.to_owned(),
    })
}

fn faulty(name: &ObjectName, issues: &[Issue]) -> Provider {
    Provider::Faulty {
        reason: words(name, issues),
        keeps_previous: false,
    }
}

fn words(name: &ObjectName, issues: &[Issue]) -> String {
    let issues: Vec<&Issue> = issues.iter().collect();
    format!("AIProvider {name}: {}", joined(&issues))
}

fn kind(spec: &AIProviderSpec) -> Option<ProviderKind> {
    let vendor = spec.vendor.map(|vendor| vendor.as_str().to_owned());
    let protocol = spec.protocol.map(|protocol| protocol.as_str().to_owned());
    vendor
        .map(ProviderKind::Vendor)
        .or(protocol.map(ProviderKind::Protocol))
}

/// `None`: nothing is said of it.
fn manner(spec: &AIProviderSpec) -> Option<Box<Manner>> {
    let quirks = spec.quirks.clone().unwrap_or_default();
    let paths = spec.paths.iter();
    let manner = Manner {
        drops_unsupported: spec.on_unsupported == OnUnsupported::Drop,
        key_header: spec.key_header.as_ref().map(|header| KeyHeader {
            name: header.header.to_ascii_lowercase(),
            scheme: header.scheme.clone(),
        }),
        paths: paths
            .map(|path| (path.endpoint.as_str().to_owned(), path.path.clone()))
            .collect(),
        quirks: Quirks {
            developer_role: quirks.developer_role,
            stream_options: quirks.stream_options,
            json_schema: quirks.json_schema,
            parallel_tool_calls: quirks.parallel_tool_calls,
            max_completion_tokens: quirks.max_completion_tokens,
            reasoning: quirks.reasoning.map(|field| field.as_str().to_owned()),
        },
        azure_api_version: spec.azure.as_ref().map(|azure| azure.api_version.clone()),
    };
    (manner != Manner::default()).then(|| Box::new(manner))
}

fn model(model: &ProviderModel) -> Model {
    Model {
        name: model.name.clone(),
        upstream_model: model.upstream_model.clone(),
    }
}

fn halt(state: ProviderState) -> Option<Halt> {
    match state {
        ProviderState::Active => None,
        ProviderState::Drain => Some(Halt::Drain),
        ProviderState::Blocked => Some(Halt::Blocked),
    }
}

fn service(
    index: &Index,
    name: &ObjectName,
    spec: &AIProviderSpec,
) -> Result<Option<Box<Service>>, Issue> {
    let Some(wanted) = &spec.service_ref else {
        return Ok(None);
    };
    let port = endpoints::resolve(index, &name.namespace, wanted)?;
    let path = wanted.path.clone();
    Ok(Some(Box::new(Service { port, path })))
}

/// What is wrong with the resource itself, besides what the schema refuses.
fn spec_issues(spec: &AIProviderSpec) -> Vec<Issue> {
    let url = spec.url.as_deref().and_then(url_fault).map(|fault| {
        let message = format!("{fault}; write it as in https://api.example.com:8443/v1");
        Issue::new(Subject::Accepted, "InvalidUrl", "spec.url", message)
    });
    let models = spec.models.iter().enumerate();
    let models = models.filter_map(|(at, model)| {
        let fault = glob::fault(&model.name)?;
        let path = format!("spec.models[{at}].name");
        Some(glob_issue(&path, &model.name, &fault))
    });
    let connection = connection::spec_issues(spec);
    let cloud = cloud::spec_issue(spec);
    let url = url.into_iter().chain(cloud);
    url.chain(connection).chain(models).collect()
}

/// A grant's glob that is none admits nothing; the provider itself is as good as before.
fn grant_issues(spec: &AIProviderSpec) -> impl Iterator<Item = Issue> {
    let grants = spec.grants.iter().enumerate();
    grants.flat_map(|(at, grant)| {
        let path = format!("spec.grants[{at}].models");
        glob_issues(&path, &grant.models).collect::<Vec<_>>()
    })
}

/// Tells what the schema's pattern lets pass and no connection can be made to.
fn url_fault(url: &str) -> Option<&'static str> {
    let Ok(uri) = url.parse::<Uri>() else {
        return Some("is no URL");
    };
    let authority = uri.authority()?;
    let port = authority.as_str().strip_prefix(authority.host())?;
    (!port.is_empty() && uri.port_u16().is_none()).then_some("its port is none of 1 to 65535")
}

/// Gives the keys that can be had, and an issue for each that cannot.
fn keys(index: &Index, name: &ObjectName, spec: &AIProviderSpec) -> (Vec<ProviderKey>, Vec<Issue>) {
    let mut keys = Vec::new();
    let mut issues = Vec::new();
    for (at, credential) in spec.credentials.iter().enumerate() {
        let path = format!("spec.credentials[{at}].secretRef");
        match cloud::key(index, &name.namespace, spec, credential) {
            Some(Ok(key)) => {
                keys.push(key);
                continue;
            }
            Some(Err(fault)) => {
                issues.push(fault.issue(index, &path));
                continue;
            }
            None => {}
        }
        for value in values(index, &name.namespace, credential) {
            match value.and_then(|(name, value)| readable(name, value)) {
                Ok(key) => keys.push(key),
                Err(fault) => issues.push(key_issue(index, &path, fault)),
            }
        }
    }
    (keys, issues)
}

fn key_issue(index: &Index, path: &str, fault: KeyFault) -> Issue {
    match fault {
        KeyFault::Secret(fault) => secret_issue(index, path, &fault),
        KeyFault::Unreadable(key) => Issue::new(
            Subject::ResolvedRefs,
            "InvalidKey",
            path,
            format!("{key} is no key: it must be one line of printable ASCII"),
        ),
    }
}

enum KeyFault {
    Secret(SecretFault),
    /// Names the key; never the value.
    Unreadable(String),
}

/// Gives name and value of each key that a credential stands for.
fn values<'a>(
    index: &'a Index,
    namespace: &str,
    credential: &ProviderCredential,
) -> Vec<Result<(String, &'a [u8]), KeyFault>> {
    let secret = ObjectName::new(namespace, &credential.secret_ref.name);
    if let Some(key) = &credential.secret_ref.key {
        let value = index.secrets.find_value(&secret, key);
        let named = value.map(|value| (credential.name.clone(), value));
        return vec![named.map_err(KeyFault::Secret)];
    }
    match index.secrets.find_values(&secret) {
        Ok(values) => values
            .into_iter()
            .map(|(key, value)| {
                let value = value.map_err(KeyFault::Secret)?;
                Ok((format!("{}/{key}", credential.name), value))
            })
            .collect(),
        Err(fault) => vec![Err(KeyFault::Secret(fault))],
    }
}

/// A key is sent in a header, where other bytes have no place.
fn readable(name: String, value: &[u8]) -> Result<ProviderKey, KeyFault> {
    match printable(value) {
        Some(secret) => Ok(ProviderKey {
            name,
            secret: secret.into(),
        }),
        None => Err(KeyFault::Unreadable(name)),
    }
}

fn printable(value: &[u8]) -> Option<String> {
    let is_printable = value.iter().all(|byte| (b' '..=b'~').contains(byte));
    let text = str::from_utf8(value).ok().filter(|_| is_printable)?;
    Some(text.to_owned())
}
