//! What the sources told, held so that each event knows what it touches:
//! typed objects without what nobody reads, and for each thing who depends on it.
//!
//! One file a kind says what a change of it touches; [`crate::compile`] reads.

pub mod config_maps;
pub mod hostnames;
pub mod hosts;
pub mod keys;
pub mod packed;
pub mod secrets;
pub mod services;
pub mod table;

pub(crate) mod certificates;
pub(crate) mod grants;

mod consumers;
mod groups;
mod namespaces;
mod providers;
mod quotas;
mod refs;
mod routes;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use turnpike_crds::{
    AIProviderSpec, AIRouteSpec, ConsumerSpec, DEFAULT_CLASS, Status, TokenQuotaSpec,
};
use turnpike_snapshot::Name;
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::name::ObjectName;

use crate::index::config_maps::ConfigMaps;
use crate::index::consumers::Claimed;
use crate::index::groups::Groups;
use crate::index::hostnames::HostnamePolicy;
use crate::index::hosts::Hosts;
use crate::index::keys::Keys;
use crate::index::packed::PackedStatus;
use crate::index::refs::Refs;
use crate::index::secrets::Secrets;
use crate::index::services::Services;
use crate::index::table::{Meta, Table};
use crate::source::{Event, Kind, NamespaceData, Object, ObjectKey};

pub use crate::index::quotas::Scope;

/// Every object and who refers to it.
pub struct Index {
    fleet_keys: Vec<FleetKey>,
    platform_namespace: String,
    /// Routes of another are as if they were not there.
    class: String,
    fleet_certificates: Vec<ObjectName>,
    hostname_policy: HostnamePolicy,
    origin: Origin,
    synced: BTreeSet<Kind>,

    pub(crate) providers: Table<AIProviderSpec>,
    pub(crate) routes: Table<AIRouteSpec>,
    pub(crate) consumers: Table<ConsumerSpec>,
    pub(crate) quotas: Table<TokenQuotaSpec>,
    pub(crate) secrets: Secrets,
    pub(crate) config_maps: ConfigMaps,
    pub(crate) services: Services,
    pub(crate) namespaces: BTreeMap<String, NamespaceData>,

    pub(crate) hosts: Hosts,
    pub(crate) keys: Keys,
    pub(crate) groups: Groups,
    refs: Refs,
    /// What each consumer with keys in Secrets holds in `keys` at present; of the others
    /// the resource says it.
    claimed: HashMap<ObjectName, Claimed>,
}

/// Where the objects come from, for advice that only holds there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Cluster,
    Files,
}

/// What one event may have changed, and nothing besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Their snapshots.
    pub names: BTreeSet<Name>,
    /// Their conditions.
    pub objects: BTreeSet<ObjectKey>,
    /// What their status counts, be they there or not.
    pub counted: BTreeSet<ObjectKey>,
}

impl Touched {
    /// Adds what another event touched.
    pub fn merge(&mut self, other: Touched) {
        self.names.extend(other.names);
        self.objects.extend(other.objects);
        self.counted.extend(other.counted);
    }

    /// Whether nothing was touched.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.objects.is_empty() && self.counted.is_empty()
    }
}

impl Index {
    /// Makes an empty index. Credentials are named under every fleet key; only
    /// objects of the platform namespace may select other namespaces. Hosts are
    /// closed: only annotations give them. Routes of the class `turnpike` count.
    pub fn new(fleet_keys: Vec<FleetKey>, platform_namespace: impl Into<String>) -> Self {
        Self {
            fleet_keys,
            platform_namespace: platform_namespace.into(),
            class: DEFAULT_CLASS.to_owned(),
            fleet_certificates: Vec::new(),
            hostname_policy: HostnamePolicy::default(),
            origin: Origin::Cluster,
            synced: BTreeSet::new(),
            providers: Table::new(),
            routes: Table::new(),
            consumers: Table::new(),
            quotas: Table::new(),
            secrets: Secrets::default(),
            config_maps: ConfigMaps::default(),
            services: Services::default(),
            namespaces: BTreeMap::new(),
            hosts: Hosts::default(),
            keys: Keys::default(),
            groups: Groups::default(),
            refs: Refs::default(),
            claimed: HashMap::new(),
        }
    }

    /// Says that the objects come from files: advice that only helps in a cluster is
    /// left out, and hosts are open to whoever is first.
    pub fn of_files(mut self) -> Self {
        self.origin = Origin::Files;
        self.with_hostname_policy(HostnamePolicy::open())
    }

    /// Says of which class the routes are that count; before any object is applied.
    pub fn with_class(mut self, class: impl Into<String>) -> Self {
        self.class = class.into();
        self
    }

    /// Says which hosts namespaces may claim; before any object is applied.
    pub fn with_hostname_policy(mut self, policy: HostnamePolicy) -> Self {
        self.hostname_policy = policy;
        self
    }

    /// Names the Secrets of the platform's certificates; before any object is applied.
    pub fn with_fleet_certificates(mut self, certificates: Vec<ObjectName>) -> Self {
        self.fleet_certificates = certificates;
        self
    }

    /// Applies one event and tells what it touched; work is proportional to that.
    ///
    /// An object that is applied again with no change, or none but its status,
    /// touches nothing.
    pub fn apply(&mut self, event: Event) -> Touched {
        match event {
            Event::Apply(object) => self.put(object),
            Event::Delete(key) => self.delete(&key),
            Event::Synced(kind) => {
                self.synced.insert(kind);
                Touched::default()
            }
        }
    }

    /// Whether every kind has been listed once; before that nothing may be served.
    pub fn is_synced(&self) -> bool {
        self.synced.len() == Kind::ALL.len()
    }

    /// The keys under which credentials are named, newest first.
    pub fn fleet_keys(&self) -> &[FleetKey] {
        &self.fleet_keys
    }

    /// The namespace whose objects may select others.
    pub fn platform_namespace(&self) -> &str {
        &self.platform_namespace
    }

    /// The Secrets of the platform's certificates, in the platform's order.
    pub fn fleet_certificates(&self) -> &[ObjectName] {
        &self.fleet_certificates
    }

    /// Where the objects come from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Gives every host that a route claims, sorted.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.all().into_iter()
    }

    /// Counts the objects of each kind.
    pub fn counts(&self) -> [(Kind, usize); 9] {
        [
            (Kind::AIProvider, self.providers.len()),
            (Kind::AIRoute, self.routes.len()),
            (Kind::Consumer, self.consumers.len()),
            (Kind::TokenQuota, self.quotas.len()),
            (Kind::Secret, self.secrets.count()),
            (Kind::ConfigMap, self.config_maps.count()),
            (Kind::Namespace, self.namespaces.len()),
            (Kind::Service, self.services.count()),
            (Kind::EndpointSlice, self.services.count_slices()),
        ]
    }

    /// Counts the routes that name a provider in their rules, or take their rules from a
    /// template, be they admitted or not.
    pub(crate) fn count_routes(&self, target: &ObjectKey) -> usize {
        self.refs.count(target)
    }

    /// Names every object that has a status.
    pub fn keys_with_status(&self) -> impl Iterator<Item = ObjectKey> {
        let of = |kind| {
            move |name: &ObjectName| ObjectKey {
                kind,
                name: name.clone(),
            }
        };
        let providers = self.providers.keys().map(of(Kind::AIProvider));
        let routes = self.routes.keys().map(of(Kind::AIRoute));
        let consumers = self.consumers.keys().map(of(Kind::Consumer));
        let quotas = self.quotas.keys().map(of(Kind::TokenQuota));
        providers.chain(routes).chain(consumers).chain(quotas)
    }

    /// Finds the metadata and the last known status of an object that has one.
    pub fn find_status(&self, key: &ObjectKey) -> Option<(&Meta, Option<Status>)> {
        fn of<'a, S>(table: &'a Table<S>, name: &ObjectName) -> Option<(&'a Meta, Option<Status>)> {
            let stored = table.get(name)?;
            let status = stored.status.as_ref().map(PackedStatus::unpack);
            Some((&stored.meta, status))
        }
        match key.kind {
            Kind::AIProvider => of(&self.providers, &key.name),
            Kind::AIRoute => of(&self.routes, &key.name),
            Kind::Consumer => of(&self.consumers, &key.name),
            Kind::TokenQuota => of(&self.quotas, &key.name),
            Kind::Secret
            | Kind::ConfigMap
            | Kind::Namespace
            | Kind::Service
            | Kind::EndpointSlice => None,
        }
    }

    /// Remembers a status that was just written, until the source tells it too.
    pub fn record_status(&mut self, key: &ObjectKey, status: Status) {
        type Slot = Option<PackedStatus>;
        fn of<'a, S>(table: &'a mut Table<S>, name: &ObjectName) -> Option<&'a mut Slot> {
            table.get_mut(name).map(|stored| &mut stored.status)
        }
        let slot = match key.kind {
            Kind::AIProvider => of(&mut self.providers, &key.name),
            Kind::AIRoute => of(&mut self.routes, &key.name),
            Kind::Consumer => of(&mut self.consumers, &key.name),
            Kind::TokenQuota => of(&mut self.quotas, &key.name),
            Kind::Secret
            | Kind::ConfigMap
            | Kind::Namespace
            | Kind::Service
            | Kind::EndpointSlice => None,
        };
        if let Some(slot) = slot {
            *slot = Some(PackedStatus::new(&status));
        }
    }

    fn put(&mut self, object: Object) -> Touched {
        match object {
            Object::Provider(provider) => self.put_provider(*provider),
            Object::Route(route) => self.put_route(*route),
            Object::Consumer(consumer) => self.put_consumer(*consumer),
            Object::Quota(quota) => self.put_quota(*quota),
            Object::Secret(secret) => self.put_secret(secret),
            Object::ConfigMap(config_map) => self.put_config_map(config_map),
            Object::Namespace(namespace) => self.put_namespace(namespace),
            Object::Service(service) => self.put_service(&service),
            Object::Slice(slice) => self.put_slice(&slice),
        }
    }

    fn delete(&mut self, key: &ObjectKey) -> Touched {
        match key.kind {
            Kind::AIProvider => self.delete_provider(&key.name),
            Kind::AIRoute => self.delete_route(&key.name),
            Kind::Consumer => self.delete_consumer(&key.name),
            Kind::TokenQuota => self.delete_quota(&key.name),
            Kind::Secret => self.delete_secret(&key.name),
            Kind::ConfigMap => self.delete_config_map(&key.name),
            Kind::Namespace => self.delete_namespace(&key.name.name),
            Kind::Service => self.delete_service(&key.name),
            Kind::EndpointSlice => self.delete_slice(&key.name),
        }
    }
}

#[cfg(test)]
mod tests;
