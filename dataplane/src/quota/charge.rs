//! The words that the stores and their callers share: what is counted, what is asked, what is
//! answered. Plain data only; `judge` decides, `window` calculates.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use foldhash::quality::RandomState;
use uuid::Uuid;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    Tokens,
    Requests,
}

/// Names one counter. The store appends the window id.
///
/// A limit's name stands for one unit: whoever turns `minute` from tokens into requests keeps the
/// old count for up to two windows.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CounterName {
    /// uid of the tenant's namespace, so that a reborn tenant starts clean.
    pub namespace_uid: Arc<str>,
    /// `<namespace>/<name>` of the TokenQuota.
    pub quota: Arc<str>,
    /// Name of the limit within the quota.
    pub limit: Arc<str>,
    /// Who is counted; see [`CounterName::subject_of`].
    pub subject: Arc<str>,
}

impl CounterName {
    /// Renders a subject from the parts that the quota counts by: `c=<ns>/<name>` and `n=<ns>`.
    ///
    /// A consumer without a name stands for the callers that have none.
    pub fn subject_of(consumer: Option<(&str, &str)>, namespace: Option<&str>) -> Arc<str> {
        let mut subject = String::with_capacity(64);
        if let Some((namespace, name)) = consumer {
            subject.push_str("c=");
            if !name.is_empty() {
                subject.push_str(namespace);
                subject.push('/');
                subject.push_str(name);
            }
        }
        if let Some(namespace) = namespace {
            subject.push_str(if subject.is_empty() { "n=" } else { ";n=" });
            subject.push_str(namespace);
        }
        subject.into()
    }
}

/// A counter's name, hashed once. Cheap to clone; clones share.
#[derive(Clone)]
pub struct CounterKey(Arc<Hashed>);

struct Hashed {
    hash: u64,
    name: CounterName,
}

/// Of this process, so that nobody who names quotas and consumers knows which names collide.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

impl CounterKey {
    /// Takes a name.
    pub fn new(name: CounterName) -> Self {
        let hash = HASHER.hash_one(&name);
        Self(Arc::new(Hashed { hash, name }))
    }
}

impl Deref for CounterKey {
    type Target = CounterName;

    fn deref(&self) -> &CounterName {
        &self.0.name
    }
}

impl PartialEq for CounterKey {
    fn eq(&self, other: &Self) -> bool {
        let is_same = || self.0.hash == other.0.hash && self.0.name == other.0.name;
        Arc::ptr_eq(&self.0, &other.0) || is_same()
    }
}

impl Eq for CounterKey {}

impl Hash for CounterKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl fmt::Debug for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.name.fmt(f)
    }
}

/// One limit that a request is charged against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub counter: CounterKey,
    pub unit: Unit,
    /// Most that may be used plus reserved within `window`.
    pub limit: u64,
    pub window: Duration,
    /// Reserved until the true amount is known: tokens, or a request (0: not a request of its own).
    pub estimate: u64,
}

/// Identifies one reservation and its settlement; made by the caller, so that a repeated call is
/// recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservationId(Uuid);

impl ReservationId {
    /// Makes a new random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Wraps an id that the caller already has.
    pub fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// Renders the id as 32 hexadecimal digits.
    pub(super) fn to_hex(self) -> String {
        self.0.simple().to_string()
    }
}

impl Hash for ReservationId {
    /// It is random already.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (high, low) = self.0.as_u64_pair();
        state.write_u64(high ^ low);
    }
}

/// Asks to reserve all charges, or none.
#[derive(Clone, Debug)]
pub struct Reserve {
    pub id: ReservationId,
    /// All of one namespace uid, so that they share a slot of a Redis Cluster; one at most for a
    /// counter.
    pub charges: Vec<Charge>,
    /// When an unsettled reservation lapses: the route's total timeout + 30 s.
    pub ttl: Duration,
}

impl Reserve {
    /// Says what is wrong with a call that no store could serve in one atomic step.
    pub(super) fn find_fault(&self) -> Option<&'static str> {
        let first = self.charges.first()?;
        for (i, charge) in self.charges.iter().enumerate() {
            if charge.counter.namespace_uid != first.counter.namespace_uid {
                return Some("charges of two namespaces in one reservation");
            }
            if self.charges[..i]
                .iter()
                .any(|c| c.counter == charge.counter)
            {
                return Some("two charges on one counter");
            }
        }
        None
    }
}

/// One counter that a reservation was made on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub counter: CounterKey,
    pub unit: Unit,
    /// Computed once, from the store's time at the reservation: settling goes to this window even
    /// when it is past.
    pub window_id: u64,
    pub window: Duration,
    pub estimate: u64,
}

/// What settling needs to know of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub id: ReservationId,
    pub entries: Vec<Entry>,
}

impl Reservation {
    /// Returns the tokens reserved: the highest estimate over the counters of tokens.
    pub fn estimated_tokens(&self) -> u64 {
        let tokens = self.entries.iter().filter(|e| e.unit == Unit::Tokens);
        tokens.map(|e| e.estimate).max().unwrap_or(0)
    }

    /// Returns the requests reserved: as many as one of the counters of requests was asked for.
    fn requests(&self) -> u64 {
        let requests = self.entries.iter().filter(|e| e.unit == Unit::Requests);
        requests.map(|e| e.estimate).max().unwrap_or(0)
    }

    /// Returns the longest window charged.
    pub(super) fn longest_window(&self) -> Duration {
        let windows = self.entries.iter().map(|e| e.window);
        windows.max().unwrap_or_default()
    }
}

/// Replaces a reservation by what was really used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub reservation: Reservation,
    pub tokens: u64,
    /// As many as were reserved, or 0 for a request that was never sent to a provider.
    pub requests: u64,
}

impl Settlement {
    /// Settles a request that was sent: its tokens, and itself as it was reserved.
    pub fn used(reservation: Reservation, tokens: u64) -> Self {
        Self {
            tokens,
            requests: reservation.requests(),
            reservation,
        }
    }

    /// Gives the reservation back: nothing was sent, nothing counts.
    pub fn released(reservation: Reservation) -> Self {
        Self {
            reservation,
            tokens: 0,
            requests: 0,
        }
    }

    /// Returns what `unit` is charged.
    pub fn amount(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Tokens => self.tokens,
            Unit::Requests => self.requests,
        }
    }
}

/// Where one limit stands after a decision, for `x-ratelimit-*` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub unit: Unit,
    pub limit: u64,
    pub remaining: u64,
    /// Until the whole limit is free again if nothing else came; whole seconds, rounded up.
    pub reset_after: Duration,
}

/// A store's answer to [`Reserve`]. `charge` is an index into its charges; the standings are in
/// their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    Admitted {
        reservation: Reservation,
        standings: Vec<Standing>,
    },
    /// Does not fit now. Of several limits in the way, `charge` is the one that takes longest.
    Exceeded {
        charge: usize,
        /// When the request would fit if nothing else came: whole seconds, at least 1, never more
        /// than that limit's `reset_after`.
        retry_after: Duration,
        standings: Vec<Standing>,
    },
    /// The estimate alone is over the limit: it can never fit.
    TooLarge {
        charge: usize,
        standings: Vec<Standing>,
    },
}
