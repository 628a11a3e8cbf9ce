//! Puts what a controller sent into force.
//!
//! A unit is applied in its own order, dependencies first, under one lock and
//! without an await in between; a name that requests look up by becomes visible
//! only when all that it needs stands.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use turnpike_snapshot::convert::ConvertError;
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::domain::Domain;
use turnpike_snapshot::{Name, Snapshot, Version};

use super::Store;
use super::book::{Book, Outgoing, Restated, Settled};
use super::slot::Slot;
use super::tables::{CredentialKey, DomainSlot, Known, Tables};
use super::view::{
    CompileError, CredentialView, DomainView, FleetView, ProviderView, QuotaView, TenantView,
};

/// One change of a unit.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) name: Name,
    pub(crate) kind: ChangeKind,
}

#[derive(Clone, Debug)]
pub(crate) enum ChangeKind {
    Upsert {
        version: Version,
        snapshot: Result<Box<Snapshot>, ConvertError>,
    },
    Absent,
    Drop,
}

/// A change that was not put into force, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) name: Name,
    pub(crate) version: Version,
    pub(crate) message: String,
}

impl Store {
    /// Puts a unit into force; what is refused leaves the form before it standing.
    pub(crate) fn apply(&self, unit: Vec<Change>) -> Vec<Refusal> {
        let changes = unit.len() as u64;
        let mut book = self.0.book.lock();
        let mut applying = Applying {
            tables: &self.0.tables,
            book: &mut book,
            refusals: Vec::new(),
        };
        for change in unit {
            applying.apply(change);
        }
        let refusals = applying.finish();
        let refused = refusals.len() as u64;
        self.0
            .applied
            .fetch_add(changes - refused, Ordering::Relaxed);
        self.0.refused.fetch_add(refused, Ordering::Relaxed);
        refusals
    }

    /// Takes the controller's fleet keys; what was asked under others is forgotten.
    pub(crate) fn set_fleet_keys(&self, keys: Vec<FleetKey>) {
        let mut book = self.0.book.lock();
        let before = self.0.fleet_keys.load();
        if before.iter().map(|(_, key)| key).eq(&keys) {
            return;
        }
        let is_gone = |id: &str| {
            let held = before.iter().find(|(held, _)| **held == *id);
            !held.is_some_and(|(_, key)| keys.contains(key))
        };
        let gone = book.asked_under(is_gone);
        let with_id = |key: FleetKey| (Arc::from(key.id()), key);
        self.0
            .fleet_keys
            .store(Arc::new(keys.iter().cloned().map(with_id).collect()));
        for name in &gone {
            self.0.tables.forget(name);
            book.forget(name);
        }
        drop(book);
        self.0.outgoing.notify_one();
    }

    pub(crate) fn restate(&self) -> Restated {
        self.0.book.lock().restate()
    }

    pub(crate) fn take_outgoing(&self, max: usize) -> Outgoing {
        self.0.book.lock().take_outgoing(max)
    }

    /// Waits until there may be something to say. Cancel-safe; for one task alone.
    pub(crate) async fn outgoing(&self) {
        self.0.outgoing.notified().await;
    }
}

struct Applying<'a> {
    tables: &'a Tables,
    book: &'a mut Book,
    refusals: Vec<Refusal>,
}

impl Applying<'_> {
    fn finish(self) -> Vec<Refusal> {
        let tables = self.tables;
        self.book.sweep(|name| tables.remove_unused(name));
        self.refusals
    }

    fn apply(&mut self, change: Change) {
        let Change { name, kind } = change;
        if is_by_request(&name) && !self.book.is_asked(&name) {
            // Crossed with our unsubscription: nobody would tell us of its changes.
            return;
        }
        match kind {
            ChangeKind::Upsert { version, snapshot } => self.upsert(name, version, snapshot),
            ChangeKind::Absent => self.absent(&name),
            ChangeKind::Drop => self.withdraw(&name),
        }
    }

    fn upsert(
        &mut self,
        name: Name,
        version: Version,
        snapshot: Result<Box<Snapshot>, ConvertError>,
    ) {
        let applied = match snapshot {
            Ok(snapshot) => {
                snapshot
                    .references()
                    .into_iter()
                    .for_each(|name| self.book.refer(name));
                self.put(&name, version, &snapshot)
                    .map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(message) = applied {
            self.refuse(&name);
            self.refusals.push(Refusal {
                name,
                version,
                message,
            });
        }
    }

    fn put(
        &mut self,
        name: &Name,
        version: Version,
        snapshot: &Snapshot,
    ) -> Result<(), CompileError> {
        if self.is_in_force(name, version) {
            return Ok(());
        }
        let tables = self.tables;
        match (name, snapshot) {
            (Name::Domain(host), Snapshot::Domain(domain)) if is_wildcard(host) => {
                self.put_wildcard(host, domain)?;
            }
            (Name::Domain(host), Snapshot::Domain(domain)) => {
                return self.put_domain(host, name, version, domain);
            }
            (Name::Domain(host), Snapshot::Alias(wildcard)) => {
                return self.put_alias(host, name, version, wildcard);
            }
            (Name::Credential { realm, id }, Snapshot::Credential(credential)) => {
                let view = CredentialView {
                    consumer: tables.consumers.slot(&credential.consumer),
                    not_after: credential.not_after,
                };
                let key = CredentialKey {
                    realm: realm.clone(),
                    id: *id,
                };
                tables
                    .credentials
                    .pin()
                    .insert(key, Known::Held(Arc::new(view)));
                self.settle(name, Settled::Held, Some(version));
                return Ok(());
            }
            (Name::Provider(object), Snapshot::Provider(provider)) => {
                let view = ProviderView::compile(provider)?;
                tables.providers.slot(object).store(Some(Arc::new(view)));
            }
            (Name::Consumer(object), Snapshot::Consumer(consumer)) => {
                tables
                    .consumers
                    .slot(object)
                    .store(Some(Arc::new(consumer.clone())));
            }
            (Name::Quota(object), Snapshot::Quota(quota)) => {
                let view = QuotaView::compile(object, quota)?;
                tables.quotas.slot(object).store(Some(Arc::new(view)));
            }
            (Name::Tenant(namespace), Snapshot::Tenant(tenant)) => {
                let view = TenantView::compile(tenant, tables)?;
                tables.tenants.slot(namespace).store(Some(Arc::new(view)));
            }
            (Name::Fleet, Snapshot::Fleet(fleet)) => {
                let view = FleetView::compile(fleet, tables)?;
                tables.fleet.store(Some(Arc::new(view)));
            }
            // `convert::read` lets no other pair through.
            _ => return Err(CompileError::WrongKind),
        }
        self.book.hold(name, version);
        Ok(())
    }

    fn is_in_force(&self, name: &Name, version: Version) -> bool {
        // An alias is put anew: its wildcard's slot may be another one.
        self.book.holds(name, version)
            || self.book.settled(name) == Some((Settled::Held, Some(version)))
    }

    fn put_domain(
        &mut self,
        host: &str,
        name: &Name,
        version: Version,
        domain: &Domain,
    ) -> Result<(), CompileError> {
        let view = Arc::new(self.compile_domain(host, domain)?);
        match self.own_slot(host, name) {
            Some(slot) => slot.store(Some(view)),
            None => self.publish(host, slot_with(view)),
        }
        self.settle(name, Settled::Held, Some(version));
        Ok(())
    }

    fn put_wildcard(&mut self, host: &str, domain: &Domain) -> Result<(), CompileError> {
        let view = Arc::new(self.compile_domain(host, domain)?);
        match self.held_slot(host) {
            Some(slot) => slot.store(Some(view)),
            None => self.publish(host, slot_with(view)),
        }
        Ok(())
    }

    fn put_alias(
        &mut self,
        host: &str,
        name: &Name,
        version: Version,
        wildcard: &str,
    ) -> Result<(), CompileError> {
        let slot = self
            .held_slot(wildcard)
            .filter(|slot| !slot.is_empty() && is_wildcard(wildcard))
            .ok_or_else(|| CompileError::Missing(Name::Domain(wildcard.to_owned())))?;
        self.publish(host, slot);
        self.settle(name, Settled::Alias, Some(version));
        Ok(())
    }

    /// A domain without its tenant's or the fleet's rules in force must not be seen.
    fn compile_domain(&self, host: &str, domain: &Domain) -> Result<DomainView, CompileError> {
        let view = DomainView::compile(host, domain, self.tables)?;
        if view.tenant.is_empty() {
            return Err(CompileError::Missing(Name::Tenant(
                domain.namespace.clone(),
            )));
        }
        if view.fleet.is_empty() {
            return Err(CompileError::Missing(Name::Fleet));
        }
        Ok(view)
    }

    /// The slot that a host has of its own; an alias's belongs to the wildcard.
    fn own_slot(&self, host: &str, name: &Name) -> Option<Arc<DomainSlot>> {
        let is_own = matches!(self.book.settled(name), Some((Settled::Held, _)));
        is_own.then(|| self.held_slot(host)).flatten()
    }

    fn held_slot(&self, host: &str) -> Option<Arc<DomainSlot>> {
        match self.tables.domain(host) {
            Some(Known::Held(slot)) => Some(slot),
            _ => None,
        }
    }

    fn publish(&self, host: &str, slot: Arc<DomainSlot>) {
        self.tables
            .domains
            .pin()
            .insert(host.to_owned(), Known::Held(slot));
    }

    /// Only where nothing is in force does a refusal change what requests see.
    fn refuse(&mut self, name: &Name) {
        let is_served = matches!(
            self.book.settled(name),
            Some((Settled::Held | Settled::Alias, _))
        );
        if is_by_request(name) && !is_served {
            self.mark(name, Known::Refused, Known::Refused);
            self.settle(name, Settled::Refused, None);
        }
    }

    fn absent(&mut self, name: &Name) {
        if is_by_request(name) {
            self.mark(name, Known::Absent, Known::Absent);
            self.settle(name, Settled::Absent, None);
        } else {
            self.empty(name);
            self.book.release(name);
        }
    }

    fn mark(
        &self,
        name: &Name,
        domain: Known<Arc<DomainSlot>>,
        credential: Known<Arc<CredentialView>>,
    ) {
        match name {
            Name::Domain(host) => {
                self.tables.domains.pin().insert(host.clone(), domain);
            }
            Name::Credential { realm, id } => {
                let key = CredentialKey {
                    realm: realm.clone(),
                    id: *id,
                };
                self.tables.credentials.pin().insert(key, credential);
            }
            _ => {}
        }
    }

    /// Takes a dependency out of force for all who refer to it.
    fn empty(&self, name: &Name) {
        let tables = self.tables;
        match name {
            Name::Provider(object) => tables.providers.slot(object).store(None),
            Name::Consumer(object) => tables.consumers.slot(object).store(None),
            Name::Quota(object) => tables.quotas.slot(object).store(None),
            Name::Tenant(namespace) => tables.tenants.slot(namespace).store(None),
            Name::Fleet => tables.fleet.store(None),
            Name::Domain(host) => {
                if let Some(slot) = self.held_slot(host) {
                    slot.store(None);
                }
                tables.forget(name);
            }
            Name::Credential { .. } => {}
        }
    }

    /// Nobody is said to refer to the name any more. What still does, a request in
    /// flight or a domain kept by a refusal, keeps what it has.
    fn withdraw(&mut self, name: &Name) {
        self.tables.forget(name);
        if is_by_request(name) {
            if let Some(evicted) = self.book.unsettle(name) {
                self.tables.forget(&evicted);
            }
        } else {
            self.book.release(name);
        }
    }

    fn settle(&mut self, name: &Name, settled: Settled, version: Option<Version>) {
        if let Some(evicted) = self.book.settle(name, settled, version) {
            self.tables.forget(&evicted);
        }
    }
}

fn slot_with(view: Arc<DomainView>) -> Arc<DomainSlot> {
    let slot = Slot::empty();
    slot.store(Some(view));
    Arc::new(slot)
}

/// Whether requests ask for the name by itself; all else comes along by reference.
fn is_by_request(name: &Name) -> bool {
    match name {
        Name::Domain(host) => !is_wildcard(host),
        _ => name.is_subscribable(),
    }
}

fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}
