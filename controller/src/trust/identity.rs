//! What this replica shows to whoever connects, and whom it trusts when it connects
//! itself; cheap to clone. The keeper writes it, each handshake reads it.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::trust::certificate::{Ca, Fault, Serving};
use crate::trust::moment::Moment;
use crate::trust::rotation::{Authority, Certificate, Held};

/// gRPC's protocol, as TLS names it.
const ALPN: &[u8] = b"h2";

/// One replica's.
#[derive(Clone)]
pub struct Identity {
    names: Arc<[String]>,
    shown: Arc<RwLock<Arc<Shown>>>,
}

struct Shown {
    certified: Arc<CertifiedKey>,
    roots: Arc<RootCertStore>,
    /// Of the CA that signed it.
    issuer: String,
    expiry: Expiry,
    renewal: Moment,
}

/// When what is shown ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The certificate that this replica serves with.
    pub serving: Moment,
    /// The CA that signs.
    pub ca: Moment,
}

impl Identity {
    /// Makes a certificate for these host names and addresses.
    pub fn new(names: Vec<String>, held: &Held<Ca>, now: Moment) -> Result<Self, Fault> {
        let shown = Shown::new(held, held.signing.issue(&names, now)?)?;
        Ok(Self {
            names: names.into(),
            shown: Arc::new(RwLock::new(Arc::new(shown))),
        })
    }

    /// Goes over to what is held now, with a new certificate if another CA signs or
    /// the old one has little time left. Tells whether it made one.
    pub fn adopt(&self, held: &Held<Ca>, now: Moment) -> Result<bool, Fault> {
        let known = self.shown.read().clone();
        let is_due = known.issuer != held.signing.certificate().pem() || now >= known.renewal;
        let shown = match is_due {
            true => Shown::new(held, held.signing.issue(&self.names, now)?)?,
            false => Shown {
                certified: known.certified.clone(),
                roots: roots(held)?,
                issuer: known.issuer.clone(),
                ..*known
            },
        };
        *self.shown.write() = Arc::new(shown);
        Ok(is_due)
    }

    /// When what is shown ends.
    pub fn expiry(&self) -> Expiry {
        self.shown.read().expiry
    }

    /// For the port that data planes and other replicas connect to: TLS 1.3 alone, since
    /// both ends are ours.
    pub fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Streams live for hours: each handshake is a whole one, under the CA of now.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// For a connection to another replica.
    pub fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let roots = self.shown.read().roots.clone();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

impl Shown {
    fn new(held: &Held<Ca>, serving: Serving) -> Result<Self, Fault> {
        let signing = held.signing.certificate();
        Ok(Self {
            certified: Arc::new(serving.certified),
            roots: roots(held)?,
            issuer: signing.pem().to_owned(),
            expiry: Expiry {
                serving: serving.life.until,
                ca: signing.life().until,
            },
            renewal: serving.life.two_thirds(),
        })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn roots(held: &Held<Ca>) -> Result<Arc<RootCertStore>, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in held.trusted() {
        let added = roots.add(certificate.der().clone());
        added.map_err(|_| Fault::Certificate)?;
    }
    Ok(Arc::new(roots))
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.read().certified.clone())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::certificate::SERVING_LIFETIME;

    const NOW: Moment = Moment(1_800_000_000);

    fn held() -> Held<Ca> {
        Held {
            signing: Ca::make(NOW).unwrap(),
            next: None,
            previous: None,
        }
    }

    fn shown(identity: &Identity) -> Arc<CertifiedKey> {
        identity.shown.read().certified.clone()
    }

    #[test]
    fn a_certificate_is_renewed_in_time_and_not_before() {
        let held = held();
        let identity = Identity::new(vec!["a.test".into()], &held, NOW).unwrap();
        let first = shown(&identity);
        let day = SERVING_LIFETIME / 7;
        assert!(!identity.adopt(&held, NOW.plus(4 * day)).unwrap());
        assert!(Arc::ptr_eq(&first, &shown(&identity)));
        assert!(identity.adopt(&held, NOW.plus(5 * day)).unwrap());
        assert_ne!(first.cert, shown(&identity).cert);
        assert_eq!(identity.expiry().serving, NOW.plus(12 * day));
    }

    #[test]
    fn another_ca_makes_another_certificate_at_once() {
        let (one, two) = (held(), held());
        let identity = Identity::new(vec!["a.test".into()], &one, NOW).unwrap();
        assert!(identity.adopt(&two, NOW).unwrap());
        assert!(!identity.adopt(&two, NOW).unwrap());
    }

    #[test]
    fn it_shows_no_key() {
        let identity = Identity::new(vec!["a.test".into()], &held(), NOW).unwrap();
        assert_eq!(
            format!("{identity:?}"),
            "Identity { names: [\"a.test\"], .. }"
        );
    }
}
