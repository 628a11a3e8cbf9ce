//! A load of equal requests over kept connections, written and read as bytes: a client library would
//! cost more than the proxies that are measured.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

use super::model;
use crate::gateway::chat_body;

/// The request that is sent again and again.
#[derive(Debug, Clone)]
pub(super) struct Load {
    request: Bytes,
    /// At least that many bytes come back, or the answer is not what is to be measured.
    least: usize,
}

/// A connection on which one request is under way at a time.
pub(super) struct RawConnection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Load {
    /// A whole answer of 1 KB to a prompt of so many bytes.
    pub(super) fn chat(host: &str, key: &str, prompt_bytes: usize) -> Self {
        let body = chat_body("bench", &lorem(prompt_bytes), false).to_string();
        Self::whole(host, key, &body)
    }

    /// The same to a whole body.
    pub(super) fn whole(host: &str, key: &str, body: &str) -> Self {
        Self {
            request: request(host, key, "/v1/chat/completions", body),
            least: 800,
        }
    }

    /// A stream of a model; `is_native`: in Anthropic's protocol, else in OpenAI's.
    pub(super) fn stream(
        host: &str,
        key: &str,
        model: &str,
        events: usize,
        is_native: bool,
    ) -> Self {
        let body = chat_body(model, &lorem(900), true).to_string();
        let path = match is_native {
            true => "/v1/messages",
            false => "/v1/chat/completions",
        };
        Self {
            request: request(host, key, path, &body),
            least: events * 80,
        }
    }

    /// A WebSocket of OpenAI's Realtime.
    pub(super) fn socket(host: &str, key: &str, model: &str) -> Self {
        let request = format!(
            "GET /v1/realtime?model={model} HTTP/1.1\r\nhost: {host}\r\n\
             authorization: Bearer {key}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        Self {
            request: request.into(),
            least: 0,
        }
    }

    /// Sends `requests` over `connections`, each one after the other; the time of every answer,
    /// from the request to the last byte.
    pub(super) async fn run(
        &self,
        target: SocketAddr,
        connections: usize,
        requests: usize,
    ) -> Result<Vec<Duration>> {
        let each = requests.div_ceil(connections);
        let tasks = (0..connections).map(|_| {
            let load = self.clone();
            async move { tokio::spawn(async move { load.connection(target, each).await }).await? }
        });
        Ok(try_join_all(tasks).await?.concat())
    }

    /// Sends them on one connection at a rate, as long as each is answered before the next is due.
    pub(super) async fn run_at(
        &self,
        target: SocketAddr,
        rate: f64,
        requests: usize,
    ) -> Result<Vec<Duration>> {
        let mut connection = RawConnection::open(target).await?;
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut times = Vec::with_capacity(requests);
        for _ in 0..requests {
            ticks.tick().await;
            times.push(connection.exchange(self).await?);
        }
        Ok(times)
    }

    /// Reads streams whose events say when they were sent, on so many connections at a time; how long
    /// each event was on its way.
    pub(super) async fn delays(
        &self,
        target: SocketAddr,
        connections: usize,
    ) -> Result<Vec<Duration>> {
        let tasks = (0..connections).map(|_| {
            let load = self.clone();
            async move {
                let reading = async move { RawConnection::open(target).await?.delays(&load).await };
                tokio::spawn(reading).await?
            }
        });
        Ok(try_join_all(tasks).await?.concat())
    }

    async fn connection(&self, target: SocketAddr, requests: usize) -> Result<Vec<Duration>> {
        let mut connection = RawConnection::open(target).await?;
        let mut times = Vec::with_capacity(requests);
        for _ in 0..requests {
            times.push(connection.exchange(self).await?);
        }
        Ok(times)
    }
}

impl RawConnection {
    pub(super) async fn open(target: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(target).await.context("connecting")?;
        let mut connection = Self::new(socket)?;
        connection.buffer.resize(64 << 10, 0);
        Ok(connection)
    }

    pub(super) fn new(socket: TcpStream) -> Result<Self> {
        socket.set_nodelay(true)?;
        let buffer = vec![0; 1024];
        Ok(Self { socket, buffer })
    }

    pub(super) async fn send(&mut self, load: &Load) -> Result<()> {
        self.socket
            .write_all(&load.request)
            .await
            .context("sending")
    }

    /// Waits for the first bytes of an answer with success.
    pub(super) async fn await_some(&mut self) -> Result<usize> {
        let length = self.socket.read(&mut self.buffer).await?;
        let start = &self.buffer[..length];
        ensure!(
            start.starts_with(b"HTTP/1.1 200") || start.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(start)
        );
        Ok(length)
    }

    async fn delays(&mut self, load: &Load) -> Result<Vec<Duration>> {
        self.send(load).await?;
        let mut length = self.await_some().await?;
        let (mut tail, mut found) = (Tail::default(), Vec::new());
        loop {
            let bytes = &self.buffer[..length];
            found.extend(delays(bytes, SystemTime::now()));
            tail.push(bytes);
            if tail.is_last_chunk() {
                break;
            }
            length = self.socket.read(&mut self.buffer).await?;
            ensure!(
                length > 0,
                "a stream broke off after {} events",
                found.len()
            );
        }
        // One that was cut in two by a read is not looked at.
        ensure!(
            found.len() >= model::STAMPED * 9 / 10,
            "{} events",
            found.len()
        );
        Ok(found)
    }

    async fn exchange(&mut self, load: &Load) -> Result<Duration> {
        let started = Instant::now();
        self.send(load).await?;
        let mut length = self.await_some().await?;
        // The heads of the programs measured are small and come in one piece.
        let head = memmem::find(&self.buffer[..length], b"\r\n\r\n").context("no whole head")? + 4;
        let whole = content_length(&self.buffer[..head]);
        let mut received = length - head;
        let mut tail = Tail::default();
        tail.push(&self.buffer[head..length]);
        while whole.map_or(!tail.is_last_chunk(), |whole| received < whole) {
            length = self.socket.read(&mut self.buffer).await?;
            tail.push(&self.buffer[..length]);
            received += length;
            if length == 0 {
                bail!("an answer broke off after {received} bytes");
            }
        }
        ensure!(received >= load.least, "an answer of {received} bytes");
        Ok(started.elapsed())
    }
}

/// The delays of the events whose times stand in these bytes.
fn delays(bytes: &[u8], now: SystemTime) -> impl Iterator<Item = Duration> {
    memmem::find_iter(bytes, model::STAMP).filter_map(move |at| {
        let begin = at + model::STAMP.len();
        let digits = std::str::from_utf8(bytes.get(begin..begin + 19)?).ok()?;
        let sent = UNIX_EPOCH + Duration::from_nanos(digits.parse().ok()?);
        now.duration_since(sent).ok()
    })
}

/// The last bytes of a body in chunks.
#[derive(Default)]
struct Tail([u8; 5]);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(self.0.len());
        self.0.rotate_left(kept);
        let start = self.0.len() - kept;
        self.0[start..].copy_from_slice(&bytes[bytes.len() - kept..]);
    }

    /// No event of the model server ends like the chunk that ends a body.
    fn is_last_chunk(&self) -> bool {
        self.0 == *b"0\r\n\r\n"
    }
}

fn request(host: &str, key: &str, path: &str, body: &str) -> Bytes {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\naccept: */*\r\nuser-agent: turnpike-bench\r\n\
         content-length: {length}\r\n\r\n"
    );
    Bytes::from(head + body)
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?.to_ascii_lowercase();
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))?;
    line.trim().parse().ok()
}

fn lorem(bytes: usize) -> String {
    "lorem ipsum ".repeat(bytes.div_ceil(12))
}
