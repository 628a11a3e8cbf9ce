//! A client with a kept connection that asks again and again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpStream;

use crate::gateway::chat_body;

/// How long anything may take to be in force before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two askings: what is waited for needs the cores more than the one who waits.
const ASK_AGAIN: Duration = Duration::from_micros(500);

/// One connection to a data plane; another one where that was closed, as it is after a refusal
/// that left a body unread.
pub(super) struct Caller {
    target: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) host: String,
    pub(super) key: String,
    pub(super) body: Bytes,
}

/// A short chat completion.
pub(super) fn small(model: &str) -> Bytes {
    chat_body(model, "hello", false).to_string().into()
}

/// A chat completion of so many bytes whose answer is short.
pub(super) fn large(model: &str, bytes: usize) -> Bytes {
    let messages = json!([
        {"role": "system", "content": "x".repeat(bytes)},
        {"role": "user", "content": "hello"},
    ]);
    json!({"model": model, "messages": messages})
        .to_string()
        .into()
}

impl Caller {
    pub(super) async fn connect(target: SocketAddr) -> Result<Self> {
        let sender = open(target).await?;
        Ok(Self { target, sender })
    }

    /// Asks once and reads the whole answer; its status.
    pub(super) async fn ask(&mut self, question: &Question) -> Result<u16> {
        let mut response = self.begin(question).await?;
        while let Some(frame) = response.body_mut().frame().await {
            frame?;
        }
        Ok(response.status().as_u16())
    }

    /// Asks once; the answer as it begins. To drop it before its end is to hang up.
    pub(super) async fn begin(&mut self, question: &Question) -> Result<Response<Incoming>> {
        if self.sender.ready().await.is_err() {
            self.sender = open(self.target).await?;
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/chat/completions")
            .header(HOST, &question.host)
            .header(AUTHORIZATION, format!("Bearer {}", question.key))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(question.body.clone()))?;
        self.sender.send_request(request).await.context("asking")
    }

    /// The time of one answer, which must be 200.
    pub(super) async fn time(&mut self, question: &Question) -> Result<Duration> {
        let begun = Instant::now();
        let status = self.ask(question).await?;
        ensure!(status == 200, "{} answers {status}", question.host);
        Ok(begun.elapsed())
    }

    /// Asks again and again until the answer's status is as wanted; the time since then, up to
    /// a millisecond too long.
    pub(super) async fn until(
        &mut self,
        question: &Question,
        since: Instant,
        wanted: impl Fn(u16) -> bool,
    ) -> Result<Duration> {
        loop {
            let status = self.ask(question).await?;
            let waited = since.elapsed();
            if wanted(status) {
                return Ok(waited);
            }
            let host = &question.host;
            ensure!(waited < PATIENCE, "{host} still answers {status}");
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

async fn open(target: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let socket = TcpStream::connect(target).await.context("connecting")?;
    socket.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(socket)).await?;
    // It ends with the sender; what breaks it the next request tells.
    tokio::spawn(connection);
    Ok(sender)
}

/// Connections that wait to be used again.
pub(super) struct Callers {
    target: SocketAddr,
    idle: Mutex<Vec<Caller>>,
}

impl Callers {
    pub(super) fn new(target: SocketAddr) -> Self {
        Self {
            target,
            idle: Mutex::default(),
        }
    }

    pub(super) async fn take(&self) -> Result<Caller> {
        let idle = self.idle.lock().pop();
        match idle {
            Some(caller) => Ok(caller),
            None => Caller::connect(self.target).await,
        }
    }

    pub(super) fn put_back(&self, caller: Caller) {
        self.idle.lock().push(caller);
    }
}
