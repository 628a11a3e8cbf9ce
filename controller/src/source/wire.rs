//! An object as an API server sends it, read in one pass and without what nobody
//! reads: managed fields are never built, of annotations only ours are kept.
//!
//! One that cannot be read fails alone, and is known by its metadata.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::api::PartialObjectMeta;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use turnpike_crds::{
    AIProvider, AIProviderSpec, AIProviderStatus, AIRoute, AIRouteSpec, AIRouteStatus, Consumer,
    ConsumerSpec, ConsumerStatus, HOSTNAMES_ANNOTATION, TokenQuota, TokenQuotaSpec,
    TokenQuotaStatus,
};

/// A kind that can be put together from what is read of it.
pub(crate) trait Parts: Resource<DynamicType = ()> + Clone {
    /// Reads one object.
    fn read(json: &str) -> serde_json::Result<Self>;
}

/// An object, or why it cannot be read and which it is.
#[derive(Clone, Debug)]
pub(crate) enum Wire<K> {
    Read(K),
    Unreadable {
        metadata: Box<ObjectMeta>,
        fault: String,
    },
}

macro_rules! parts {
    ($($kind:ident: $spec:ident, $status:ident;)*) => {$(
        impl Parts for $kind {
            fn read(json: &str) -> serde_json::Result<Self> {
                let Whole { metadata, spec, status } =
                    serde_json::from_str::<Whole<$spec, $status>>(json)?;
                Ok(Self { metadata: metadata.into(), spec, status })
            }
        }
    )*};
}

parts!(
    AIProvider: AIProviderSpec, AIProviderStatus;
    AIRoute: AIRouteSpec, AIRouteStatus;
    Consumer: ConsumerSpec, ConsumerStatus;
    TokenQuota: TokenQuotaSpec, TokenQuotaStatus;
);

/// Of a Namespace nothing but its metadata counts.
impl Parts for PartialObjectMeta<Namespace> {
    fn read(json: &str) -> serde_json::Result<Self> {
        let MetaAlone { metadata } = serde_json::from_str(json)?;
        Ok(Self {
            metadata: metadata.into(),
            ..Self::default()
        })
    }
}

#[derive(Deserialize)]
struct Whole<S, T> {
    metadata: Meta,
    spec: S,
    #[serde(default = "Option::default")]
    status: Option<T>,
}

#[derive(Deserialize)]
struct MetaAlone {
    metadata: Meta,
}

/// What is read of an object's metadata.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    generation: Option<i64>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(deserialize_with = "ours")]
    annotations: Option<BTreeMap<String, String>>,
}

impl From<Meta> for ObjectMeta {
    fn from(meta: Meta) -> Self {
        Self {
            name: meta.name,
            namespace: meta.namespace,
            uid: meta.uid,
            generation: meta.generation,
            resource_version: meta.resource_version,
            creation_timestamp: meta.creation_timestamp,
            labels: meta.labels,
            annotations: meta.annotations,
            ..Self::default()
        }
    }
}

impl<'de, K: Parts> Deserialize<'de> for Wire<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match K::read(raw.get()) {
            Ok(object) => Ok(Self::Read(object)),
            Err(fault) => {
                let alone: MetaAlone = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
                Ok(Self::Unreadable {
                    metadata: Box::new(alone.metadata.into()),
                    fault: fault.to_string(),
                })
            }
        }
    }
}

impl<K: Parts> Resource for Wire<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Read(object) => object.meta(),
            Self::Unreadable { metadata, .. } => metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Read(object) => object.meta_mut(),
            Self::Unreadable { metadata, .. } => metadata,
        }
    }
}

/// Reads annotations and keeps the one that the controller knows.
fn ours<'de, D>(deserializer: D) -> Result<Option<BTreeMap<String, String>>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Ours;

    impl<'de> Visitor<'de> for Ours {
        type Value = Option<BTreeMap<String, String>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("annotations")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut kept = BTreeMap::new();
            while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                if key == HOSTNAMES_ANNOTATION {
                    kept.insert(key.into_owned(), map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok((!kept.is_empty()).then_some(kept))
        }
    }

    deserializer.deserialize_any(Ours)
}

#[cfg(test)]
mod tests {
    use kube::core::WatchEvent;
    use serde_json::json;

    use super::*;

    fn route(spec: serde_json::Value) -> serde_json::Value {
        json!({
            "apiVersion": "turnpike.dev/v1alpha1",
            "kind": "AIRoute",
            "metadata": {
                "name": "r", "namespace": "a", "uid": "u", "generation": 3, "resourceVersion": "7",
                "creationTimestamp": "2026-11-01T00:00:00Z",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": spec,
            "status": {"conditions": []},
        })
    }

    #[test]
    fn an_object_is_read_without_what_nobody_reads() {
        let object = route(json!({"hostnames": ["a.test"], "rules": []}));
        let Ok(Wire::<AIRoute>::Read(read)) = serde_json::from_str(&object.to_string()) else {
            panic!("not read");
        };
        let meta = &read.metadata;
        assert_eq!(
            (meta.generation, meta.resource_version.as_deref()),
            (Some(3), Some("7"))
        );
        assert!(meta.creation_timestamp.is_some());
        assert!(meta.managed_fields.is_none() && meta.annotations.is_none());
        assert_eq!(read.spec.hostnames, ["a.test"]);
        assert!(read.status.is_some());
    }

    #[test]
    fn one_that_cannot_be_read_is_known_by_its_name() {
        let object = json!({"type": "MODIFIED", "object": route(json!({"newer": true}))});
        let event = serde_json::from_str::<WatchEvent<Wire<AIRoute>>>(&object.to_string());
        let Ok(WatchEvent::Modified(Wire::Unreadable { metadata, fault })) = event else {
            panic!("{event:?}");
        };
        assert_eq!(metadata.name.as_deref(), Some("r"));
        assert!(fault.contains("newer"), "{fault}");
    }

    #[test]
    fn of_a_namespace_metadata_and_our_annotation_are_kept() {
        let object = json!({
            "metadata": {
                "name": "t", "uid": "u", "labels": {"plan": "gold"},
                "annotations": {"other": "x", HOSTNAMES_ANNOTATION: "a.test"},
            },
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        });
        let read: Wire<PartialObjectMeta<Namespace>> =
            serde_json::from_str(&object.to_string()).unwrap();
        let meta = read.meta();
        assert_eq!(meta.labels.as_ref().unwrap()["plan"], "gold");
        assert_eq!(meta.annotations.as_ref().unwrap().len(), 1);
    }
}
