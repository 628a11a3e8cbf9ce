//! A provider: where to send, with which keys, and under which model names.

use std::fmt;
use std::time::Duration;

use crate::name::ServicePort;

/// An AIProvider as a data plane needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// It can be used.
    Upstream(Upstream),
    /// It shall not: requests choose another backend, or are answered 503.
    Halted(Halted),
    /// It cannot: requests that choose it are answered 503 with this reason.
    Faulty {
        /// In words for whoever wrote the resource; never a secret.
        reason: String,
        /// Whether whoever holds an older form keeps that: something that it refers to is there and
        /// cannot be used.
        keeps_previous: bool,
    },
}

/// A usable provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// What it speaks.
    pub kind: ProviderKind,
    /// The base URL, as the vendor's own SDK takes it; `None`: the vendor's own.
    pub url: Option<String>,
    /// Served in the cluster, in place of `url`.
    pub service: Option<Box<Service>>,
    /// How connections over https are made; `None`: as the data plane's machine does.
    pub tls: Option<Box<UpstreamTls>>,
    /// What connections go through; `None`: nothing.
    pub egress_proxy: Option<Box<EgressProxy>>,
    /// How it is spoken to, where that is not as usual for what it speaks.
    pub manner: Option<Box<Manner>>,
    /// Where in a vendor's cloud; `None`: that is of no account.
    pub cloud: Option<Box<Cloud>>,
    /// Used in turn; empty: requests carry no key.
    pub keys: Vec<ProviderKey>,
    /// Empty: every model name is passed on as it is.
    pub models: Vec<Model>,
    /// How long each part of an attempt may take.
    pub timeouts: Timeouts,
}

/// How a provider is spoken to. Names are those of the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// What it has no word for is left out and told; else the request is refused.
    pub drops_unsupported: bool,
    /// The header that carries keys, and what stands before them.
    pub key_header: Option<KeyHeader>,
    /// Endpoints and their paths behind the base URL.
    pub paths: Vec<(String, String)>,
    /// What is said of its quirks.
    pub quirks: Quirks,
    /// The version of Azure's API.
    pub azure_api_version: Option<String>,
}

/// How keys are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHeader {
    /// The header's name.
    pub name: String,
    /// Stands before the key with a space.
    pub scheme: Option<String>,
}

/// What is said of a server's quirks; `None`: as usual for the vendor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the resource, which explains them")]
pub struct Quirks {
    pub developer_role: Option<bool>,
    pub stream_options: Option<bool>,
    pub json_schema: Option<bool>,
    pub parallel_tool_calls: Option<bool>,
    pub max_completion_tokens: Option<bool>,
    pub reasoning: Option<String>,
}

/// A provider that no new request is sent to, as somebody decided. What is needed to send is not
/// told: neither its address nor its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    /// What becomes of the requests under way.
    pub halt: Halt,
    /// What it would offer, so that a model it does not have is still told apart; empty: every model.
    pub models: Vec<Model>,
}

/// What becomes of the requests that a halted provider is answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// They go on to their end.
    Drain,
    /// They end at once.
    Blocked,
}

/// A port of a Service whose endpoints serve models, over plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// Whose endpoints are asked; their snapshot is one of its own.
    pub port: ServicePort,
    /// The path of the base URL; `None`: as is usual for what is spoken.
    pub path: Option<String>,
}

/// How connections over https are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// The certificates of the only CAs that are trusted, in DER; empty: those that the data
    /// plane's machine trusts.
    pub authorities: Vec<Vec<u8>>,
    /// What is shown to the provider.
    pub identity: Option<Identity>,
    /// The name asked for and checked; `None`: the host of the address.
    pub server_name: Option<String>,
}

/// A certificate that fits its key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its own certificate first, in DER.
    pub chain: Vec<Vec<u8>>,
    /// The private key in DER: PKCS#8, PKCS#1 or SEC1.
    pub key: Vec<u8>,
}

/// A proxy that is asked to CONNECT.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EgressProxy {
    /// Host and port.
    pub address: String,
    /// Who the gateway is to it.
    pub user: Option<ProxyUser>,
}

/// A user of a proxy, as HTTP's basic authentication has it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxyUser {
    /// Without colon.
    pub name: String,
    /// The password.
    pub password: String,
}

/// What a provider speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    /// A preset, by the vendor's name (`OpenAI`, `Echo`, …).
    Vendor(String),
    /// A wire format, by its name (`OpenAI`, `Anthropic`), at a URL of the user's.
    Protocol(String),
}

/// A place in a vendor's cloud.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cloud {
    /// Of Amazon's.
    Aws {
        /// Such as `us-east-1`.
        region: String,
    },
    /// Of Google's.
    Gcp {
        /// By its id or number; `None`: paths name none.
        project: Option<String>,
        /// Such as `us-central1`, or `global`.
        location: String,
    },
}

/// A key for the provider.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderKey {
    /// Names it in logs and metrics: `<credential>` or `<credential>/<key of the Secret>`.
    pub name: String,
    /// The key itself.
    pub secret: KeySecret,
}

/// What a provider is shown, or what that is made from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum KeySecret {
    /// Shown as it is.
    Plain(String),
    /// Signs each request.
    Aws(AwsKey),
    /// Signs what access tokens are given for.
    GoogleServiceAccount(GoogleServiceAccount),
    /// Is given access tokens.
    Entra(EntraKey),
}

/// An access key of AWS.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AwsKey {
    /// Its id, `AKIA…` or `ASIA…`.
    pub access_key: String,
    /// What signs.
    pub secret_key: String,
    /// Of a key that was lent for a time.
    pub session_token: Option<String>,
}

/// A service account of Google Cloud, with one of its keys.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct GoogleServiceAccount {
    /// Who it is.
    pub email: String,
    /// Which of its keys; `None`: not told.
    pub key_id: Option<String>,
    /// An RSA key, PKCS#8 in DER.
    pub private_key: Vec<u8>,
    /// Who gives tokens; `None`: Google's own.
    pub token_uri: Option<String>,
}

/// An application that Microsoft Entra knows by a secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntraKey {
    /// The directory, by its id or domain.
    pub tenant_id: String,
    /// The application.
    pub client_id: String,
    /// What it proves that by.
    pub client_secret: String,
    /// Who gives tokens, as a base URL; `None`: Microsoft's public cloud.
    pub authority: Option<String>,
}

impl From<String> for KeySecret {
    fn from(secret: String) -> Self {
        Self::Plain(secret)
    }
}

impl From<&str> for KeySecret {
    fn from(secret: &str) -> Self {
        Self::Plain(secret.to_owned())
    }
}

/// A model that the provider offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What clients and routes say; a glob is allowed.
    pub name: String,
    /// What the provider is asked for; `None`: the name that was said.
    pub upstream_model: Option<String>,
}

/// How long each part of an attempt may take; zero: no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect, TLS included.
    pub connect: Duration,
    /// From the request sent to the first content of the answer.
    pub first_token: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// The whole attempt.
    pub total: Duration,
}

impl fmt::Debug for ProviderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderKey")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeySecret::Plain(_) => "Plain(..)",
            KeySecret::Aws(_) => "Aws(..)",
            KeySecret::GoogleServiceAccount(_) => "GoogleServiceAccount(..)",
            KeySecret::Entra(_) => "Entra(..)",
        })
    }
}

impl fmt::Debug for AwsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKey").finish_non_exhaustive()
    }
}

impl fmt::Debug for GoogleServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoogleServiceAccount")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EntraKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntraKey").finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressProxy")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ProxyUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyUser").finish_non_exhaustive()
    }
}
