//! A provider behind a forward proxy: what the proxy is asked, what callers are told of it, and whose
//! addresses are looked at.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use turnpike_dataplane::upstream::Addresses;
use turnpike_snapshot::provider::{EgressProxy, ProxyUser, Upstream};

use super::request_gateway::TestGateway;
use super::request_provider::{FakeProvider, Script, chat_answer, json};
use super::request_world::{World, timeouts, upstream};

fn good() -> Script {
    json(200, chat_answer("hello"))
}

/// A proxy that knows every name as one server's.
pub(super) struct FakeProxy {
    address: SocketAddr,
    /// The heads of the requests.
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    _server: AbortOnDropHandle<()>,
}

impl FakeProxy {
    /// `refusal`: what it says instead of connecting.
    pub(super) async fn start(provider: SocketAddr, refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heads = asked.clone();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, provider, refusal, heads.clone()));
            }
        });
        Self {
            address,
            asked,
            _server: AbortOnDropHandle::new(server),
        }
    }

    pub(super) fn proxy(&self, user: Option<(&str, &str)>) -> EgressProxy {
        let user = user.map(|(name, password)| ProxyUser {
            name: name.into(),
            password: password.into(),
        });
        EgressProxy {
            address: self.address.to_string(),
            user,
        }
    }
}

async fn serve(
    stream: TcpStream,
    provider: SocketAddr,
    refusal: Option<&'static str>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap() == 0 {
            return;
        }
    }
    heads.lock().push(head);
    let mut stream = stream.into_inner();
    if let Some(refusal) = refusal {
        stream.write_all(refusal.as_bytes()).await.unwrap();
        return;
    }
    let mut provider = TcpStream::connect(provider).await.unwrap();
    stream
        .write_all(b"HTTP/1.1 200 Connected\r\n\r\n")
        .await
        .unwrap();
    let _ = copy_bidirectional(&mut stream, &mut provider).await;
}

fn through(url: &str, proxy: EgressProxy) -> Upstream {
    Upstream {
        egress_proxy: Some(Box::new(proxy)),
        ..upstream("OpenAI", url)
    }
}

#[tokio::test]
async fn the_proxy_finds_the_name_and_is_told_who_asks_but_never_the_provider_s_key() {
    let mut provider = FakeProvider::start(good()).await;
    let proxy = FakeProxy::start(provider.address, None).await;
    let world = World::with(through(
        "http://only-the-proxy-knows.test/v1",
        proxy.proxy(Some(("me", "canary"))),
    ));
    let mut gateway = TestGateway::start(world).await;
    for _ in 0..2 {
        let answer = gateway.chat("x").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let asked = proxy.asked.lock().clone();
    assert_eq!(
        asked,
        [
            "CONNECT only-the-proxy-knows.test:80 HTTP/1.1\r\nhost: only-the-proxy-knows.test:80\r\n\
          proxy-authorization: Basic bWU6Y2FuYXJ5\r\n\r\n"
        ],
        "once, since the connection is kept"
    );
    let received = provider.received().await;
    assert_eq!(received.path, "/v1/chat/completions");
    assert_eq!(received.authority, "only-the-proxy-knows.test");
    assert!(
        received
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("proxy"))
    );
    let line = gateway.log_line().await.to_string();
    assert!(!line.contains("canary") && !line.contains("bWU6"), "{line}");
}

#[tokio::test]
async fn https_goes_through_the_proxy_unread() {
    let (mut provider, certificate) = FakeProvider::start_tls(good()).await;
    let proxy = FakeProxy::start(provider.address, None).await;
    let url = format!("https://localhost:{}/v1", provider.address.port());
    let world = World::with(through(&url, proxy.proxy(None)));
    let gateway = TestGateway::trusting(world, certificate).await;
    assert_eq!(gateway.chat("x").await.status, 200);
    assert_eq!(provider.received().await.version, http::Version::HTTP_2);
    assert_eq!(proxy.asked.lock().len(), 1);
}

#[tokio::test]
async fn what_the_proxy_refuses_is_told_as_its_refusal() {
    for (refusal, words) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
            "the egress proxy refused: 407",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\n\r\nnot that one",
            "the egress proxy refused: 403",
        ),
        (
            "220 mail.test ESMTP\r\n",
            "the egress proxy closed the connection",
        ),
    ] {
        let provider = FakeProvider::start(good()).await;
        let proxy = FakeProxy::start(provider.address, Some(refusal)).await;
        let world = World::with(through("http://a.test/v1", proxy.proxy(None)));
        let gateway = TestGateway::start(world).await;
        let answer = gateway.chat("x").await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (502, "provider_unreachable")
        );
        assert!(answer.text().contains(words), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_within_the_time_to_connect() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = EgressProxy {
        address: listener.local_addr().unwrap().to_string(),
        user: None,
    };
    let mut upstream = through("http://a.test/v1", proxy);
    upstream.timeouts = turnpike_snapshot::provider::Timeouts {
        connect: std::time::Duration::from_millis(200),
        ..timeouts()
    };
    let gateway = TestGateway::start(World::with(upstream)).await;
    let answer = gateway.chat("x").await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(answer.text().contains("connect"), "{}", answer.text());
}

#[tokio::test]
async fn the_proxy_s_own_address_and_literal_ones_behind_it_are_looked_at() {
    let provider = FakeProvider::start(good()).await;
    let proxy = FakeProxy::start(provider.address, None).await;
    let open = |blocks: &[&str]| {
        Addresses::PublicAnd(blocks.iter().map(|block| block.parse().unwrap()).collect())
    };
    for (url, addresses, words) in [
        (
            "http://a.test/v1",
            open(&[]),
            Some("the egress proxy's address is private"),
        ),
        (
            "http://10.0.0.1/v1",
            open(&["127.0.0.0/8"]),
            Some("its address is private"),
        ),
        (
            "http://169.254.169.254/v1",
            Addresses::Any,
            Some("its address is private or reserved"),
        ),
        ("http://a.test/v1", open(&["127.0.0.0/8"]), None),
    ] {
        let world = World::with(through(url, proxy.proxy(None)));
        let gateway = TestGateway::guarded(world, addresses).await;
        let answer = gateway.chat("x").await;
        match words {
            Some(words) => assert!(answer.text().contains(words), "{url}: {}", answer.text()),
            None => assert_eq!(answer.status, 200),
        }
    }
    assert_eq!(proxy.asked.lock().len(), 1);
}
