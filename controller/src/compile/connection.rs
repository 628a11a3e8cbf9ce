//! How connections to a provider are made: the CAs to trust, the certificate to show, the proxy to
//! go through, out of the Secrets and ConfigMaps that the provider names.
//!
//! What is there and cannot be used leaves the provider's last good form in force; what is gone
//! takes the provider out of use, since nobody may connect with less care than was asked for.

use hyper::Uri;
use rustls::pki_types::ServerName;
use turnpike_crds::ai_provider::{
    CaCertificateKind, CaCertificateRef, EgressProxy as EgressProxySpec, ProviderTls,
};
use turnpike_crds::{AIProviderSpec, CREDENTIAL_LABEL};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::provider::{EgressProxy, ProxyUser, UpstreamTls};

use crate::compile::certificate::{self, Fault};
use crate::compile::finding::{Issue, Subject};
use crate::compile::reference::secret_issue;
use crate::index::config_maps::ConfigMapFault;
use crate::index::secrets::SecretFault;
use crate::index::{Index, Origin};
use crate::source::CA;

const USER: &str = "username";
const PASSWORD: &str = "password";

/// How connections are made.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) tls: Option<Box<UpstreamTls>>,
    pub(super) egress_proxy: Option<Box<EgressProxy>>,
}

/// Why they cannot be made.
pub(super) struct Unconnectable {
    pub(super) issues: Vec<Issue>,
    /// Whether all that is named is there.
    pub(super) keeps_previous: bool,
}

/// One thing that is named and cannot be had.
struct Wrong {
    issue: Issue,
    is_gone: bool,
}

/// Reads what a provider's `tls` and `egressProxy` name.
pub(super) fn read(
    index: &Index,
    name: &ObjectName,
    spec: &AIProviderSpec,
) -> Result<Connection, Unconnectable> {
    let mut wrong = Vec::new();
    let tls = spec.tls.as_ref();
    let tls = tls.map(|tls| Box::new(read_tls(index, &name.namespace, tls, &mut wrong)));
    let proxy = spec.egress_proxy.as_ref();
    let egress_proxy = match proxy.map(|proxy| read_proxy(index, &name.namespace, proxy)) {
        Some(Err(fault)) => {
            wrong.push(fault);
            None
        }
        Some(Ok(proxy)) => Some(Box::new(proxy)),
        None => None,
    };
    if wrong.is_empty() {
        return Ok(Connection { tls, egress_proxy });
    }
    Err(Unconnectable {
        keeps_previous: wrong.iter().all(|wrong| !wrong.is_gone),
        issues: wrong.into_iter().map(|wrong| wrong.issue).collect(),
    })
}

/// What is wrong with the fields themselves, besides what the schema refuses.
pub(super) fn spec_issues(spec: &AIProviderSpec) -> Vec<Issue> {
    let accepted =
        |reason, path, message: &str| Issue::new(Subject::Accepted, reason, path, message);
    let tls = spec.tls.as_ref();
    let is_clear = spec
        .url
        .as_deref()
        .is_some_and(|url| url.starts_with("http://"));
    let is_unused = (tls.is_some() && is_clear).then(|| {
        let message = "spec.url begins with http://, where none of it is used; write https:// or \
                       remove tls";
        accepted("InvalidTls", "spec.tls", message)
    });
    let server_name = tls.and_then(|tls| tls.server_name.as_deref());
    let server_name = server_name.filter(|name| ServerName::try_from(*name).is_err());
    let server_name = server_name.map(|_| {
        let message = "is no host name: each of its labels has at most 63 characters";
        accepted("InvalidTls", "spec.tls.serverName", message)
    });
    let proxy = spec.egress_proxy.as_ref();
    let proxy = proxy.filter(|proxy| address(proxy).is_none()).map(|_| {
        let message = "is no URL, or its port is none of 1 to 65535; write it as \
                       http://proxy.example.com:3128";
        accepted("InvalidUrl", "spec.egressProxy.url", message)
    });
    [is_unused, server_name, proxy]
        .into_iter()
        .flatten()
        .collect()
}

/// The Secret of the certificate that is shown to the provider.
pub(super) fn identity(namespace: &str, spec: &AIProviderSpec) -> impl Iterator<Item = ObjectName> {
    let tls = spec.tls.as_ref();
    tls.and_then(|tls| identity_of(namespace, tls)).into_iter()
}

fn identity_of(namespace: &str, tls: &ProviderTls) -> Option<ObjectName> {
    let reference = tls.client_certificate_ref.as_ref()?;
    Some(ObjectName::new(namespace, &reference.name))
}

fn read_tls(
    index: &Index,
    namespace: &str,
    tls: &ProviderTls,
    wrong: &mut Vec<Wrong>,
) -> UpstreamTls {
    let mut read = UpstreamTls {
        server_name: tls.server_name.clone(),
        ..UpstreamTls::default()
    };
    if let Some(reference) = &tls.ca_certificate_ref {
        match read_authorities(index, namespace, reference) {
            Ok(authorities) => read.authorities = authorities,
            Err(fault) => wrong.push(fault),
        }
    }
    if let Some(secret) = identity_of(namespace, tls) {
        let path = "spec.tls.clientCertificateRef";
        match certificate::read_identity(index, &secret) {
            Ok(identity) => read.identity = Some(identity),
            Err(fault) => wrong.push(Wrong::of_secret(index, path, &secret, fault)),
        }
    }
    read
}

fn read_authorities(
    index: &Index,
    namespace: &str,
    reference: &CaCertificateRef,
) -> Result<Vec<Vec<u8>>, Wrong> {
    let path = "spec.tls.caCertificateRef";
    let name = ObjectName::new(namespace, &reference.name);
    match reference.kind {
        CaCertificateKind::Secret => certificate::read_authority(index, &name)
            .map_err(|fault| Wrong::of_secret(index, path, &name, fault)),
        CaCertificateKind::ConfigMap => {
            let pem = index.config_maps.find_authorities(&name);
            let pem = pem.map_err(|fault| Wrong::of_config_map(index, path, &name, fault))?;
            certificate::read_authorities(pem).map_err(|fault| {
                Wrong::certificate(path, false, format!("ConfigMap {name}: {fault}"))
            })
        }
    }
}

fn read_proxy(
    index: &Index,
    namespace: &str,
    proxy: &EgressProxySpec,
) -> Result<EgressProxy, Wrong> {
    let user = proxy.secret_ref.as_ref();
    let user = user.map(|reference| {
        let secret = ObjectName::new(namespace, &reference.name);
        read_user(index, &secret)
    });
    Ok(EgressProxy {
        // `spec_issues` tells where there is none.
        address: address(proxy).unwrap_or_default(),
        user: user.transpose()?,
    })
}

fn read_user(index: &Index, secret: &ObjectName) -> Result<ProxyUser, Wrong> {
    let path = "spec.egressProxy.secretRef";
    let value = |key| {
        let value = index.secrets.find_value(secret, key);
        let value = value.map_err(|fault| Wrong {
            is_gone: matches!(fault, SecretFault::Missing(_)),
            issue: secret_issue(index, path, &fault),
        })?;
        let text = str::from_utf8(value).ok();
        text.map(str::to_owned)
            .filter(|text| !text.chars().any(char::is_control))
            .ok_or_else(|| Wrong::credential(path, secret, key, "is not one line of text"))
    };
    let (name, password) = (value(USER)?, value(PASSWORD)?);
    match name.contains(':') {
        true => {
            let words = "has a colon, which basic authentication has no place for";
            Err(Wrong::credential(path, secret, USER, words))
        }
        false => Ok(ProxyUser { name, password }),
    }
}

/// Host and port.
fn address(proxy: &EgressProxySpec) -> Option<String> {
    let uri: Uri = proxy.url.parse().ok()?;
    let authority = uri.authority()?;
    authority.port_u16().filter(|port| *port > 0)?;
    Some(authority.as_str().to_owned())
}

impl Wrong {
    fn certificate(path: &str, is_gone: bool, mut message: String) -> Self {
        if !is_gone {
            message.push_str("; until then the provider's last good form stays in force");
        }
        let reason = "InvalidCertificateRef";
        Self {
            issue: Issue::new(Subject::ResolvedRefs, reason, path, message),
            is_gone,
        }
    }

    fn of_secret(index: &Index, path: &str, secret: &ObjectName, fault: Fault) -> Self {
        let is_gone = matches!(fault, Fault::Secret(SecretFault::Missing(_)));
        Self::certificate(path, is_gone, certificate::words(index, secret, fault))
    }

    fn of_config_map(index: &Index, path: &str, name: &ObjectName, fault: ConfigMapFault) -> Self {
        let message = match (fault, index.origin()) {
            (ConfigMapFault::Missing, Origin::Cluster) => format!(
                "ConfigMap {name} does not exist, or lacks the label {CREDENTIAL_LABEL}: \"true\""
            ),
            (ConfigMapFault::Missing, Origin::Files) => {
                format!("ConfigMap {name} does not exist; create it or correct the name")
            }
            (ConfigMapFault::MissingKey, _) => {
                format!("ConfigMap {name} has no key {CA:?}; add it")
            }
        };
        Self::certificate(path, fault == ConfigMapFault::Missing, message)
    }

    fn credential(path: &str, secret: &ObjectName, key: &str, words: &str) -> Self {
        let message = format!(
            "Secret {secret}: {key} {words}; until it is corrected the provider's last good form \
             stays in force"
        );
        Self {
            issue: Issue::new(Subject::ResolvedRefs, "InvalidCredential", path, message),
            is_gone: false,
        }
    }
}
