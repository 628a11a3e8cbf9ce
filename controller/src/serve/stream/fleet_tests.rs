//! Many data planes at once, in one process: what a reconnect of all of them costs.

use std::collections::BTreeMap;

use tokio_stream::wrappers::ReceiverStream;
use turnpike_snapshot::domain::Domain;
use turnpike_snapshot::proto::{Subscribe, change};

use super::*;
use crate::metrics::Metrics;
use crate::serve::Standing;
use crate::serve::hub::Report;

const STREAMS: usize = 200;
const HOSTS: usize = 250;

/// A world of domains that never changes.
struct Still(BTreeMap<Name, Snapshot>);

impl View for Still {
    fn snapshot(&self, name: &Name) -> Option<Snapshot> {
        self.0.get(name).cloned()
    }

    fn is_synced(&self) -> bool {
        true
    }

    fn fleet_keys(&self) -> Vec<credential::FleetKey> {
        Vec::new()
    }
}

fn still() -> Still {
    let domain = |number: usize| {
        let domain = Domain {
            namespace: "t".into(),
            routes: Vec::new(),
            ..Domain::default()
        };
        let name = Name::Domain(format!("{number}.test"));
        (name, Snapshot::Domain(domain))
    };
    Still((0..HOSTS).map(domain).collect())
}

/// Says hello and what is held, acknowledges whatever comes; gives the upserts.
async fn reconnect(context: Context, statement: Subscribe, number: usize) -> usize {
    let (up, inbound) = mpsc::channel(16);
    let (outbound, mut down) = mpsc::channel(2);
    let stream = tokio::spawn(run(context.clone(), ReceiverStream::new(inbound), outbound));
    let say = |message| {
        up.send(Ok(ClientMessage {
            message: Some(message),
        }))
    };
    let hello = Hello {
        protocol_version: PROTOCOL_VERSION,
        features: Vec::new(),
        data_plane: format!("dp-{number}"),
    };
    say(Up::Hello(hello)).await.unwrap();
    say(Up::Subscribe(statement)).await.unwrap();
    let mut upserts = 0;
    let is_settled = |context: &Context| {
        let own = context.hub.standpoints(Instant::now()).into_iter();
        own.filter(|own| own.data_plane == format!("dp-{number}"))
            .any(|own| own.names >= HOSTS && own.lagging == 0)
    };
    loop {
        let wait = Duration::from_millis(200);
        match tokio::time::timeout(wait, down.recv()).await {
            Ok(Some(message)) => {
                if let Some(Down::Unit(unit)) = message.unwrap().message {
                    let changes = unit.changes.iter();
                    upserts += changes
                        .filter(|one| matches!(one.change, Some(change::Change::Upsert(_))))
                        .count();
                    let ack = turnpike_snapshot::proto::Ack { unit: unit.number };
                    say(Up::Ack(ack)).await.unwrap();
                }
            }
            Ok(None) => panic!("the stream ended"),
            Err(_) if is_settled(&context) => break,
            Err(_) => {}
        }
    }
    drop(up);
    stream.await.unwrap();
    upserts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_reconnects_at_once_is_sent_nothing_again() {
    let view = still();
    let names = view.0.iter().map(|(name, snapshot)| Held {
        name: name.to_string(),
        version: Version::of(snapshot).to_bytes(),
    });
    let statement = Subscribe {
        names: names.collect(),
        dependencies: Vec::new(),
        more: false,
    };
    let context = Context {
        view: Arc::new(view),
        hub: Hub::new(),
        acceptance: Acceptance::new(false),
        metrics: Metrics::new().serving,
        shutdown: CancellationToken::new(),
    };
    let begun = std::time::Instant::now();
    let clients: Vec<_> = (0..STREAMS)
        .map(|number| tokio::spawn(reconnect(context.clone(), statement.clone(), number)))
        .collect();
    let mut upserts = 0;
    for client in clients {
        upserts += client.await.unwrap();
    }
    eprintln!(
        "{STREAMS} reconnects of {HOSTS} names: {:?}",
        begun.elapsed()
    );
    assert_eq!(upserts, 0);
    // That there is no tenant and no fleet is told again: one unit.
    assert!(context.metrics.units.get() <= 2 * STREAMS as u64);
    assert!(context.hub.is_empty() && context.hub.connected() == 0);
}

/// A change of what all hold costs in proportion to the streams, not to their square.
#[test]
fn a_name_that_all_streams_hold_is_cheap_for_each() {
    let time = |streams: usize| {
        let hub = Hub::new();
        let name = Arc::new(Name::Fleet);
        let seats: Vec<_> = (0..streams).map(|_| hub.join("dp")).collect();
        for seat in &seats {
            seat.watch(&name);
        }
        let begun = std::time::Instant::now();
        for _ in 0..10 {
            hub.publish([Name::Fleet]);
            for seat in &seats {
                seat.take();
                seat.report(&name, Report::Holds(Standing::Current));
                seat.put_down();
            }
        }
        begun.elapsed() / 10
    };
    let (few, many) = (time(500), time(8_000));
    eprintln!("fleet-wide change: {few:?} for 500 streams, {many:?} for 8,000");
    // Sixteen times the streams; squared it would be 256 times the time.
    assert!(many < few * 100, "{few:?} and {many:?}");
}

/// Streams take their names while a great change is published.
#[test]
fn a_great_change_is_published_in_parts() {
    const NAMES: usize = 50_000;
    let hub = Hub::new();
    let seat = hub.join("dp");
    let name = |number: usize| Name::Domain(format!("{number}.test"));
    for number in 0..NAMES {
        seat.watch(&Arc::new(name(number)));
    }
    let begun = std::time::Instant::now();
    hub.publish((0..NAMES).map(name));
    let published = begun.elapsed();
    let taken = std::iter::from_fn(|| seat.take()).count();
    let begun = std::time::Instant::now();
    drop(seat);
    eprintln!(
        "{NAMES} names published in {published:?}, a stream of them left in {:?}",
        begun.elapsed()
    );
    assert_eq!(taken, NAMES);
}
