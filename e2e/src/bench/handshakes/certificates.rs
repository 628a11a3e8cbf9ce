//! Many hosts with a certificate each, all signed by one authority: ECDSA, P-256.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::resources;
use crate::secure::tls_secret;

/// Hosts in one file.
const TOGETHER: usize = 500;
const PROVIDER: &str = "echo";
/// The host of the plain server: callers keep sessions by name.
pub(super) const PLAIN: &str = "plain.bench.test";

/// Signs the certificates of hosts.
pub(super) struct Authority {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// The name of a host.
pub(super) fn host(number: usize) -> String {
    format!("h{number}.bench.test")
}

/// What all hosts use.
pub(super) fn shared() -> String {
    resources::echo_provider(PROVIDER)
}

impl Authority {
    pub(super) fn make() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key)?;
        Ok(Self {
            der: certificate.der().clone(),
            issuer: Issuer::new(parameters, key),
        })
    }

    /// What callers trust.
    pub(super) fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        Ok(roots)
    }

    /// Writes a folder of files with the Secrets and routes of so many hosts.
    pub(super) fn write_all(&self, folder: &Path, hosts: usize) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        for first in (0..hosts).step_by(TOGETHER) {
            let mut yaml = String::new();
            for number in first..(first + TOGETHER).min(hosts) {
                self.describe(number, &mut yaml)?;
            }
            let file = folder.join(format!("{first}.yaml"));
            std::fs::write(file, yaml).context("writing resources")?;
        }
        Ok(())
    }

    /// Writes chain and key of the plain server.
    pub(super) fn write_plain(&self, folder: &Path) -> Result<[PathBuf; 2]> {
        let (chain, key) = self.issue(PLAIN)?;
        let files = [folder.join("plain.crt"), folder.join("plain.key")];
        for (file, text) in files.iter().zip([chain, key]) {
            std::fs::write(file, text).context("writing a certificate")?;
        }
        Ok(files)
    }

    fn describe(&self, number: usize, yaml: &mut String) -> Result<()> {
        let (name, host) = (format!("h{number}"), host(number));
        let (chain, key) = self.issue(&host)?;
        yaml.push_str(&tls_secret(&name, &chain, &key));
        yaml.push_str(&resources::route(&name, &host, PROVIDER));
        writeln!(yaml, "  tls: {{certificateRefs: [{{name: {name}}}]}}")?;
        Ok(())
    }

    /// Chain and key in PEM.
    fn issue(&self, host: &str) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let parameters = CertificateParams::new(vec![host.to_owned()])?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}
