//! A provider that is a Service: balanced, with the dead and the departed left out, and no request
//! lost by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use turnpike_dataplane::Store;
use turnpike_dataplane::upstream::Addresses;
use turnpike_snapshot::endpoints::Endpoints;
use turnpike_snapshot::name::ServicePort;
use turnpike_snapshot::provider::{Provider, Service, Upstream};
use turnpike_snapshot::{Name, Snapshot};

use super::request_gateway::{TestGateway, chat_stream, request, soon};
use super::request_provider::{End, FakeProvider, Script, chat_answer, events, json};
use super::request_world::{World, object, upstream};

const TEXT: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"some words of the answer\"},\"finish_reason\":null}]}\n\n";

fn port() -> ServicePort {
    ServicePort {
        service: object("vllm"),
        port: 8000,
    }
}

fn world() -> World {
    World::with(Upstream {
        url: None,
        service: Some(Box::new(Service {
            port: port(),
            path: None,
        })),
        ..upstream("OpenAI", "http://unused.test")
    })
}

/// What a controller sends when pods come and go.
fn serve_at(store: &Store, addresses: &[SocketAddr]) {
    let mut addresses = addresses.to_vec();
    addresses.sort_unstable();
    let endpoints = Endpoints {
        addresses,
        is_http2: false,
    };
    replace(store, endpoints);
}

fn replace(store: &Store, endpoints: Endpoints) {
    let endpoints = Snapshot::Endpoints(endpoints);
    let refused = store.replace(vec![(Name::Endpoints(port()), endpoints)]);
    assert!(refused.is_empty(), "{refused:?}");
}

pub(super) async fn gateway_to(addresses: &[SocketAddr]) -> TestGateway {
    let gateway = TestGateway::start(world()).await;
    serve_at(&gateway.shared.store, addresses);
    gateway
}

fn good() -> Script {
    json(200, chat_answer("hello"))
}

/// How many requests have come in since this was asked.
fn count(provider: &mut FakeProvider) -> usize {
    std::iter::from_fn(|| (!provider.is_idle()).then_some(())).count()
}

/// An address that refuses connections.
pub(super) async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn each_of_three_endpoints_gets_a_third_under_the_name_of_the_service() {
    let mut providers = [
        FakeProvider::start(good()).await,
        FakeProvider::start(good()).await,
        FakeProvider::start(good()).await,
    ];
    let gateway = gateway_to(&providers.each_ref().map(|it| it.address)).await;
    for _ in 0..150 {
        assert_eq!(gateway.chat("x").await.status, 200);
    }
    let received = providers[0].received().await;
    assert_eq!(received.headers["host"], "vllm.tenant.svc:8000");
    assert_eq!(received.path, "/v1/chat/completions");
    let counts = providers.each_mut().map(count);
    assert!(counts.iter().all(|count| *count > 25), "{counts:?}");
    let connections = providers.each_ref().map(FakeProvider::connections);
    assert_eq!(connections, [1; 3], "kept");
}

#[tokio::test]
async fn without_a_ready_endpoint_requests_are_told_to_come_back_and_then_are_served() {
    let provider = FakeProvider::start(good()).await;
    let gateway = TestGateway::start(world()).await;
    for is_known in [false, true] {
        if is_known {
            serve_at(&gateway.shared.store, &[]);
        }
        let answer = gateway.chat("x").await;
        assert_eq!((answer.status, &*answer.code()), (503, "no_ready_endpoint"));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(answer.text().contains("Service tenant/vllm"));
    }
    serve_at(&gateway.shared.store, &[provider.address]);
    assert_eq!(gateway.chat("x").await.status, 200);
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_costs_no_request() {
    let provider = FakeProvider::start(good()).await;
    let dead = [refusing().await, refusing().await];
    let gateway = gateway_to(&[provider.address, dead[0], dead[1]]).await;
    for _ in 0..20 {
        assert_eq!(gateway.chat("x").await.status, 200);
    }
    serve_at(&gateway.shared.store, &dead);
    let answer = gateway.chat("x").await;
    assert_eq!(
        (answer.status, &*answer.code()),
        (502, "provider_unreachable")
    );
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_leaves_the_others_their_time() {
    let provider = FakeProvider::start(good()).await;
    let deaf = [Deaf::start().await, Deaf::start().await];
    let mut world = world();
    let Provider::Upstream(upstream) = &mut world.providers[0].1 else {
        unreachable!("it is one");
    };
    upstream.timeouts.connect = Duration::from_secs(1);
    let gateway = TestGateway::start(world).await;
    let deaf_addresses = deaf.each_ref().map(|it| it.address);
    let [one, two] = deaf_addresses;
    serve_at(&gateway.shared.store, &[one, two, provider.address]);
    for _ in 0..10 {
        assert_eq!(gateway.chat("x").await.status, 200);
    }
    serve_at(&gateway.shared.store, &deaf_addresses);
    let answer = gateway.chat("x").await;
    assert_eq!((answer.status, &*answer.code()), (504, "provider_timeout"));
    assert!(
        answer.text().contains("connect timeout 1s"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn an_endpoint_on_the_gateways_own_machine_is_refused_unless_opened() {
    let provider = FakeProvider::start(good()).await;
    let closed = TestGateway::guarded(world(), Addresses::PublicAnd([].into())).await;
    serve_at(&closed.shared.store, &[provider.address]);
    let answer = closed.chat("x").await;
    assert_eq!(
        (answer.status, &*answer.code()),
        (502, "provider_unreachable")
    );
    assert!(answer.text().contains("--allow-provider-cidr"));
    let block = "127.0.0.0/8".parse().unwrap();
    let open = TestGateway::guarded(world(), Addresses::PublicAnd([block].into())).await;
    serve_at(&open.shared.store, &[provider.address]);
    assert_eq!(open.chat("x").await.status, 200);
}

#[tokio::test]
async fn a_stream_goes_on_at_an_endpoint_that_has_left() {
    let provider = FakeProvider::start(events([TEXT], End::Hang)).await;
    let other = FakeProvider::start(good()).await;
    let gateway = gateway_to(&[provider.address]).await;
    let (response, connection) = gateway
        .open(request("/v1/chat/completions", &chat_stream("x")))
        .await;
    assert_eq!(response.status(), 200);
    serve_at(&gateway.shared.store, &[other.address]);
    // New requests go elsewhere, and the open one stays where it is until its client leaves.
    for _ in 0..5 {
        assert_eq!(gateway.chat("x").await.status, 200);
    }
    drop(response);
    drop(connection);
    soon(provider.left()).await;
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_costs_no_request() {
    let server = Raw::start(Manner::ClosesOnSecond).await;
    let gateway = gateway_to(&[server.address]).await;
    for _ in 0..4 {
        assert_eq!(gateway.chat("x").await.status, 200);
    }
    assert!(server.closed.load(Ordering::Relaxed) >= 1);
}

#[tokio::test]
async fn a_request_that_a_new_connection_has_taken_is_not_sent_twice() {
    let [one, two] = [
        Raw::start(Manner::ClosesOnFirst).await,
        Raw::start(Manner::ClosesOnFirst).await,
    ];
    let gateway = gateway_to(&[one.address, two.address]).await;
    let answer = gateway.chat("x").await;
    let code = answer.code();
    assert_eq!((answer.status, &*code), (502, "provider_connection_lost"));
    let asked = [one, two].map(|it| it.closed.load(Ordering::Relaxed));
    assert_eq!(asked.iter().sum::<usize>(), 1);
}

#[tokio::test]
async fn the_idle_connections_of_an_endpoint_that_left_are_closed() {
    let server = Raw::start(Manner::Keeps).await;
    let other = FakeProvider::start(good()).await;
    let gateway = gateway_to(&[server.address]).await;
    assert_eq!(gateway.chat("x").await.status, 200);
    serve_at(&gateway.shared.store, &[other.address]);
    soon(async {
        while server.closed.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A server of bare sockets, for what no HTTP library does.
struct Raw {
    address: SocketAddr,
    /// Connections that have ended.
    closed: Arc<AtomicUsize>,
    _server: AbortOnDropHandle<()>,
}

/// A listener whose queue is full: who connects is not answered.
struct Deaf {
    address: SocketAddr,
    _queue: (TcpListener, Vec<AbortOnDropHandle<()>>),
}

impl Deaf {
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = (0..4).map(|_| {
            AbortOnDropHandle::new(tokio::spawn(async move {
                let _held = TcpStream::connect(address).await;
                std::future::pending().await
            }))
        });
        let queue = (listener, waiting.collect());
        // Full once a connection is not made at once.
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            drop(connected);
        }
        Self {
            address,
            _queue: queue,
        }
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Every request is answered, until the other side closes it.
    Keeps,
    /// Closed without a word once a second request came.
    ClosesOnSecond,
    /// The same for the first.
    ClosesOnFirst,
}

impl Raw {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let closed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&closed);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let count = Arc::clone(&count);
                connections.spawn(async move {
                    hold(stream, manner).await;
                    count.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self {
            address,
            closed,
            _server: AbortOnDropHandle::new(server),
        }
    }
}

async fn hold(mut stream: TcpStream, manner: Manner) {
    let answer = chat_answer("hello").to_string();
    let length = answer.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{answer}"
    );
    let mut served = 0;
    while take_request(&mut stream).await.is_some() {
        let is_last = match manner {
            Manner::Keeps => false,
            Manner::ClosesOnSecond => served == 1,
            Manner::ClosesOnFirst => true,
        };
        if is_last || stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        served += 1;
    }
}

/// Reads one request with a body; `None`: the other side has closed.
async fn take_request(stream: &mut TcpStream) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let read = stream.read_buf(&mut bytes).await.ok()?;
        if read == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))?;
        if body.len() >= length.parse().ok()? {
            return Some(());
        }
    }
}

#[tokio::test]
async fn a_port_that_says_so_is_spoken_to_in_http2_under_the_name_of_the_service() {
    let mut provider = FakeProvider::start(good()).await;
    let gateway = TestGateway::start(world()).await;
    for (is_http2, version) in [
        (true, Version::HTTP_2),
        (false, Version::HTTP_11),
        (true, Version::HTTP_2),
    ] {
        let endpoints = Endpoints {
            addresses: vec![provider.address],
            is_http2,
        };
        replace(&gateway.shared.store, endpoints);
        let before = provider.connections();
        for _ in 0..3 {
            assert!(gateway.chat("x").await.text().contains("hello"));
            let received = provider.received().await;
            assert_eq!(received.version, version);
            assert_eq!(received.authority, "vllm.tenant.svc:8000");
        }
        assert_eq!(provider.connections(), before + 1);
    }
}

#[tokio::test]
async fn many_requests_share_a_connection_of_http2_in_the_clear() {
    let stream = events([TEXT], End::Hang);
    let mut provider = FakeProvider::start(stream).await;
    let gateway = TestGateway::start(world()).await;
    let endpoints = Endpoints {
        addresses: vec![provider.address],
        is_http2: true,
    };
    replace(&gateway.shared.store, endpoints);
    let mut open = Vec::new();
    for _ in 0..5 {
        let request = request("/v1/chat/completions", &chat_stream("x"));
        open.push(gateway.open(request).await);
        soon(provider.received()).await;
    }
    assert_eq!(provider.connections(), 1);
    // One that leaves ends its own stream alone.
    drop(open.pop());
    soon(provider.left()).await;
    assert!(!provider.has_left());
    drop(open);
    for _ in 0..4 {
        soon(provider.left()).await;
    }
}

#[tokio::test]
async fn an_http2_endpoint_that_is_gone_is_left_for_another() {
    let provider = FakeProvider::start(good()).await;
    let gateway = TestGateway::start(world()).await;
    let mut addresses = vec![provider.address, refusing().await];
    addresses.sort_unstable();
    let endpoints = Endpoints {
        addresses,
        is_http2: true,
    };
    replace(&gateway.shared.store, endpoints);
    for _ in 0..10 {
        assert_eq!(gateway.chat("x").await.status, 200);
    }
}
