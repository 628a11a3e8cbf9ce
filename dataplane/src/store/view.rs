//! Snapshots as requests use them: patterns compiled, references resolved to
//! slots, texts turned into header values, all of it once when they arrive.

mod certificate;
mod domain;
mod provider;
mod quota;

use std::sync::Arc;

pub(crate) use certificate::PROVIDER;
pub use certificate::{AuthorityView, CertificateView, ClientRule, FleetCertificatesView};
pub use domain::{
    AuthenticationView, BackendView, DomainView, GrantView, MatchView, RouteView, RuleView,
    RulesView, TemplateView,
};
pub use provider::{
    BaseUrl, EndpointsView, HaltedView, KeyView, ModelView, ProviderView, ServiceView,
    TimeoutsView, Unusable, UpstreamView,
};
pub use quota::{FleetQuotaView, FleetView, LimitView, QuotaView, SelectorView, TenantView};
pub use turnpike_snapshot::consumer::Consumer;
pub use turnpike_snapshot::domain::PathMatch;
pub use turnpike_snapshot::provider::Halt;
pub use turnpike_snapshot::quota::{Amount, CounterPer, OnStoreFailure};

use super::glob::GlobError;
use super::slot::{ProviderRuntime, Slot};
use crate::upstream::credentials::CredentialError;
use crate::upstream::endpoint::Known;
use crate::upstream::way::WayError;

/// Where a provider's current form is.
pub type ProviderSlot = Slot<ProviderView, ProviderRuntime>;
/// Where the endpoints of a Service's port are; providers of the same Service share it.
pub type EndpointsSlot = Slot<EndpointsView, Known>;
/// Where a template's current form is.
pub type RulesSlot = Slot<RulesView>;
/// Where a consumer's current form is.
pub type ConsumerSlot = Slot<Consumer>;
/// Where a quota's current form is.
pub type QuotaSlot = Slot<QuotaView>;
/// Where a tenant's current form is.
pub type TenantSlot = Slot<TenantView>;
/// Where the fleet's current form is.
pub type FleetSlot = Slot<FleetView>;
/// Where a certificate's current form is.
pub type CertificateSlot = Slot<CertificateView>;
/// Where the current form of CAs is.
pub type AuthoritySlot = Slot<AuthorityView>;
/// Where the list of the platform's certificates is.
pub type FleetCertificatesSlot = Slot<FleetCertificatesView>;

/// Whose key it is.
#[derive(Clone, Debug)]
pub struct CredentialView {
    /// Empty when the consumer is gone: then the key is nobody's.
    pub consumer: Arc<ConsumerSlot>,
    /// Seconds since 1970 from which it is refused; `None`: for ever valid.
    pub not_after: Option<i64>,
}

/// A snapshot that this build cannot put into force; told to the controller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A pattern that cannot be read.
    #[error("{0}")]
    Glob(#[from] GlobError),
    /// A vendor without a preset here.
    #[error("vendor {0:?} is not known to this data plane")]
    UnknownVendor(String),
    /// A protocol not spoken here.
    #[error("protocol {0:?} is not known to this data plane")]
    UnknownProtocol(String),
    /// Neither the resource nor the vendor says where to send.
    #[error("a url is needed")]
    MissingUrl,
    /// Not an address that requests can be sent to.
    #[error("url {url:?}: {fault}")]
    Url {
        /// As written, without user information.
        url: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A key with characters that no header may carry.
    #[error("credential {0} holds characters that no HTTP header may carry")]
    Key(String),
    /// A header condition that no header can have.
    #[error("header {0:?} is not a header's name or value")]
    Header(String),
    /// It says itself that it cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// Not DER of a private key.
    #[error("the private key cannot be read")]
    PrivateKey,
    /// Connections cannot be made as it wants.
    #[error("{0}")]
    Way(#[from] WayError),
    /// A credential that cannot be used.
    #[error("credential {0}: {1}")]
    Credential(String, CredentialError),
    /// Something that must be in force first is not.
    #[error("{0}, which it refers to, is not in force")]
    Missing(turnpike_snapshot::Name),
    /// A snapshot of one kind under the name of another.
    #[error("its kind is another than its name says")]
    WrongKind,
}
