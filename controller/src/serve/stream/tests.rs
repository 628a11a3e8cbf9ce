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
            acceptance: Acceptance::new(false),
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
            more: false,
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
            ..Domain::default()
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

impl Client {
    /// States these hosts as held, as a version that no controller compiles.
    async fn state(&self, hosts: std::ops::Range<usize>, more: bool) {
        let names = hosts.map(|number| Held {
            name: format!("domain/{number}.test"),
            version: vec![9; 16],
        });
        self.say(Up::Subscribe(Subscribe {
            names: names.collect(),
            dependencies: Vec::new(),
            more,
        }))
        .await;
    }

    /// Takes and acknowledges units until nothing comes; gives the names withdrawn.
    async fn withdrawn(&mut self) -> usize {
        let mut withdrawn = 0;
        while let Ok(message) =
            tokio::time::timeout(Duration::from_millis(5), self.down.recv()).await
        {
            let message = message.expect("the stream is open").unwrap();
            let Some(Down::Unit(unit)) = message.message else {
                continue;
            };
            let is_absent = |change: &&turnpike_snapshot::proto::Change| {
                matches!(change.change, Some(change::Change::Absent(_)))
            };
            withdrawn += unit.changes.iter().filter(is_absent).count();
            self.say(Up::Ack(turnpike_snapshot::proto::Ack { unit: unit.number }))
                .await;
        }
        withdrawn
    }

    fn beat(&self) -> crate::serve::pulse::Beat {
        self.context.hub.standpoints(Instant::now())[0].beat
    }
}

#[tokio::test(start_paused = true)]
async fn a_mass_deletion_waits_ten_minutes() {
    let mut client = Client::greeted().await;
    client.state(0..150, false).await;
    assert_eq!(client.withdrawn().await, 0);
    assert_eq!(client.beat().withheld, 150);
    tokio::time::sleep(WITHHELD_FOR).await;
    assert_eq!(client.withdrawn().await, 150);
    assert_eq!(client.beat().withheld, 0);
}

#[tokio::test(start_paused = true)]
async fn a_mass_deletion_goes_through_once_accepted() {
    let mut client = Client::greeted().await;
    client.state(0..150, false).await;
    assert_eq!(client.withdrawn().await, 0);
    client.context.acceptance.accept(Instant::now());
    assert_eq!(client.withdrawn().await, 150);
}

#[tokio::test(start_paused = true)]
async fn few_withdrawals_are_sent_at_once() {
    let mut client = Client::greeted().await;
    client.state(0..100, false).await;
    assert_eq!(client.withdrawn().await, 100);
}

#[tokio::test(start_paused = true)]
async fn nothing_stated_is_withdrawn_before_the_statement_has_ended() {
    let mut client = Client::greeted().await;
    client.state(0..20, true).await;
    assert_eq!(client.withdrawn().await, 0);
    client.state(20..40, false).await;
    assert_eq!(client.withdrawn().await, 40);
}

#[test]
fn old_data_planes_end_their_statement_with_their_first_names() {
    use Statement::{Announced, Awaited, Ended};
    let cases: [(&[(usize, bool)], Statement); 8] = [
        (&[], Awaited),
        (&[(1, false)], Ended),
        (&[(0, false)], Awaited),
        (&[(SPLIT_NAMES, false)], Awaited),
        (&[(SPLIT_NAMES, false), (3, false)], Ended),
        (&[(0, true)], Announced),
        (&[(0, true), (SPLIT_NAMES, true)], Announced),
        (&[(0, true), (SPLIT_NAMES, false)], Ended),
    ];
    for (messages, expected) in cases {
        let reached = messages.iter().fold(Awaited, |statement, (names, more)| {
            statement.after(*names, *more)
        });
        assert_eq!(reached, expected, "{messages:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_owes_an_answer_is_shown_and_at_last_let_go() {
    let mut client = Client::greeted().await;
    client.ask("a.test").await;
    let _unit = client.unit().await;
    tokio::time::sleep(ALARM_AFTER).await;
    assert!(client.beat().oldest >= ALARM_AFTER);
    let status = client.hear().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_thaws_in_time_goes_on() {
    let mut client = Client::greeted().await;
    client.ask("a.test").await;
    let unit = client.unit().await;
    tokio::time::sleep(ALARM_AFTER * 2).await;
    client
        .say(Up::Ack(turnpike_snapshot::proto::Ack { unit: unit.number }))
        .await;
    tokio::time::sleep(GIVE_UP_AFTER).await;
    assert_eq!(client.beat().unacknowledged, 0);
    client.set("a.test");
    assert_eq!(
        client.unit().await.changes.last().unwrap().name,
        "domain/a.test"
    );
}
