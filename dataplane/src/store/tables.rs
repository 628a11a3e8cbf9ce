//! Where things are kept: read without a lock, written by the book's holder alone.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use papaya::Equivalent;
use turnpike_snapshot::Name;
use turnpike_snapshot::credential::CredentialId;
use turnpike_snapshot::name::ObjectName;

use super::slot::Slot;
use super::view::{
    ConsumerSlot, CredentialView, DomainView, FleetSlot, ProviderSlot, QuotaSlot, RulesSlot,
    TenantSlot,
};

/// Where a domain's current form is; the aliases of a wildcard share its slot.
pub(crate) type DomainSlot = Slot<DomainView>;

/// All that is known, by kind.
pub(crate) struct Tables {
    pub(crate) domains: papaya::HashMap<String, Known<Arc<DomainSlot>>>,
    pub(crate) credentials: papaya::HashMap<CredentialKey, Known<Arc<CredentialView>>>,
    pub(crate) providers: Table<ObjectName, ProviderSlot>,
    pub(crate) rules: Table<ObjectName, RulesSlot>,
    pub(crate) consumers: Table<ObjectName, ConsumerSlot>,
    pub(crate) quotas: Table<ObjectName, QuotaSlot>,
    pub(crate) tenants: Table<String, TenantSlot>,
    pub(crate) fleet: Arc<FleetSlot>,
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
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            domains: papaya::HashMap::new(),
            credentials: papaya::HashMap::new(),
            providers: Table::default(),
            rules: Table::default(),
            consumers: Table::default(),
            quotas: Table::default(),
            tenants: Table::default(),
            fleet: Arc::new(Slot::empty()),
        }
    }
}

impl Tables {
    pub(crate) fn domain(&self, host: &str) -> Option<Known<Arc<DomainSlot>>> {
        self.domains.pin().get(host).cloned()
    }

    pub(crate) fn credential(&self, key: &CredentialKey) -> Option<Known<Arc<CredentialView>>> {
        self.credentials.pin().get(key).cloned()
    }

    /// A host's slot, its own or a wildcard's.
    pub(crate) fn held_domain(&self, host: &str) -> Option<Arc<DomainSlot>> {
        match self.domain(host) {
            Some(Known::Held(slot)) => Some(slot),
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
            self.domains.pin().insert(host.clone(), gone.into());
        } else if let Some(key) = CredentialKey::of(name) {
            self.credentials.pin().insert(key, gone.into());
        }
    }

    /// Takes a dependency out of force for all who refer to it.
    pub(crate) fn empty(&self, name: &Name) {
        match name {
            Name::Provider(object) => self.providers.slot(object).store(None),
            Name::Rules(object) => self.rules.slot(object).store(None),
            Name::Consumer(object) => self.consumers.slot(object).store(None),
            Name::Quota(object) => self.quotas.slot(object).store(None),
            Name::Tenant(namespace) => self.tenants.slot(namespace).store(None),
            Name::Fleet => self.fleet.store(None),
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
            Name::Rules(name) => self.rules.remove_unused(name),
            Name::Consumer(name) => self.consumers.remove_unused(name),
            Name::Quota(name) => self.quotas.remove_unused(name),
            Name::Tenant(name) => self.tenants.remove_unused(name),
            Name::Domain(_) | Name::Credential { .. } | Name::Fleet => true,
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
