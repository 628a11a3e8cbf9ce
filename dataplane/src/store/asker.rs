//! Who asks for what is not there, and how much of that each may do.
//!
//! Pure: the time is an argument. A look-up of what exists costs its asker
//! nothing; one that finds nothing costs one token. Who has none left is
//! refused further look-ups until they have come back; what is loaded or
//! remembered is answered all the same.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use turnpike_snapshot::Name;

use super::oldest::Oldest;

/// Where a look-up comes from: an IPv4 address, or the /64 that a provider gives
/// to one customer under IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Asker {
    /// The process itself; never refused.
    Nobody,
    /// An address; IPv6 addresses that stand for IPv4 are IPv4.
    V4(Ipv4Addr),
    /// The first half of an address.
    V6([u16; 4]),
}

impl From<IpAddr> for Asker {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// Tokens come back with time, up to `burst`.
#[derive(Clone, Copy)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// A scanner tries thousands of hosts a second; a proxy with many honest callers
/// behind it mistypes far fewer than this.
const HOSTS: Rate = Rate {
    burst: 500.0,
    per_second: 50.0,
};
/// Of one tenant. A fleet of callers with one outdated key costs one token: the
/// key is remembered.
const KEYS: Rate = Rate {
    burst: 200.0,
    per_second: 20.0,
};
/// Some 1 MB; the one that asked least recently is forgotten.
const MAX_BUCKETS: usize = 10_000;

/// What each asker has left.
pub(crate) struct Budgets {
    hosts: Buckets<Asker>,
    /// By realm: who guesses at one tenant's keys may still use another's.
    keys: Buckets<(String, Asker)>,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            hosts: Buckets::new(HOSTS),
            keys: Buckets::new(KEYS),
        }
    }
}

impl Budgets {
    /// Charges a look-up that found nothing; `now` in seconds.
    pub(crate) fn debit(&mut self, name: &Name, asker: Asker, now: u32) {
        match (asker, name) {
            (Asker::Nobody, _) => {}
            (_, Name::Credential { realm, .. }) => self.keys.debit((realm.clone(), asker), now),
            _ => self.hosts.debit(asker, now),
        }
    }

    /// How long the asker must wait; `None`: it may look up.
    pub(crate) fn refusal(&self, name: &Name, asker: Asker, now: u32) -> Option<Duration> {
        match (asker, name) {
            (Asker::Nobody, _) => None,
            (_, Name::Credential { realm, .. }) => self.keys.refusal(&(realm.clone(), asker), now),
            _ => self.hosts.refusal(&asker, now),
        }
    }
}

/// Those who have all their tokens need no bucket.
struct Buckets<K> {
    rate: Rate,
    buckets: HashMap<K, Bucket>,
    order: Oldest<K>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// Down to minus the burst: what was under way when the last token went.
    tokens: f64,
    at: u32,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: HashMap::new(),
            order: Oldest::default(),
        }
    }

    fn debit(&mut self, key: K, now: u32) {
        let tokens = (self.tokens(&key, now) - 1.0).max(-self.rate.burst);
        self.order.remove(&key);
        self.order.insert(key.clone());
        self.buckets.insert(key, Bucket { tokens, at: now });
        if self.order.len() > MAX_BUCKETS
            && let Some(oldest) = self.order.pop()
        {
            self.buckets.remove(&oldest);
        }
    }

    fn refusal(&self, key: &K, now: u32) -> Option<Duration> {
        let lacking = 1.0 - self.tokens(key, now);
        (lacking > 0.0).then(|| Duration::from_secs_f64(lacking / self.rate.per_second))
    }

    fn tokens(&self, key: &K, now: u32) -> f64 {
        let Some(bucket) = self.buckets.get(key) else {
            return self.rate.burst;
        };
        let passed = f64::from(now.saturating_sub(bucket.at));
        (bucket.tokens + passed * self.rate.per_second).min(self.rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Name {
        Name::Domain("a.test".into())
    }

    fn asker(address: &str) -> Asker {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn an_address_stands_for_its_network() {
        assert_eq!(asker("::ffff:10.0.0.1"), asker("10.0.0.1"));
        assert_eq!(asker("2001:db8::1"), asker("2001:db8::ffff:1:2"));
        assert_ne!(asker("2001:db8::1"), asker("2001:db8:0:1::1"));
        assert_ne!(asker("10.0.0.1"), asker("10.0.0.2"));
    }

    #[test]
    fn who_has_used_its_burst_waits_and_nobody_else_does() {
        let (mut budgets, flood, other) =
            (Budgets::default(), asker("10.0.0.1"), asker("10.0.0.2"));
        for _ in 0..500 {
            assert_eq!(budgets.refusal(&host(), flood, 100), None);
            budgets.debit(&host(), flood, 100);
        }
        assert_eq!(
            budgets.refusal(&host(), flood, 100),
            Some(Duration::from_millis(20))
        );
        assert_eq!(budgets.refusal(&host(), other, 100), None);
        assert_eq!(budgets.refusal(&host(), flood, 101), None);
        for _ in 0..5_000 {
            budgets.debit(&host(), flood, 101);
        }
        let wait = budgets.refusal(&host(), flood, 101).unwrap();
        assert!(wait <= Duration::from_secs(11), "{wait:?}");
    }

    #[test]
    fn keys_are_counted_by_tenant() {
        let key = |realm: &str| Name::Credential {
            realm: realm.into(),
            id: turnpike_snapshot::credential::FleetKey::new("k", vec![1]).credential_id(&[0; 32]),
        };
        let (mut budgets, flood) = (Budgets::default(), asker("10.0.0.1"));
        for _ in 0..200 {
            budgets.debit(&key("a"), flood, 0);
        }
        assert!(budgets.refusal(&key("a"), flood, 0).is_some());
        assert_eq!(budgets.refusal(&key("b"), flood, 0), None);
        assert_eq!(budgets.refusal(&host(), flood, 0), None);
    }

    #[test]
    fn buckets_are_bounded_and_the_process_itself_needs_none() {
        let mut budgets = Budgets::default();
        for number in 0..20_000_u32 {
            budgets.debit(&host(), Asker::V4(number.into()), 0);
        }
        budgets.debit(&host(), Asker::Nobody, 0);
        assert_eq!(budgets.hosts.buckets.len(), MAX_BUCKETS);
        assert_eq!(budgets.hosts.order.len(), MAX_BUCKETS);
    }
}
