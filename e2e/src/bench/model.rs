//! A model server that costs next to nothing: one answer of 1 KB, or a stream of 100 chunks,
//! each flushed on its own.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Chunks of a streamed answer, besides the last ones with finish reason, usage and end marker.
pub const CHUNKS: usize = 100;

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
                .await;
        });
    }
}

/// Made once, handed out by reference count.
#[derive(Clone)]
struct Answers {
    plain: Bytes,
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
        Self {
            plain: shape("chat.completion", &message, usage).into(),
            chunk: chunk(delta, "").into(),
            end: (chunk(finish, "") + &chunk("", usage) + "data: [DONE]\n\n").into(),
        }
    }

    fn events(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        let Self { chunk, end, .. } = self;
        stream::iter(0..=CHUNKS).then(move |number| {
            let piece = if number < CHUNKS { &chunk } else { &end };
            let frame = Frame::data(piece.clone());
            async move {
                // The body is not ready for a moment, so that what came before is flushed.
                tokio::task::yield_now().await;
                Ok(frame)
            }
        })
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: Answers,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let is_streaming = body.windows(13).any(|part| part == b"\"stream\":true");
    let (content_type, body) = if is_streaming {
        let body = StreamBody::new(answers.events());
        ("text/event-stream", BodyExt::boxed(body))
    } else {
        ("application/json", Full::new(answers.plain).boxed())
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}
