//! Opens the channel to a controller.

use std::fmt;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use super::causes::causes;
use super::trust::{Trust, TrustError};
use super::{BoxIo, Connector, Controllers, tls};

/// Within a cluster a connection takes a millisecond; what takes seconds is dead.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A stream is quiet for hours; a peer that vanished without a word is found
/// within these two together.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{}", causes(.0))]
    Transport(#[from] tonic::transport::Error),
    #[error("{0}")]
    Trust(#[from] TrustError),
}

/// One controller.
#[derive(Clone)]
pub(super) enum Target {
    Url(Uri, Trust),
    Connector(Connector),
}

pub(super) fn targets(controllers: &Controllers) -> Vec<Target> {
    match controllers {
        Controllers::Urls(urls, trust) => {
            let target = |url: &Uri| Target::Url(url.clone(), trust.clone());
            urls.iter().map(target).collect()
        }
        Controllers::Connector(connector) => vec![Target::Connector(connector.clone())],
    }
}

impl Target {
    pub(super) async fn connect(&self) -> Result<Channel, ConnectError> {
        let channel = match self {
            Target::Url(url, trust) if is_https(url) => {
                // Without TLS of ours the transport would go on in the clear.
                let connecting = tls::Connecting::new(trust).await?;
                let endpoint = endpoint(Endpoint::from(url.clone()));
                endpoint.connect_with_connector(connecting).await
            }
            Target::Url(url, _) => endpoint(Endpoint::from(url.clone())).connect().await,
            Target::Connector(connector) => {
                // The address is never used: the connector knows where to go.
                let endpoint = endpoint(Endpoint::from_static("http://controller"));
                endpoint
                    .connect_with_connector(Connecting(connector.clone()))
                    .await
            }
        };
        Ok(channel?)
    }

    /// The token to show. It goes nowhere without TLS.
    pub(super) async fn token(&self) -> Result<Option<AsciiMetadataValue>, TrustError> {
        match self {
            Target::Url(url, trust) if is_https(url) => trust.token().await,
            Target::Url(..) | Target::Connector(_) => Ok(None),
        }
    }
}

fn is_https(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

fn endpoint(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Url(url, _) => fmt::Display::fmt(url, f),
            Target::Connector(_) => f.write_str("in process"),
        }
    }
}

/// Makes connections for tonic.
struct Connecting(Connector);

impl Service<Uri> for Connecting {
    type Response = TokioIo<BoxIo>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<BoxIo>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connecting = (self.0)();
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}
