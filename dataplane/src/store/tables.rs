//! Where things are kept: read without a lock, written by the book's holder alone.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use papaya::Equivalent;
use turnpike_snapshot::Name;
use turnpike_snapshot::credential::CredentialId;
use turnpike_snapshot::name::{ObjectName, ServicePort};

use super::slot::Slot;
use super::view::{
    AuthoritySlot, CertificateSlot, ConsumerSlot, CredentialView, DomainView, EndpointsSlot,
    FleetCertificatesSlot, FleetSlot, ProviderSlot, QuotaSlot, RulesSlot, TenantSlot,
};

use crate::upstream::credentials::TokensTable;
use crate::upstream::{Plain, Ways};

/// Where a domain's current form is; the aliases of a wildcard share its slot.
pub(crate) type DomainSlot = Slot<DomainView>;

/// All that is known, by kind.
pub(crate) struct Tables {
    domains: Lookups<String, Arc<DomainSlot>>,
    credentials: Lookups<CredentialKey, Arc<CredentialView>>,
    pub(crate) providers: Table<ObjectName, ProviderSlot>,
    pub(crate) endpoints: Table<ServicePort, EndpointsSlot>,
    pub(crate) rules: Table<ObjectName, RulesSlot>,
    pub(crate) consumers: Table<ObjectName, ConsumerSlot>,
    pub(crate) quotas: Table<ObjectName, QuotaSlot>,
    pub(crate) tenants: Table<String, TenantSlot>,
    pub(crate) fleet: Arc<FleetSlot>,
    pub(crate) certificates: Table<ObjectName, CertificateSlot>,
    pub(crate) authorities: Table<ObjectName, AuthoritySlot>,
    pub(crate) fleet_certificates: FleetCertificatesSlot,
    /// How connections to providers are made.
    pub(crate) ways: Ways,
    /// What those in clouds are shown.
    pub(crate) tokens: TokensTable,
    /// The time in seconds since 1970, as coarse as whoever sets it.
    now: AtomicU32,
}

/// What requests look up by themselves, each with the time that it was last looked up.
type Lookups<K, T> = papaya::HashMap<K, Entry<T>>;

struct Entry<T> {
    known: Known<T>,
    /// Written only when it differs, so that a busy name's cache line stays shared.
    used: AtomicU32,
}

/// What the controller said of a name.
#[derive(Clone, Debug)]
pub(crate) enum Known<T> {
    /// Here it is.
    Held(T),
    /// There is none now.
    Absent,
    /// There is one that this build could not put into force, and none before it.
    Refused,
}

/// Why there is nothing to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Absent,
    Refused,
}

impl<T> From<Gone> for Known<T> {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Absent => Known::Absent,
            Gone::Refused => Known::Refused,
        }
    }
}

/// Names a credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CredentialKey {
    pub(crate) realm: String,
    pub(crate) id: CredentialId,
}

impl CredentialKey {
    /// `None`: the name is not a credential's.
    pub(crate) fn of(name: &Name) -> Option<Self> {
        match name {
            Name::Credential { realm, id } => Some(Self {
                realm: realm.clone(),
                id: *id,
            }),
            _ => None,
        }
    }

    pub(crate) fn name(&self) -> Name {
        Name::Credential {
            realm: self.realm.clone(),
            id: self.id,
        }
    }
}

fn look_up<K, Q, T>(map: &Lookups<K, T>, key: &Q, now: u32) -> Option<Known<T>>
where
    K: Eq + Hash,
    Q: Equivalent<K> + Hash + ?Sized,
    T: Clone,
{
    let map = map.pin();
    let entry = map.get(key)?;
    if entry.used() != now {
        entry.used.store(now, Ordering::Relaxed);
    }
    Some(entry.known.clone())
}

impl<T> Entry<T> {
    fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            domains: papaya::HashMap::new(),
            credentials: papaya::HashMap::new(),
            providers: Table::default(),
            endpoints: Table::default(),
            rules: Table::default(),
            consumers: Table::default(),
            quotas: Table::default(),
            tenants: Table::default(),
            fleet: Arc::new(Slot::empty()),
            certificates: Table::default(),
            authorities: Table::default(),
            fleet_certificates: Slot::empty(),
            ways: Ways::default(),
            tokens: TokensTable::default(),
            now: AtomicU32::new(0),
        }
    }
}

impl Tables {
    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    pub(crate) fn set_now(&self, now: u32) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Looks a host up for a request.
    pub(crate) fn domain(&self, host: &str) -> Option<Known<Arc<DomainSlot>>> {
        look_up(&self.domains, host, self.now())
    }

    /// Looks a key up for a request.
    pub(crate) fn credential(&self, key: &CredentialKey) -> Option<Known<Arc<CredentialView>>> {
        look_up(&self.credentials, key, self.now())
    }

    pub(crate) fn put_domain(&self, host: &str, slot: Arc<DomainSlot>) {
        self.enter(&self.domains, host.to_owned(), Known::Held(slot));
    }

    pub(crate) fn put_credential(&self, key: CredentialKey, view: Arc<CredentialView>) {
        self.enter(&self.credentials, key, Known::Held(view));
    }

    /// When a name was last looked up; `None`: it is not here.
    pub(crate) fn used(&self, name: &Name) -> Option<u32> {
        if let Name::Domain(host) = name {
            return Some(self.domains.pin().get(host)?.used());
        }
        let key = CredentialKey::of(name)?;
        Some(self.credentials.pin().get(&key)?.used())
    }

    /// Gives the names last looked up before a time, each with that time.
    pub(crate) fn used_before(&self, end: u32) -> Vec<(u32, Name)> {
        let domains = self.domains.pin();
        let domains = domains
            .iter()
            .map(|(host, entry)| (entry.used(), host))
            .filter(|(used, _)| *used < end)
            .map(|(used, host)| (used, Name::Domain(host.clone())));
        let credentials = self.credentials.pin();
        let credentials = credentials
            .iter()
            .map(|(key, entry)| (entry.used(), key))
            .filter(|(used, _)| *used < end)
            .map(|(used, key)| (used, key.name()));
        domains.chain(credentials).collect()
    }

    /// A change is no use: what stands there keeps its time.
    fn enter<K, T>(&self, map: &Lookups<K, T>, key: K, known: Known<T>)
    where
        K: Eq + Hash,
    {
        let map = map.pin();
        let used = map.get(&key).map_or_else(|| self.now(), Entry::used);
        let used = AtomicU32::new(used);
        map.insert(key, Entry { known, used });
    }

    /// A host's slot, its own or a wildcard's.
    pub(crate) fn held_domain(&self, host: &str) -> Option<Arc<DomainSlot>> {
        match self.domains.pin().get(host)?.known {
            Known::Held(ref slot) => Some(slot.clone()),
            _ => None,
        }
    }

    /// Makes a name unknown.
    pub(crate) fn forget(&self, name: &Name) {
        if let Name::Domain(host) = name {
            self.domains.pin().remove(host);
        } else if let Some(key) = CredentialKey::of(name) {
            self.credentials.pin().remove(&key);
        }
    }

    /// Remembers that there is nothing to be had under a name that requests ask for.
    pub(crate) fn mark(&self, name: &Name, gone: Gone) {
        if let Name::Domain(host) = name {
            self.enter(&self.domains, host.clone(), gone.into());
        } else if let Some(key) = CredentialKey::of(name) {
            self.enter(&self.credentials, key, gone.into());
        }
    }

    /// Takes a dependency out of force for all who refer to it.
    pub(crate) fn empty(&self, name: &Name) {
        match name {
            Name::Provider(object) => self.providers.slot(object).store(None),
            Name::Endpoints(port) => {
                let slot = self.endpoints.slot(port);
                slot.runtime().renew(&[], Plain::Http1);
                slot.store(None);
            }
            Name::Rules(object) => self.rules.slot(object).store(None),
            Name::Consumer(object) => self.consumers.slot(object).store(None),
            Name::Quota(object) => self.quotas.slot(object).store(None),
            Name::Tenant(namespace) => self.tenants.slot(namespace).store(None),
            Name::Fleet => self.fleet.store(None),
            Name::Certificate(object) => self.certificates.slot(object).store(None),
            Name::Authority(object) => self.authorities.slot(object).store(None),
            Name::FleetCertificates => self.fleet_certificates.store(None),
            Name::Domain(host) => {
                if let Some(slot) = self.held_domain(host) {
                    slot.store(None);
                }
                self.forget(name);
            }
            Name::Credential { .. } => {}
        }
    }

    /// Removes the slot of a thing that nobody refers to; says whether it is gone.
    pub(crate) fn remove_unused(&self, name: &Name) -> bool {
        match name {
            Name::Provider(name) => self.providers.remove_unused(name),
            Name::Endpoints(port) => self.endpoints.remove_unused(port),
            Name::Rules(name) => self.rules.remove_unused(name),
            Name::Consumer(name) => self.consumers.remove_unused(name),
            Name::Quota(name) => self.quotas.remove_unused(name),
            Name::Tenant(name) => self.tenants.remove_unused(name),
            Name::Certificate(name) => self.certificates.remove_unused(name),
            Name::Authority(name) => self.authorities.remove_unused(name),
            Name::Domain(_) | Name::Credential { .. } | Name::Fleet | Name::FleetCertificates => {
                true
            }
        }
    }
}

/// Slots by name. A slot stays while anybody refers to it, so a thing that
/// comes back finds those who waited for it.
pub(crate) struct Table<K, S>(papaya::HashMap<K, Arc<S>>);

impl<K, S> Default for Table<K, S>
where
    K: Eq + Hash,
{
    fn default() -> Self {
        Self(papaya::HashMap::new())
    }
}

impl<K, T, R> Table<K, Slot<T, R>>
where
    K: Eq + Hash + Clone,
    R: Default,
{
    /// Finds a slot, or makes an empty one.
    pub(crate) fn slot<Q>(&self, key: &Q) -> Arc<Slot<T, R>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let map = self.0.pin();
        map.get_or_insert_with(key.to_owned(), || Arc::new(Slot::empty()))
            .clone()
    }

    pub(crate) fn find<Q>(&self, key: &Q) -> Option<Arc<T>>
    where
        Q: Equivalent<K> + Hash + ?Sized,
    {
        self.0.pin().get(key)?.load()
    }

    fn remove_unused(&self, key: &K) -> bool {
        let map = self.0.pin();
        let is_unused = map.get(key).is_none_or(|slot| Arc::strong_count(slot) == 1);
        if is_unused {
            map.remove(key);
        }
        is_unused
    }
}
