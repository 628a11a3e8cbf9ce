//! Whom a data plane trusts when it connects to a controller, and what it shows: a bundle
//! of CAs and a token, both files that others replace.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tonic::metadata::AsciiMetadataValue;
use tracing::{info, warn};

/// gRPC's protocol, as TLS names it.
const ALPN: &[u8] = b"h2";

/// A file that cannot be used; its content is never shown.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// There is nobody to trust.
    #[error("TLS needs --controller-ca")]
    NoBundle,
    /// The bundle cannot be read.
    #[error("--controller-ca {0}: {1}; mount the ConfigMap turnpike-snapshot-ca there")]
    Unreadable(PathBuf, io::Error),
    /// The bundle is no bundle.
    #[error("--controller-ca {0}: {1}")]
    Bundle(PathBuf, &'static str),
    /// The token cannot be read.
    #[error("--controller-token-file {0}: {1}")]
    Token(PathBuf, io::Error),
    /// There is nothing in it that could be a token.
    #[error("--controller-token-file {0} holds no token")]
    NoToken(PathBuf),
}

/// What is trusted and shown; cheap to clone. By default neither.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    bundle: Option<Arc<Bundle>>,
    token_file: Option<PathBuf>,
}

struct Bundle {
    file: PathBuf,
    known: Mutex<Known>,
}

/// The last good content of the file.
struct Known {
    text: Vec<u8>,
    config: Arc<ClientConfig>,
    /// A content that was no good and has been told of.
    bad: Option<Vec<u8>>,
}

impl Trust {
    /// Reads both files for the first time. Fails where one is not fit for use.
    pub fn open(
        bundle_file: Option<PathBuf>,
        token_file: Option<PathBuf>,
    ) -> Result<Self, TrustError> {
        let bundle = bundle_file.map(Bundle::open).transpose()?;
        if let Some(file) = &token_file {
            let read = std::fs::read_to_string(file);
            let text = read.map_err(|error| TrustError::Token(file.clone(), error))?;
            to_value(file, &text)?;
        }
        Ok(Self {
            bundle: bundle.map(Arc::new),
            token_file,
        })
    }

    /// Gives TLS as the bundle says now, or as it said before where that is no good; and
    /// the bundle's file.
    pub(super) async fn tls(&self) -> Result<(Arc<ClientConfig>, &Path), TrustError> {
        let bundle = self.bundle.as_ref().ok_or(TrustError::NoBundle)?;
        let read = tokio::fs::read(&bundle.file).await;
        Ok((bundle.refresh(read), &bundle.file))
    }

    /// Gives what goes into `authorization`, from the file as it is now. `None`: no token is shown.
    pub(super) async fn token(&self) -> Result<Option<AsciiMetadataValue>, TrustError> {
        let Some(file) = &self.token_file else {
            return Ok(None);
        };
        let read = tokio::fs::read_to_string(file).await;
        let text = read.map_err(|error| TrustError::Token(file.clone(), error))?;
        to_value(file, &text).map(Some)
    }
}

fn to_value(file: &Path, text: &str) -> Result<AsciiMetadataValue, TrustError> {
    let no_token = || TrustError::NoToken(file.to_owned());
    let token = text.trim();
    if token.is_empty() {
        return Err(no_token());
    }
    let value = format!("Bearer {token}").parse();
    let mut value: AsciiMetadataValue = value.map_err(|_| no_token())?;
    value.set_sensitive(true);
    Ok(value)
}

impl Bundle {
    fn open(file: PathBuf) -> Result<Self, TrustError> {
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) => return Err(TrustError::Unreadable(file, error)),
        };
        match parse(&text) {
            Ok(config) => Ok(Self {
                file,
                known: Mutex::new(Known {
                    text,
                    config,
                    bad: None,
                }),
            }),
            Err(fault) => Err(TrustError::Bundle(file, fault)),
        }
    }

    fn refresh(&self, read: io::Result<Vec<u8>>) -> Arc<ClientConfig> {
        let mut known = self.known.lock();
        let file = self.file.display();
        match read {
            Ok(text) if text == known.text => known.bad = None,
            Ok(text) if known.bad.as_ref() == Some(&text) => {}
            Ok(text) => match parse(&text) {
                Ok(config) => {
                    info!(%file, "the controller's CAs were read anew");
                    *known = Known {
                        text,
                        config,
                        bad: None,
                    };
                }
                Err(fault) => {
                    warn!(%file, fault, "--controller-ca is no good now; its last content counts");
                    known.bad = Some(text);
                }
            },
            Err(error) => {
                warn!(%file, %error, "--controller-ca cannot be read now; its last content counts");
            }
        }
        known.config.clone()
    }
}

/// TLS 1.3 alone, since both ends are ours.
fn parse(text: &[u8]) -> Result<Arc<ClientConfig>, &'static str> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|_| "not certificates in PEM")?;
        let added = roots.add(certificate);
        added.map_err(|_| "a certificate in it cannot be read")?;
    }
    if roots.is_empty() {
        return Err("no certificate in it");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(|_| "this build has no TLS 1.3")?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Each connection is checked against the CAs of now.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bundle").field(&self.file).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn ca(name: &str) -> String {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]);
        made.unwrap().cert.pem()
    }

    async fn config(trust: &Trust) -> Arc<ClientConfig> {
        trust.tls().await.unwrap().0
    }

    #[tokio::test]
    async fn a_bundle_is_read_anew_and_a_bad_one_keeps_the_last_good() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.crt");
        fs::write(&file, ca("one")).unwrap();
        let trust = Trust::open(Some(file.clone()), None).unwrap();
        let first = config(&trust).await;
        assert!(Arc::ptr_eq(&first, &config(&trust).await));

        for bad in ["", "-----BEGIN CERTIFICATE-----\nx", "canary"] {
            fs::write(&file, bad).unwrap();
            assert!(Arc::ptr_eq(&first, &config(&trust).await), "{bad}");
        }
        fs::remove_file(&file).unwrap();
        assert!(Arc::ptr_eq(&first, &config(&trust).await));

        fs::write(&file, ca("one") + &ca("two")).unwrap();
        assert!(!Arc::ptr_eq(&first, &config(&trust).await));
    }

    #[tokio::test]
    async fn a_token_is_read_at_each_connection_and_shown_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        fs::write(&file, "canary-1\n").unwrap();
        let trust = Trust::open(None, Some(file.clone())).unwrap();
        let value = trust.token().await.unwrap().unwrap();
        assert_eq!(value, "Bearer canary-1");
        fs::write(&file, "canary-2").unwrap();
        let newer = trust.token().await.unwrap().unwrap();
        assert_eq!(newer, "Bearer canary-2");
        assert!(!format!("{trust:?} {value:?}").contains("canary"));
        for bad in ["", " \n", "canary\u{7}"] {
            fs::write(&file, bad).unwrap();
            let error = trust.token().await.unwrap_err().to_string();
            assert!(
                error.ends_with("holds no token") && !error.contains("canary"),
                "{error}"
            );
        }
    }

    #[test]
    fn files_must_be_fit_for_use_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let words = |bundle: Option<&PathBuf>, token: Option<&PathBuf>| {
            let opened = Trust::open(bundle.cloned(), token.cloned());
            opened.unwrap_err().to_string()
        };
        assert!(words(Some(&file), None).contains("turnpike-snapshot-ca"));
        assert!(words(None, Some(&file)).contains("--controller-token-file"));
        fs::write(&file, " ").unwrap();
        assert!(words(Some(&file), None).ends_with("no certificate in it"));
        assert!(words(None, Some(&file)).ends_with("holds no token"));
    }
}
