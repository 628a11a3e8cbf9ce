//! Resources in few words, for tests: `route("a", "chat").host("a.test").event()`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use turnpike_crds::ai_provider::{
    Aws, CaCertificateKind, CaCertificateRef, EgressProxy, Gcp, OnUnsupported, Protocol,
    ProviderCredential, ProviderGrant, ProviderModel, ProviderState, ProviderTls,
    ProxyCredentialRef, ServiceRef, Vendor,
};
use turnpike_crds::ai_route::{
    Allow, Authentication, AuthenticationMode, BackendRef, CertificateRef, ClientCaRef,
    OnDisconnect, RouteMatch, RouteRule, RouteState, TemplateGrant, TemplateRef,
};
use turnpike_crds::common::{Count, Duration, SecretKeyRef, SecretRef, ServicePort};
use turnpike_crds::consumer::{ApiKey, ConsumerState};
use turnpike_crds::namespaces::{GrantedNamespaces, NamespaceSelector, NamespacesFrom};
use turnpike_crds::token_quota::Limit;
use turnpike_crds::{
    AIProvider, AIProviderSpec, AIRoute, AIRouteSpec, Consumer, ConsumerSpec, DEFAULT_CLASS,
    TokenQuota, TokenQuotaSpec,
};
use turnpike_snapshot::credential::{CredentialId, FleetKey, sha256};
use turnpike_snapshot::name::ObjectName;

use crate::index::hostnames::HostnamePolicy;
use crate::index::{Index, Touched};
use crate::source::{
    ConfigMapData, Event, Kind, NamespaceData, Object, ObjectKey, Port, SecretBytes, SecretData,
    ServiceData, SliceData,
};

/// The namespace that may select others.
pub(crate) const PLATFORM: &str = "turnpike-system";

/// A key that is long enough.
pub(crate) const LONG_KEY: &str = "sk-turnpike-0123456789";

/// An empty index under one fleet key, where hosts are open.
pub(crate) fn index() -> Index {
    Index::new(vec![fleet_key()], PLATFORM).with_hostname_policy(HostnamePolicy::open())
}

/// The fleet key of [`index`].
pub(crate) fn fleet_key() -> FleetKey {
    FleetKey::new("1", vec![1; 32])
}

/// The id that an API key has in [`index`].
pub(crate) fn credential_id(api_key: &str) -> CredentialId {
    fleet_key().credential_id(&sha256(api_key.as_bytes()))
}

/// Applies events and gives what all of them touched.
pub(crate) fn apply(index: &mut Index, events: impl IntoIterator<Item = Event>) -> Touched {
    let mut touched = Touched::default();
    for event in events {
        touched.merge(index.apply(event));
    }
    touched
}

/// An index that has heard these events.
pub(crate) fn index_of(events: impl IntoIterator<Item = Event>) -> Index {
    let mut index = index();
    apply(&mut index, events);
    index
}

pub(crate) fn name(namespace: &str, name: &str) -> ObjectName {
    ObjectName::new(namespace, name)
}

pub(crate) fn delete(kind: Kind, namespace: &str, name: &str) -> Event {
    Event::Delete(ObjectKey::new(kind, namespace, name))
}

/// A resource under construction.
#[derive(Clone)]
pub(crate) struct Builder<K>(pub(crate) K);

impl<K: Resource> Builder<K> {
    /// Sets the creation time.
    pub(crate) fn created(mut self, second: i64) -> Self {
        let time = Timestamp::from_second(second).unwrap();
        self.0.meta_mut().creation_timestamp = Some(Time(time));
        self
    }

    pub(crate) fn generation(mut self, generation: i64) -> Self {
        self.0.meta_mut().generation = Some(generation);
        self
    }
}

/// Turns what was built into what a source tells.
pub(crate) trait Tell {
    fn object(self) -> Object;

    fn event(self) -> Event
    where
        Self: Sized,
    {
        Event::Apply(self.object())
    }
}

impl Tell for Builder<AIProvider> {
    fn object(self) -> Object {
        Object::Provider(Box::new(self.0))
    }
}

impl Tell for Builder<AIRoute> {
    fn object(self) -> Object {
        Object::Route(Box::new(self.0))
    }
}

impl Tell for Builder<Consumer> {
    fn object(self) -> Object {
        Object::Consumer(Box::new(self.0))
    }
}

impl Tell for Builder<TokenQuota> {
    fn object(self) -> Object {
        Object::Quota(Box::new(self.0))
    }
}

/// An Echo provider without keys.
pub(crate) fn provider(namespace: &str, name: &str) -> Builder<AIProvider> {
    Builder(AIProvider {
        metadata: meta(namespace, name),
        spec: AIProviderSpec {
            vendor: Some(Vendor::Echo),
            protocol: None,
            url: None,
            service_ref: None,
            tls: None,
            egress_proxy: None,
            on_unsupported: OnUnsupported::Reject,
            key_header: None,
            paths: Vec::new(),
            quirks: None,
            azure: None,
            aws: None,
            gcp: None,
            credentials: Vec::new(),
            models: Vec::new(),
            timeouts: Default::default(),
            grants: Vec::new(),
            state: ProviderState::Active,
        },
        status: None,
    })
}

impl Builder<AIProvider> {
    pub(crate) fn url(mut self, url: &str) -> Self {
        self.0.spec.url = Some(url.into());
        self
    }

    pub(crate) fn state(mut self, state: ProviderState) -> Self {
        self.0.spec.state = state;
        self
    }

    /// Makes it a server of OpenAI's format behind a Service; the port by number or by name.
    pub(crate) fn service(mut self, service: &str, port: &str) -> Self {
        self.0.spec.vendor = None;
        self.0.spec.protocol = Some(Protocol::OpenAI);
        self.0.spec.service_ref = Some(ServiceRef {
            name: service.into(),
            port: match port.parse() {
                Ok(number) => ServicePort::Number(number),
                Err(_) => ServicePort::Name(port.into()),
            },
            path: None,
        });
        self
    }

    /// Trusts the CAs of a ConfigMap or a Secret alone.
    pub(crate) fn authorities(mut self, kind: CaCertificateKind, name: &str) -> Self {
        let name = name.into();
        self.tls().ca_certificate_ref = Some(CaCertificateRef { kind, name });
        self
    }

    /// Shows the certificate in a Secret.
    pub(crate) fn client_certificate(mut self, secret: &str) -> Self {
        let name = secret.into();
        self.tls().client_certificate_ref = Some(CertificateRef { name });
        self
    }

    pub(crate) fn server_name(mut self, name: &str) -> Self {
        self.tls().server_name = Some(name.into());
        self
    }

    fn tls(&mut self) -> &mut ProviderTls {
        self.0.spec.tls.get_or_insert_default()
    }

    /// Goes through a proxy, as the user in a Secret.
    pub(crate) fn egress_proxy(mut self, url: &str, secret: Option<&str>) -> Self {
        let secret_ref = secret.map(|name| ProxyCredentialRef { name: name.into() });
        let url = url.into();
        self.0.spec.egress_proxy = Some(EgressProxy { url, secret_ref });
        self
    }

    /// Puts it into a region of AWS, at an address of its own.
    pub(crate) fn aws(mut self, region: &str) -> Self {
        self = self.of_server();
        self.0.spec.aws = Some(Aws {
            region: region.into(),
        });
        self
    }

    /// Puts it into Google's cloud, at an address of its own.
    pub(crate) fn gcp(mut self, project: Option<&str>, location: &str) -> Self {
        self = self.of_server();
        self.0.spec.gcp = Some(Gcp {
            project: project.map(str::to_owned),
            location: location.into(),
        });
        self
    }

    fn of_server(mut self) -> Self {
        self.0.spec.vendor = None;
        self.0.spec.protocol = Some(Protocol::OpenAI);
        self.url("https://models.example.com/v1")
    }

    /// Adds a credential: one key of a Secret, or all.
    pub(crate) fn credential(mut self, name: &str, secret: &str, key: Option<&str>) -> Self {
        self.0.spec.credentials.push(ProviderCredential {
            name: name.into(),
            secret_ref: SecretRef {
                name: secret.into(),
                key: key.map(str::to_owned),
            },
        });
        self
    }

    /// Admits the namespaces with a label (without one: all) to these models (none: all).
    pub(crate) fn grant(mut self, label: Option<(&str, &str)>, models: &[&str]) -> Self {
        self.0.spec.grants.push(ProviderGrant {
            namespaces: granted(label),
            models: strings(models),
        });
        self
    }

    pub(crate) fn model(mut self, name: &str, upstream_model: Option<&str>) -> Self {
        self.0.spec.models.push(ProviderModel {
            name: name.into(),
            upstream_model: upstream_model.map(str::to_owned),
        });
        self
    }
}

/// A route without hosts and rules.
pub(crate) fn route(namespace: &str, name: &str) -> Builder<AIRoute> {
    Builder(AIRoute {
        metadata: meta(namespace, name),
        spec: AIRouteSpec {
            class_name: DEFAULT_CLASS.into(),
            hostnames: Vec::new(),
            rules_from: None,
            tls: None,
            grants: Vec::new(),
            authentication: None,
            authorization: None,
            max_body_bytes: None,
            head_bytes: None,
            heartbeat: None,
            on_disconnect: None,
            rules: Vec::new(),
            state: RouteState::Active,
            state_message: None,
        },
        status: None,
    })
}

impl Builder<AIRoute> {
    pub(crate) fn class(mut self, class: &str) -> Self {
        self.0.spec.class_name = class.into();
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.0.spec.hostnames.push(host.into());
        self
    }

    /// Adds a rule for these models (none: all) with one backend: `name` or `namespace/name`.
    pub(crate) fn rule(mut self, models: &[&str], backend: &str) -> Self {
        let matches = match models {
            [] => Vec::new(),
            models => vec![RouteMatch {
                models: strings(models),
                ..RouteMatch::default()
            }],
        };
        self.0.spec.rules.push(RouteRule {
            name: None,
            matches,
            backend_refs: vec![backend_ref(backend)],
            failover: None,
            retry: None,
        });
        self
    }

    pub(crate) fn allow(mut self, groups: &[&str], models: &[&str]) -> Self {
        let authorization = self.0.spec.authorization.get_or_insert_default();
        authorization.allow.push(Allow {
            names: Vec::new(),
            groups: strings(groups),
            models: strings(models),
        });
        self
    }

    /// Takes rules from a template.
    pub(crate) fn rules_from(mut self, namespace: &str, template: &str) -> Self {
        self.0.spec.rules_from = Some(TemplateRef {
            name: template.into(),
            namespace: Some(namespace.into()),
        });
        self
    }

    /// Shows the certificate in a Secret.
    pub(crate) fn certificate(mut self, secret: &str) -> Self {
        let tls = self.0.spec.tls.get_or_insert_default();
        tls.certificate_refs.push(CertificateRef {
            name: secret.into(),
        });
        self
    }

    /// Asks callers for a certificate of the CAs in a Secret.
    pub(crate) fn client_ca(mut self, secret: &str) -> Self {
        let tls = self.0.spec.tls.get_or_insert_default();
        tls.client_ca_ref = Some(ClientCaRef {
            name: secret.into(),
        });
        self
    }

    /// Lends the template to the namespaces with a label; without one, to all.
    pub(crate) fn grant(mut self, label: Option<(&str, &str)>) -> Self {
        let namespaces = granted(label);
        self.0.spec.grants.push(TemplateGrant { namespaces });
        self
    }

    pub(crate) fn heartbeat(mut self, every: &str) -> Self {
        self.0.spec.heartbeat = Some(every.parse().unwrap());
        self
    }

    pub(crate) fn on_disconnect(mut self, what: OnDisconnect) -> Self {
        self.0.spec.on_disconnect = Some(what);
        self
    }

    pub(crate) fn anonymous(mut self, consumer: &str) -> Self {
        self.0.spec.authentication = Some(Authentication {
            mode: AuthenticationMode::Optional,
            anonymous_consumer: Some(consumer.into()),
        });
        self
    }
}

fn backend_ref(text: &str) -> BackendRef {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, text),
    };
    BackendRef {
        name: name.into(),
        namespace,
        model: None,
        weight: 1,
        priority: 0,
    }
}

/// Admits the namespaces with a label; without one, all.
fn granted(label: Option<(&str, &str)>) -> GrantedNamespaces {
    let selector = label.map(|(key, value)| NamespaceSelector {
        match_labels: [(key.to_owned(), value.to_owned())].into(),
    });
    GrantedNamespaces {
        from: match selector {
            Some(_) => NamespacesFrom::Selector,
            None => NamespacesFrom::All,
        },
        selector,
    }
}

/// A consumer without keys.
pub(crate) fn consumer(namespace: &str, name: &str) -> Builder<Consumer> {
    Builder(Consumer {
        metadata: meta(namespace, name),
        spec: ConsumerSpec {
            groups: Vec::new(),
            api_keys: Vec::new(),
            state: ConsumerState::Active,
        },
        status: None,
    })
}

impl Builder<Consumer> {
    pub(crate) fn groups(mut self, groups: &[&str]) -> Self {
        self.0.spec.groups = strings(groups);
        self
    }

    /// Adds a key by its digest.
    pub(crate) fn key(mut self, api_key: &str) -> Self {
        let digest = sha256(api_key.as_bytes());
        let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.spec.api_keys.push(ApiKey {
            name: format!("key-{}", self.0.spec.api_keys.len()),
            sha256: Some(hex),
            secret_ref: None,
            not_after: None,
        });
        self
    }

    /// Adds a key that a Secret holds.
    pub(crate) fn secret_key(mut self, secret: &str, key: &str) -> Self {
        self.0.spec.api_keys.push(ApiKey {
            name: format!("key-{}", self.0.spec.api_keys.len()),
            sha256: None,
            secret_ref: Some(SecretKeyRef {
                name: secret.into(),
                key: key.into(),
            }),
            not_after: None,
        });
        self
    }

    /// Lets the newest key end at this second.
    pub(crate) fn not_after(mut self, second: i64) -> Self {
        let time = Time(Timestamp::from_second(second).unwrap());
        self.0.spec.api_keys.last_mut().unwrap().not_after = Some(time);
        self
    }

    pub(crate) fn suspended(mut self) -> Self {
        self.0.spec.state = ConsumerState::Suspended;
        self
    }
}

/// A quota of 1000 tokens a minute for each consumer.
pub(crate) fn quota(namespace: &str, name: &str) -> Builder<TokenQuota> {
    Builder(TokenQuota {
        metadata: meta(namespace, name),
        spec: TokenQuotaSpec {
            selector: Default::default(),
            per: vec![turnpike_crds::token_quota::CounterPer::Consumer],
            limits: vec![Limit {
                name: "minute".into(),
                tokens: Some(Count(1000)),
                requests: None,
                window: Duration(std::time::Duration::from_secs(60)),
            }],
            on_exceeded: None,
            on_store_failure: Default::default(),
        },
        status: None,
    })
}

impl Builder<TokenQuota> {
    pub(crate) fn tokens(mut self, tokens: u64) -> Self {
        self.0.spec.limits[0].tokens = Some(Count(tokens));
        self
    }

    pub(crate) fn models(mut self, models: &[&str]) -> Self {
        self.0.spec.selector.models = strings(models);
        self
    }

    /// Selects consumers by group.
    pub(crate) fn groups(mut self, groups: &[&str]) -> Self {
        let consumers = self.0.spec.selector.consumers.get_or_insert_default();
        consumers.groups = strings(groups);
        self
    }

    /// Selects namespaces by a label.
    pub(crate) fn namespaces(mut self, label: &str, value: &str) -> Self {
        let match_labels = BTreeMap::from([(label.to_owned(), value.to_owned())]);
        self.0.spec.selector.namespaces = Some(NamespaceSelector { match_labels });
        self
    }
}

/// A Secret with these values.
pub(crate) fn secret(namespace: &str, secret: &str, values: &[(&str, &str)]) -> Event {
    let values = values.iter();
    Event::Apply(Object::Secret(SecretData {
        name: name(namespace, secret),
        data: values
            .map(|(key, value)| ((*key).to_owned(), SecretBytes::new(*value)))
            .collect(),
    }))
}

/// A ConfigMap with or without CAs.
pub(crate) fn config_map(namespace: &str, config_map: &str, authorities: Option<&str>) -> Event {
    Event::Apply(Object::ConfigMap(ConfigMapData {
        name: name(namespace, config_map),
        authorities: authorities.map(|pem| pem.as_bytes().into()),
    }))
}

/// A Service with these ports, each with its name, which selects pods or does not.
pub(crate) fn service(
    namespace: &str,
    service: &str,
    has_selector: bool,
    ports: &[(&str, u16)],
) -> Event {
    Event::Apply(Object::Service(ServiceData {
        name: name(namespace, service),
        has_selector,
        ports: self::ports(ports),
    }))
}

/// A Service with this port, where HTTP/2 is spoken in the clear.
pub(crate) fn http2_service(namespace: &str, service: &str, port: (&str, u16)) -> Event {
    let mut ports = self::ports(&[port]);
    ports[0].is_http2 = true;
    Event::Apply(Object::Service(ServiceData {
        name: name(namespace, service),
        has_selector: true,
        ports,
    }))
}

/// A slice `name` of a Service with these ready pods.
pub(crate) fn slice(
    (namespace, slice): (&str, &str),
    service: &str,
    ports: &[(&str, u16)],
    addresses: &[&str],
) -> Event {
    Event::Apply(Object::Slice(SliceData {
        name: name(namespace, slice),
        service: service.into(),
        ports: self::ports(ports),
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
    }))
}

fn ports(ports: &[(&str, u16)]) -> Vec<Port> {
    let ports = ports.iter();
    ports
        .map(|&(name, number)| Port {
            name: name.into(),
            number,
            is_http2: false,
        })
        .collect()
}

/// A Namespace with a uid and perhaps a label.
pub(crate) fn namespace(name: &str, uid: &str, labels: &[(&str, &str)]) -> Event {
    namespace_allowed(name, uid, labels, &[])
}

/// A Namespace whose annotation allows it these hosts.
pub(crate) fn namespace_allowed(
    name: &str,
    uid: &str,
    labels: &[(&str, &str)],
    hosts: &[&str],
) -> Event {
    let labels = labels.iter();
    Event::Apply(Object::Namespace(NamespaceData {
        name: name.into(),
        uid: uid.into(),
        labels: labels
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>()
            .into(),
        allowed_hostnames: strings(hosts),
    }))
}

pub(crate) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn meta(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(namespace.into()),
        name: Some(name.into()),
        generation: Some(1),
        ..ObjectMeta::default()
    }
}
