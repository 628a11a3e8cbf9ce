//! Certificates and CAs out of Secrets: read, checked as a data plane would, and judged by the
//! hosts that they are for.
//!
//! A Secret that is there and cannot be used compiles to a fault that leaves the last good form
//! in force; one that is gone leaves nothing. No clock is read: when a certificate ends is told.

use std::sync::LazyLock;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use turnpike_crds::AIRouteSpec;
use turnpike_snapshot::certificate::{
    Authority, Certificate, FleetCertificates, KeyedCertificate, fit,
};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::provider::Identity;
use x509_parser::extensions::GeneralName;

use crate::compile::finding::{Issue, Shown, Subject};
use crate::compile::reference::secret_issue;
use crate::index::Index;
use crate::index::certificates::{certificates, client_authority};
use crate::index::secrets::SecretFault;
use crate::source::CA;

const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";

/// What data planes use too; without state.
static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(rustls::crypto::ring::default_provider);

/// Why a Secret is no certificate, or no CA.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("a value is missing")]
    Secret(SecretFault),
    #[error("{CHAIN} is no certificate in PEM; write the chain there, its own certificate first")]
    Chain,
    #[error("the certificate in {CHAIN} names no DNS name; have one made with the hosts in it")]
    NoNames,
    #[error("{KEY} is no private key in PEM; write the certificate's key there, without password")]
    Key,
    #[error(
        "the key in {KEY} is of a kind that is not served; use ECDSA P-256 or P-384, Ed25519, or \
         RSA of 2048 bits or more"
    )]
    UnknownKey,
    #[error("{KEY} is not the key of the certificate in {CHAIN}; put the two that belong together")]
    OtherKey,
    #[error(
        "the certificate is for {0}, none of which is a host here; name a host that it is for, or replace it"
    )]
    OtherHosts(String),
    #[error(
        "{CA} is no list of CA certificates in PEM; write those there that sign the certificates to \
         trust"
    )]
    Authority,
}

/// Compiles a Secret that a route or the platform shows as its certificate.
pub(crate) fn compile(index: &Index, name: &ObjectName) -> Option<Certificate> {
    let is_shown = |route: &ObjectName, spec: &AIRouteSpec| {
        certificates(&route.namespace, spec).any(|shown| shown == *name)
    };
    if !index.is_fleet_certificate(name) && !index.has_route_of_secret(name, is_shown) {
        return None;
    }
    let is_for = |names: &[String]| {
        index.is_fleet_certificate(name)
            || index.has_route_of_secret(name, |route, spec| {
                is_shown(route, spec) && names_a_host(names, spec)
            })
    };
    let read = read(index, name).and_then(|certificate| match is_for(&certificate.names) {
        true => Ok(certificate),
        false => Err(Fault::OtherHosts(certificate.names.join(", "))),
    });
    match read {
        Ok(certificate) => Some(Certificate::Usable(certificate)),
        Err(Fault::Secret(SecretFault::Missing(_))) => None,
        Err(fault) => Some(Certificate::Faulty {
            reason: words(index, name, fault),
        }),
    }
}

/// Compiles a Secret that a route has its callers' certificates checked by.
pub(crate) fn compile_authority(index: &Index, name: &ObjectName) -> Option<Authority> {
    let is_used = |route: &ObjectName, spec: &AIRouteSpec| {
        client_authority(&route.namespace, spec).is_some_and(|used| used == *name)
    };
    if !index.has_route_of_secret(name, is_used) {
        return None;
    }
    match read_authority(index, name) {
        Ok(certificates) => Some(Authority::Usable(certificates)),
        Err(Fault::Secret(SecretFault::Missing(_))) => None,
        Err(fault) => Some(Authority::Faulty {
            reason: words(index, name, fault),
        }),
    }
}

pub(crate) fn compile_fleet(index: &Index) -> FleetCertificates {
    FleetCertificates {
        certificates: index.fleet_certificates().to_vec(),
    }
}

/// Finds what is wrong with the TLS of a route.
pub(crate) fn issues(index: &Index, route: &ObjectName, spec: &AIRouteSpec) -> Vec<Issue> {
    let references = certificates(&route.namespace, spec).enumerate();
    let certificates = references.filter_map(|(at, name)| {
        let path = format!("spec.tls.certificateRefs[{at}]");
        let fault = fault(index, &name, spec)?;
        Some(issue(index, &path, &name, fault))
    });
    let authority = client_authority(&route.namespace, spec).and_then(|name| {
        let fault = read_authority(index, &name).err()?;
        Some(issue(index, "spec.tls.clientCARef", &name, fault))
    });
    certificates.chain(authority).collect()
}

/// Gives the ends of the certificates in Secrets; what cannot be read is left out.
pub(crate) fn shown(index: &Index, secrets: impl Iterator<Item = ObjectName>) -> Vec<Shown> {
    secrets
        .filter_map(|secret| {
            let (_, _, not_after) = read_chain(index, &secret).ok()?;
            let not_after = Timestamp::from_second(not_after).ok()?;
            Some(Shown { secret, not_after })
        })
        .collect()
}

/// Says what is wrong with one of the platform's certificates.
pub(crate) fn fleet_fault(index: &Index, name: &ObjectName) -> Option<String> {
    Some(words(index, name, read(index, name).err()?))
}

/// Says what is wrong with a Secret, and what to do.
pub(super) fn words(index: &Index, name: &ObjectName, fault: Fault) -> String {
    match fault {
        Fault::Secret(fault) => secret_issue(index, "", &fault).message,
        fault => format!("Secret {name}: {fault}"),
    }
}

fn fault(index: &Index, name: &ObjectName, spec: &AIRouteSpec) -> Option<Fault> {
    match read(index, name) {
        Ok(certificate) if names_a_host(&certificate.names, spec) => None,
        Ok(certificate) => Some(Fault::OtherHosts(certificate.names.join(", "))),
        Err(fault) => Some(fault),
    }
}

fn issue(index: &Index, path: &str, name: &ObjectName, fault: Fault) -> Issue {
    let is_gone = matches!(fault, Fault::Secret(SecretFault::Missing(_)));
    let mut message = words(index, name, fault);
    if !is_gone {
        message.push_str("; until then the last good one stays in force");
    }
    let reason = "InvalidCertificateRef";
    Issue::new(Subject::ResolvedRefs, reason, path, message)
}

/// Whether a certificate is for one of the route's hosts, or for one below its wildcard.
fn names_a_host(names: &[String], spec: &AIRouteSpec) -> bool {
    let names = || names.iter().map(String::as_str);
    spec.hostnames
        .iter()
        .any(|host| match host.strip_prefix('*') {
            Some(suffix) => names().any(|name| name.ends_with(suffix)),
            None => fit(names(), host).is_some(),
        })
}

fn read(index: &Index, name: &ObjectName) -> Result<KeyedCertificate, Fault> {
    let (chain, names, not_after) = read_chain(index, name)?;
    if names.is_empty() {
        return Err(Fault::NoNames);
    }
    Ok(KeyedCertificate {
        names,
        key: read_key(index, name, &chain)?,
        chain: chain.iter().map(|der| der.to_vec()).collect(),
        not_after,
    })
}

/// Reads a certificate that is shown to a server, whatever names are in it.
pub(super) fn read_identity(index: &Index, name: &ObjectName) -> Result<Identity, Fault> {
    let (chain, _, _) = read_chain(index, name)?;
    Ok(Identity {
        key: read_key(index, name, &chain)?,
        chain: chain.iter().map(|der| der.to_vec()).collect(),
    })
}

/// Gives the key in DER, if it is the chain's.
fn read_key(
    index: &Index,
    name: &ObjectName,
    chain: &[CertificateDer<'static>],
) -> Result<Vec<u8>, Fault> {
    let key = index.secrets.find_value(name, KEY).map_err(Fault::Secret)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Fault::Key)?;
    let der = key.secret_der().to_vec();
    match CertifiedKey::from_der(chain.to_vec(), key, &PROVIDER) {
        Ok(_) => Ok(der),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Fault::OtherKey),
        Err(rustls::Error::InvalidCertificate(_)) => Err(Fault::Chain),
        Err(_) => Err(Fault::UnknownKey),
    }
}

/// What stands in a certificate: the chain, its names, and its end in seconds since 1970.
type Read = (Vec<CertificateDer<'static>>, Vec<String>, i64);

/// Leaves the key alone, which is the dear part.
fn read_chain(index: &Index, name: &ObjectName) -> Result<Read, Fault> {
    let pem = index
        .secrets
        .find_value(name, CHAIN)
        .map_err(Fault::Secret)?;
    let chain = pem_certificates(pem).ok_or(Fault::Chain)?;
    let own = chain.first().ok_or(Fault::Chain)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(own).map_err(|_| Fault::Chain)?;
    let names = dns_names(&parsed);
    let not_after = parsed.validity().not_after.timestamp();
    Ok((chain, names, not_after))
}

pub(super) fn read_authority(index: &Index, name: &ObjectName) -> Result<Vec<Vec<u8>>, Fault> {
    read_authorities(index.secrets.find_value(name, CA).map_err(Fault::Secret)?)
}

/// Gives each certificate of CAs in DER; at least one.
pub(super) fn read_authorities(pem: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let certificates = pem_certificates(pem).filter(|found| !found.is_empty());
    let certificates = certificates.ok_or(Fault::Authority)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots
            .add(certificate.clone())
            .map_err(|_| Fault::Authority)?;
    }
    Ok(certificates.iter().map(|der| der.to_vec()).collect())
}

/// `None`: a part of it is broken.
fn pem_certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok()
}

/// Sorted, in lower case, without doubles.
fn dns_names(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = alternatives.value.general_names.iter();
    let mut names: Vec<String> = names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
            _ => None,
        })
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
