//! What a change of a TokenQuota touches: the quota, and the list that it is
//! in, of its tenant or of the fleet.

use std::collections::BTreeMap;

use turnpike_crds::{TokenQuota, TokenQuotaSpec};
use turnpike_snapshot::Name;
use turnpike_snapshot::name::ObjectName;

use crate::glob;
use crate::index::table::{self, Change, Stored};
use crate::index::{Index, Touched};
use crate::source::{Kind, ObjectKey, object_name};

/// Whom a quota binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Its own namespace.
    Tenant,
    /// Every namespace with these labels.
    Fleet(&'a BTreeMap<String, String>),
    /// Nobody: it selects namespaces and may not, or a glob of it is none.
    Nobody,
}

impl Index {
    /// Tells whom a quota binds.
    pub fn scope<'a>(&self, name: &ObjectName, spec: &'a TokenQuotaSpec) -> Scope<'a> {
        scope(&self.platform_namespace, name, spec)
    }

    pub(super) fn put_quota(&mut self, quota: TokenQuota) -> Touched {
        let name = object_name(&quota.metadata);
        let stored = Stored::new(quota.metadata, quota.spec, quota.status);
        match table::put(&mut self.quotas, name.clone(), stored) {
            Some(change) => self.quota_changed(&name, &change),
            None => Touched::default(),
        }
    }

    pub(super) fn delete_quota(&mut self, name: &ObjectName) -> Touched {
        match table::take(&mut self.quotas, name) {
            Some(change) => self.quota_changed(name, &change),
            None => Touched::default(),
        }
    }

    fn quota_changed(&mut self, name: &ObjectName, change: &Change<TokenQuotaSpec>) -> Touched {
        let key = ObjectKey {
            kind: Kind::TokenQuota,
            name: name.clone(),
        };
        let spec_before = change.before.as_ref().map(|stored| &stored.spec);
        let spec_now = self.quotas.get(name).map(|stored| &stored.spec);
        self.groups.move_quota(&key, spec_before, spec_now);
        let mut touched = Touched {
            names: [Name::Quota(name.clone())].into(),
            ..Touched::default()
        };
        let scope = |spec: Option<_>| spec.map_or(Scope::Nobody, |spec| self.scope(name, spec));
        let (before, now) = (scope(spec_before), scope(spec_now));
        if before != now {
            touched.names.extend(list(before, name));
            touched.names.extend(list(now, name));
        }
        if change.is_present {
            touched.objects.insert(key);
        }
        touched
    }
}

fn scope<'a>(platform_namespace: &str, name: &ObjectName, spec: &'a TokenQuotaSpec) -> Scope<'a> {
    if !spec
        .selector
        .models
        .iter()
        .all(|model| glob::is_valid(model))
    {
        return Scope::Nobody;
    }
    match &spec.selector.namespaces {
        None => Scope::Tenant,
        Some(namespaces) if name.namespace == platform_namespace => {
            Scope::Fleet(&namespaces.match_labels)
        }
        Some(_) => Scope::Nobody,
    }
}

fn list(scope: Scope<'_>, name: &ObjectName) -> Option<Name> {
    match scope {
        Scope::Tenant => Some(Name::Tenant(name.namespace.clone())),
        Scope::Fleet(_) => Some(Name::Fleet),
        Scope::Nobody => None,
    }
}
