//! A controller that says what the test tells it to, over an in-process pipe.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use turnpike_dataplane::Store;
use turnpike_dataplane::store::demand::{self, BoxIo, Controllers};
use turnpike_dataplane::store::{Bounds, Limits, Link, eviction};
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::proto::change::Change as Kind;
use turnpike_snapshot::proto::client_message::Message as Up;
use turnpike_snapshot::proto::server_message::Message as Down;
use turnpike_snapshot::proto::snapshots_server::{Snapshots, SnapshotsServer};
use turnpike_snapshot::proto::{self, Change, ClientMessage, ServerMessage};
use turnpike_snapshot::{Name, Snapshot, Version};

/// How long a request waits in these tests.
pub(crate) const LOAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any pause between two tries; time is paused, so this costs nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes the streams of data planes.
pub(crate) struct Controller {
    streams: mpsc::Receiver<Stream>,
    connections: mpsc::Sender<DuplexStream>,
    _server: DropGuard,
}

/// One stream, driven by the test.
pub(crate) struct Stream {
    /// What the data plane showed of itself.
    pub(crate) authorization: Option<String>,
    up: Streaming<ClientMessage>,
    down: mpsc::Sender<Result<ServerMessage, Status>>,
    units: u64,
}

/// What a test puts into a unit.
#[expect(clippy::large_enum_variant, reason = "a test says few of them")]
pub(crate) enum Say {
    Upsert(Name, Snapshot),
    Absent(Name),
    Drop(Name),
}

struct Service(mpsc::Sender<Stream>);

impl Controller {
    pub(crate) fn start() -> Self {
        let (connections, mut accepted) = mpsc::channel::<DuplexStream>(8);
        let (opened, streams) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let incoming = futures::stream::poll_fn(move |cx| {
            accepted.poll_recv(cx).map(|io| io.map(io::Result::Ok))
        });
        let server = Server::builder()
            .add_service(SnapshotsServer::new(Service(opened)))
            .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        tokio::spawn(stop.clone().run_until_cancelled_owned(server));
        Self {
            streams,
            connections,
            _server: stop.drop_guard(),
        }
    }

    /// Where connections go that were made otherwise.
    pub(crate) fn door(&self) -> mpsc::Sender<DuplexStream> {
        self.connections.clone()
    }

    /// How a data plane reaches it.
    pub(crate) fn controllers(&self) -> Controllers {
        let connections = self.connections.clone();
        Controllers::Connector(Arc::new(move || connect(connections.clone())))
    }

    /// The next stream, before anything was said on it.
    pub(crate) async fn accept(&mut self) -> Stream {
        let accepted = tokio::time::timeout(PATIENCE, self.streams.recv()).await;
        accepted.expect("no data plane came").unwrap()
    }

    /// The next stream, greeted; gives what the data plane states, if it holds or wants anything.
    pub(crate) async fn greet(&mut self, keys: &[FleetKey]) -> Stream {
        let mut stream = self.accept().await;
        assert!(matches!(stream.next().await, Up::Hello(_)));
        stream.welcome(keys).await;
        stream
    }
}

fn connect(connections: mpsc::Sender<DuplexStream>) -> BoxFuture<'static, io::Result<BoxIo>> {
    Box::pin(async move {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        connections.send(theirs).await.map_err(io::Error::other)?;
        Ok(Box::pin(ours) as BoxIo)
    })
}

#[tonic::async_trait]
impl Snapshots for Service {
    type StreamStream = futures::stream::BoxStream<'static, Result<ServerMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<ClientMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (down, mut messages) = mpsc::channel(16);
        let shown = request.metadata().get("authorization");
        let stream = Stream {
            authorization: shown.map(|value| value.to_str().unwrap().to_owned()),
            up: request.into_inner(),
            down,
            units: 0,
        };
        self.0
            .send(stream)
            .await
            .map_err(|_| Status::unavailable("the test is over"))?;
        let messages = futures::stream::poll_fn(move |cx| messages.poll_recv(cx));
        Ok(Response::new(Box::pin(messages)))
    }
}

impl Stream {
    /// The next message that the data plane says.
    pub(crate) async fn next(&mut self) -> Up {
        let message = tokio::time::timeout(PATIENCE, self.up.message()).await;
        let message = message.expect("the data plane says nothing");
        message.unwrap().expect("the stream ended").message.unwrap()
    }

    pub(crate) async fn subscribed(&mut self) -> proto::Subscribe {
        match self.next().await {
            Up::Subscribe(subscribe) => subscribe,
            other => panic!("not a Subscribe: {other:?}"),
        }
    }

    /// The names of the next Subscribe, which asks for what is not held.
    pub(crate) async fn asked(&mut self) -> Vec<String> {
        let subscribe = self.subscribed().await;
        assert!(subscribe.names.iter().all(|held| held.version.is_empty()));
        subscribe.names.into_iter().map(|held| held.name).collect()
    }

    /// The same, past the acknowledgements of units that nobody waited for.
    pub(crate) async fn asked_meanwhile(&mut self) -> Vec<String> {
        loop {
            match self.next().await {
                Up::Subscribe(subscribe) => {
                    return subscribe.names.into_iter().map(|held| held.name).collect();
                }
                Up::Ack(_) => {}
                other => panic!("neither a Subscribe nor an Ack: {other:?}"),
            }
        }
    }

    pub(crate) async fn unsubscribed(&mut self) -> Vec<String> {
        match self.next().await {
            Up::Unsubscribe(unsubscribe) => unsubscribe.names,
            other => panic!("not an Unsubscribe: {other:?}"),
        }
    }

    pub(crate) async fn nacked(&mut self) -> proto::Nack {
        match self.next().await {
            Up::Nack(nack) => nack,
            other => panic!("not a Nack: {other:?}"),
        }
    }

    /// Waits until the last unit is in force.
    pub(crate) async fn acked(&mut self) {
        match self.next().await {
            Up::Ack(ack) => assert_eq!(ack.unit, self.units),
            other => panic!("not an Ack: {other:?}"),
        }
    }

    pub(crate) async fn welcome(&mut self, keys: &[FleetKey]) {
        let fleet_keys = keys.iter().map(|key| proto::FleetKey {
            id: key.id().to_owned(),
            secret: key.secret().to_vec(),
        });
        let welcome = proto::Welcome {
            protocol_version: turnpike_snapshot::PROTOCOL_VERSION,
            features: Vec::new(),
            fleet_keys: fleet_keys.collect(),
        };
        self.send(Down::Welcome(welcome)).await;
    }

    /// Sends a unit without waiting for what comes of it.
    pub(crate) async fn say(&mut self, unit: Vec<Say>) {
        self.units += 1;
        let unit = proto::Unit {
            number: self.units,
            changes: unit.into_iter().map(Change::from).collect(),
        };
        self.send(Down::Unit(unit)).await;
    }

    /// Sends a unit and waits until it is in force.
    pub(crate) async fn put(&mut self, unit: Vec<Say>) {
        self.say(unit).await;
        self.acked().await;
    }

    async fn send(&mut self, message: Down) {
        let message = ServerMessage {
            message: Some(message),
        };
        self.down.send(Ok(message)).await.unwrap();
    }
}

impl From<Say> for Change {
    fn from(say: Say) -> Self {
        let (name, kind) = match say {
            Say::Upsert(name, snapshot) => (
                name,
                Kind::Upsert(proto::Upsert {
                    version: Version::of(&snapshot).to_bytes(),
                    content: Some((&snapshot).into()),
                }),
            ),
            Say::Absent(name) => (name, Kind::Absent(proto::Absent {})),
            Say::Drop(name) => (name, Kind::Drop(proto::Drop {})),
        };
        Change {
            name: name.to_string(),
            change: Some(kind),
        }
    }
}

/// A store with its task, both ended with the test.
pub(crate) struct DataPlane {
    pub(crate) store: Store,
    _task: DropGuard,
}

impl DataPlane {
    pub(crate) fn start(controller: &Controller) -> Self {
        Self::with(controller.controllers(), Bounds::default())
    }

    pub(crate) fn with(controllers: Controllers, bounds: Bounds) -> Self {
        Self::within(controllers, bounds, Limits::default())
    }

    pub(crate) fn within(controllers: Controllers, bounds: Bounds, limits: Limits) -> Self {
        let store = Store::new(LOAD_TIMEOUT, bounds);
        let stop = CancellationToken::new();
        let run = demand::run(store.clone(), controllers, "test".into(), stop.clone());
        tokio::spawn(run);
        tokio::spawn(eviction::run(store.clone(), limits, stop.clone()));
        Self {
            store,
            _task: stop.drop_guard(),
        }
    }

    /// Waits until the greeting has been taken.
    pub(crate) async fn up(&self) {
        while self.store.link() != Link::Up {
            tokio::task::yield_now().await;
        }
    }
}
