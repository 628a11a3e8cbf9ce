//! Where resources come from. Every source tells the same [`Event`]s, so the
//! rest of the controller cannot tell a cluster from a directory of files.

pub mod directory;
pub mod kube;

mod files;
mod labels;
mod relist;
mod service;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use turnpike_crds::{AIProvider, AIRoute, Consumer, TokenQuota};
use turnpike_snapshot::name::ObjectName;

pub use crate::source::labels::Labels;
pub use crate::source::service::{Port, ServiceData, SliceData};

/// The kinds that the controller reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    AIProvider,
    AIRoute,
    Consumer,
    TokenQuota,
    Secret,
    ConfigMap,
    Namespace,
    Service,
    EndpointSlice,
}

/// Names one object of the source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub kind: Kind,
    /// Its namespace is empty for a Namespace.
    pub name: ObjectName,
}

/// An object as a source gives it.
#[derive(Clone, Debug)]
pub enum Object {
    Provider(Box<AIProvider>),
    Route(Box<AIRoute>),
    Consumer(Box<Consumer>),
    Quota(Box<TokenQuota>),
    Secret(SecretData),
    ConfigMap(ConfigMapData),
    Namespace(NamespaceData),
    Service(ServiceData),
    Slice(SliceData),
}

/// What a source tells. Events of one object come in their order; an object may
/// be applied again unchanged.
#[derive(Clone, Debug)]
pub enum Event {
    /// The object is there, in this form.
    Apply(Object),
    /// The object is gone.
    Delete(ObjectKey),
    /// Every object of the kind that was there at the start has been applied.
    Synced(Kind),
}

/// The values of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretData {
    pub name: ObjectName,
    pub data: BTreeMap<String, SecretBytes>,
}

/// What counts of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMapData {
    pub name: ObjectName,
    /// What it has under [`CA`].
    pub authorities: Option<Box<[u8]>>,
}

/// The key under which Secrets and ConfigMaps hold certificates of CAs.
pub const CA: &str = "ca.crt";

/// What counts of a Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceData {
    pub name: String,
    pub uid: String,
    pub labels: Labels,
    /// What the annotation [`turnpike_crds::HOSTNAMES_ANNOTATION`] names.
    pub allowed_hostnames: Vec<String>,
}

/// Reads the hosts that a Namespace's annotations allow it.
pub fn allowed_hostnames(annotations: Option<&BTreeMap<String, String>>) -> Vec<String> {
    let annotation = annotations.and_then(|it| it.get(turnpike_crds::HOSTNAMES_ANNOTATION));
    annotation.map_or_else(Vec::new, |text| {
        turnpike_crds::namespaces::parse_hostnames(text)
    })
}

/// A secret value; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Vec<u8>);

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::AIProvider,
        Kind::AIRoute,
        Kind::Consumer,
        Kind::TokenQuota,
        Kind::Secret,
        Kind::ConfigMap,
        Kind::Namespace,
        Kind::Service,
        Kind::EndpointSlice,
    ];

    /// The name as written in resources.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::AIProvider => "AIProvider",
            Kind::AIRoute => "AIRoute",
            Kind::Consumer => "Consumer",
            Kind::TokenQuota => "TokenQuota",
            Kind::Secret => "Secret",
            Kind::ConfigMap => "ConfigMap",
            Kind::Namespace => "Namespace",
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut kinds = Self::ALL.into_iter();
        kinds.find(|kind| kind.as_str() == text).ok_or(())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ObjectKey {
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: ObjectName::new(namespace, name),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name.name)
        } else {
            write!(f, "{} {}", self.kind, self.name)
        }
    }
}

impl Object {
    /// Names the object.
    pub fn key(&self) -> ObjectKey {
        let of = |kind, meta: &ObjectMeta| ObjectKey {
            kind,
            name: object_name(meta),
        };
        let named = |kind, name: &ObjectName| ObjectKey {
            kind,
            name: name.clone(),
        };
        match self {
            Object::Provider(provider) => of(Kind::AIProvider, &provider.metadata),
            Object::Route(route) => of(Kind::AIRoute, &route.metadata),
            Object::Consumer(consumer) => of(Kind::Consumer, &consumer.metadata),
            Object::Quota(quota) => of(Kind::TokenQuota, &quota.metadata),
            Object::Secret(secret) => named(Kind::Secret, &secret.name),
            Object::ConfigMap(config_map) => named(Kind::ConfigMap, &config_map.name),
            Object::Service(service) => named(Kind::Service, &service.name),
            Object::Slice(slice) => named(Kind::EndpointSlice, &slice.name),
            Object::Namespace(namespace) => ObjectKey::new(Kind::Namespace, "", &namespace.name),
        }
    }
}

/// Gives namespace and name of an object's metadata.
pub fn object_name(meta: &ObjectMeta) -> ObjectName {
    ObjectName {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

/// Gives the values of a Secret.
pub fn secret_data(secret: Secret) -> BTreeMap<String, SecretBytes> {
    let data = secret.data.into_iter().flatten();
    data.map(|(key, value)| (key, SecretBytes::new(value.0)))
        .collect()
}

/// Keeps what counts of a ConfigMap.
pub fn config_map_data(config_map: ConfigMap) -> ConfigMapData {
    let name = object_name(&config_map.metadata);
    let text = config_map.data.and_then(|mut data| data.remove(CA));
    let bytes = config_map
        .binary_data
        .and_then(|mut data| data.remove(CA).map(|bytes| bytes.0));
    ConfigMapData {
        name,
        authorities: text.map(String::into_bytes).or(bytes).map(Into::into),
    }
}

impl SecretBytes {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Gives the value without the one newline that editors and `echo` append.
    pub fn trimmed(&self) -> &[u8] {
        let bytes = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}
