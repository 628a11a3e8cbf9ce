//! A TLS connection to a controller, and words for what may go wrong with it.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, InvalidMessage};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::trust::{Trust, TrustError};

/// Makes connections for tonic.
pub(super) struct Connecting {
    config: Arc<ClientConfig>,
    /// Where the trusted CAs are from, for people.
    bundle: String,
}

impl Connecting {
    /// Trusts whom the bundle names now.
    pub(super) async fn new(trust: &Trust) -> Result<Self, TrustError> {
        let (config, file) = trust.tls().await?;
        Ok(Self {
            config,
            bundle: file.display().to_string(),
        })
    }
}

impl Service<Uri> for Connecting {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connector = TlsConnector::from(self.config.clone());
        let bundle = self.bundle.clone();
        Box::pin(async move {
            let host = address.host().unwrap_or_default();
            let host = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            let port = address.port_u16().unwrap_or(443);
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            let connected = connector.connect(name, stream).await;
            connected
                .map(TokioIo::new)
                .map_err(|error| told(error, &bundle))
        })
    }
}

/// Says what to do where that is known.
fn told(error: io::Error, bundle: &str) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause.and_then(|cause| advice(cause, bundle)) {
        Some(words) => io::Error::other(words),
        None => error,
    }
}

fn advice(error: &rustls::Error, bundle: &str) -> Option<String> {
    use rustls::Error::{InvalidCertificate, InvalidMessage as Message};
    match error {
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Some(format!(
                "the controller's certificate is signed by none of the CAs in {bundle}; it must \
                 be the ConfigMap turnpike-snapshot-ca of this very installation, and follow it"
            ))
        }
        InvalidCertificate(CertificateError::NotValidForNameContext {
            expected,
            presented,
        }) => {
            let presented = presented.join(", ");
            Some(format!(
                "the controller's certificate is not for {}; give --controller by one of its \
                 names: {presented}",
                expected.to_str()
            ))
        }
        InvalidCertificate(
            CertificateError::ExpiredContext { .. }
            | CertificateError::Expired
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::NotValidYet,
        ) => Some(format!(
            "the controller's certificate is not valid at this time; compare the clocks of both \
             machines: {error}"
        )),
        Message(InvalidMessage::InvalidContentType) => Some(
            "the controller speaks no TLS; start it without --plaintext, or give its address as \
             http://"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_has_a_mend() {
        let expected = ServerName::try_from("localhost").unwrap();
        for (error, words) in [
            (
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "none of the CAs in /ca.crt",
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                    expected,
                    presented: vec!["a".into(), "b".into()],
                }),
                "not for localhost; give --controller by one of its names: a, b",
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::Expired),
                "compare the clocks",
            ),
            (
                rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "speaks no TLS",
            ),
        ] {
            let told = told(io::Error::other(error), "/ca.crt").to_string();
            assert!(told.contains(words), "{told}");
        }
        let other = told(io::Error::from(io::ErrorKind::UnexpectedEof), "/ca.crt");
        assert_eq!(other.kind(), io::ErrorKind::UnexpectedEof);
    }
}
