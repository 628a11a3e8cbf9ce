//! Makes and reads CAs, and the certificates that replicas serve with: ECDSA P-256.
//!
//! Time is an argument; keys come from the system's random numbers.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretString};

use crate::trust::moment::{Life, Moment};
use crate::trust::rotation::{self, LIFETIME};

/// Of a certificate that a replica serves with; it is renewed when two thirds are over.
pub const SERVING_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Certificates begin so long before they are made, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(3600);

/// What is wrong with a CA; never shows a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the certificate is not one in PEM")]
    Certificate,
    #[error("the certificate is not a CA's")]
    NotCa,
    #[error("the key is not a private key in PEM")]
    Key,
    #[error("the key is not that of the certificate")]
    OtherKey,
    #[error("{0:?} cannot stand in a certificate")]
    Name(String),
    #[error("signing failed: {0}")]
    Signing(String),
}

/// A CA's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaCertificate {
    pem: String,
    der: CertificateDer<'static>,
    life: Life,
}

/// A CA's certificate with its key.
#[derive(Clone, Debug)]
pub struct Ca {
    certificate: CaCertificate,
    key: SecretString,
}

/// What a replica serves with.
#[derive(Clone, Debug)]
pub struct Serving {
    /// For the TLS library.
    pub certified: CertifiedKey,
    /// Of the certificate.
    pub life: Life,
}

impl CaCertificate {
    /// Reads a text with one certificate.
    pub fn read(pem: &str) -> Result<Self, Fault> {
        let mut found = CertificateDer::pem_slice_iter(pem.as_bytes());
        let (Some(Ok(der)), None) = (found.next(), found.next()) else {
            return Err(Fault::Certificate);
        };
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&der).map_err(|_| Fault::Certificate)?;
        if !parsed.is_ca() {
            return Err(Fault::NotCa);
        }
        let life = Life {
            from: Moment(parsed.validity().not_before.timestamp()),
            until: Moment(parsed.validity().not_after.timestamp()),
        };
        Ok(Self {
            pem: format!("{}\n", pem.trim()),
            der,
            life,
        })
    }

    /// For the TLS library.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    fn has_key(&self, key: &KeyPair) -> bool {
        let parsed = x509_parser::parse_x509_certificate(&self.der);
        parsed.is_ok_and(|(_, parsed)| parsed.public_key().raw == key.subject_public_key_info())
    }
}

impl rotation::Certificate for CaCertificate {
    fn life(&self) -> Life {
        self.life
    }

    fn pem(&self) -> &str {
        &self.pem
    }
}

impl rotation::Authority for Ca {
    type Certificate = CaCertificate;

    fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }
}

impl Ca {
    /// Makes one that begins now.
    pub fn make(now: Moment) -> Result<Self, Fault> {
        let life = Life {
            from: now.minus(BACKDATED),
            until: now.plus(LIFETIME),
        };
        Self::make_for(life)
    }

    /// Makes one of this life.
    pub fn make_for(life: Life) -> Result<Self, Fault> {
        let key = KeyPair::generate().map_err(signing)?;
        let mut parameters = CertificateParams::default();
        within(&mut parameters, life);
        // Two of them in one bundle have different names.
        let made: u32 = rand::random();
        parameters.distinguished_name = named(&format!("turnpike snapshot CA {made:08x}"));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = parameters.self_signed(&key).map_err(signing)?;
        Ok(Self {
            certificate: CaCertificate::read(&certificate.pem())?,
            key: key.serialize_pem().into(),
        })
    }

    /// Reads one, as it stands in a Secret.
    pub fn read(certificate: &str, key: &str) -> Result<Self, Fault> {
        let certificate = CaCertificate::read(certificate)?;
        let pair = KeyPair::from_pem(key).map_err(|_| Fault::Key)?;
        if !certificate.has_key(&pair) {
            return Err(Fault::OtherKey);
        }
        Ok(Self {
            certificate,
            key: key.into(),
        })
    }

    /// The private key in PEM, for the Secret.
    pub fn key(&self) -> &SecretString {
        &self.key
    }

    /// Makes a certificate for these host names and addresses, with a key of its own.
    pub fn issue(&self, names: &[String], now: Moment) -> Result<Serving, Fault> {
        let pair = KeyPair::from_pem(self.key.expose_secret()).map_err(|_| Fault::Key)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate.der, pair).map_err(signing)?;
        let life = Life {
            from: now.minus(BACKDATED),
            until: now.plus(SERVING_LIFETIME).min(self.certificate.life.until),
        };
        let mut parameters =
            CertificateParams::new(names).map_err(|_| Fault::Name(names.join(", ")))?;
        within(&mut parameters, life);
        parameters.distinguished_name = named("turnpike-controller");
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.use_authority_key_identifier_extension = true;
        let own = KeyPair::generate().map_err(signing)?;
        let certificate = parameters.signed_by(&own, &issuer).map_err(signing)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der()));
        let key = any_ecdsa_type(&key).map_err(|error| Fault::Signing(error.to_string()))?;
        Ok(Serving {
            certified: CertifiedKey::new(vec![certificate.der().clone()], key),
            life,
        })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn within(parameters: &mut CertificateParams, life: Life) {
    let epoch = date_time_ymd(1970, 1, 1);
    parameters.not_before = epoch + Moment(0).until(life.from);
    parameters.not_after = epoch + Moment(0).until(life.until);
}

fn signing(error: rcgen::Error) -> Fault {
    Fault::Signing(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::rotation::{Authority, Certificate};

    const NOW: Moment = Moment(1_800_000_000);

    #[test]
    fn a_ca_is_read_as_it_was_made() {
        let ca = Ca::make(NOW).unwrap();
        let read = Ca::read(ca.certificate.pem(), ca.key.expose_secret()).unwrap();
        assert_eq!(read.certificate(), ca.certificate());
        let life = read.certificate().life();
        assert_eq!(life.from, NOW.minus(BACKDATED));
        assert_eq!(life.until, NOW.plus(LIFETIME));
    }

    #[test]
    fn what_is_no_ca_is_refused_without_its_text() {
        let (one, other) = (Ca::make(NOW).unwrap(), Ca::make(NOW).unwrap());
        let refuse = |certificate: &str, key: &str| Ca::read(certificate, key).unwrap_err();
        let (pem, key) = (one.certificate.pem(), one.key.expose_secret());
        assert_eq!(refuse("canary", key), Fault::Certificate);
        assert_eq!(refuse(pem, "canary"), Fault::Key);
        assert_eq!(refuse(pem, other.key.expose_secret()), Fault::OtherKey);
        let leaf = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let leaf_key = leaf.signing_key.serialize_pem();
        assert_eq!(refuse(&leaf.cert.pem(), &leaf_key), Fault::NotCa);
        assert!(!format!("{one:?}").contains(key.lines().nth(1).unwrap()));
    }

    #[test]
    fn a_serving_certificate_outlives_neither_its_week_nor_its_ca() {
        let names = ["a.test".to_owned(), "10.0.0.7".to_owned(), "::1".to_owned()];
        let ca = Ca::make(NOW).unwrap();
        let serving = ca.issue(&names, NOW).unwrap();
        assert_eq!(serving.life.until, NOW.plus(SERVING_LIFETIME));
        let (_, parsed) = x509_parser::parse_x509_certificate(&serving.certified.cert[0]).unwrap();
        assert_eq!(
            parsed.validity().not_after.timestamp(),
            serving.life.until.0
        );
        let alternatives = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(alternatives.value.general_names.len(), names.len());

        let hour = Duration::from_secs(3600);
        let late = ca.certificate.life.until.minus(hour);
        assert_eq!(late.until(ca.issue(&names, late).unwrap().life.until), hour);
    }

    #[test]
    fn a_name_that_is_none_is_told() {
        let ca = Ca::make(NOW).unwrap();
        let fault = ca.issue(&["ä.test".to_owned()], NOW).unwrap_err();
        assert_eq!(fault, Fault::Name("ä.test".into()));
    }
}
