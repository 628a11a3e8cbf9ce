//! A model server that costs next to nothing: one answer of 1 KB, or a stream of events.
//!
//! `bench` streams 100 chunks, each flushed on its own; `bench-burst` and `claude` stream thousands
//! as fast as they are taken; `bench-stamped` says in each event when it was sent; `bench-hold` begins a stream and goes on to its end once `POST /release`
//! has come.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Chunks of a streamed answer, besides the last ones with finish reason, usage and end marker.
pub const CHUNKS: usize = 100;
/// The same where they come as fast as they are taken.
pub const BURST: usize = 2_000;
/// Events that say when they were sent, and the time from one to the next.
pub const STAMPED: usize = 200;
const STAMPED_EVERY: Duration = Duration::from_millis(5);
/// What goes before the time of an event: nanoseconds since 1970, 19 digits.
pub const STAMP: &str = "sent at ";

/// Serves until the process is killed.
pub async fn serve(listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let answers = Answers::new();
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let answers = answers.clone();
        let service = service_fn(move |request| answer(request, answers.clone()));
        tokio::spawn(async move {
            // A client that goes away is no concern of a benchmark's model.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .with_upgrades()
                .await;
        });
    }
}

/// Made once, handed out by reference count.
#[derive(Clone)]
struct Answers {
    plain: Bytes,
    openai: Script,
    anthropic: Script,
    /// Ends the streams that are held.
    release: watch::Sender<()>,
}

/// A stream's pieces: first, again and again, last.
#[derive(Clone)]
struct Script {
    start: Bytes,
    chunk: Bytes,
    end: Bytes,
}

impl Answers {
    fn new() -> Self {
        let shape = |object: &str, choice: &str, rest: &str| {
            format!(
                "{{\"id\":\"chatcmpl-bench\",\"object\":\"{object}\",\"created\":1700000000,\
                 \"model\":\"bench\",\"choices\":[{choice}]{rest}}}"
            )
        };
        let usage = ",\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":100,\
                     \"total_tokens\":300}";
        let text = "lorem ipsum ".repeat(62);
        let message = format!(
            "{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\
             \"finish_reason\":\"stop\"}}"
        );
        let delta = "{\"index\":0,\"delta\":{\"content\":\"lorem \"},\"finish_reason\":null}";
        let finish = "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}";
        let event = |json: String| format!("data: {json}\n\n");
        let chunk = |choice: &str, rest: &str| event(shape("chat.completion.chunk", choice, rest));
        let openai = Script {
            start: chunk(delta, "").into(),
            chunk: chunk(delta, "").into(),
            end: (chunk(finish, "") + &chunk("", usage) + "data: [DONE]\n\n").into(),
        };
        Self {
            plain: shape("chat.completion", &message, usage).into(),
            openai,
            anthropic: anthropic(),
            release: watch::Sender::new(()),
        }
    }
}

fn anthropic() -> Script {
    let event =
        |name: &str, rest: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\"{rest}}}\n\n");
    let start = event(
        "message_start",
        ",\"message\":{\"id\":\"msg_bench\",\"type\":\"message\",\"role\":\"assistant\",\
         \"model\":\"claude\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\
         \"usage\":{\"input_tokens\":200,\"output_tokens\":1}}",
    ) + &event(
        "content_block_start",
        ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}",
    );
    let delta = ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"lorem ipsum dolor \"}";
    let end = event("content_block_stop", ",\"index\":0")
        + &event(
            "message_delta",
            ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\
             \"usage\":{\"output_tokens\":100}",
        )
        + &event("message_stop", "");
    Script {
        start: start.into(),
        chunk: event("content_block_delta", delta).into(),
        end: end.into(),
    }
}

impl Script {
    /// `is_paced`: each piece is flushed on its own.
    fn events(
        self,
        chunks: usize,
        is_paced: bool,
    ) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        let Self { start, chunk, end } = self;
        stream::iter(0..=chunks + 1).then(move |number| {
            let piece = match number {
                0 => &start,
                number if number <= chunks => &chunk,
                _ => &end,
            };
            let frame = Frame::data(piece.clone());
            async move {
                if is_paced {
                    // The body is not ready for a moment, so that what came before is flushed.
                    tokio::task::yield_now().await;
                }
                Ok(frame)
            }
        })
    }

    /// One event after the other, each with the time that it is sent at.
    fn stamped(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        let Self { chunk, end, .. } = self;
        let chunk = String::from_utf8_lossy(&chunk).into_owned();
        let events = stream::iter(0..STAMPED).then(move |_| {
            let chunk = chunk.clone();
            async move {
                tokio::time::sleep(STAMPED_EVERY).await;
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                let nanos = since.map_or(0, |since| since.as_nanos());
                let event = chunk.replace("lorem ", &format!("{STAMP}{nanos:019} "));
                Ok(Frame::data(Bytes::from(event)))
            }
        });
        events.chain(stream::iter([Ok(Frame::data(end))]))
    }

    /// Begins, and stays open until it is released: one more event and a clean end.
    fn held(
        self,
        mut released: watch::Receiver<()>,
    ) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        let Self { start, chunk, end } = self;
        let last = stream::once(async move {
            // The sender is there as long as the server is.
            let _ = released.changed().await;
            Ok(Frame::data(chunk))
        });
        let start = stream::iter([Ok(Frame::data(start))]);
        start
            .chain(last)
            .chain(stream::iter([Ok(Frame::data(end))]))
    }
}

/// Agrees to a WebSocket, says one thing, and listens until the other side goes.
///
/// Source: RFC 6455 §4.2.2 (handshake), §5.2 (frames).
fn open_socket(
    mut request: Request<Incoming>,
    key: &HeaderValue,
) -> Response<BoxBody<Bytes, Infallible>> {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const TEXT: u8 = 0x81;
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let mut socket = TokioIo::new(upgraded);
        let event = b"{\"type\":\"session.created\"}";
        let frame = [&[TEXT, event.len() as u8][..], event].concat();
        if socket.write_all(&frame).await.is_ok() {
            let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
        }
    });
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::try_from(BASE64_STANDARD.encode(digest));
    headers.extend(accept.ok().map(|accept| (SEC_WEBSOCKET_ACCEPT, accept)));
    response
}

async fn answer(
    request: Request<Incoming>,
    answers: Answers,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    if let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).cloned() {
        return Ok(open_socket(request, &key));
    }
    if request.uri().path() == "/release" {
        answers.release.send_replace(());
        return Ok(Response::new(Full::default().boxed()));
    }
    let is_anthropic = request.uri().path() == "/v1/messages";
    let body = request.into_body().collect().await?.to_bytes();
    let says = |text: &str| memmem::find(&body, text.as_bytes()).is_some();
    let (content_type, body) = if !says("\"stream\":true") {
        ("application/json", Full::new(answers.plain).boxed())
    } else if says("\"bench-hold\"") {
        (
            "text/event-stream",
            stream_of(answers.openai.held(answers.release.subscribe())),
        )
    } else if says("\"bench-stamped\"") {
        ("text/event-stream", stream_of(answers.openai.stamped()))
    } else if is_anthropic {
        let events = answers.anthropic.events(BURST, false);
        ("text/event-stream", stream_of(events))
    } else if says("\"bench-burst\"") {
        let events = answers.openai.events(BURST, false);
        ("text/event-stream", stream_of(events))
    } else {
        let events = answers.openai.events(CHUNKS, true);
        ("text/event-stream", stream_of(events))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

fn stream_of(
    frames: impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + Sync + 'static,
) -> BoxBody<Bytes, Infallible> {
    BodyExt::boxed(StreamBody::new(frames))
}
