//! TLS and tokens towards a controller, over real sockets.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use turnpike_dataplane::store::Bounds;
use turnpike_dataplane::store::demand::{Controllers, Trust};

use crate::store_controller::{Controller, DataPlane};

/// A CA, and a server with a certificate of it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(parameters, key),
        }
    }

    fn server(&self) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

/// A port before a controller of the test; tells of each handshake how it went.
struct Port {
    address: SocketAddr,
    handshakes: mpsc::Receiver<Result<(), String>>,
    authority: Authority,
}

impl Port {
    async fn open(controller: &Controller) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = Authority::new();
        let acceptor = TlsAcceptor::from(authority.server());
        let (told, handshakes) = mpsc::channel(100);
        let door = controller.door();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let accepted = acceptor.accept(stream).await;
                let outcome = accepted.as_ref().map(drop).map_err(io::Error::to_string);
                told.send(outcome).await.unwrap();
                if let Ok(mut stream) = accepted {
                    let (mut near, far) = tokio::io::duplex(64 * 1024);
                    door.send(far).await.unwrap();
                    tokio::spawn(async move {
                        let _ = tokio::io::copy_bidirectional(&mut stream, &mut near).await;
                    });
                }
            }
        });
        Self {
            address,
            handshakes,
            authority,
        }
    }

    fn url(&self) -> Uri {
        format!("https://{}", self.address).parse().unwrap()
    }
}

/// The files that a data plane is given.
struct Files(TempDir);

impl Files {
    fn new(bundle: &str, token: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        fs::write(files.bundle(), bundle).unwrap();
        fs::write(files.token(), token).unwrap();
        files
    }

    fn bundle(&self) -> PathBuf {
        self.0.path().join("ca.crt")
    }

    fn token(&self) -> PathBuf {
        self.0.path().join("token")
    }

    fn start(&self, url: Uri) -> DataPlane {
        let trust = Trust::open(Some(self.bundle()), Some(self.token())).unwrap();
        DataPlane::with(Controllers::Urls(vec![url], trust), Bounds::default())
    }
}

#[tokio::test]
async fn each_connection_shows_the_token_of_that_moment() {
    let mut controller = Controller::start();
    let port = Port::open(&controller).await;
    let files = Files::new(&port.authority.pem, "first\n");
    let data_plane = files.start(port.url());
    let stream = controller.greet(&[]).await;
    assert_eq!(stream.authorization.as_deref(), Some("Bearer first"));
    data_plane.up().await;

    fs::write(files.token(), "second").unwrap();
    drop(stream);
    let stream = controller.greet(&[]).await;
    assert_eq!(stream.authorization.as_deref(), Some("Bearer second"));
}

#[tokio::test]
async fn a_controller_of_another_ca_gets_no_token_until_the_bundle_follows() {
    let mut controller = Controller::start();
    let mut port = Port::open(&controller).await;
    let files = Files::new(&Authority::new().pem, "canary");
    let data_plane = files.start(port.url());
    let refused = port.handshakes.recv().await.unwrap();
    assert!(refused.is_err());
    assert!(!data_plane.store.has_been_up());

    let bundle = Authority::new().pem + &port.authority.pem;
    fs::write(files.bundle(), bundle).unwrap();
    let stream = controller.greet(&[]).await;
    assert_eq!(stream.authorization.as_deref(), Some("Bearer canary"));
    data_plane.up().await;
}

#[tokio::test]
async fn a_bundle_that_is_broken_later_changes_nothing() {
    let mut controller = Controller::start();
    let port = Port::open(&controller).await;
    let files = Files::new(&port.authority.pem, "token");
    let _data_plane = files.start(port.url());
    let stream = controller.greet(&[]).await;
    fs::write(files.bundle(), "-----BEGIN CERTIFICATE-----").unwrap();
    drop(stream);
    controller.greet(&[]).await;
}

#[tokio::test]
async fn no_token_goes_out_without_tls() {
    let mut controller = Controller::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let door = controller.door();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        door.send(far).await.unwrap();
        tokio::io::copy_bidirectional(&mut stream, &mut near).await
    });
    let files = Files::new(&Authority::new().pem, "canary");
    let _data_plane = files.start(format!("http://{address}").parse().unwrap());
    let stream = controller.greet(&[]).await;
    assert_eq!(stream.authorization, None);
}
