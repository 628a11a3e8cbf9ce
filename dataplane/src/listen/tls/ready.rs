//! Keys taken apart and what else a handshake needs, kept for the next one: bounded in bytes, the
//! least recently shown goes first. What a certificate is now is told by its version, so that a
//! new one is never hidden by an old one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use turnpike_snapshot::Version;

use super::Shown;
use super::tickets::Tickets;
use crate::arrival::ClientAuthorities;
use crate::store::Store;
use crate::store::view::{CertificateView, ClientRule, PROVIDER};

/// Bytes, estimated: some 8,000 certificates.
pub(super) const BUDGET: usize = 64 << 20;

/// A configuration and a key of ECDSA beside the bytes that they are made of.
const FIXED_BYTES: usize = 4 << 10;

/// What a handshake offers.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// All that a handshake needs.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) server: Arc<ServerConfig>,
    pub(super) names: Arc<[Box<str>]>,
    pub(super) asked: ClientAuthorities,
}

/// Why there is nothing to offer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Offer {
    #[error("no CA to check callers' certificates by")]
    NoAuthority,
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
}

/// The last ones that were shown.
pub(super) struct ReadyCache {
    store: Store,
    budget: usize,
    held: Mutex<Held>,
}

/// The certificate, and what is asked of callers.
type Key = (Version, ClientAuthorities);

#[derive(Default)]
struct Held {
    entries: HashMap<Key, Entry>,
    /// By the turn of the last use.
    order: BTreeMap<u64, Key>,
    turn: u64,
    bytes: usize,
}

struct Entry {
    ready: Arc<Ready>,
    bytes: usize,
    turn: u64,
}

impl ReadyCache {
    pub(super) fn new(store: Store, budget: usize) -> Self {
        Self {
            store,
            budget,
            held: Mutex::default(),
        }
    }

    /// Gives what a handshake with this certificate needs, made now if it is not kept. Two that
    /// come at once may both make it.
    pub(super) fn get(
        &self,
        certificate: &CertificateView,
        rule: &ClientRule,
    ) -> Result<Arc<Ready>, Offer> {
        let key = (certificate.version, rule.state());
        if let Some(ready) = self.held.lock().find(&key) {
            return Ok(ready);
        }
        let ready = Arc::new(self.make(certificate, rule, key.1.clone())?);
        let bytes = FIXED_BYTES + certificate.bytes();
        self.held.lock().put(key, ready.clone(), bytes, self.budget);
        Ok(ready)
    }

    fn make(
        &self,
        certificate: &CertificateView,
        rule: &ClientRule,
        asked: ClientAuthorities,
    ) -> Result<Ready, Offer> {
        let builder = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match rule.is_open() {
            true => builder.with_no_client_auth(),
            false => builder.with_client_cert_verifier(rule.verifier().ok_or(Offer::NoAuthority)?),
        };
        let shown = Shown(Arc::new(certificate.certified()?));
        let mut server = builder.with_cert_resolver(Arc::new(shown));
        server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        // Sessions are in tickets alone, which every replica reads.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.ticketer = Arc::new(Tickets::new(self.store.clone(), &asked));
        Ok(Ready {
            server: Arc::new(server),
            names: certificate.names.clone(),
            asked,
        })
    }
}

impl Held {
    fn find(&mut self, key: &Key) -> Option<Arc<Ready>> {
        let turn = self.next();
        let entry = self.entries.get_mut(key)?;
        if let Some(key) = self.order.remove(&entry.turn) {
            self.order.insert(turn, key);
        }
        entry.turn = turn;
        Some(entry.ready.clone())
    }

    fn put(&mut self, key: Key, ready: Arc<Ready>, bytes: usize, budget: usize) {
        let turn = self.next();
        let entry = Entry { ready, bytes, turn };
        self.bytes += bytes;
        if let Some(before) = self.entries.insert(key.clone(), entry) {
            self.bytes -= before.bytes;
            self.order.remove(&before.turn);
        }
        self.order.insert(turn, key);
        while self.bytes > budget && self.order.len() > 1 {
            let Some((_, oldest)) = self.order.pop_first() else {
                return;
            };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes -= entry.bytes;
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use turnpike_snapshot::name::ObjectName;

    use super::*;
    use crate::listen::tls::tests::certificate;

    fn ready() -> Arc<Ready> {
        let cache = ReadyCache::new(Store::with_snapshots(Vec::new(), Vec::new()), BUDGET);
        let view = certificate(&["a.test"]);
        cache.get(&view, &ClientRule::default()).unwrap()
    }

    fn key(number: u8) -> Key {
        let name = ObjectName::new("a", number.to_string());
        let version = Version::from_bytes(&[number; 16]).unwrap();
        (version, ClientAuthorities(vec![(name, Some(version))]))
    }

    #[test]
    fn a_key_is_taken_apart_once() {
        let cache = ReadyCache::new(Store::with_snapshots(Vec::new(), Vec::new()), BUDGET);
        let (one, other) = (certificate(&["a.test"]), certificate(&["a.test"]));
        let get = |view: &CertificateView| cache.get(view, &ClientRule::default()).unwrap();
        assert!(Arc::ptr_eq(&get(&one), &get(&one)));
        assert!(!Arc::ptr_eq(&get(&one), &get(&other)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_least_recently_used_goes_and_the_budget_holds(
            uses in prop::collection::vec((0..8_u8, 1..40_usize), 1..60),
        ) {
            const BUDGET: usize = 100;
            let ready = ready();
            let mut held = Held::default();
            let mut recent: Vec<(u8, usize)> = Vec::new();
            for (number, bytes) in uses {
                if held.find(&key(number)).is_none() {
                    held.put(key(number), ready.clone(), bytes, BUDGET);
                    recent.push((number, bytes));
                } else {
                    let at = recent.iter().position(|(it, _)| *it == number).unwrap();
                    let used = recent.remove(at);
                    recent.push(used);
                }
                while recent.iter().map(|(_, bytes)| bytes).sum::<usize>() > BUDGET {
                    recent.remove(0);
                }
                let expected: usize = recent.iter().map(|(_, bytes)| bytes).sum();
                prop_assert_eq!(held.bytes, expected);
                prop_assert_eq!(held.entries.len(), recent.len());
                prop_assert_eq!(held.order.len(), recent.len());
                prop_assert!(recent.iter().all(|(it, _)| held.entries.contains_key(&key(*it))));
            }
        }
    }
}
