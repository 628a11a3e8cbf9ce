//! How connections to a provider are made where it says so itself: whom to trust, what to show,
//! which name to ask for, which proxy to go through.
//!
//! Providers that say the same share one way, and so its connections. A change makes another way:
//! new requests take it, and the one before is gone with the last request that is under way on it.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use turnpike_snapshot::provider::{EgressProxy, Identity, UpstreamTls};

use super::lanes::Lanes;
use super::proxy::Proxy;

/// A way to connect.
pub struct Way {
    settings: Settings,
    pub(super) tls: Option<Tls>,
    pub(super) proxy: Option<Proxy>,
    /// Made by the first who needs them.
    lanes: OnceLock<Lanes>,
}

/// As the provider says; told apart by it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Settings {
    tls: Option<UpstreamTls>,
    proxy: Option<EgressProxy>,
}

/// TLS as a handshake needs it.
pub(super) struct Tls {
    /// `None`: whom this machine trusts.
    pub(super) roots: Option<RootCertStore>,
    /// `None`: nothing is shown.
    pub(super) identity: Option<Arc<SingleCertAndKey>>,
    /// `None`: the host of the address.
    pub(super) server_name: Option<ServerName<'static>>,
}

/// What a provider says cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WayError {
    /// A certificate of a CA.
    #[error("a certificate of the CAs to trust cannot be read")]
    Authority,
    /// A private key.
    #[error("the private key of the certificate to show cannot be read")]
    PrivateKey,
    /// A name.
    #[error("the server name is no host name")]
    ServerName,
    /// A proxy.
    #[error("the address of the egress proxy is none")]
    Proxy,
}

/// The ways that providers take now.
#[derive(Default)]
pub struct Ways {
    known: Mutex<Known>,
    hasher: RandomState,
}

#[derive(Default)]
struct Known {
    /// By the hash of their settings.
    ways: HashMap<u64, Vec<Weak<Way>>>,
    /// How many may be known before those that are gone are looked for.
    bound: usize,
}

/// Fewer are not worth looking through.
const FEW: usize = 64;

impl Ways {
    /// Gives the way that a provider wants; `None`: the one of all who want nothing.
    pub fn find(
        &self,
        tls: Option<&UpstreamTls>,
        proxy: Option<&EgressProxy>,
    ) -> Result<Option<Arc<Way>>, WayError> {
        if tls.is_none() && proxy.is_none() {
            return Ok(None);
        }
        let settings = Settings {
            tls: tls.cloned(),
            proxy: proxy.cloned(),
        };
        let hash = self.hasher.hash_one(&settings);
        let mut known = self.known.lock();
        if let Some(way) = known.find(hash, &settings) {
            return Ok(Some(way));
        }
        let way = Arc::new(Way::new(settings)?);
        known.insert(hash, &way);
        Ok(Some(way))
    }
}

impl Known {
    fn find(&self, hash: u64, settings: &Settings) -> Option<Arc<Way>> {
        let ways = self.ways.get(&hash)?.iter();
        let mut ways = ways.filter_map(Weak::upgrade);
        ways.find(|way| way.settings == *settings)
    }

    fn insert(&mut self, hash: u64, way: &Arc<Way>) {
        if self.ways.len() >= self.bound.max(FEW) {
            self.ways.retain(|_, ways| {
                ways.retain(|way| way.strong_count() > 0);
                !ways.is_empty()
            });
            self.bound = 2 * self.ways.len();
        }
        let ways = self.ways.entry(hash).or_default();
        ways.push(Arc::downgrade(way));
    }
}

impl Way {
    fn new(settings: Settings) -> Result<Self, WayError> {
        let tls = settings.tls.as_ref().map(Tls::new).transpose()?;
        let proxy = settings.proxy.as_ref().map(Proxy::new).transpose()?;
        Ok(Self {
            settings,
            tls,
            proxy,
            lanes: OnceLock::new(),
        })
    }

    /// Whether it trusts CAs of its own.
    pub(super) fn has_roots(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.roots.is_some())
    }

    /// Gives its connections, which are made by the first who needs them.
    pub(super) fn lanes(&self, make: impl FnOnce() -> Lanes) -> &Lanes {
        self.lanes.get_or_init(make)
    }
}

/// What stands in it are secrets.
impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").finish_non_exhaustive()
    }
}

impl Tls {
    fn new(tls: &UpstreamTls) -> Result<Self, WayError> {
        let identity = tls.identity.as_ref().map(identity);
        let server_name = tls.server_name.clone().map(ServerName::try_from);
        let server_name = server_name.transpose();
        Ok(Self {
            roots: roots(&tls.authorities)?,
            identity: identity.transpose()?,
            server_name: server_name.map_err(|_| WayError::ServerName)?,
        })
    }
}

fn identity(identity: &Identity) -> Result<Arc<SingleCertAndKey>, WayError> {
    let chain = identity.chain.iter().cloned().map(CertificateDer::from);
    let key = PrivateKeyDer::try_from(identity.key.clone()).map_err(|_| WayError::PrivateKey)?;
    let provider = rustls::crypto::ring::default_provider();
    let certified = CertifiedKey::from_der(chain.collect(), key, &provider);
    let certified = certified.map_err(|_| WayError::PrivateKey)?;
    Ok(Arc::new(certified.into()))
}

/// One that cannot be read must not lead to others being trusted.
fn roots(authorities: &[Vec<u8>]) -> Result<Option<RootCertStore>, WayError> {
    if authorities.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let certificate = CertificateDer::from(authority.clone());
        roots.add(certificate).map_err(|_| WayError::Authority)?;
    }
    Ok(Some(roots))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> UpstreamTls {
        UpstreamTls {
            server_name: Some(name.into()),
            ..UpstreamTls::default()
        }
    }

    #[test]
    fn providers_that_say_the_same_share_a_way_and_others_do_not() {
        let ways = Ways::default();
        let find = |tls: &UpstreamTls| ways.find(Some(tls), None).unwrap().unwrap();
        let (one, same, other) = (find(&named("a")), find(&named("a")), find(&named("b")));
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        assert!(ways.find(None, None).unwrap().is_none());
        let proxy = EgressProxy {
            address: "proxy:3128".into(),
            user: None,
        };
        let through = ways.find(Some(&named("a")), Some(&proxy)).unwrap().unwrap();
        assert!(!Arc::ptr_eq(&one, &through));
    }

    #[test]
    fn ways_that_nobody_takes_are_forgotten() {
        let ways = Ways::default();
        let kept = ways.find(Some(&named("kept")), None).unwrap();
        for at in 0..10 * FEW {
            ways.find(Some(&named(&format!("n{at}"))), None).unwrap();
        }
        assert!(ways.known.lock().ways.len() <= FEW + 1);
        let again = ways.find(Some(&named("kept")), None).unwrap();
        assert!(Arc::ptr_eq(&kept.unwrap(), &again.unwrap()));
    }

    #[test]
    fn what_cannot_be_read_is_no_way() {
        let broken = |tls: UpstreamTls| Ways::default().find(Some(&tls), None).err();
        let identity = Identity {
            chain: Vec::new(),
            key: b"canary".to_vec(),
        };
        let with = |identity, authorities| UpstreamTls {
            authorities,
            identity,
            server_name: None,
        };
        for (tls, fault) in [
            (named("a b"), WayError::ServerName),
            (with(Some(identity), Vec::new()), WayError::PrivateKey),
            (with(None, vec![b"x".to_vec()]), WayError::Authority),
        ] {
            assert_eq!(broken(tls), Some(fault));
        }
    }
}
