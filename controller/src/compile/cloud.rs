//! Credentials of clouds: a Secret is one of them, a set of values under names that are agreed, rather
//! than a key a value.
//!
//! A key that needs no signing (`apiKey`) goes before the others of its Secret. Nothing here ever says
//! what a value is.

use std::collections::BTreeMap;

use hyper::Uri;
use rustls::SignatureAlgorithm;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use turnpike_crds::AIProviderSpec;
use turnpike_crds::ai_provider::ProviderCredential;
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::provider::{
    AwsKey, Cloud, EntraKey, GoogleServiceAccount, KeySecret, ProviderKey,
};

use crate::compile::finding::{Issue, Subject};
use crate::compile::reference::secret_issue;
use crate::index::Index;
use crate::index::secrets::{SecretFault, Value};

const API_KEY: &str = "apiKey";
const ACCESS_KEY: &str = "accessKey";
const SECRET_KEY: &str = "secretKey";
const SESSION_TOKEN: &str = "sessionToken";
const SERVICE_ACCOUNT: &str = "serviceAccount";
const TENANT_ID: &str = "tenantId";
const CLIENT_ID: &str = "clientId";
const CLIENT_SECRET: &str = "clientSecret";
const AUTHORITY: &str = "authority";

/// Whose cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Amazon,
    Google,
    Microsoft,
}

/// Why a Secret is no credential.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CloudFault {
    Secret(SecretFault),
    /// What it lacks, of what it needs.
    Incomplete {
        secret: ObjectName,
        lacks: &'static str,
        needs: &'static str,
    },
    /// A service account is of no use without a project.
    NoProject,
    /// A value is not what it should be.
    Unreadable {
        secret: ObjectName,
        key: &'static str,
        fault: &'static str,
    },
}

/// Where in a cloud a provider is.
pub(super) fn place(spec: &AIProviderSpec) -> Option<Box<Cloud>> {
    let aws = spec.aws.as_ref().map(|aws| Cloud::Aws {
        region: aws.region.clone(),
    });
    let gcp = spec.gcp.as_ref().map(|gcp| Cloud::Gcp {
        project: gcp.project.clone(),
        location: gcp.location.clone(),
    });
    aws.or(gcp).map(Box::new)
}

/// A vendor in a cloud must be told where there.
pub(super) fn spec_issue(spec: &AIProviderSpec) -> Option<Issue> {
    let vendor = spec.vendor?.as_str();
    let (path, words) = match vendor {
        "Bedrock" if spec.aws.is_none() => ("spec.aws", "aws: {region: us-east-1}"),
        "VertexAI" if spec.gcp.is_none() => (
            "spec.gcp",
            "gcp: {project: my-project, location: us-central1}",
        ),
        _ => return None,
    };
    let message = format!("is needed for {vendor}; write it as in {words}");
    Some(Issue::new(Subject::Accepted, "InvalidCloud", path, message))
}

/// Reads a credential of a cloud; `None`: it is one of the plain ones.
pub(super) fn key(
    index: &Index,
    namespace: &str,
    spec: &AIProviderSpec,
    credential: &ProviderCredential,
) -> Option<Result<ProviderKey, CloudFault>> {
    let owner = owner(spec)?;
    let secret = ObjectName::new(namespace, &credential.secret_ref.name);
    let values = match credential.secret_ref.key.as_deref() {
        Some(SERVICE_ACCOUNT) if owner == Owner::Google => {
            let value = index.secrets.find_value(&secret, SERVICE_ACCOUNT);
            value.map(|value| vec![(SERVICE_ACCOUNT, Ok(value))])
        }
        Some(_) => return None,
        None => index.secrets.find_values(&secret),
    };
    let read = match values {
        Err(fault) => Err(CloudFault::Secret(fault)),
        Ok(values) => {
            let set = Set::new(secret, values);
            if owner == Owner::Microsoft && !set.is_of_entra() {
                return None;
            }
            set.read(owner)
        }
    };
    let has_project = spec.gcp.as_ref().is_some_and(|gcp| gcp.project.is_some());
    let read = match read {
        Ok(KeySecret::GoogleServiceAccount(_)) if !has_project => Err(CloudFault::NoProject),
        read => read,
    };
    Some(read.map(|secret| ProviderKey {
        name: credential.name.clone(),
        secret,
    }))
}

fn owner(spec: &AIProviderSpec) -> Option<Owner> {
    match spec.vendor.map(|vendor| vendor.as_str()) {
        Some("AzureOpenAI") => Some(Owner::Microsoft),
        _ if spec.aws.is_some() => Some(Owner::Amazon),
        _ if spec.gcp.is_some() => Some(Owner::Google),
        _ => None,
    }
}

/// The values of one Secret.
struct Set<'a> {
    secret: ObjectName,
    values: BTreeMap<&'a str, Value<'a>>,
}

/// The JSON that Google gives out for a key of a service account.
///
/// Source: cloud.google.com, "Create and delete service account keys"; other members are for others.
#[derive(Deserialize)]
struct AccountJson {
    r#type: Option<String>,
    client_email: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
    token_uri: Option<String>,
}

impl<'a> Set<'a> {
    fn new(secret: ObjectName, values: Vec<(&'a str, Value<'a>)>) -> Self {
        Self {
            secret,
            values: values.into_iter().collect(),
        }
    }

    fn is_of_entra(&self) -> bool {
        let mut keys = [TENANT_ID, CLIENT_ID, CLIENT_SECRET].into_iter();
        keys.any(|key| self.values.contains_key(key))
    }

    fn read(&self, owner: Owner) -> Result<KeySecret, CloudFault> {
        if let Some(key) = self.find(API_KEY)? {
            return Ok(KeySecret::Plain(key));
        }
        match owner {
            Owner::Amazon => self.aws().map(KeySecret::Aws),
            Owner::Google => self.google().map(KeySecret::GoogleServiceAccount),
            Owner::Microsoft => self.entra().map(KeySecret::Entra),
        }
    }

    fn aws(&self) -> Result<AwsKey, CloudFault> {
        let needs = "accessKey and secretKey, with sessionToken where the key was lent for a time, \
                     or else apiKey";
        Ok(AwsKey {
            access_key: self.get(ACCESS_KEY, needs)?,
            secret_key: self.get(SECRET_KEY, needs)?,
            session_token: self.find(SESSION_TOKEN)?,
        })
    }

    fn entra(&self) -> Result<EntraKey, CloudFault> {
        let needs = "tenantId, clientId and clientSecret, or else apiKey";
        let authority = self.find(AUTHORITY)?;
        if authority.as_deref().is_some_and(|url| !is_url(url)) {
            return Err(self.unreadable(
                AUTHORITY,
                "is no URL such as https://login.partner.microsoftonline.cn",
            ));
        }
        let tenant_id = self.get(TENANT_ID, needs)?;
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if !tenant_id.bytes().all(is_id) {
            return Err(
                self.unreadable(TENANT_ID, "is neither the id of a directory nor its domain")
            );
        }
        Ok(EntraKey {
            tenant_id,
            client_id: self.get(CLIENT_ID, needs)?,
            client_secret: self.get(CLIENT_SECRET, needs)?,
            authority,
        })
    }

    fn google(&self) -> Result<GoogleServiceAccount, CloudFault> {
        let unreadable = |fault| self.unreadable(SERVICE_ACCOUNT, fault);
        let needs = "serviceAccount, the JSON that Google gives out for its key, or else apiKey";
        let json = match self.values.get(SERVICE_ACCOUNT) {
            Some(value) => value.clone().map_err(CloudFault::Secret)?,
            None => return Err(self.incomplete(SERVICE_ACCOUNT, needs)),
        };
        let account: AccountJson = serde_json::from_slice(json).map_err(|_| {
            unreadable("is not the JSON that Google gives out for a service account")
        })?;
        if account.r#type.as_deref() != Some("service_account") {
            let fault = "is not of type service_account; other ways to prove who one is, such as \
                         workload identity, are not supported";
            return Err(unreadable(fault));
        }
        let email = account.client_email.filter(|email| !email.is_empty());
        let private_key = account
            .private_key
            .ok_or_else(|| unreadable("has no private_key"))?;
        if account.token_uri.as_deref().is_some_and(|url| !is_url(url)) {
            return Err(unreadable("has a token_uri that is no URL"));
        }
        Ok(GoogleServiceAccount {
            email: email.ok_or_else(|| unreadable("has no client_email"))?,
            key_id: account.private_key_id.filter(|id| !id.is_empty()),
            private_key: rsa_key(&private_key).ok_or_else(|| {
                unreadable("has a private_key that is no RSA key in PEM (PKCS#8)")
            })?,
            token_uri: account.token_uri,
        })
    }

    /// A value that must be there.
    fn get(&self, key: &'static str, needs: &'static str) -> Result<String, CloudFault> {
        self.find(key)?.ok_or_else(|| self.incomplete(key, needs))
    }

    /// A value, one line of printable ASCII.
    fn find(&self, key: &'static str) -> Result<Option<String>, CloudFault> {
        let Some(value) = self.values.get(key) else {
            return Ok(None);
        };
        let value = value.clone().map_err(CloudFault::Secret)?;
        let is_printable = value.iter().all(|byte| (b' '..=b'~').contains(byte));
        match str::from_utf8(value) {
            Ok(text) if is_printable => Ok(Some(text.to_owned())),
            _ => Err(self.unreadable(key, "is not one line of printable ASCII")),
        }
    }

    fn incomplete(&self, lacks: &'static str, needs: &'static str) -> CloudFault {
        CloudFault::Incomplete {
            secret: self.secret.clone(),
            lacks,
            needs,
        }
    }

    fn unreadable(&self, key: &'static str, fault: &'static str) -> CloudFault {
        CloudFault::Unreadable {
            secret: self.secret.clone(),
            key,
            fault,
        }
    }
}

/// Reads an RSA key as a data plane takes it.
fn rsa_key(pem: &str) -> Option<Vec<u8>> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    let PrivateKeyDer::Pkcs8(der) = &key else {
        return None;
    };
    let der = der.secret_pkcs8_der().to_vec();
    let signing = any_supported_type(&key).ok()?;
    (signing.algorithm() == SignatureAlgorithm::RSA).then_some(der)
}

fn is_url(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
    })
}

impl CloudFault {
    pub(super) fn issue(&self, index: &Index, path: &str) -> Issue {
        let message = match self {
            CloudFault::Secret(fault) => return secret_issue(index, path, fault),
            CloudFault::NoProject => {
                "a service account needs spec.gcp.project, the project to ask in".to_owned()
            }
            CloudFault::Incomplete {
                secret,
                lacks,
                needs,
            } => format!("Secret {secret} has no key {lacks:?}: it needs {needs}"),
            CloudFault::Unreadable { secret, key, fault } => {
                format!("Secret {secret}: {key} {fault}")
            }
        };
        Issue::new(Subject::ResolvedRefs, "InvalidCredential", path, message)
    }
}

#[cfg(test)]
mod tests;
