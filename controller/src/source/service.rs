//! Services and EndpointSlices: what counts of them, and how little of it is read.
//!
//! Only pods count: an endpoint that is not ready, or whose target is no Pod of the slice's own
//! namespace, is dropped here, and so are ports that are not TCP's.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::Deserialize;
use serde::de::IgnoredAny;
use turnpike_snapshot::name::ObjectName;

use crate::source::object_name;
use crate::source::wire::{Meta, Parts};

/// Of a port where HTTP/2 is spoken in the clear.
///
/// Source: Kubernetes, "Service", section "Application protocol".
const H2C: &str = "kubernetes.io/h2c";

/// Names the Service that a slice is of.
///
/// Source: Kubernetes, "Well-Known Labels, Annotations and Taints".
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What counts of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceData {
    pub name: ObjectName,
    /// Only then its slices are made by Kubernetes itself, of its pods.
    pub has_selector: bool,
    /// In the order of the Service.
    pub ports: Vec<Port>,
}

/// What counts of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceData {
    pub name: ObjectName,
    /// Of the slice's own namespace.
    pub service: String,
    /// A Service's port and the slice's have the same name; the number is the pods' own.
    pub ports: Vec<Port>,
    /// Of the ready pods.
    pub addresses: Vec<IpAddr>,
}

/// A TCP port. Its name is empty where there is but one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    pub number: u16,
    /// HTTP/2 is spoken there in the clear; of a slice's port its Service's counts.
    pub is_http2: bool,
}

/// A Service as it is read.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    metadata: ObjectMeta,
    spec: ServiceSpec,
}

/// An EndpointSlice as it is read.
#[derive(Clone, Debug)]
pub(crate) struct EndpointSlice {
    metadata: ObjectMeta,
    address_type: String,
    ports: Vec<WirePort>,
    endpoints: Vec<WireEndpoint>,
}

#[derive(Deserialize)]
struct WireService {
    metadata: Meta,
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ServiceSpec {
    selector: Option<BTreeMap<String, IgnoredAny>>,
    ports: Option<Vec<WirePort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSlice {
    metadata: Meta,
    address_type: String,
    ports: Option<Vec<WirePort>>,
    endpoints: Option<Vec<WireEndpoint>>,
}

/// Of a slice, `port` may be missing: all ports then, which nobody's model server means.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePort {
    name: Option<String>,
    port: Option<u16>,
    protocol: Option<String>,
    app_protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireEndpoint {
    addresses: Vec<String>,
    conditions: Option<WireConditions>,
    target_ref: Option<WireTarget>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct WireConditions {
    ready: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireTarget {
    kind: Option<String>,
    namespace: Option<String>,
}

impl From<Service> for ServiceData {
    fn from(service: Service) -> Self {
        let selector = service.spec.selector.as_ref();
        Self {
            name: object_name(&service.metadata),
            has_selector: selector.is_some_and(|selector| !selector.is_empty()),
            ports: ports(service.spec.ports.unwrap_or_default()),
        }
    }
}

impl From<EndpointSlice> for SliceData {
    fn from(slice: EndpointSlice) -> Self {
        let EndpointSlice {
            metadata,
            address_type,
            ports,
            endpoints,
        } = slice;
        let name = object_name(&metadata);
        let mut labels = metadata.labels.unwrap_or_default();
        let ready = endpoints.into_iter();
        let ready = ready.filter(|endpoint| endpoint.is_ready_pod(&name.namespace));
        let addresses = ready.flat_map(|endpoint| endpoint.addresses);
        Self {
            service: labels.remove(SERVICE_LABEL).unwrap_or_default(),
            ports: self::ports(ports),
            addresses: match address_type.as_str() {
                "IPv4" | "IPv6" => addresses.filter_map(|text| text.parse().ok()).collect(),
                _ => Vec::new(),
            },
            name,
        }
    }
}

impl WireEndpoint {
    /// What is not said to be ready or not is ready. A pod that ends is not, whatever it says.
    ///
    /// Source: `discovery.k8s.io/v1`, EndpointConditions.
    fn is_ready_pod(&self, namespace: &str) -> bool {
        let conditions = self.conditions.unwrap_or_default();
        let target = self.target_ref.as_ref();
        let is_pod = target.is_some_and(|target| {
            target.kind.as_deref() == Some("Pod") && target.namespace.as_deref() == Some(namespace)
        });
        is_pod && conditions.ready.unwrap_or(true) && !conditions.terminating.unwrap_or(false)
    }
}

fn ports(ports: Vec<WirePort>) -> Vec<Port> {
    let ports = ports.into_iter();
    let tcp = ports.filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
    tcp.filter_map(|port| {
        Some(Port {
            name: port.name.unwrap_or_default(),
            number: port.port?,
            is_http2: port.app_protocol.as_deref() == Some(H2C),
        })
    })
    .collect()
}

impl Parts for Service {
    fn read(json: &str) -> serde_json::Result<Self> {
        let WireService { metadata, spec } = serde_json::from_str(json)?;
        Ok(Self {
            metadata: metadata.into(),
            spec,
        })
    }
}

impl Parts for EndpointSlice {
    fn read(json: &str) -> serde_json::Result<Self> {
        let slice: WireSlice = serde_json::from_str(json)?;
        Ok(Self {
            metadata: slice.metadata.into(),
            address_type: slice.address_type,
            ports: slice.ports.unwrap_or_default(),
            endpoints: slice.endpoints.unwrap_or_default(),
        })
    }
}

macro_rules! resource {
    ($kind:ident: $group:literal, $version:literal, $plural:literal) => {
        impl Resource for $kind {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                stringify!($kind).into()
            }

            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                $version.into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource!(Service: "", "v1", "services");
resource!(EndpointSlice: "discovery.k8s.io", "v1", "endpointslices");

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn slice(endpoints: &Value) -> SliceData {
        let object = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"namespace": "a", "name": "vllm-x", "labels": {SERVICE_LABEL: "vllm"},
                         "ownerReferences": [{"kind": "Service", "name": "vllm"}]},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8000, "protocol": "TCP", "appProtocol": "http"},
                      {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "all"}],
        });
        EndpointSlice::read(&object.to_string()).unwrap().into()
    }

    fn pod(namespace: &str) -> Value {
        json!({"kind": "Pod", "namespace": namespace, "name": "p", "uid": "u"})
    }

    #[test]
    fn of_a_slice_its_ready_pods_count() {
        let data = slice(&json!([
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true},
             "targetRef": pod("a"), "nodeName": "n"},
            {"addresses": ["10.0.0.2"], "targetRef": pod("a")},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false}, "targetRef": pod("a")},
            {"addresses": ["10.0.0.4"], "conditions": {"ready": true, "terminating": true},
             "targetRef": pod("a")},
            {"addresses": ["10.0.0.5"], "targetRef": pod("b")},
            {"addresses": ["10.0.0.6"], "targetRef": {"kind": "Node", "name": "n"}},
            {"addresses": ["10.0.0.7"]},
            {"addresses": ["no address"], "targetRef": pod("a")},
        ]));
        let addresses = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let expected = SliceData {
            name: ObjectName::new("a", "vllm-x"),
            service: "vllm".into(),
            ports: vec![Port {
                name: "http".into(),
                number: 8000,
                is_http2: false,
            }],
            addresses: addresses.into(),
        };
        assert_eq!(data, expected);
        assert!(slice(&Value::Null).addresses.is_empty());
    }

    #[test]
    fn of_a_service_its_ports_count_and_whether_it_selects() {
        let of = |spec: Value| {
            let object = json!({"metadata": {"namespace": "a", "name": "vllm"}, "spec": spec});
            ServiceData::from(Service::read(&object.to_string()).unwrap())
        };
        let whole = of(json!({
            "selector": {"app": "vllm"}, "clusterIP": "10.96.0.9", "type": "ClusterIP",
            "ports": [{"port": 80, "targetPort": "http"}, {"port": 53, "protocol": "UDP"},
                      {"port": 81, "appProtocol": "kubernetes.io/h2c"},
                      {"port": 82, "appProtocol": "kubernetes.io/ws"}],
        }));
        assert!(whole.has_selector);
        let port = |number, is_http2| Port {
            name: String::new(),
            number,
            is_http2,
        };
        let expected = [port(80, false), port(81, true), port(82, false)];
        assert_eq!(whole.ports, expected);
        let external = of(json!({"type": "ExternalName", "externalName": "a.test"}));
        assert!(!external.has_selector && external.ports.is_empty());
        assert!(!of(json!({"selector": {}})).has_selector);
    }
}
