//! A data plane's end of a stream, over the controller's own pipe.

use std::collections::BTreeMap;
use std::io;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};
use turnpike_controller::serve::grpc::Dialer;
use turnpike_snapshot::proto::client_message::Message as Up;
use turnpike_snapshot::proto::server_message::Message as Down;
use turnpike_snapshot::proto::snapshots_client::SnapshotsClient;
use turnpike_snapshot::proto::{
    Ack, ClientMessage, Held, Hello, ServerMessage, Subscribe, Unit, Welcome, change,
};
use turnpike_snapshot::{PROTOCOL_VERSION, Snapshot, convert};

/// A stream after its greeting; holds what it was sent.
pub(crate) struct Client {
    up: mpsc::Sender<ClientMessage>,
    down: Streaming<ServerMessage>,
    pub(crate) welcome: Welcome,
    /// Nothing under a name that is `None`.
    pub(crate) held: BTreeMap<String, Option<Snapshot>>,
}

impl Client {
    /// A data plane of now. Tries until the controller is synced.
    pub(crate) async fn connect(dialer: &Dialer) -> Self {
        Self::connect_with(dialer, &["vendor/Echo", "templates", "grants"]).await
    }

    /// One that can obey these features alone. Tries until the controller is synced.
    pub(crate) async fn connect_with(dialer: &Dialer, features: &[&str]) -> Self {
        loop {
            match Self::greet(dialer, features).await {
                Ok(client) => return client,
                Err(status) => assert_eq!(status.code(), tonic::Code::Unavailable, "{status}"),
            }
        }
    }

    async fn greet(dialer: &Dialer, features: &[&str]) -> Result<Self, Status> {
        let endpoint = Endpoint::from_static("http://controller");
        let channel = endpoint
            .connect_with_connector(Connector(dialer.clone()))
            .await
            .unwrap();
        let (up, messages) = mpsc::channel(16);
        let mut client = SnapshotsClient::new(channel);
        let hello = Hello {
            protocol_version: PROTOCOL_VERSION,
            features: features.iter().map(|&feature| feature.into()).collect(),
            data_plane: "test".into(),
        };
        say(&up, Up::Hello(hello)).await;
        let mut down = client
            .stream(ReceiverStream::new(messages))
            .await?
            .into_inner();
        match down.message().await?.unwrap().message {
            Some(Down::Welcome(welcome)) => Ok(Self {
                up,
                down,
                welcome,
                held: BTreeMap::new(),
            }),
            other => panic!("not a welcome: {other:?}"),
        }
    }

    pub(crate) async fn subscribe(&self, name: &str) {
        let held = Held {
            name: name.into(),
            version: Vec::new(),
        };
        let subscribe = Subscribe {
            names: vec![held],
            dependencies: Vec::new(),
            more: false,
        };
        say(&self.up, Up::Subscribe(subscribe)).await;
    }

    /// Applies and acknowledges units until this holds.
    pub(crate) async fn until(
        &mut self,
        holds: impl Fn(&BTreeMap<String, Option<Snapshot>>) -> bool,
    ) {
        while !holds(&self.held) {
            match self.down.message().await.unwrap().unwrap().message {
                Some(Down::Unit(unit)) => self.apply(unit).await,
                other => panic!("not a unit: {other:?}"),
            }
        }
    }

    async fn apply(&mut self, unit: Unit) {
        for part in unit.changes {
            match part.change.unwrap() {
                change::Change::Upsert(upsert) => {
                    let name = part.name.parse().unwrap();
                    let snapshot = convert::read(&name, upsert.content.unwrap()).unwrap();
                    self.held.insert(part.name, Some(snapshot));
                }
                change::Change::Absent(_) => {
                    self.held.insert(part.name, None);
                }
                change::Change::Drop(_) => {
                    self.held.remove(&part.name);
                }
            }
        }
        say(&self.up, Up::Ack(Ack { unit: unit.number })).await;
    }
}

async fn say(up: &mpsc::Sender<ClientMessage>, message: Up) {
    let message = ClientMessage {
        message: Some(message),
    };
    up.send(message).await.unwrap();
}

struct Connector(Dialer);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<DuplexStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.0.clone();
        Box::pin(async move { dialer.dial().await.map(TokioIo::new) })
    }
}
