//! A leader and a follower over a socket, each with a world of its own.

use tokio::net::TcpListener;
use tokio_util::sync::DropGuard;
use turnpike_snapshot::name::ObjectName;

use super::*;
use crate::metrics::Metrics;
use crate::peers::{Board, service};
use crate::serve::hub::{Report, Seat};
use crate::serve::{Acceptance, Context, Hub, Standing, grpc};
use crate::source::{Event, Kind};
use crate::testing::{self, Tell};

struct Scene {
    /// The follower's.
    world: Arc<World>,
    board: Board,
    leads: watch::Sender<Leadership>,
    _follows: watch::Sender<Leadership>,
    _stop: DropGuard,
}

fn world() -> Arc<World> {
    let synced = Kind::ALL.map(Event::Synced);
    Arc::new(World::new(testing::index_of(synced), Hub::new()))
}

fn provider(url: &str) -> Event {
    testing::provider("a", "p").url(url).event()
}

fn name() -> Name {
    Name::Provider(ObjectName::new("a", "p"))
}

/// The version that a provider has on every replica.
fn version(url: &str) -> Option<Version> {
    let index = testing::index_of([provider(url)]);
    compile::snapshot(&index, &name()).map(|snapshot| Version::of(&snapshot))
}

impl Scene {
    async fn new() -> Self {
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let board = Board::default();
        let (leads, leadership) = watch::channel(Leadership {
            holder: Some(format!("leader@{address}")),
            ..Leadership::alone()
        });
        let leader = world();
        let context = Context {
            view: leader.clone(),
            hub: leader.hub().clone(),
            acceptance: Acceptance::new(false),
            metrics: Metrics::new().serving,
            shutdown: stop.clone(),
        };
        let peers = service::Context {
            board: board.clone(),
            leadership: leadership.clone(),
            shutdown: stop.clone(),
        };
        tokio::spawn(grpc::serve_tcp(listener, context, Some(peers)));
        let world = world();
        let follows = watch::Sender::new(Leadership {
            holder: Some(format!("leader@{address}")),
            ..Leadership::default()
        });
        let followed = follows.subscribe();
        tokio::spawn(run(
            world.clone(),
            followed,
            "follower@x".into(),
            Dial::Plain,
            stop.clone(),
        ));
        Self {
            world,
            board,
            leads,
            _follows: follows,
            _stop: stop.drop_guard(),
        }
    }

    /// A data plane of the follower that holds the provider.
    fn holder(&self) -> Seat {
        let seat = self.world.hub().join("dp-2");
        seat.watch(&Arc::new(name()));
        seat.report(&name(), Report::Holds(Standing::Current));
        seat
    }

    async fn joined(&self) {
        let mut connections = self.board.connections();
        connections.wait_for(|count| *count == 1).await.unwrap();
    }

    /// Asks until the answer is this.
    async fn until(&self, of: Option<Version>, standing: Standing) {
        let asking = async {
            loop {
                let holders = self.board.holders(&name(), of);
                if holders.iter().any(|holder| holder.standing == standing) {
                    return;
                }
                self.board.next_news().await;
            }
        };
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, asking)
            .await
            .expect("an answer");
    }
}

fn take(seat: &Seat, standing: Standing) {
    seat.take();
    seat.report(&name(), Report::Holds(standing));
    seat.put_down();
}

#[tokio::test]
async fn a_data_plane_of_a_follower_counts_until_it_is_gone() {
    let scene = Scene::new().await;
    let seat = scene.holder();
    scene.joined().await;
    drop(seat);
    let mut connections = scene.board.connections();
    connections.wait_for(|count| *count == 0).await.unwrap();
}

#[tokio::test]
async fn a_follower_answers_for_the_version_asked_for_and_no_older_one() {
    let scene = Scene::new().await;
    let seat = scene.holder();
    scene.world.apply([provider("http://one.test")]);
    take(&seat, Standing::Current);
    scene.joined().await;
    scene
        .until(version("http://one.test"), Standing::Current)
        .await;

    // The leader's index is ahead of the follower's.
    let newer = version("http://two.test");
    let holders = scene.board.holders(&name(), newer);
    assert_eq!(holders[0].standing, Standing::Lagging);
    tokio::time::sleep(2 * LOOK_AGAIN).await;
    scene.world.apply([provider("http://two.test")]);
    scene.until(newer, Standing::Lagging).await;
    take(&seat, Standing::Current);
    scene.until(newer, Standing::Current).await;
}

#[tokio::test]
async fn a_refusal_is_told_unasked() {
    let scene = Scene::new().await;
    let seat = scene.holder();
    scene.joined().await;
    scene.world.apply([provider("http://one.test")]);
    take(&seat, Standing::Refused("no".into()));
    let told = async {
        while !scene.board.is_suspect(&[name()]) {
            scene.board.next_news().await;
        }
    };
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, told).await.expect("told");
    scene
        .until(version("http://one.test"), Standing::Refused("no".into()))
        .await;
}

#[tokio::test]
async fn a_leader_that_leads_no_more_takes_no_reports() {
    let scene = Scene::new().await;
    let _seat = scene.holder();
    scene.joined().await;
    scene
        .leads
        .send_modify(|leadership| leadership.until = None);
    let mut connections = scene.board.connections();
    connections.wait_for(|count| *count == 0).await.unwrap();
    assert!(scene.board.is_empty());
}
