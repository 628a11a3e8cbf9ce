//! A CA of callers' certificates, for tests.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A caller's certificate, and its key.
pub(crate) type Shows = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Signs callers' certificates.
pub(crate) struct MadeAuthority {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

pub(crate) fn authority() -> MadeAuthority {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    MadeAuthority {
        certificate: parameters.self_signed(&key).unwrap(),
        key,
    }
}

impl MadeAuthority {
    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    /// A caller's certificate and its key.
    pub(crate) fn issue(&self) -> Shows {
        let issuer = KeyPair::try_from(self.key.serialize_der()).unwrap();
        let issuer = Issuer::from_ca_cert_der(self.der(), issuer).unwrap();
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec!["caller".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![certificate.der().clone()], key)
    }
}
