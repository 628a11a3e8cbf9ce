//! Large bodies: passed as they come, byte for byte, held nowhere; and what becomes of those that are wrong,
//! too long, or have to be sent twice.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;
use turnpike_snapshot::domain::Rule;
use turnpike_snapshot::retries::{Failure, Retries};

use crate::request_gateway::{TestGateway, soon};
use crate::request_provider::chat_answer;
use crate::request_world::{HOST, KEY, World, backend, echo, model, object, rule, upstream};

const MIB: usize = 1 << 20;

/// A provider that takes bodies piece by piece, as fast as it is let, and forgets them.
struct Taker {
    address: SocketAddr,
    /// One permit for each piece that it may read; plenty at first, unless it is slow.
    pace: Arc<Semaphore>,
    taken: Arc<AtomicU64>,
    received: mpsc::UnboundedReceiver<Received>,
    _server: AbortOnDropHandle<()>,
}

struct Received {
    headers: HeaderMap,
    sha256: Vec<u8>,
    bytes: u64,
    /// The body came to its end.
    is_clean: bool,
}

/// What it does with a request.
#[derive(Clone, Copy)]
enum Manner {
    /// Reads all and answers.
    Takes,
    /// The same, only as far as it has permits.
    Slow,
    /// Answers 429 when this much has come.
    RefusesAfter(u64),
}

impl Taker {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let pace = Arc::new(Semaphore::new(match manner {
            Manner::Slow => 0,
            _ => Semaphore::MAX_PERMITS,
        }));
        let (record, received) = mpsc::unbounded_channel();
        let taken = Arc::new(AtomicU64::new(0));
        let (slow, count) = (pace.clone(), taken.clone());
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (slow, count, record) = (slow.clone(), count.clone(), record.clone());
                let service = service_fn(move |request| {
                    take(request, manner, slow.clone(), count.clone(), record.clone())
                });
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            address,
            pace,
            taken,
            received,
            _server: AbortOnDropHandle::new(server),
        }
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    async fn received(&mut self) -> Received {
        soon(self.received.recv()).await.unwrap()
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

async fn take(
    request: Request<Incoming>,
    manner: Manner,
    pace: Arc<Semaphore>,
    taken: Arc<AtomicU64>,
    record: mpsc::UnboundedSender<Received>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, mut body) = request.into_parts();
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let is_clean = loop {
        if let Manner::RefusesAfter(after) = manner
            && bytes >= after
        {
            let mut response = Response::new(Full::from(r#"{"error":{"message":"slow down"}}"#));
            *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
            return Ok(response);
        }
        pace.acquire().await.unwrap().forget();
        match body.frame().await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => {
                let piece = frame.into_data().unwrap_or_default();
                hash.update(&piece);
                bytes += piece.len() as u64;
                taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        }
    };
    let _ = record.send(Received {
        headers: parts.headers,
        sha256: hash.finalize().to_vec(),
        bytes,
        is_clean,
    });
    let answer = Full::from(chat_answer("seen").to_string());
    let mut response = Response::new(answer);
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    Ok(response)
}

/// A picture of this size, as base64 looks.
fn picture(bytes: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |at: usize| char::from(alphabet[(at.wrapping_mul(2_654_435_761) >> 7) % 64]);
    let part: String = (0..1021).map(letter).collect();
    let mut whole = part.repeat(bytes / part.len() + 1);
    whole.truncate(bytes);
    whole
}

fn messages(bytes: usize) -> String {
    let url = format!("data:image/png;base64,{}", picture(bytes));
    format!(
        r#""messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]"#
    )
}

fn model_first(bytes: usize) -> String {
    format!(r#"{{"model":"m","stream":false,{}}}"#, messages(bytes))
}

fn model_last(bytes: usize) -> String {
    format!(r#"{{{}, "temperature":0.5,"model":"m"}}"#, messages(bytes))
}

fn sha256(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

/// A world whose one rule looks at the model: its name is awaited before anything is sent.
fn by_model(provider: turnpike_snapshot::provider::Upstream) -> World {
    let mut world = World::with(provider);
    world.route().rules = vec![rule("main", &["m*"])];
    world.route().max_body_bytes = Some(32 * MIB as u64);
    world
}

/// A world in which nothing looks at the model.
fn by_nothing(provider: turnpike_snapshot::provider::Upstream) -> World {
    let mut world = World::with(provider);
    world.route().max_body_bytes = Some(32 * MIB as u64);
    world
}

fn head(more: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\nx-api-key: {KEY}\r\nconnection: close\r\n{more}\r\n"
    )
}

/// Sends a body in chunks (`length` of `None`), or with this length, and gives the answer.
async fn post(gateway: &TestGateway, body: &str, is_chunked: bool) -> String {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let framing = match is_chunked {
        true => "transfer-encoding: chunked\r\n".to_owned(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    stream.write_all(head(&framing).as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.split();
    let send = async {
        for piece in body.as_bytes().chunks(50_021) {
            if is_chunked {
                write
                    .write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                    .await?;
            }
            write.write_all(piece).await?;
            if is_chunked {
                write.write_all(b"\r\n").await?;
            }
        }
        if is_chunked {
            write
                .write_all(b"0\r\nx-turnpike-consumer: bob\r\n\r\n")
                .await?;
        }
        std::io::Result::Ok(())
    };
    let mut answer = Vec::new();
    let (_, _) = soon(async { tokio::join!(send, read.read_to_end(&mut answer)) }).await;
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> u16 {
    answer
        .get(9..12)
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{answer:?}"))
}

/// Sends these, and checks what the provider was sent and what is told of it.
async fn passes(mut provider: Taker, world: World, bodies: &[(String, bool)]) {
    let mut gateway = TestGateway::start(world).await;
    for (body, is_chunked) in bodies {
        let answer = post(&gateway, body, *is_chunked).await;
        assert_eq!(status(&answer), 200, "{answer}");
        let received = provider.received().await;
        assert!(received.is_clean);
        assert_eq!(received.sha256, sha256(body));
        let line = gateway.log_line().await;
        assert_eq!(line["bytes_in"], body.len());
        assert_eq!(
            (&line["model"]["requested"], &line["status"]),
            (&"m".into(), &200.into())
        );
        assert_eq!(line["tokens"]["input"], 11);
    }
    assert_eq!(gateway.shared.budget.held(), 0);
}

#[tokio::test]
async fn a_picture_of_20_mb_passes_byte_for_byte_wherever_the_model_stands() {
    let provider = Taker::start(Manner::Takes).await;
    let world = by_model(upstream("OpenAI", &provider.url()));
    let bodies = [(model_first(20 * MIB), true), (model_last(20 * MIB), false)];
    passes(provider, world, &bodies).await;
}

#[tokio::test]
async fn where_nothing_looks_at_the_model_it_is_seen_in_passing() {
    let provider = Taker::start(Manner::Takes).await;
    let world = by_nothing(upstream("OpenAI", &provider.url()));
    let bodies = [model_first(2 * MIB), model_last(2 * MIB)];
    let bodies = bodies.map(|body| [(body.clone(), false), (body, true)]);
    passes(provider, world, &bodies.concat()).await;
}

#[tokio::test]
async fn the_length_is_told_where_it_is_known() {
    let mut provider = Taker::start(Manner::Takes).await;
    let mut world = by_model(upstream("OpenAI", &provider.url()));
    // The caller's `m` becomes a longer name.
    if let Some((_, turnpike_snapshot::provider::Provider::Upstream(upstream))) =
        world.providers.first_mut()
    {
        upstream.models = vec![model("m", Some("a-longer-name"))];
    }
    let gateway = TestGateway::start(world).await;
    let renamed = |body: &str| body.replace(r#""model":"m""#, r#""model":"a-longer-name""#);
    for (body, sent, is_known) in [
        (model_first(MIB), renamed(&model_first(MIB)), true),
        (model_last(MIB), renamed(&model_last(MIB)), true),
        // Whether usage must be asked for is not known yet.
        (
            format!(r#"{{"model":"m",{},"stream":true}}"#, messages(MIB)),
            format!(
                r#"{{"model":"a-longer-name",{},"stream":true,"stream_options":{{"include_usage":true}}}}"#,
                messages(MIB)
            ),
            false,
        ),
    ] {
        post(&gateway, &body, false).await;
        let received = provider.received().await;
        assert_eq!(received.sha256, sha256(&sent));
        let length = received.headers.get("content-length");
        let length = length.map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(length, is_known.then(|| sent.len().to_string()));
    }
}

#[tokio::test]
async fn who_waits_for_100_is_welcome_before_anything_is_read() {
    let mut provider = Taker::start(Manner::Takes).await;
    let gateway = TestGateway::start(by_model(upstream("OpenAI", &provider.url()))).await;
    let body = model_last(20 * MIB);
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let more = format!("expect: 100-continue\r\ncontent-length: {}\r\n", body.len());
    stream.write_all(head(&more).as_bytes()).await.unwrap();
    let mut welcome = [0; 25];
    soon(stream.read_exact(&mut welcome)).await.unwrap();
    assert_eq!(&welcome, b"HTTP/1.1 100 Continue\r\n\r\n");
    soon(stream.write_all(body.as_bytes())).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(provider.received().await.sha256, sha256(&body));
}

#[tokio::test]
async fn a_provider_that_does_not_read_stops_the_caller() {
    let mut provider = Taker::start(Manner::Slow).await;
    let gateway = TestGateway::start(by_nothing(upstream("OpenAI", &provider.url()))).await;
    let body = model_first(24 * MIB);
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let more = format!("content-length: {}\r\n", body.len());
    stream.write_all(head(&more).as_bytes()).await.unwrap();
    let mut sent = 0;
    // Until nothing has moved for a while.
    while let Ok(written) = tokio::time::timeout(
        Duration::from_millis(500),
        stream.write(&body.as_bytes()[sent..]),
    )
    .await
    {
        sent += written.unwrap();
        assert!(sent < 20 * MIB, "nobody stopped it");
    }
    assert_eq!(provider.taken(), 0);
    assert!(gateway.shared.budget.held() <= 256 << 10);
    provider.pace.add_permits(Semaphore::MAX_PERMITS);
    soon(stream.write_all(&body.as_bytes()[sent..]))
        .await
        .unwrap();
    let received = provider.received().await;
    assert!(received.is_clean);
    assert_eq!(received.sha256, sha256(&body));
}

#[tokio::test]
async fn a_body_that_is_wrong_never_reaches_its_end_at_the_provider() {
    let mut provider = Taker::start(Manner::Takes).await;
    let mut gateway = TestGateway::start(by_nothing(upstream("OpenAI", &provider.url()))).await;
    let no_model = format!("{{{}}}", messages(2 * MIB));
    let twice = format!(r#"{{"model":"m",{},"model":"n"}}"#, messages(2 * MIB));
    let cut = format!(r#"{{"model":"m",{}"#, messages(2 * MIB));
    for (body, code) in [
        (no_model, "missing_model"),
        (twice, "duplicate_member"),
        (cut, "invalid_json"),
    ] {
        for is_chunked in [false, true] {
            let answer = post(&gateway, &body, is_chunked).await;
            assert_eq!(status(&answer), 400, "{answer}");
            assert!(answer.contains(code), "{answer}");
            assert!(!provider.received().await.is_clean);
            let line = gateway.log_line().await;
            assert_eq!(
                (&line["error"], &line["end"]),
                (&code.into(), &"error".into())
            );
            assert!(line.get("tokens").is_none(), "{line}");
        }
    }
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_long_is_413_while_it_passes() {
    let mut provider = Taker::start(Manner::Takes).await;
    let mut world = by_nothing(upstream("OpenAI", &provider.url()));
    world.route().max_body_bytes = Some(3 * MIB as u64);
    let gateway = TestGateway::start(world).await;
    let answer = post(&gateway, &model_first(4 * MIB), true).await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert!(answer.contains("maxBodyBytes"), "{answer}");
    assert!(!provider.received().await.is_clean);
}

#[tokio::test]
async fn a_caller_who_leaves_takes_the_request_with_him() {
    let mut provider = Taker::start(Manner::Takes).await;
    let mut gateway = TestGateway::start(by_nothing(upstream("OpenAI", &provider.url()))).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let more = format!("content-length: {}\r\n", 4 * MIB);
    stream.write_all(head(&more).as_bytes()).await.unwrap();
    stream
        .write_all(&model_first(MIB).as_bytes()[..MIB])
        .await
        .unwrap();
    drop(stream);
    assert!(!provider.received().await.is_clean);
    assert_eq!(gateway.log_line().await["end"], "client_gone");
    assert!(gateway.stop().await.is_empty());
}

/// One provider that refuses, then one that takes.
fn failing_over(first: &Taker, second: &Taker) -> World {
    let mut world = by_nothing(upstream("OpenAI", &first.url()));
    let second = upstream("OpenAI", &second.url());
    world.providers.push((
        object("other"),
        turnpike_snapshot::provider::Provider::Upstream(second),
    ));
    let mut other = backend("other");
    other.priority = 1;
    world.route().rules = vec![Rule {
        backends: vec![backend("main"), other],
        retries: Retries {
            conditions: vec![Failure::RateLimited, Failure::Connect],
            is_failover: true,
            ..Retries::default()
        },
        ..rule("main", &[])
    }];
    world
}

#[tokio::test]
async fn a_large_body_goes_to_another_provider_only_while_its_beginning_is_kept() {
    for (after, expected) in [(1, 200), (MIB as u64, 429)] {
        let first = Taker::start(Manner::RefusesAfter(after)).await;
        let mut second = Taker::start(Manner::Takes).await;
        let mut gateway = TestGateway::start(failing_over(&first, &second)).await;
        let body = model_first(4 * MIB);
        // The refusal must come before more is sent than is kept.
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let more = format!("content-length: {}\r\n", body.len());
        stream.write_all(head(&more).as_bytes()).await.unwrap();
        let mut sent = 100_000;
        stream.write_all(&body.as_bytes()[..sent]).await.unwrap();
        if expected == 429 {
            soon(stream.write_all(&body.as_bytes()[sent..2 * MIB]))
                .await
                .unwrap();
            sent = 2 * MIB;
        }
        let is_begun = async {
            while first.taken() < after.min(90_000) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(is_begun).await;
        let (mut read, mut write) = stream.split();
        let mut answer = Vec::new();
        let send = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            write.write_all(&body.as_bytes()[sent..]).await
        };
        let (_, _) = soon(async { tokio::join!(send, read.read_to_end(&mut answer)) }).await;
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(status(&answer), expected, "{answer}");
        let line = gateway.log_line().await;
        match expected {
            200 => {
                assert_eq!(second.received().await.sha256, sha256(&body));
                assert_eq!(line["failed_attempts"], 1);
            }
            _ => {
                assert_eq!(line["retry"], "body_too_large", "{line}");
                assert!(
                    answer.contains("x-turnpike-retry: body_too_large\r\n"),
                    "{answer}"
                );
                assert!(second.received.try_recv().is_err());
            }
        }
    }
}

#[tokio::test]
async fn a_body_on_disk_can_be_sent_again() {
    let first = Taker::start(Manner::RefusesAfter(3 * MIB as u64)).await;
    let mut second = Taker::start(Manner::Takes).await;
    let mut world = failing_over(&first, &second);
    world.route().rules[0].matches[0].models = vec!["m".into()];
    let gateway = TestGateway::start(world).await;
    let body = model_last(8 * MIB);
    let answer = post(&gateway, &body, true).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(second.received().await.sha256, sha256(&body));
}

#[tokio::test]
async fn nobody_there_is_no_attempt_that_began() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let nobody = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let first = Taker::start(Manner::Takes).await;
    let mut second = Taker::start(Manner::Takes).await;
    let mut world = failing_over(&first, &second);
    let nobody = upstream("OpenAI", &nobody);
    world.providers[0].1 = turnpike_snapshot::provider::Provider::Upstream(nobody);
    let gateway = TestGateway::start(world).await;
    let body = model_first(4 * MIB);
    assert_eq!(status(&post(&gateway, &body, false).await), 200);
    assert_eq!(second.received().await.sha256, sha256(&body));
}

#[tokio::test]
async fn an_early_refusal_is_told_and_its_connection_not_used_again() {
    let provider = Taker::start(Manner::RefusesAfter(1)).await;
    let gateway = TestGateway::start(by_nothing(upstream("OpenAI", &provider.url()))).await;
    for _ in 0..3 {
        let answer = post(&gateway, &model_first(8 * MIB), true).await;
        assert_eq!(status(&answer), 429, "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    assert_eq!(gateway.shared.budget.held(), 0);
}

#[tokio::test]
async fn a_model_in_this_process_is_given_the_whole() {
    let gateway = TestGateway::start(by_model(echo())).await;
    for body in [model_first(2 * MIB), model_last(2 * MIB)] {
        let body = body.replace(
            r#"[{"type":"image_url","#,
            r#"[{"type":"text","text":"hi"},{"type":"image_url","#,
        );
        let answer = post(&gateway, &body, true).await;
        assert_eq!(status(&answer), 200, "{answer}");
    }
    assert_eq!(gateway.shared.budget.held(), 0);
}

/// Read to its end, so that the connection could serve again.
#[tokio::test]
async fn a_body_read_to_its_end_leaves_the_connection_open() {
    let mut provider = Taker::start(Manner::Takes).await;
    let gateway = TestGateway::start(by_nothing(upstream("OpenAI", &provider.url()))).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    for _ in 0..2 {
        let request = Request::post("/v1/chat/completions")
            .header("host", HOST)
            .header("x-api-key", KEY);
        let body = model_first(MIB);
        let request = request.body(Full::new(Bytes::from(body.clone()))).unwrap();
        let response = soon(sender.send_request(request)).await.unwrap();
        assert!(response.headers().get("connection").is_none());
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
        assert_eq!(provider.received().await.bytes, body.len() as u64);
        soon(sender.ready()).await.unwrap();
    }
}
