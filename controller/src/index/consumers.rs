//! What a change of a Consumer touches: the consumer, the credentials that it
//! gains, loses or changes, and whoever holds the same keys.

use std::collections::BTreeSet;

use jiff::Timestamp;
use turnpike_crds::{Consumer, ConsumerSpec};
use turnpike_snapshot::Name;
use turnpike_snapshot::name::ObjectName;

use crate::index::keys::{Claim, Digest, Key, keys_of};
use crate::index::secrets::Secrets;
use crate::index::table::{self, Age, Change, Stored};
use crate::index::{Index, Touched};
use crate::source::{Kind, ObjectKey, object_name};

/// The keys that a consumer holds at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    age: Age,
    keys: Box<[(usize, Key)]>,
}

impl Index {
    pub(super) fn put_consumer(&mut self, consumer: Consumer) -> Touched {
        let name = object_name(&consumer.metadata);
        let stored = Stored::new(consumer.metadata, consumer.spec, consumer.status);
        match table::put(&mut self.consumers, name.clone(), stored) {
            Some(change) => self.consumer_changed(&name, &change),
            None => Touched::default(),
        }
    }

    pub(super) fn delete_consumer(&mut self, name: &ObjectName) -> Touched {
        match table::take(&mut self.consumers, name) {
            Some(change) => self.consumer_changed(name, &change),
            None => Touched::default(),
        }
    }

    /// Brings what a consumer holds up to date with its resource and the Secrets;
    /// `before`: the resource as it was, if it is another now.
    pub(super) fn reclaim(
        &mut self,
        name: &ObjectName,
        before: Option<&Stored<ConsumerSpec>>,
    ) -> Touched {
        let claimed = |consumer: &Stored<ConsumerSpec>, secrets: &Secrets| Claimed {
            age: consumer.age(name),
            keys: keys_of(&name.namespace, &consumer.spec, secrets).into(),
        };
        let before = match before.filter(|before| !has_secret(&before.spec)) {
            Some(before) => Some(claimed(before, &self.secrets)),
            None => self.claimed.remove(name),
        };
        let now = self.consumers.get(name);
        let is_kept = now.is_some_and(|consumer| has_secret(&consumer.spec));
        let now = now.map(|consumer| claimed(consumer, &self.secrets));
        let mut touched = Touched::default();
        if before != now {
            touched = self.move_keys(&name.namespace, before.as_ref(), now.as_ref());
        }
        if let Some(now) = now.filter(|_| is_kept) {
            self.claimed.insert(name.clone(), now);
        }
        touched
    }

    fn consumer_changed(&mut self, name: &ObjectName, change: &Change<ConsumerSpec>) -> Touched {
        let key = ObjectKey {
            kind: Kind::Consumer,
            name: name.clone(),
        };
        let before = change.before.as_ref().map(|stored| &stored.spec);
        let now = self.consumers.get(name).map(|stored| &stored.spec);
        self.refs
            .replace(&key, &secrets(name, before), &secrets(name, now));
        let counted = self.groups.move_consumer(name, before, now);
        let mut touched = self.reclaim(name, change.before.as_deref());
        touched.counted.extend(counted);
        touched.names.insert(Name::Consumer(name.clone()));
        if change.is_presence() {
            touched.objects.extend(self.refs.referrers(&key).cloned());
        }
        if change.is_present {
            touched.objects.insert(key);
        }
        touched
    }

    fn move_keys(
        &mut self,
        namespace: &str,
        before: Option<&Claimed>,
        now: Option<&Claimed>,
    ) -> Touched {
        let digests: BTreeSet<Digest> = [before, now]
            .into_iter()
            .flatten()
            .flat_map(|claimed| &claimed.keys)
            .map(|(_, key)| key.digest)
            .collect();
        let owners_before: Vec<_> = digests
            .iter()
            .map(|digest| self.owner_of_key(namespace, digest))
            .collect();
        for (claim, key) in before.into_iter().flat_map(Claimed::claims) {
            self.keys
                .release(namespace, &claim, &key.digest, &self.fleet_keys);
        }
        for (claim, key) in now.into_iter().flat_map(Claimed::claims) {
            self.keys.claim(namespace, claim, key, &self.fleet_keys);
        }
        let mut touched = Touched::default();
        for (digest, owner_before) in digests.iter().zip(owners_before) {
            if self.owner_of_key(namespace, digest) != owner_before {
                self.touch_key(namespace, digest, &mut touched);
            }
        }
        touched
    }

    fn owner_of_key(&self, namespace: &str, digest: &Digest) -> Option<(Claim, Option<Timestamp>)> {
        let (claim, not_after) = self.keys.owner(namespace, digest)?;
        Some((claim.clone(), not_after))
    }

    fn touch_key(&self, namespace: &str, digest: &Digest, touched: &mut Touched) {
        let ids = self.fleet_keys.iter().map(|key| key.credential_id(digest));
        touched.names.extend(ids.map(|id| Name::Credential {
            realm: namespace.to_owned(),
            id,
        }));
        let claimants = self.keys.claimants(namespace, digest).cloned();
        touched.objects.extend(claimants.map(|name| ObjectKey {
            kind: Kind::Consumer,
            name,
        }));
    }
}

impl Claimed {
    fn claims(&self) -> impl Iterator<Item = (Claim, Key)> {
        self.keys.iter().map(|(position, key)| {
            let claim = Claim {
                consumer: self.age.clone(),
                position: *position,
            };
            (claim, key.clone())
        })
    }
}

/// Whether keys of it may change while the resource stays.
fn has_secret(spec: &ConsumerSpec) -> bool {
    spec.api_keys.iter().any(|key| key.secret_ref.is_some())
}

fn secrets(name: &ObjectName, spec: Option<&ConsumerSpec>) -> BTreeSet<ObjectKey> {
    let keys = spec.into_iter().flat_map(|spec| &spec.api_keys);
    keys.filter_map(|key| key.secret_ref.as_ref())
        .map(|secret| ObjectKey::new(Kind::Secret, &name.namespace, &secret.name))
        .collect()
}
