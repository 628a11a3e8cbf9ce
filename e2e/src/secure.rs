//! Callers over TLS: certificates made for a test, and connections on which any host is asked for.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::gateway::{Answer, Call, Stream};

/// A certificate with its key, which has signed itself.
#[derive(Debug, Clone)]
pub struct Certified {
    pub chain: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Certified {
    /// One for these names.
    pub fn make(names: &[&str]) -> Result<Self> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names)?;
        Ok(Self {
            chain: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
        })
    }

    /// The digest of its public key, in base64: what a browser can be told to trust.
    pub fn pin(&self) -> Result<String> {
        let key = KeyPair::from_pem(&self.key)?.subject_public_key_info();
        Ok(STANDARD.encode(Sha256::digest(key)))
    }

    /// The Secret that holds it.
    pub fn secret(&self, name: &str) -> String {
        tls_secret(name, &self.chain, &self.key)
    }
}

/// A Secret of type kubernetes.io/tls, with any texts.
pub fn tls_secret(name: &str, chain: &str, key: &str) -> String {
    let (chain, key) = (STANDARD.encode(chain), STANDARD.encode(key));
    format!(
        "---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {{name: {name}, labels: {{turnpike.dev/credential: \"true\"}}}}
data: {{tls.crt: {chain}, tls.key: {key}}}
"
    )
}

/// Signs callers' certificates.
#[derive(Debug)]
pub struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    pub fn make() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            key,
        })
    }

    /// The Secret that a route's `clientCARef` names.
    pub fn secret(&self, name: &str) -> String {
        let pem = STANDARD.encode(&self.pem);
        format!(
            "---
apiVersion: v1
kind: Secret
metadata: {{name: {name}, labels: {{turnpike.dev/credential: \"true\"}}}}
data: {{ca.crt: {pem}}}
"
        )
    }

    fn issue(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
        let issuer = Issuer::from_ca_cert_der(&self.der, &self.key)?;
        let key = KeyPair::generate()?;
        let parameters = CertificateParams::new(vec!["caller".to_owned()])?;
        let certificate = parameters.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        Ok((certificate.der().clone(), key))
    }
}

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

/// Who trusts these certificates, and may show one. Its sessions go on at later connections.
#[derive(Debug, Clone)]
pub struct Caller {
    one: Arc<ClientConfig>,
    two: Arc<ClientConfig>,
}

impl Caller {
    pub fn trusting(trusted: &[&Certified]) -> Result<Self> {
        Self::new(trusted, None)
    }

    /// Shows a certificate of its own that this authority has signed.
    pub fn showing(trusted: &[&Certified], authority: &Authority) -> Result<Self> {
        Self::new(trusted, Some(authority))
    }

    fn new(trusted: &[&Certified], authority: Option<&Authority>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certified in trusted {
            roots.add(certified.der.clone())?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match authority {
            Some(authority) => {
                let (certificate, key) = authority.issue()?;
                builder.with_client_auth_cert(vec![certificate], key)?
            }
            None => builder.with_no_client_auth(),
        };
        let mut speaking = |protocol: &str| {
            config.alpn_protocols = vec![protocol.into()];
            Arc::new(config.clone())
        };
        Ok(Self {
            one: speaking("http/1.1"),
            two: speaking("h2"),
        })
    }

    /// Connects, by this name in the handshake.
    pub async fn connect(&self, to: SocketAddr, name: &str, http: Http) -> Result<Connection> {
        let config = match http {
            Http::One => &self.one,
            Http::Two => &self.two,
        };
        let stream = TcpStream::connect(to).await.context("connecting")?;
        let server = ServerName::try_from(name.to_owned())?;
        let stream = TlsConnector::from(config.clone())
            .connect(server, stream)
            .await
            .with_context(|| format!("the handshake for {name}"))?;
        Connection::over(stream, http).await
    }

    /// Sends one request by a connection of its own, for its host.
    pub async fn send(&self, to: SocketAddr, call: Call<'_>) -> Result<Answer> {
        let connection = self.connect(to, call.host, Http::One).await;
        connection?.send(call).await
    }
}

/// A secured connection.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    /// That the other side has shown.
    pub certificate: CertificateDer<'static>,
    /// It went on with an earlier session.
    pub is_resumed: bool,
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    async fn over(stream: TlsStream<TcpStream>, http: Http) -> Result<Self> {
        let session = stream.get_ref().1;
        let chain = session.peer_certificates().context("no certificate")?;
        let certificate = chain[0].clone().into_owned();
        let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        let stream = TokioIo::new(stream);
        let sender = match http {
            Http::One => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Sender::One(sender)
            }
            Http::Two => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Sender::Two(sender)
            }
        };
        Ok(Self {
            sender,
            certificate,
            is_resumed,
        })
    }

    /// Sends a request for any host and reads the whole answer.
    pub async fn send(&mut self, call: Call<'_>) -> Result<Answer> {
        Answer::read(self.open(call).await?).await
    }

    /// Sends a request and returns as soon as the answer begins.
    pub async fn send_streaming(&mut self, call: Call<'_>) -> Result<Stream> {
        let response = self.open(call).await?;
        if response.status() != 200 {
            bail!("{}", response.status());
        }
        Ok(Stream::of(response.into_body()))
    }

    async fn open(&mut self, call: Call<'_>) -> Result<Response<Incoming>> {
        let (uri, host) = match &self.sender {
            Sender::One(_) => (call.path.to_owned(), Some(call.host)),
            Sender::Two(_) => (format!("https://{}{}", call.host, call.path), None),
        };
        let mut request = Request::builder()
            .method(call.method)
            .uri(uri)
            .header(CONTENT_TYPE, "application/json");
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        if let Some(key) = call.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(call.body))?;
        let response = match &mut self.sender {
            Sender::One(sender) => {
                sender.ready().await.context("the connection has ended")?;
                sender.send_request(request).await
            }
            Sender::Two(sender) => {
                sender.ready().await.context("the connection has ended")?;
                sender.send_request(request).await
            }
        };
        response.context("sending the request")
    }
}

/// Sends bytes that are no handshake, and reads what comes until the other side closes.
pub async fn send_raw(to: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await.context("connecting")?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    // It may be reset instead of closed.
    let _ = stream.read_to_end(&mut answer).await;
    Ok(answer)
}
