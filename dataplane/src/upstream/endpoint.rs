//! Servers behind a Service, each with what is under way there and with connections of its own.
//!
//! An endpoint that cannot be connected to rests for a while: it is asked again only when nobody
//! else can be. One that has left the Service loses its idle connections at once; requests under
//! way there end in peace.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::balance;
use super::lanes::Origin;

/// How long an endpoint rests: within it a Kubernetes that works has told that the pod is gone.
const REST: Duration = Duration::from_secs(5);

/// One server behind a Service.
pub struct Endpoint {
    address: SocketAddr,
    plain: Plain,
    in_flight: AtomicUsize,
    born: Instant,
    /// Milliseconds after `born`.
    rests_until: AtomicU64,
    /// `None`: none was needed yet, or it has left the Service.
    connections: Mutex<Option<Arc<Origin>>>,
}

/// What is spoken in the clear, as both ends know beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    Http1,
    Http2,
}

/// A request under way at an endpoint, until dropped.
#[derive(Debug)]
pub struct Load(Arc<Endpoint>);

/// The endpoints that a Service has, and those that it had and that requests are still under way at.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashMap<SocketAddr, Weak<Endpoint>>>);

impl Endpoint {
    fn new(address: SocketAddr, plain: Plain) -> Self {
        Self {
            address,
            plain,
            in_flight: AtomicUsize::new(0),
            born: Instant::now(),
            rests_until: AtomicU64::new(0),
            connections: Mutex::new(None),
        }
    }

    /// Where it is. Not for callers' eyes.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is spoken there.
    pub fn plain(&self) -> Plain {
        self.plain
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Notes that it could not be connected to.
    pub fn rest(&self, now: Instant) {
        let until = self.millis(now + REST).max(1);
        self.rests_until.store(until, Ordering::Relaxed);
    }

    /// Notes that it answers.
    pub fn recover(&self) {
        if self.rests_until.load(Ordering::Relaxed) != 0 {
            self.rests_until.store(0, Ordering::Relaxed);
        }
    }

    /// Whether it is better not asked now.
    pub fn is_resting(&self, now: Instant) -> bool {
        match self.rests_until.load(Ordering::Relaxed) {
            0 => false,
            until => self.millis(now) < until,
        }
    }

    /// Gives its connections, which are made by the first who needs them.
    pub(super) fn connections(&self, make: impl FnOnce() -> Arc<Origin>) -> Arc<Origin> {
        self.connections.lock().get_or_insert_with(make).clone()
    }

    fn retire(&self) {
        *self.connections.lock() = None;
    }

    fn millis(&self, time: Instant) -> u64 {
        let passed = time.saturating_duration_since(self.born);
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

impl Load {
    /// Begins a request.
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(endpoint)
    }

    /// Where the request is under way.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Known {
    /// Gives the endpoints at these addresses, as they were where they were known before and spoke the
    /// same, and has all others let go of their idle connections.
    pub fn renew(&self, addresses: &[SocketAddr], plain: Plain) -> Vec<Arc<Endpoint>> {
        let mut known = self.0.lock();
        let before = std::mem::take(&mut *known);
        let held = |address| {
            let held = before.get(address).and_then(Weak::upgrade);
            held.filter(|held| held.plain == plain)
        };
        let made = |address: &SocketAddr| Arc::new(Endpoint::new(*address, plain));
        let endpoints: Vec<_> = addresses
            .iter()
            .map(|address| held(address).unwrap_or_else(|| made(address)))
            .collect();
        *known = endpoints
            .iter()
            .map(|endpoint| (endpoint.address, Arc::downgrade(endpoint)))
            .collect();
        for (address, endpoint) in before {
            let is_held = |now: &Weak<Endpoint>| now.ptr_eq(&endpoint);
            if known.get(&address).is_none_or(|now| !is_held(now))
                && let Some(gone) = endpoint.upgrade()
            {
                gone.retire();
                // Requests under way there count again should it come back.
                known.entry(address).or_insert(endpoint);
            }
        }
        endpoints
    }
}

/// Chooses among the endpoints that are wanted: of two at random, the one with less under way.
pub fn pick(
    endpoints: &[Arc<Endpoint>],
    is_wanted: impl Fn(&Endpoint) -> bool,
    rng: &mut impl Rng,
) -> Option<Arc<Endpoint>> {
    let wanted: SmallVec<[&Arc<Endpoint>; 16]> = endpoints
        .iter()
        .filter(|endpoint| is_wanted(endpoint))
        .collect();
    let chosen = balance::of_two(wanted.len(), |at| wanted[at].in_flight(), rng)?;
    Some(Arc::clone(wanted[chosen]))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        let ports = ports.iter();
        ports
            .map(|port| SocketAddr::from(([10, 0, 0, 1], *port)))
            .collect()
    }

    #[test]
    fn what_is_under_way_outlives_a_change_of_the_others() {
        let known = Known::default();
        let first = known.renew(&addresses(&[1, 2]), Plain::Http1);
        let load = Load::new(first[1].clone());
        drop(first);
        assert_eq!(
            known.renew(&addresses(&[2, 3]), Plain::Http1)[0].in_flight(),
            1
        );
        assert!(known.renew(&[], Plain::Http1).is_empty());
        let back = known.renew(&addresses(&[2]), Plain::Http1);
        assert_eq!(back[0].in_flight(), 1);
        drop(load);
        assert_eq!(back[0].in_flight(), 0);
    }

    #[test]
    fn who_speaks_something_else_is_another() {
        let known = Known::default();
        let before = known.renew(&addresses(&[1]), Plain::Http1);
        let _busy = Load::new(before[0].clone());
        let now = known.renew(&addresses(&[1]), Plain::Http2);
        assert_eq!((now[0].plain(), now[0].in_flight()), (Plain::Http2, 0));
        assert!(Arc::ptr_eq(
            &now[0],
            &known.renew(&addresses(&[1]), Plain::Http2)[0]
        ));
    }

    #[test]
    fn who_left_and_has_nothing_under_way_is_forgotten() {
        let known = Known::default();
        drop(known.renew(&addresses(&[1]), Plain::Http1));
        known.renew(&[], Plain::Http1);
        assert!(known.0.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_reached_rests_for_a_while() {
        let endpoint = Endpoint::new(addresses(&[1])[0], Plain::Http1);
        let now = Instant::now();
        assert!(!endpoint.is_resting(now));
        endpoint.rest(now);
        assert!(endpoint.is_resting(now) && endpoint.is_resting(now + REST / 2));
        assert!(!endpoint.is_resting(now + REST));
        endpoint.rest(now);
        endpoint.recover();
        assert!(!endpoint.is_resting(now));
    }

    #[tokio::test]
    async fn the_less_loaded_of_the_wanted_is_chosen() {
        let endpoints = Known::default().renew(&addresses(&[1, 2, 3]), Plain::Http1);
        let mut rng = StdRng::seed_from_u64(7);
        let _busy = Load::new(endpoints[0].clone());
        for _ in 0..20 {
            let chosen = pick(&endpoints, |it| it.address().port() != 3, &mut rng);
            assert_eq!(chosen.unwrap().address().port(), 2);
        }
        assert!(pick(&endpoints, |_| false, &mut rng).is_none());
    }
}
