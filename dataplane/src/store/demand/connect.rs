//! Opens the channel to a controller.

use std::fmt;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use super::{BoxIo, Connector, Controllers};

/// Within a cluster a connection takes a millisecond; what takes seconds is dead.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A stream is quiet for hours; a peer that vanished without a word is found
/// within these two together.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// One controller.
#[derive(Clone)]
pub(super) enum Target {
    Url(Uri),
    Connector(Connector),
}

pub(super) fn targets(controllers: &Controllers) -> Vec<Target> {
    match controllers {
        Controllers::Urls(urls) => urls.iter().cloned().map(Target::Url).collect(),
        Controllers::Connector(connector) => vec![Target::Connector(connector.clone())],
    }
}

impl Target {
    pub(super) async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        match self {
            Target::Url(url) => endpoint(Endpoint::from(url.clone())).connect().await,
            Target::Connector(connector) => {
                // The address is never used: the connector knows where to go.
                let endpoint = endpoint(Endpoint::from_static("http://controller"));
                endpoint
                    .connect_with_connector(Connecting(connector.clone()))
                    .await
            }
        }
    }
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
            Target::Url(url) => fmt::Display::fmt(url, f),
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
