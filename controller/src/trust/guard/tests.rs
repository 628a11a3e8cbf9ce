//! A guarded port on a real socket, and those who knock at it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use turnpike_snapshot::PROTOCOL_VERSION;
use turnpike_snapshot::proto::client_message::Message as Up;
use turnpike_snapshot::proto::server_message::Message as Down;
use turnpike_snapshot::proto::snapshots_client::SnapshotsClient;
use turnpike_snapshot::proto::{ClientMessage, Hello, ServerMessage};

use super::*;
use crate::lease::Leadership;
use crate::metrics::{Metrics, Reason};
use crate::peers::{Board, reporter, service};
use crate::serve::grpc::{self, Gates};
use crate::serve::{Acceptance, Context as Serving, Hub};
use crate::source::{Event, Kind};
use crate::testing;
use crate::trust::AUDIENCE;
use crate::trust::listener;
use crate::trust::lobby::{Bounds, Lobby};
use crate::trust::moment::Moment;
use crate::trust::scripted::Server;
use crate::trust::token::tests::token;
use crate::world::World;

const LIMIT: Duration = Duration::from_secs(20);

struct Port {
    address: SocketAddr,
    server: Server,
    dial: Dial,
    board: Board,
    refusals: Refusals,
    _leads: watch::Sender<Leadership>,
    _stop: DropGuard,
}

fn secured() -> Secured {
    Secured {
        tls_secret: "turnpike-snapshot-ca".into(),
        service_name: "turnpike-controller".into(),
        token_file: None,
        data_planes: vec!["ns/dp".parse().unwrap()],
        controllers: vec!["ns/controller".parse().unwrap()],
    }
}

fn world() -> Arc<World> {
    let synced = Kind::ALL.map(Event::Synced);
    Arc::new(World::new(testing::index_of(synced), Hub::new()))
}

/// Believes whatever account a token names.
fn believe(spec: &Value) -> (u16, Value) {
    let claims = crate::trust::token::read(spec["token"].as_str().unwrap()).unwrap();
    let account = claims.account;
    let name = format!(
        "system:serviceaccount:{}:{}",
        account.namespace, account.name
    );
    let status = json!({
        "authenticated": claims.expires > Moment::now(),
        "audiences": [AUDIENCE], "user": {"username": name}
    });
    (201, json!({"spec": spec, "status": status}))
}

impl Port {
    async fn open() -> Self {
        Self::with_lobby(Bounds::default()).await
    }

    async fn with_lobby(bounds: Bounds) -> Self {
        let server = Server::default();
        server.review(believe);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let refusals = Refusals::default();
        let advertised = address.to_string();
        let (client, secured) = (server.client(), secured());
        let opening = Guard::open(&client, "ns", &secured, &advertised, refusals.clone());
        let guard = opening.await.unwrap();
        let stop = CancellationToken::new();
        let (world, board) = (world(), Board::default());
        let context = Serving {
            view: world.clone(),
            hub: world.hub().clone(),
            acceptance: Acceptance::new(false),
            metrics: Metrics::new().serving,
            shutdown: stop.clone(),
        };
        let (leads, leadership) = watch::channel(Leadership::alone());
        let peers = service::Context {
            board: board.clone(),
            leadership,
            shutdown: stop.clone(),
        };
        let dial = guard.dial();
        let gates = Gates {
            data_planes: guard.data_planes,
            controllers: guard.controllers,
        };
        let (config, complaints) = (guard.config, guard.complaints);
        let lobby = Lobby::new(bounds);
        let connections = listener::spawn(listener, config, lobby, complaints, stop.clone());
        tokio::spawn(grpc::serve_tls(connections, context, Some(peers), gates));
        Self {
            address,
            server,
            dial,
            board,
            refusals,
            _leads: leads,
            _stop: stop.drop_guard(),
        }
    }

    async fn connect(&self, address: SocketAddr) -> Channel {
        let address = address.to_string();
        let connecting = self.dial.connect(&address, |endpoint| endpoint);
        connecting.await.unwrap()
    }

    /// Waits until so many were refused for a reason.
    async fn refused(&self, reason: Reason, count: u64) {
        let counted = async {
            while self.refusals.get(reason) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, counted).await.expect("counted");
    }

    /// What a stream that is opened with this begins with.
    async fn greet(&self, authorization: Option<String>) -> Result<Stream, Status> {
        greet(self.connect(self.address).await, authorization).await
    }
}

struct Stream {
    _up: mpsc::Sender<ClientMessage>,
    down: Streaming<ServerMessage>,
    fleet_keys: usize,
}

async fn greet(channel: Channel, authorization: Option<String>) -> Result<Stream, Status> {
    let (up, messages) = mpsc::channel(4);
    let hello = Hello {
        protocol_version: PROTOCOL_VERSION,
        data_plane: "test".into(),
        ..Hello::default()
    };
    let message = Some(Up::Hello(hello));
    up.send(ClientMessage { message }).await.unwrap();
    let mut request = Request::new(ReceiverStream::new(messages));
    if let Some(authorization) = authorization {
        let value = authorization.parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let opened = SnapshotsClient::new(channel).stream(request).await;
    let mut down = opened?.into_inner();
    match down.message().await?.and_then(|message| message.message) {
        Some(Down::Welcome(welcome)) => Ok(Stream {
            _up: up,
            down,
            fleet_keys: welcome.fleet_keys.len(),
        }),
        other => panic!("not a welcome: {other:?}"),
    }
}

fn bearer(name: &str, seconds: i64) -> String {
    let payload = json!({
        "sub": format!("system:serviceaccount:ns:{name}"), "aud": [AUDIENCE],
        "exp": Moment::now().0 + seconds
    });
    format!("Bearer {}", token(&payload))
}

#[tokio::test]
async fn the_right_token_is_welcomed_and_no_other_learns_the_fleet_key() {
    let port = Port::open().await;
    let stream = port.greet(Some(bearer("dp", 3600))).await.ok().unwrap();
    assert_eq!(stream.fleet_keys, 1);
    for (authorization, code) in [
        (None, Code::Unauthenticated),
        (Some("Bearer x".into()), Code::Unauthenticated),
        (Some(bearer("dp", 0)), Code::Unauthenticated),
        (Some(bearer("other", 3600)), Code::PermissionDenied),
        (Some(bearer("controller", 3600)), Code::PermissionDenied),
    ] {
        let refused = port.greet(authorization.clone()).await.err().unwrap();
        assert_eq!(refused.code(), code, "{authorization:?}");
    }
    assert_eq!(port.refusals.get(Reason::Account), 2);
}

#[tokio::test]
async fn without_tls_nothing_but_the_reason_is_told() {
    let port = Port::open().await;
    let address = port.address.to_string();
    let connected = Dial::Plain.connect(&address, |endpoint| endpoint).await;
    let refused = greet(connected.unwrap(), Some(bearer("dp", 3600))).await;
    let refused = refused.err().unwrap();
    let told = format!("{refused:?}");
    assert!(told.contains("this port speaks TLS"), "{told}");

    let mut stream = TcpStream::connect(port.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    assert!(
        told.starts_with("HTTP/1.1 400 ") && told.contains("https://"),
        "{told}"
    );

    let mut stream = TcpStream::connect(port.address).await.unwrap();
    stream.write_all(&[0; 8]).await.unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).await.unwrap();
    assert!(told.is_empty());
    assert_eq!(port.refusals.get(Reason::Plaintext), 3);
}

#[tokio::test]
async fn a_port_of_another_ca_is_not_talked_to() {
    let (port, other) = (Port::open().await, Port::open().await);
    let address = port.address.to_string();
    let error = other
        .dial
        .connect(&address, |endpoint| endpoint)
        .await
        .err();
    assert!(error.unwrap().contains("UnknownIssuer"));
    // The port hears of it a moment later.
    port.refused(Reason::Handshake, 1).await;
}

#[tokio::test]
async fn many_who_say_nothing_keep_nobody_out() {
    let port = Port::open().await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(port.address).await.unwrap());
    }
    assert!(port.greet(Some(bearer("dp", 3600))).await.is_ok());
}

#[tokio::test]
async fn of_many_who_show_no_token_the_newest_are_left_and_a_data_plane_gets_in() {
    let port = Port::with_lobby(Bounds {
        most: 4,
        limit: Duration::from_secs(3600),
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(port.connect(port.address).await);
    }
    port.refused(Reason::Idle, 6).await;
    let mut stream = port.greet(Some(bearer("dp", 3600))).await.ok().unwrap();
    for _ in 0..10 {
        silent.push(port.connect(port.address).await);
    }
    port.refused(Reason::Idle, 16).await;
    assert!(stream.down.message().now_or_never().is_none());
}

#[tokio::test]
async fn who_shows_no_token_in_time_is_ended_and_who_did_is_not() {
    let port = Port::with_lobby(Bounds {
        most: 4,
        limit: Duration::from_secs(2),
    })
    .await;
    let channel = port.connect(port.address).await;
    let stream = greet(channel.clone(), Some(bearer("dp", 3600))).await;
    let mut stream = stream.ok().unwrap();
    let _silent = port.connect(port.address).await;
    port.refused(Reason::Idle, 1).await;
    assert!(stream.down.message().now_or_never().is_none());
    assert!(greet(channel, Some(bearer("dp", 3600))).await.is_ok());
    assert_eq!(port.refusals.get(Reason::Idle), 1);
}

#[tokio::test]
async fn a_stream_is_ended_when_its_token_is_over() {
    let port = Port::open().await;
    let mut stream = port.greet(Some(bearer("dp", 2))).await.ok().unwrap();
    let ended = tokio::time::timeout(LIMIT, stream.down.message()).await;
    let status = ended.expect("ended").unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("has expired"), "{status}");
    assert!(port.greet(Some(bearer("dp", 3600))).await.is_ok());
}

#[tokio::test]
async fn without_the_api_server_known_tokens_get_in_and_new_ones_are_told_to_try_again() {
    let port = Port::open().await;
    let known = bearer("dp", 3600);
    assert!(port.greet(Some(known.clone())).await.is_ok());
    port.server.review(|_| (503, json!({"code": 503})));
    assert!(port.greet(Some(known)).await.is_ok());
    let new = port.greet(Some(bearer("dp", 3601))).await.err().unwrap();
    assert_eq!(new.code(), Code::Unavailable);
}

#[tokio::test]
async fn other_replicas_report_with_their_own_token_alone() {
    let port = Port::open().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let write = |name: &str| {
        let bearer = bearer(name, 3600);
        std::fs::write(&file, bearer.trim_start_matches("Bearer ")).unwrap();
    };
    let Dial::Secured { identity, .. } = port.dial.clone() else {
        panic!("not secured");
    };
    let dial = Dial::Secured {
        identity,
        token_file: Some(file.clone()),
    };
    // At first it shows that of a data plane.
    write("dp");
    let leadership = Leadership {
        holder: Some(format!("leader@{}", port.address)),
        ..Leadership::default()
    };
    let (_leads, follows) = watch::channel(leadership);
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    tokio::spawn(reporter::run(
        world(),
        follows,
        "follower@x".into(),
        dial,
        stop,
    ));
    let refused = async {
        while port.refusals.get(Reason::Account) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, refused).await.expect("refused");
    assert!(port.board.is_empty());

    write("controller");
    let joined = async {
        while port.board.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, joined).await.expect("reports");
}

/// A wire that keeps what goes over it.
async fn tap(port: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let keeps = heard.clone();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(port).await.unwrap();
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        tokio::spawn(pass(near_read, far_write, keeps.clone()));
        tokio::spawn(pass(far_read, near_write, keeps));
    });
    (address, heard)
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    heard: Arc<Mutex<Vec<u8>>>,
) -> io::Result<()> {
    let mut bytes = [0; 4096];
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 {
            return Ok(());
        }
        heard.lock().extend(&bytes[..length]);
        to.write_all(&bytes[..length]).await?;
    }
}

#[tokio::test]
async fn who_listens_on_the_wire_reads_neither_key_nor_token() {
    let port = Port::open().await;
    let (address, heard) = tap(port.address).await;
    let bearer = bearer("dp", 3600);
    let channel = port.connect(address).await;
    let stream = greet(channel, Some(bearer.clone())).await.ok().unwrap();
    assert_eq!(stream.fleet_keys, 1);
    let heard = heard.lock().clone();
    assert!(heard.len() > 500);
    let key = testing::fleet_key();
    for secret in [
        key.secret(),
        &bearer.as_bytes()[..40],
        b"turnpike.snapshot.v1",
    ] {
        assert!(!heard.windows(secret.len()).any(|window| window == secret));
    }
}
