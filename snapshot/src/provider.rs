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
    /// Used in turn; empty: requests carry no key.
    pub keys: Vec<ProviderKey>,
    /// Empty: every model name is passed on as it is.
    pub models: Vec<Model>,
    /// How long each part of an attempt may take.
    pub timeouts: Timeouts,
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

/// A key for the provider.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderKey {
    /// Names it in logs and metrics: `<credential>` or `<credential>/<key of the Secret>`.
    pub name: String,
    /// The key itself.
    pub secret: String,
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
