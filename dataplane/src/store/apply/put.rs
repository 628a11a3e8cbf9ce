//! Compiles one snapshot and puts it where requests look; a name that they look
//! up by becomes visible only when all that it needs stands.

use std::sync::Arc;

use turnpike_snapshot::credential::Credential;
use turnpike_snapshot::domain::Domain;
use turnpike_snapshot::{Name, Snapshot, Version};

use super::{Applying, is_wildcard};
use crate::store::book::{Form, Settled};
use crate::store::slot::Slot;
use crate::store::tables::{CredentialKey, DomainSlot};
use crate::store::view::{
    AuthorityView, CertificateView, CompileError, CredentialView, DomainView, EndpointsView,
    FleetCertificatesView, FleetView, ProviderView, QuotaView, RulesView, TenantView,
};
use crate::upstream::Plain;

impl Applying<'_> {
    pub(super) fn put(
        &mut self,
        name: &Name,
        form: Form,
        snapshot: &Snapshot,
    ) -> Result<(), CompileError> {
        if self.is_in_force(name, form) {
            return Ok(());
        }
        match (name, snapshot) {
            (Name::Domain(host), Snapshot::Domain(domain)) if !is_wildcard(host) => {
                self.put_domain(host, domain)?;
                self.settle(name, Settled::Held, Some(form));
            }
            (Name::Domain(host), Snapshot::Alias(wildcard)) => {
                self.put_alias(host, wildcard)?;
                self.settle(name, Settled::Alias, Some(form));
            }
            (Name::Credential { .. }, Snapshot::Credential(credential)) => {
                self.put_credential(name, credential);
                self.settle(name, Settled::Held, Some(form));
            }
            _ => {
                self.put_dependency(name, form.version, snapshot)?;
                self.book.hold(name, form);
            }
        }
        Ok(())
    }

    fn is_in_force(&self, name: &Name, form: Form) -> bool {
        // An alias is put anew: its wildcard's slot may be another one.
        self.book.holds(name, form.version)
            || self.book.settled(name) == Some((Settled::Held, Some(form.version)))
    }

    /// What comes along by reference.
    fn put_dependency(
        &self,
        name: &Name,
        version: Version,
        snapshot: &Snapshot,
    ) -> Result<(), CompileError> {
        let tables = self.tables;
        match (name, snapshot) {
            (Name::Domain(host), Snapshot::Domain(domain)) => self.put_wildcard(host, domain)?,
            (Name::Provider(object), Snapshot::Provider(provider)) => {
                let view = ProviderView::compile(provider, tables)?;
                let is_blocked = view.is_blocked();
                let slot = tables.providers.slot(object);
                slot.store(Some(Arc::new(view)));
                if is_blocked {
                    slot.runtime().end_attempts();
                }
            }
            (Name::Endpoints(port), Snapshot::Endpoints(endpoints)) => {
                let slot = tables.endpoints.slot(port);
                let plain = match endpoints.is_http2 {
                    true => Plain::Http2,
                    false => Plain::Http1,
                };
                let renewed = slot.runtime().renew(&endpoints.addresses, plain);
                let view = EndpointsView(renewed);
                slot.store(Some(Arc::new(view)));
            }
            (Name::Rules(object), Snapshot::Rules(rules)) => {
                let view = RulesView::compile(rules, tables)?;
                tables.rules.slot(object).store(Some(Arc::new(view)));
            }
            (Name::Consumer(object), Snapshot::Consumer(consumer)) => {
                let view = Arc::new(consumer.clone());
                tables.consumers.slot(object).store(Some(view));
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
            (Name::Certificate(object), Snapshot::Certificate(certificate)) => {
                let view = CertificateView::compile(version, certificate)?;
                tables.certificates.slot(object).store(Some(Arc::new(view)));
            }
            (Name::Authority(object), Snapshot::Authority(authority)) => {
                let view = AuthorityView::compile(version, authority)?;
                tables.authorities.slot(object).store(Some(Arc::new(view)));
            }
            (Name::FleetCertificates, Snapshot::FleetCertificates(fleet)) => {
                let view = FleetCertificatesView::compile(fleet, tables);
                tables.fleet_certificates.store(Some(Arc::new(view)));
            }
            // `convert::read` lets no other pair through.
            _ => return Err(CompileError::WrongKind),
        }
        Ok(())
    }

    fn put_credential(&self, name: &Name, credential: &Credential) {
        let view = CredentialView {
            consumer: self.tables.consumers.slot(&credential.consumer),
            not_after: credential.not_after,
        };
        if let Some(key) = CredentialKey::of(name) {
            self.tables.put_credential(key, Arc::new(view));
        }
    }

    fn put_domain(&self, host: &str, domain: &Domain) -> Result<(), CompileError> {
        let view = Arc::new(self.compile_domain(host, domain)?);
        match self.own_slot(host) {
            Some(slot) => slot.store(Some(view)),
            None => self.publish(host, slot_with(view)),
        }
        Ok(())
    }

    fn put_wildcard(&self, host: &str, domain: &Domain) -> Result<(), CompileError> {
        let view = Arc::new(self.compile_domain(host, domain)?);
        match self.held_slot(host) {
            Some(slot) => slot.store(Some(view)),
            None => self.publish(host, slot_with(view)),
        }
        Ok(())
    }

    fn put_alias(&self, host: &str, wildcard: &str) -> Result<(), CompileError> {
        let slot = self
            .held_slot(wildcard)
            .filter(|slot| !slot.is_empty() && is_wildcard(wildcard))
            .ok_or_else(|| CompileError::Missing(Name::Domain(wildcard.to_owned())))?;
        self.publish(host, slot);
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
    fn own_slot(&self, host: &str) -> Option<Arc<DomainSlot>> {
        let name = Name::Domain(host.to_owned());
        let is_own = matches!(self.book.settled(&name), Some((Settled::Held, _)));
        is_own.then(|| self.held_slot(host)).flatten()
    }

    fn held_slot(&self, host: &str) -> Option<Arc<DomainSlot>> {
        self.tables.held_domain(host)
    }

    fn publish(&self, host: &str, slot: Arc<DomainSlot>) {
        self.tables.put_domain(host, slot);
    }
}

fn slot_with(view: Arc<DomainView>) -> Arc<DomainSlot> {
    let slot = Slot::empty();
    slot.store(Some(view));
    Arc::new(slot)
}
