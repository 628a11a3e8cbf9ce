//! What is written and when, against a scripted API server. Time is paused.

mod certificates;
mod counts;
mod events;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use hyper::{Request, Response};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use turnpike_snapshot::name::ObjectName;

use super::*;
use crate::serve::Standing;
use crate::serve::hub::{Report, Seat};
use crate::source::Event;
use crate::status::agenda::GRACE;
use crate::testing::{self, Tell};

/// An API server that takes what it is sent, unless the script says otherwise.
#[derive(Clone)]
struct Server {
    /// The next answers; after them, all are 200.
    script: Arc<Mutex<VecDeque<u16>>>,
    heard: mpsc::UnboundedSender<(String, Value)>,
    events: mpsc::UnboundedSender<Value>,
}

impl tower_service::Service<Request<Body>> for Server {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let patch: Value = serde_json::from_slice(&body).unwrap();
            if path.starts_with("/apis/events.k8s.io/") {
                server.events.send(patch).unwrap();
                return Ok(Response::new(body.into()));
            }
            server.heard.send((path.clone(), patch)).unwrap();
            let code = server.script.lock().pop_front().unwrap_or(200);
            if code == HANGS {
                std::future::pending::<()>().await;
            }
            let answer = match code {
                TOO_MANY => return Ok(too_many()),
                200 if path.contains("/airoutes/") => {
                    let route = testing::route("a", "r").rule(&[], "p");
                    serde_json::to_vec(&route.0)
                }
                200 => serde_json::to_vec(&testing::provider("a", "p").0),
                code => serde_json::to_vec(&json!({
                    "kind": "Status", "status": "Failure", "code": code,
                    "details": { "retryAfterSeconds": if code == 429 { 20 } else { 0 } },
                })),
            };
            let answer = Response::builder()
                .status(code)
                .body(answer.unwrap().into());
            Ok(answer.unwrap())
        })
    }
}

/// In a script: no answer comes.
const HANGS: u16 = 0;

/// In a script: a 429 as API priority and fairness writes it.
const TOO_MANY: u16 = 1;

fn too_many() -> Response<Body> {
    let answer = Response::builder().status(429).header("retry-after", "1");
    let words = "Too many requests, please try again later.\n";
    answer.body(words.as_bytes().to_vec().into()).unwrap()
}

/// A writer at work.
struct Scene {
    world: Arc<World>,
    writes: Arc<Writes>,
    leads: watch::Sender<Leadership>,
    board: Board,
    heard: mpsc::UnboundedReceiver<(String, Value)>,
    events: mpsc::UnboundedReceiver<Value>,
    _task: tokio_util::sync::DropGuard,
}

impl Scene {
    fn new(script: &[u16], seat: impl FnOnce(&Hub) -> Option<Seat>) -> (Self, Option<Seat>) {
        let hub = Hub::new();
        let seat = seat(&hub);
        let synced = Kind::ALL.map(Event::Synced);
        let world = Arc::new(World::new(testing::index_of(synced), hub));
        let (sender, heard) = mpsc::unbounded_channel();
        let (events_sender, events) = mpsc::unbounded_channel();
        let server = Server {
            script: Arc::new(Mutex::new(script.iter().copied().collect())),
            heard: sender,
            events: events_sender,
        };
        let writes = Arc::new(Writes::default());
        let shutdown = CancellationToken::new();
        let client = Client::new(server, "default");
        let (leads, leadership) = watch::channel(Leadership::alone());
        let board = Board::default();
        let replicas = Replicas {
            leadership,
            board: board.clone(),
        };
        spawn(
            world.clone(),
            client,
            writes.clone(),
            replicas,
            None,
            Box::new(clock(Instant::now())),
            shutdown.clone(),
        );
        let scene = Self {
            world,
            writes,
            leads,
            board,
            heard,
            events,
            _task: shutdown.drop_guard(),
        };
        (scene, seat)
    }

    fn apply(&self, provider: &str, generation: i64) {
        let provider = testing::provider("a", provider).generation(generation);
        self.world.apply([provider.event()]);
    }

    /// The next status that is written: whose, generation, and `Programmed`'s reason.
    async fn next(&mut self) -> (String, i64, String) {
        let (path, patch) = self.heard.recv().await.unwrap();
        let conditions = patch["status"]["conditions"].as_array().unwrap();
        let mut conditions = conditions.iter();
        let programmed = conditions.find(|condition| condition["type"] == "Programmed");
        (
            path,
            patch["status"]["observedGeneration"].as_i64().unwrap(),
            programmed.unwrap()["reason"].as_str().unwrap().to_owned(),
        )
    }
}

/// The time of day of every writer's beginning.
const DAWN: i64 = 1_900_000_000;

/// A clock that goes as paused time does.
fn clock(start: Instant) -> impl Fn() -> Timestamp {
    move || Timestamp::from_second(DAWN).unwrap() + start.elapsed()
}

fn written(provider: &str, generation: i64, reason: &str) -> (String, i64, String) {
    let path = format!("/apis/turnpike.dev/v1alpha1/namespaces/a/aiproviders/{provider}/status");
    (path, generation, reason.to_owned())
}

fn nobody(_: &Hub) -> Option<Seat> {
    None
}

fn name(provider: &str) -> Arc<Name> {
    Arc::new(Name::Provider(ObjectName::new("a", provider)))
}

/// The data plane takes what is queued for it, and says how that went.
fn answer(seat: &Seat, standing: Standing) {
    seat.take();
    seat.report(&name("p"), Report::Holds(standing));
    seat.put_down();
}

/// A data plane that holds provider `p`, acknowledged or not.
fn holder(standing: Standing) -> impl FnOnce(&Hub) -> Option<Seat> {
    |hub| {
        let seat = hub.join("dp-1");
        seat.watch(&name("p"));
        seat.report(&name("p"), Report::Holds(standing));
        Some(seat)
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_is_written_once() {
    let (mut scene, _) = Scene::new(&[], nobody);
    scene.apply("p", 1);
    assert_eq!(scene.next().await, written("p", 1, "NoDataPlane"));
    scene.apply("p", 1);
    scene.apply("q", 1);
    assert_eq!(scene.next().await, written("q", 1, "NoDataPlane"));
}

#[tokio::test(start_paused = true)]
async fn what_stands_already_is_not_written_after_a_restart() {
    let (mut scene, _) = Scene::new(&[], nobody);
    scene.apply("p", 1);
    let (_, patch) = scene.heard.recv().await.unwrap();
    let (mut restarted, _) = Scene::new(&[], nobody);
    let mut provider = testing::provider("a", "p");
    provider.0.status = serde_json::from_value(patch["status"].clone()).unwrap();
    restarted.world.apply([provider.event()]);
    restarted.apply("q", 1);
    assert_eq!(restarted.next().await, written("q", 1, "NoDataPlane"));
}

#[tokio::test(start_paused = true)]
async fn a_data_plane_that_lags_is_waited_for_and_then_told_of() {
    let (mut scene, seat) = Scene::new(&[], holder(Standing::Lagging));
    let start = Instant::now();
    scene.apply("p", 1);
    assert_eq!(scene.next().await, written("p", 1, "Pending"));
    assert!(start.elapsed() >= GRACE);
    let seat = seat.unwrap();
    answer(&seat, Standing::Current);
    assert_eq!(scene.next().await, written("p", 1, "Programmed"));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_in_time_makes_one_write_of_two() {
    let (mut scene, seat) = Scene::new(&[], holder(Standing::Lagging));
    scene.apply("p", 1);
    tokio::time::advance(GRACE / 2).await;
    let seat = seat.unwrap();
    answer(&seat, Standing::Current);
    assert_eq!(scene.next().await, written("p", 1, "Programmed"));
    scene.apply("q", 1);
    assert_eq!(scene.next().await, written("q", 1, "Programmed"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_in_the_data_planes_words() {
    let (mut scene, seat) = Scene::new(&[], holder(Standing::Current));
    let seat = seat.unwrap();
    scene.apply("p", 1);
    answer(&seat, Standing::Refused("no such vendor".into()));
    let (_, patch) = scene.heard.recv().await.unwrap();
    let programmed = &patch["status"]["conditions"][3];
    assert_eq!(programmed["reason"], "Refused");
    let words = "data plane dp-1 refused provider/a/p: no such vendor";
    assert_eq!(programmed["message"], words);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_tried_again() {
    let (mut scene, _) = Scene::new(&[500, 503], nobody);
    scene.apply("p", 1);
    for _ in 0..3 {
        assert_eq!(scene.next().await, written("p", 1, "NoDataPlane"));
    }
    scene.apply("q", 1);
    assert_eq!(scene.next().await, written("q", 1, "NoDataPlane"));
    assert_eq!(scene.writes.failed(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_is_left_alone() {
    let (mut scene, _) = Scene::new(&[404], nobody);
    scene.apply("p", 1);
    assert_eq!(scene.next().await, written("p", 1, "NoDataPlane"));
    scene.apply("q", 1);
    assert_eq!(scene.next().await, written("q", 1, "NoDataPlane"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(scene.heard.try_recv().is_err());
    assert_eq!(scene.writes.failed(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_conflict_what_is_known_by_then_decides() {
    let (mut scene, _) = Scene::new(&[409, 409], nobody);
    scene.apply("p", 1);
    scene.apply("q", 1);
    assert_eq!(scene.next().await, written("p", 1, "NoDataPlane"));
    assert_eq!(scene.next().await, written("q", 1, "NoDataPlane"));
    let gone = testing::delete(Kind::AIProvider, "a", "p");
    scene.world.apply([gone]);
    assert_eq!(scene.next().await, written("q", 1, "NoDataPlane"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(scene.heard.try_recv().is_err(), "p is gone");
    assert_eq!(scene.writes.failed(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_throttles_in_plain_text_is_obeyed() {
    let (mut scene, _) = Scene::new(&[TOO_MANY], nobody);
    let start = Instant::now();
    scene.apply("p", 1);
    scene.next().await;
    scene.apply("q", 1);
    assert_eq!(scene.next().await, written("p", 1, "NoDataPlane"));
    assert!(start.elapsed() >= THROTTLED_PAUSE);
    assert_eq!(scene.next().await, written("q", 1, "NoDataPlane"));
}

#[tokio::test(start_paused = true)]
async fn the_first_data_plane_settles_what_waited_for_one() {
    let (mut scene, _) = Scene::new(&[], nobody);
    scene.apply("p", 1);
    assert_eq!(scene.next().await, written("p", 1, "NoDataPlane"));
    let _seat = scene.world.hub().join("dp-1");
    assert_eq!(scene.next().await, written("p", 1, "Programmed"));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_writes_nothing_and_a_new_leader_looks_at_all() {
    let (mut scene, _) = Scene::new(&[], nobody);
    scene.apply("p", 1);
    assert_eq!(scene.next().await, written("p", 1, "NoDataPlane"));
    scene.leads.send_replace(Leadership::default());
    scene.apply("q", 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(scene.heard.try_recv().is_err());
    scene.leads.send_replace(Leadership::alone());
    assert_eq!(scene.next().await, written("q", 1, "NoDataPlane"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(
        scene.heard.try_recv().is_err(),
        "p stands as it was written"
    );
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_answer_is_waited_for_and_then_told_of() {
    use turnpike_snapshot::proto::from_replica::Message;
    use turnpike_snapshot::proto::{Answer, Connected};

    let (mut scene, _) = Scene::new(&[], nobody);
    let peer = scene.board.join("controller-b");
    peer.hear(Message::Connected(Connected { data_planes: 1 }));
    let start = Instant::now();
    scene.apply("p", 1);
    let asked = peer.questions(8).await;
    assert_eq!(asked[0].0, *name("p"));
    assert_eq!(scene.next().await, written("p", 1, "Pending"));
    assert!(start.elapsed() >= GRACE);
    peer.hear(Message::Answer(Answer {
        name: name("p").to_string(),
        version: asked[0].1.unwrap().to_bytes(),
        bearers: Vec::new(),
    }));
    assert_eq!(scene.next().await, written("p", 1, "Programmed"));

    // Once it is gone nobody waits for it.
    scene.apply("q", 1);
    drop(peer);
    assert_eq!(scene.next().await, written("q", 1, "NoDataPlane"));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_throttles_is_obeyed() {
    let (mut scene, _) = Scene::new(&[429], nobody);
    let start = Instant::now();
    scene.apply("p", 1);
    scene.next().await;
    scene.apply("q", 1);
    assert_eq!(scene.next().await, written("p", 1, "NoDataPlane"));
    assert!(start.elapsed() >= Duration::from_secs(20));
    assert_eq!(scene.next().await, written("q", 1, "NoDataPlane"));
}

#[tokio::test(start_paused = true)]
async fn two_writers_at_once_write_the_same_and_then_nothing() {
    let (mut one, _) = Scene::new(&[], nobody);
    let (mut two, _) = Scene::new(&[], nobody);
    one.apply("p", 1);
    two.apply("p", 1);
    for _ in 0..3 {
        // What one wrote comes to both as a watch event.
        let mut told = Vec::new();
        for scene in [&mut one, &mut two] {
            tokio::time::sleep(Duration::from_secs(30)).await;
            while let Ok((_, patch)) = scene.heard.try_recv() {
                told.push(patch["status"].clone());
            }
        }
        for status in &told {
            for scene in [&one, &two] {
                let mut provider = testing::provider("a", "p").generation(1);
                provider.0.status = serde_json::from_value(status.clone()).unwrap();
                scene.world.apply([provider.event()]);
            }
        }
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let writes = one.writes.written() + two.writes.written();
    assert!(writes <= 4, "{writes} writes of one status");
}

#[tokio::test(start_paused = true)]
async fn a_reborn_object_of_the_same_name_gets_a_status_of_its_own() {
    let (mut scene, _) = Scene::new(&[], nobody);
    let born = |uid: &str| {
        let mut provider = testing::provider("a", "p").generation(1);
        provider.0.metadata.uid = Some(uid.into());
        provider.event()
    };
    scene.world.apply([born("1")]);
    let (_, first) = scene.heard.recv().await.unwrap();
    assert_eq!(first["metadata"]["uid"], "1");
    let gone = testing::delete(Kind::AIProvider, "a", "p");
    scene.world.apply([gone, born("2")]);
    let (_, second) = scene.heard.recv().await.unwrap();
    assert_eq!(second["metadata"]["uid"], "2");
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_holds_nobody_up_for_long() {
    let (mut scene, _) = Scene::new(&[HANGS], nobody);
    scene.apply("p", 1);
    scene.next().await;
    scene.apply("q", 1);
    assert_eq!(scene.next().await, written("q", 1, "NoDataPlane"));
    assert_eq!(scene.next().await, written("p", 1, "NoDataPlane"));
    assert_eq!(scene.writes.failed(), 1);
}
