//! Certificates and CAs as handshakes use them. A key is taken apart only by the first handshake
//! that shows its certificate, in [`crate::listen`].

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use turnpike_snapshot::Version;
use turnpike_snapshot::certificate::{Authority, Certificate, FleetCertificates};
use turnpike_snapshot::name::ObjectName;

use super::{AuthoritySlot, CertificateSlot, CompileError};
use crate::arrival::ClientAuthorities;
use crate::store::tables::Tables;

/// The cryptography of TLS with callers; without state.
pub(crate) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// A certificate with its key.
pub struct CertificateView {
    /// Of the snapshot.
    pub version: Version,
    /// The DNS names that it is for, wildcards among them.
    pub names: Arc<[Box<str>]>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// CAs that callers' certificates are signed by.
#[derive(Debug)]
pub struct AuthorityView {
    /// Of the snapshot.
    pub version: Version,
    certificates: Vec<CertificateDer<'static>>,
}

/// The platform's certificates.
#[derive(Debug)]
pub struct FleetCertificatesView {
    /// In the platform's order; an empty one cannot be had.
    pub certificates: Box<[Arc<CertificateSlot>]>,
}

impl CertificateView {
    pub(crate) fn compile(version: Version, one: &Certificate) -> Result<Self, CompileError> {
        let usable = match one {
            Certificate::Usable(usable) => usable,
            Certificate::Faulty { reason } => return Err(CompileError::Unusable(reason.clone())),
        };
        let key = PrivateKeyDer::try_from(usable.key.clone());
        let chain = usable.chain.iter().cloned();
        Ok(Self {
            version,
            names: usable
                .names
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            chain: chain.map(CertificateDer::from).collect(),
            key: key.map_err(|_| CompileError::PrivateKey)?,
        })
    }

    /// The names, to choose by.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Takes the key apart: some 100 µs. Errors: the key does not belong to the certificate, or is
    /// of a kind unknown here.
    pub fn certified(&self) -> Result<CertifiedKey, rustls::Error> {
        CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &PROVIDER)
    }

    /// What it takes in memory once it is taken apart, estimated in bytes.
    pub fn bytes(&self) -> usize {
        let chain: usize = self.chain.iter().map(|der| der.len()).sum();
        chain + 4 * self.key.secret_der().len()
    }
}

impl fmt::Debug for CertificateView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateView")
            .field("version", &self.version)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl AuthorityView {
    pub(crate) fn compile(version: Version, one: &Authority) -> Result<Self, CompileError> {
        match one {
            Authority::Usable(certificates) => Ok(Self {
                version,
                certificates: certificates.iter().cloned().map(Into::into).collect(),
            }),
            Authority::Faulty { reason } => Err(CompileError::Unusable(reason.clone())),
        }
    }
}

impl FleetCertificatesView {
    pub(crate) fn compile(fleet: &FleetCertificates, tables: &Tables) -> Self {
        let certificates = fleet.certificates.iter();
        Self {
            certificates: certificates
                .map(|name| tables.certificates.slot(name))
                .collect(),
        }
    }
}

/// Who must have signed a caller's certificate: any one of these.
#[derive(Clone, Debug, Default)]
pub struct ClientRule {
    /// As the domain names them, sorted.
    pub authorities: Box<[(ObjectName, Arc<AuthoritySlot>)]>,
}

impl ClientRule {
    /// Finds the slots of a domain's CAs.
    pub(crate) fn compile(names: &[ObjectName], tables: &Tables) -> Self {
        let authority = |name: &ObjectName| (name.clone(), tables.authorities.slot(name));
        Self {
            authorities: names.iter().map(authority).collect(),
        }
    }

    /// Whether callers need no certificate.
    pub fn is_open(&self) -> bool {
        self.authorities.is_empty()
    }

    /// How it is now.
    pub fn state(&self) -> ClientAuthorities {
        let authorities = self.authorities.iter();
        let state = authorities.map(|(name, slot)| {
            let version = slot.load().map(|view| view.version);
            (name.clone(), version)
        });
        ClientAuthorities(state.collect())
    }

    /// Makes what checks callers' certificates; `None`: no CA can be had, so that nobody passes.
    pub fn verifier(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        let mut roots = RootCertStore::empty();
        for (_, slot) in &self.authorities {
            let certificates = slot.load().map(|view| view.certificates.clone());
            // The controller has looked at each before.
            roots.add_parsable_certificates(certificates.into_iter().flatten());
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone())
            .build()
            .ok()
    }
}
