//! How many consumers are in each group, and which quotas tell of it.

use std::collections::{BTreeSet, HashMap};

use turnpike_crds::status::GroupStatus;
use turnpike_crds::{ConsumerSpec, TokenQuotaSpec};
use turnpike_snapshot::name::ObjectName;

use crate::index::refs::Refs;
use crate::source::ObjectKey;

/// Counts by difference: a change costs the groups that a consumer joins or leaves.
#[derive(Default)]
pub(crate) struct Groups {
    /// Never zero.
    members: HashMap<Group, u32>,
    /// The quotas that select a group.
    quotas: Refs<Group>,
}

/// A namespace, and a group of consumers in it.
type Group = (Box<str>, Box<str>);

impl Groups {
    /// Counts a consumer as what it is now; gives the quotas that tell of a group it joins or leaves.
    pub(super) fn move_consumer(
        &mut self,
        name: &ObjectName,
        before: Option<&ConsumerSpec>,
        now: Option<&ConsumerSpec>,
    ) -> BTreeSet<ObjectKey> {
        let (before, now) = (joined(name, before), joined(name, now));
        for group in before.difference(&now) {
            if let Some(members) = self.members.get_mut(group) {
                *members -= 1;
                if *members == 0 {
                    self.members.remove(group);
                }
            }
        }
        for group in now.difference(&before) {
            *self.members.entry(group.clone()).or_default() += 1;
        }
        let moved = before.symmetric_difference(&now);
        let quotas = moved.flat_map(|group| self.quotas.referrers(group));
        quotas.cloned().collect()
    }

    /// Remembers which groups a quota selects.
    pub(super) fn move_quota(
        &mut self,
        quota: &ObjectKey,
        before: Option<&TokenQuotaSpec>,
        now: Option<&TokenQuotaSpec>,
    ) {
        let selected = |spec: Option<&TokenQuotaSpec>| -> BTreeSet<Group> {
            let groups = spec.into_iter().flat_map(selected);
            groups.map(|group| key(&quota.name, group)).collect()
        };
        self.quotas
            .replace(quota, &selected(before), &selected(now));
    }

    /// Counts the consumers of each group that a quota selects.
    pub(crate) fn count(&self, name: &ObjectName, spec: &TokenQuotaSpec) -> Vec<GroupStatus> {
        let mut seen = BTreeSet::new();
        let groups = selected(spec).filter(|group| seen.insert(*group));
        groups
            .map(|group| GroupStatus {
                name: group.to_owned(),
                consumers: self
                    .members
                    .get(&key(name, group))
                    .copied()
                    .map_or(0, i64::from),
            })
            .collect()
    }
}

/// A quota for other namespaces selects no group of one namespace.
fn selected(spec: &TokenQuotaSpec) -> impl Iterator<Item = &str> {
    let is_own = spec.selector.namespaces.is_none();
    let consumers = spec.selector.consumers.iter().filter(move |_| is_own);
    consumers.flat_map(|it| &it.groups).map(String::as_str)
}

fn joined(name: &ObjectName, spec: Option<&ConsumerSpec>) -> BTreeSet<Group> {
    let groups = spec.into_iter().flat_map(|spec| &spec.groups);
    groups.map(|group| key(name, group)).collect()
}

fn key(name: &ObjectName, group: &str) -> Group {
    (name.namespace.as_str().into(), group.into())
}
