//! HTTP/2 to a provider: shared connections, as many as its streams need, and what becomes of
//! requests when one ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{Request, Response};
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::request_gateway::{TestGateway, chat_stream, read, request, soon};
use super::request_provider::{chat_answer, localhost};
use super::request_world::{World, upstream};

const TEXT: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"some words of the answer\"},\"finish_reason\":null}]}\n\n";

/// A server that leaves it to the test what becomes of each request.
struct H2Provider {
    port: u16,
    certificate: CertificateDer<'static>,
    received: mpsc::UnboundedReceiver<Received>,
    connections: Arc<AtomicUsize>,
    /// What becomes of the connections that stand at present.
    fates: broadcast::Sender<Fate>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Clone, Copy)]
enum Fate {
    /// They end in an orderly way.
    End,
    /// They stand, and nothing is heard of them any more.
    Silence,
}

/// A request, and the way to its answer.
struct Received {
    /// The connection that it came over, from 1.
    connection: usize,
    reply: SendResponse<Bytes>,
    _request: Request<h2::RecvStream>,
}

impl H2Provider {
    /// `streams`: as many at once on a connection; `None`: it does not say.
    async fn start(streams: Option<u32>) -> Self {
        let (acceptor, certificate) = localhost();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (record, received) = mpsc::unbounded_channel();
        let connections = Arc::<AtomicUsize>::default();
        let (fates, _) = broadcast::channel(1);
        let (count, all_fates) = (connections.clone(), fates.clone());
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = count.fetch_add(1, Ordering::Relaxed) + 1;
                let (acceptor, record) = (acceptor.clone(), record.clone());
                let fate = all_fates.subscribe();
                tokio::spawn(serve(stream, acceptor, streams, connection, record, fate));
            }
        });
        Self {
            port,
            certificate,
            received,
            connections,
            fates,
            _server: AbortOnDropHandle::new(server),
        }
    }

    async fn gateway(&self) -> TestGateway {
        let url = format!("https://localhost:{}/v1", self.port);
        let world = World::with(upstream("OpenAI", &url));
        TestGateway::trusting(world, self.certificate.clone()).await
    }

    async fn received(&mut self) -> Received {
        soon(self.received.recv()).await.unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    streams: Option<u32>,
    connection: usize,
    record: mpsc::UnboundedSender<Received>,
    mut fates: broadcast::Receiver<Fate>,
) {
    let stream = acceptor.accept(stream).await.unwrap();
    let mut builder = h2::server::Builder::new();
    if let Some(streams) = streams {
        builder.max_concurrent_streams(streams);
    }
    let mut served = builder.handshake::<_, Bytes>(stream).await.unwrap();
    loop {
        tokio::select! {
            accepted = served.accept() => {
                let Some(Ok((request, reply))) = accepted else {
                    return;
                };
                let _ = record.send(Received { connection, reply, _request: request });
            }
            Ok(fate) = fates.recv() => match fate {
                Fate::End => served.graceful_shutdown(),
                Fate::Silence => std::future::pending().await,
            },
        }
    }
}

impl Received {
    fn refuse(mut self) {
        self.reply.send_reset(Reason::REFUSED_STREAM);
    }

    /// Begins a stream of events; more can be sent.
    fn begin(&mut self, bytes: Bytes) -> SendStream<Bytes> {
        let head = Response::builder().header("content-type", "text/event-stream");
        let head = head.body(()).unwrap();
        let mut body = self.reply.send_response(head, false).unwrap();
        body.send_data(bytes, false).unwrap();
        body
    }

    fn answer(mut self, text: &str) {
        let head = Response::builder().header("content-type", "application/json");
        let head = head.body(()).unwrap();
        let mut body = self.reply.send_response(head, false).unwrap();
        let answer = chat_answer(text).to_string();
        body.send_data(answer.into(), true).unwrap();
    }
}

type Open = (Response<Incoming>, AbortOnDropHandle<()>);

/// A stream that has begun, at both ends.
async fn begun(
    gateway: &TestGateway,
    provider: &mut H2Provider,
) -> (Open, Received, SendStream<Bytes>) {
    let asking = gateway.open(request("/v1/chat/completions", &chat_stream("x")));
    let answering = async {
        let mut received = provider.received().await;
        let body = received.begin(TEXT.into());
        (received, body)
    };
    let (open, (received, body)) = tokio::join!(asking, answering);
    (open, received, body)
}

#[tokio::test]
async fn streams_share_a_connection() {
    let mut provider = H2Provider::start(None).await;
    let gateway = provider.gateway().await;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(begun(&gateway, &mut provider).await);
    }
    assert_eq!(provider.connections(), 1);
}

#[tokio::test]
async fn more_than_a_provider_takes_on_one_connection_go_over_others_at_once() {
    let mut provider = H2Provider::start(Some(4)).await;
    let gateway = provider.gateway().await;
    let ask = || gateway.open(request("/v1/chat/completions", &chat_stream("x")));
    // All at once, and before anything is known of the provider.
    let asking = futures::future::join_all((0..10).map(|_| ask()));
    let answering = async {
        let mut held = Vec::new();
        for _ in 0..10 {
            let mut received = provider.received().await;
            let body = received.begin(TEXT.into());
            held.push((received, body));
        }
        held
    };
    let (open, held) = tokio::join!(asking, answering);
    let of = |connection| {
        held.iter()
            .filter(|(it, _)| it.connection == connection)
            .count()
    };
    assert_eq!([of(1), of(2), of(3)], [4, 4, 2]);
    drop((open, held));
    soon(async {
        while gateway.metric("turnpike_requests_in_flight") > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // What has ended makes room on the first.
    let (_, received, _) = begun(&gateway, &mut provider).await;
    assert_eq!(received.connection, 1);
    assert_eq!(provider.connections(), 3);
}

#[tokio::test]
async fn a_caller_that_does_not_read_holds_up_no_other_on_the_same_connection() {
    let mut provider = H2Provider::start(None).await;
    let gateway = provider.gateway().await;
    // More than all buffers on the way take.
    let much = Bytes::from(TEXT.repeat(60_000));
    let mut stalled = Vec::new();
    for _ in 0..10 {
        let (open, received, mut body) = begun(&gateway, &mut provider).await;
        body.send_data(much.clone(), false).unwrap();
        stalled.push((open, received, body));
    }
    for at in 0..3 {
        let text = format!("answer {at}");
        let asking = gateway.chat("x");
        let answering = async { provider.received().await.answer(&text) };
        let (answer, ()) = soon(async { tokio::join!(asking, answering) }).await;
        assert!(answer.text().contains(&text));
    }
    assert_eq!(provider.connections(), 1);
}

#[tokio::test]
async fn when_a_connection_ends_in_order_streams_go_on_and_new_ones_take_another() {
    let mut provider = H2Provider::start(None).await;
    let gateway = provider.gateway().await;
    let (open, received, mut body) = begun(&gateway, &mut provider).await;
    provider.fates.send(Fate::End).ok().unwrap();
    let asking = gateway.chat("x");
    let answering = async {
        let received = provider.received().await;
        let connection = received.connection;
        received.answer("hello");
        connection
    };
    let (answer, connection) = tokio::join!(asking, answering);
    assert_eq!((answer.status, connection), (200, 2));
    body.send_data("data: [DONE]\n\n".into(), true).unwrap();
    let answer = soon(read(open.0)).await;
    assert!(answer.is_clean && answer.text().ends_with("data: [DONE]\n\n"));
    assert_eq!(received.connection, 1);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_and_the_caller_sees_nothing_of_it() {
    let mut provider = H2Provider::start(None).await;
    let mut gateway = provider.gateway().await;
    let asking = gateway.chat("x");
    let answering = async {
        provider.received().await.refuse();
        let again = provider.received().await;
        let connection = again.connection;
        again.answer("hello");
        connection
    };
    let (answer, connection) = tokio::join!(asking, answering);
    assert_eq!((answer.status, connection), (200, 2));
    assert_eq!(gateway.log_line().await["status"], 200);
    // One that refuses everything is told of in the end.
    let asking = gateway.chat("x");
    let refusing = async {
        loop {
            provider.received().await.refuse();
        }
    };
    let answer = tokio::select! {
        answer = asking => answer,
        () = refusing => panic!("it goes on for ever"),
    };
    assert_eq!(
        (answer.status, &*answer.code()),
        (502, "provider_connection_lost")
    );
}

#[tokio::test]
async fn a_provider_of_which_nothing_is_heard_any_more_is_found_out() {
    let mut provider = H2Provider::start(None).await;
    let gateway = provider.gateway().await;
    let (open, _received, _body) = begun(&gateway, &mut provider).await;
    provider.fates.send(Fate::Silence).ok().unwrap();
    // From here on time passes as fast as everybody waits.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let answer = read(open.0).await;
    let took = begun.elapsed().as_secs();
    assert!(
        (20..=31).contains(&took),
        "by pings, long before any timeout: {took} s"
    );
    assert!(
        answer.text().contains("provider_connection_lost"),
        "{}",
        answer.text()
    );
}
