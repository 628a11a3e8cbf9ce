//! The resources of `turnpike.dev/v1alpha1` as Rust types, their generated CRDs,
//! and [`admission`]: what an API server checks of them, for where there is none.

#![warn(missing_docs)]
#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each type into a function of its own"
)]

pub mod admission;
pub mod ai_provider;
pub mod ai_route;
pub mod common;
pub mod consumer;
pub mod mistakes;
pub mod namespaces;
pub mod reference;
pub mod retries;
pub mod status;
pub mod token_quota;

mod manifest;

pub use ai_provider::{AIProvider, AIProviderSpec, AIProviderStatus};
pub use ai_route::{AIRoute, AIRouteSpec, AIRouteStatus};
pub use consumer::{Consumer, ConsumerSpec, ConsumerStatus};
pub use manifest::{definitions, manifests};
pub use status::Status;
pub use token_quota::{TokenQuota, TokenQuotaSpec, TokenQuotaStatus};

/// The API group of all resources.
pub const GROUP: &str = "turnpike.dev";

/// The one version that is served and stored.
pub const VERSION: &str = "v1alpha1";

/// The installation that serves an AIRoute which names none.
pub const DEFAULT_CLASS: &str = "turnpike";

/// Secrets are read in a cluster only where this label is `"true"`: else whoever
/// may write an AIProvider could send any Secret of the namespace to a server of
/// their own.
pub const CREDENTIAL_LABEL: &str = "turnpike.dev/credential";

/// On a Namespace: the host names that its routes may claim besides what the
/// installation's policy allows; separated by commas or spaces. `*.suffix` allows
/// the wildcard and every name below it.
pub const HOSTNAMES_ANNOTATION: &str = "turnpike.dev/allowed-hostnames";
