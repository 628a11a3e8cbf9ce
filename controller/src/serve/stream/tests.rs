//! Rules of one stream, without a transport. Time is paused: what waits for
//! nothing else makes it pass.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio_stream::wrappers::ReceiverStream;
use turnpike_snapshot::domain::Domain;
use turnpike_snapshot::proto::{Subscribe, Unit, change};

use super::*;
use crate::metrics::Metrics;

#[derive(Default)]
struct Map {
    snapshots: Mutex<BTreeMap<Name, Snapshot>>,
    is_synced: bool,
}

impl View for Map {
    fn snapshot(&self, name: &Name) -> Option<Snapshot> {
        self.snapshots.lock().get(name).cloned()
    }

    fn is_synced(&self) -> bool {
        self.is_synced
    }

    fn fleet_keys(&self) -> Vec<credential::FleetKey> {
        vec![credential::FleetKey::new("k1", vec![7; 32])]
    }
}

/// A client of one stream.
struct Client {
    view: Arc<Map>,
    context: Context,
    up: mpsc::Sender<Result<ClientMessage, Status>>,
    down: mpsc::Receiver<Result<ServerMessage, Status>>,
}

impl Client {
    fn connect(is_synced: bool) -> Self {
        let view = Arc::new(Map {
            is_synced,
            ..Map::default()
        });
        let context = Context {
            view: view.clone(),
            hub: Hub::new(),
            metrics: Metrics::new().serving,
            shutdown: CancellationToken::new(),
        };
        let (up, inbound) = mpsc::channel(1024);
        let (outbound, down) = mpsc::channel(2);
        tokio::spawn(run(context.clone(), ReceiverStream::new(inbound), outbound));
        Self {
            view,
            context,
            up,
            down,
        }
    }

    async fn greeted() -> Self {
        let mut client = Self::connect(true);
        client.say(hello(PROTOCOL_VERSION)).await;
        assert!(matches!(client.hear().await, Ok(Down::Welcome(_))));
        client
    }

    async fn say(&self, message: Up) {
        let message = ClientMessage {
            message: Some(message),
        };
        self.up.send(Ok(message)).await.unwrap();
    }

    async fn ask(&self, host: &str) {
        let held = Held {
            name: format!("domain/{host}"),
            version: Vec::new(),
        };
        self.say(Up::Subscribe(Subscribe {
            names: vec![held],
            dependencies: Vec::new(),
        }))
        .await;
    }

    async fn hear(&mut self) -> Result<Down, Status> {
        let message = self.down.recv().await.expect("the stream is open")?;
        Ok(message.message.unwrap())
    }

    async fn unit(&mut self) -> Unit {
        match self.hear().await {
            Ok(Down::Unit(unit)) => unit,
            other => panic!("not a unit: {other:?}"),
        }
    }

    fn set(&self, host: &str) {
        let name = Name::Domain(host.into());
        let domain = Domain {
            namespace: "t".into(),
            routes: Vec::new(),
        };
        let snapshot = Snapshot::Domain(domain);
        self.view.snapshots.lock().insert(name.clone(), snapshot);
        self.context.hub.publish([name]);
    }
}

fn hello(protocol_version: u32) -> Up {
    Up::Hello(Hello {
        protocol_version,
        features: Vec::new(),
        data_plane: "dp-1".into(),
    })
}

#[tokio::test(start_paused = true)]
async fn nobody_is_served_before_every_kind_is_listed() {
    let mut client = Client::connect(false);
    client.say(hello(PROTOCOL_VERSION)).await;
    let status = client.hear().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn another_version_of_the_protocol_is_refused_with_both_named() {
    let mut client = Client::connect(true);
    client.say(hello(99)).await;
    let status = client.hear().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert!(status.message().contains("version 99"), "{status}");
    let ours = format!("version {PROTOCOL_VERSION}");
    assert!(status.message().contains(&ours), "{status}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_hello_is_ended() {
    let mut talkative = Client::connect(true);
    talkative.ask("a.test").await;
    let status = talkative.hear().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let mut silent = Client::connect(true);
    let status = silent.hear().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn the_welcome_carries_the_fleet_keys() {
    let mut client = Client::connect(true);
    client.say(hello(PROTOCOL_VERSION)).await;
    let Ok(Down::Welcome(welcome)) = client.hear().await else {
        panic!("not a welcome");
    };
    let key = FleetKey {
        id: "k1".into(),
        secret: vec![7; 32],
    };
    assert_eq!(welcome.fleet_keys, [key]);
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_answered_and_the_creation_pushed_without_being_asked() {
    let mut client = Client::greeted().await;
    client.ask("a.test").await;
    let miss = client.unit().await.changes.remove(0);
    assert!(matches!(miss.change, Some(change::Change::Absent(_))));
    client.set("a.test");
    let unit = client.unit().await;
    let last = unit.changes.last().unwrap();
    assert_eq!(last.name, "domain/a.test");
    assert!(matches!(last.change, Some(change::Change::Upsert(_))));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_makes_nobody_buffer() {
    let client = Client::greeted().await;
    for number in 0..100 {
        client.ask(&format!("{number}.test")).await;
    }
    // Passes once every task waits for something else.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(client.context.metrics.units.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_a_stream_with_a_word() {
    let mut client = Client::greeted().await;
    client.context.shutdown.cancel();
    let status = client.hear().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(client.down.recv().await.is_none());
    assert_eq!(client.context.hub.connected(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_counted_and_told() {
    let mut client = Client::greeted().await;
    client.set("a.test");
    client.ask("a.test").await;
    let unit = client.unit().await;
    let Some(change::Change::Upsert(upsert)) = &unit.changes.last().unwrap().change else {
        panic!("not an upsert");
    };
    client
        .say(Up::Nack(Nack {
            unit: unit.number,
            name: "domain/a.test".into(),
            version: upsert.version.clone(),
            message: "glob".into(),
        }))
        .await;
    client
        .say(Up::Ack(turnpike_snapshot::proto::Ack { unit: unit.number }))
        .await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(client.context.metrics.refusals.get(), 1);
    let delivery = client.context.hub.delivery(&Name::Domain("a.test".into()));
    let standing = &delivery.holders[0].standing;
    assert_eq!(*standing, crate::serve::Standing::Refused("glob".into()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_is_forgotten() {
    let client = Client::greeted().await;
    let Client {
        context, up, down, ..
    } = client;
    let mut connections = context.hub.connections();
    drop((up, down));
    connections.wait_for(|count| *count == 0).await.unwrap();
}
