//! The way to another replica: TLS under the CA of now, and this replica's own token.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::trust::identity::Identity;

/// How other replicas are reached; cheap to clone.
#[derive(Clone, Debug)]
pub enum Dial {
    /// Without protection.
    Plain,
    /// With TLS and a token.
    Secured {
        /// Whom this replica trusts.
        identity: Identity,
        /// Read at each connection; `None`: the leader will refuse this replica.
        token_file: Option<PathBuf>,
    },
}

impl Dial {
    /// Connects to `HOST:PORT`. `set` has the timeouts of the connection.
    pub async fn connect(
        &self,
        address: &str,
        set: impl FnOnce(Endpoint) -> Endpoint,
    ) -> Result<Channel, String> {
        let scheme = match self {
            Self::Plain => "http",
            Self::Secured { .. } => "https",
        };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"));
        let endpoint = set(endpoint.map_err(|error| error.to_string())?);
        let connected = match self {
            Self::Plain => endpoint.connect().await,
            Self::Secured { identity, .. } => {
                let config = identity
                    .client_config()
                    .map_err(|error| error.to_string())?;
                let connector = Connecting(TlsConnector::from(Arc::new(config)));
                endpoint.connect_with_connector(connector).await
            }
        };
        connected.map_err(|error| causes(&error))
    }

    /// Adds the token to a call.
    pub async fn authorize<T>(&self, request: &mut Request<T>) -> Result<(), String> {
        let Self::Secured { token_file, .. } = self else {
            return Ok(());
        };
        let file = token_file.as_ref();
        let file = file.ok_or("no --token-file, which the leader asks for")?;
        let read = tokio::fs::read_to_string(file).await;
        let token = read.map_err(|error| format!("--token-file {}: {error}", file.display()))?;
        let value = format!("Bearer {}", token.trim()).parse();
        let mut value: tonic::metadata::AsciiMetadataValue =
            value.map_err(|_| format!("--token-file {} holds no token", file.display()))?;
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
        Ok(())
    }
}

/// The transport's own words name no cause; those beneath do.
fn causes(error: &tonic::transport::Error) -> String {
    let first = std::error::Error::source(error);
    let causes: Vec<_> = std::iter::successors(first, |error| error.source())
        .map(ToString::to_string)
        .collect();
    causes.join(": ")
}

/// Makes connections for tonic.
struct Connecting(TlsConnector);

impl Service<Uri> for Connecting {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connector = self.0.clone();
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
            connector.connect(name, stream).await.map(TokioIo::new)
        })
    }
}
