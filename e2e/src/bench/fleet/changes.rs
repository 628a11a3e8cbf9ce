//! The kinds of change that a fleet lives with, each as an event, and what undoes it.

use anyhow::Result;
use turnpike_controller::source::Event;

use super::tenants::Tenants;

/// One kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    RouteEdited,
    RouteDeleted,
    RouteCreated,
    KeyRevoked,
    KeyRestored,
    ConsumerEdited,
    NamespaceLabelled,
    ProviderEdited,
    TenantQuota,
    FleetQuota,
    Template,
}

/// Whose data planes a change concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those that hold the tenant.
    Tenant,
    /// All.
    Fleet,
}

impl Change {
    /// All of them.
    pub(super) const ALL: [Change; 11] = [
        Change::RouteEdited,
        Change::RouteDeleted,
        Change::RouteCreated,
        Change::KeyRevoked,
        Change::KeyRestored,
        Change::ConsumerEdited,
        Change::NamespaceLabelled,
        Change::ProviderEdited,
        Change::TenantQuota,
        Change::FleetQuota,
        Change::Template,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Change::RouteEdited => "route edited",
            Change::RouteDeleted => "route deleted",
            Change::RouteCreated => "route created again",
            Change::KeyRevoked => "key revoked",
            Change::KeyRestored => "key restored",
            Change::ConsumerEdited => "consumer edited",
            Change::NamespaceLabelled => "namespace labelled",
            Change::ProviderEdited => "provider edited",
            Change::TenantQuota => "tenant's quota",
            Change::FleetQuota => "fleet-wide quota",
            Change::Template => "template edited",
        }
    }

    /// Whether there is such a change among tenants of this form.
    pub(super) fn exists(self, tenants: &Tenants) -> bool {
        self != Change::Template || !tenants.is_plain
    }

    pub(super) fn reach(self, tenants: &Tenants) -> Reach {
        match self {
            Change::FleetQuota | Change::Template => Reach::Fleet,
            Change::ProviderEdited if !tenants.is_plain => Reach::Fleet,
            _ => Reach::Tenant,
        }
    }

    /// What has to be taken away before this can give it back.
    pub(super) fn prior(self) -> Option<Change> {
        match self {
            Change::RouteCreated => Some(Change::RouteDeleted),
            Change::KeyRestored => Some(Change::KeyRevoked),
            _ => None,
        }
    }

    /// What gives back what this takes away, so that every tenant stays whole.
    pub(super) fn undo(self) -> Option<Change> {
        match self {
            Change::RouteDeleted => Some(Change::RouteCreated),
            Change::KeyRevoked => Some(Change::KeyRestored),
            _ => None,
        }
    }

    /// The change of a tenant, or of all, that gives it this form; forms differ from each other.
    pub(super) fn event(self, tenants: &Tenants, tenant: u32, form: u64) -> Result<Event> {
        match self {
            Change::RouteEdited | Change::RouteCreated => tenants.route(tenant, form),
            Change::RouteDeleted => Ok(tenants.without_route(tenant)),
            Change::KeyRevoked => tenants.consumer(tenant, form, 0),
            Change::KeyRestored => tenants.consumer(tenant, 0, 0),
            Change::ConsumerEdited => tenants.consumer(tenant, 0, form),
            Change::NamespaceLabelled => Ok(tenants.labelled(tenant, form)),
            Change::ProviderEdited => tenants.provider(tenant, form),
            Change::TenantQuota => tenants.quota(tenant, form),
            Change::FleetQuota => tenants.fleet_quota(form),
            Change::Template => tenants.template(form),
        }
    }
}
