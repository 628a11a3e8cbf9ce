//! The access log: one JSON line for each request, written by a thread of its own.
//!
//! What waits is bounded: when the sink is too slow, lines are dropped and
//! counted; requests never wait. A line has names and figures, never content
//! and never a key.

mod line;
mod waiting;

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use tracing::warn;

use self::waiting::Waiting;
use crate::request::request_id::RequestId;
use crate::store::view::Consumer;

/// Bytes of lines that wait for the sink: at about half a KB each, 16,000.
const ROOM: usize = 8 << 20;

/// The thread rests that long after it wrote, so that a busy gateway need not wake it for each
/// request: that took a tenth of the time of a plain one.
const PAUSE: Duration = Duration::from_millis(5);

/// One request, as it ended. What does not apply is left out.
#[derive(Debug)]
pub struct Record {
    /// When the request's head was complete.
    pub time: Timestamp,
    pub request_id: RequestId,
    pub remote: IpAddr,
    /// `None`: the request named none that could be one.
    pub host: Option<Arc<str>>,
    pub method: Method,
    /// Without its query; a copy, so that the connection can read into its buffer again.
    pub path: Box<str>,
    /// As the client saw it; 499: it was gone before there was one. Of a stream that had to be begun
    /// before there was anything of it: what it would have been.
    pub status: u16,
    pub operation: Option<&'static str>,
    pub namespace: Option<Arc<str>>,
    pub route: Option<Arc<str>>,
    pub rule: Option<Arc<str>>,
    pub consumer: Option<Arc<Consumer>>,
    pub provider: Option<Arc<str>>,
    /// Names the provider's key; never the key itself.
    pub credential: Option<Arc<str>>,
    /// What the provider speaks.
    pub protocol: Option<&'static str>,
    pub model: Models,
    pub stream: bool,
    pub tokens: Option<Tokens>,
    pub first_token_ms: Option<u64>,
    pub duration_ms: u64,
    /// Attempts that another one followed.
    pub failed_attempts: u32,
    /// Why no attempt followed the last one that failed, though the rule has another.
    pub retry: Option<&'static str>,
    /// Of the request's body; of a session, of all that came.
    pub bytes_in: u64,
    /// Of the response's body, as handed to the connection, without comments of the gateway's own.
    pub bytes_out: u64,
    pub end: End,
    /// The code that the client was told.
    pub error: Option<Box<str>>,
}

/// The model, as each side calls it.
#[derive(Debug, Default)]
pub struct Models {
    pub requested: Option<Arc<str>>,
    pub upstream: Option<Arc<str>>,
    pub response: Option<Box<str>>,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All input, cached included.
    pub input: u64,
    pub cached: Option<u64>,
    /// All output, reasoning included.
    pub output: u64,
    pub reasoning: Option<u64>,
    /// The part of the input that was sound.
    pub audio_input: Option<u64>,
    /// The part of the output that was sound.
    pub audio_output: Option<u64>,
    /// The provider did not say all of it.
    pub estimated: bool,
}

impl Tokens {
    /// Adds those of another response.
    pub fn add(&mut self, other: Self) {
        let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (None, None) => None,
            _ => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
        };
        *self = Self {
            input: self.input.saturating_add(other.input),
            cached: sum(self.cached, other.cached),
            output: self.output.saturating_add(other.output),
            reasoning: sum(self.reasoning, other.reasoning),
            audio_input: sum(self.audio_input, other.audio_input),
            audio_output: sum(self.audio_output, other.audio_output),
            estimated: self.estimated || other.estimated,
        };
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of the answer was handed over.
    Complete,
    /// The client hung up first.
    ClientGone,
    /// The provider stopped in the middle of its answer.
    ProviderCut,
    /// The provider sent something in mid-answer that cannot be used.
    ProviderFault,
    /// The timeout of this name.
    Timeout(&'static str),
    /// An error answer was handed over.
    Error,
    /// The code of this gateway failed.
    Panic,
}

/// Takes records. Cheap to clone; clones share.
#[derive(Clone)]
pub struct AccessLog(Arc<Shared>);

struct Shared {
    waiting: Arc<Waiting>,
    dropped: Arc<AtomicU64>,
}

/// The thread that writes; it ends once every [`AccessLog`] is gone.
pub struct Writer {
    thread: JoinHandle<()>,
}

thread_local! {
    /// Where a line is made, before it is known whether there is room for it.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl AccessLog {
    /// Starts the thread that writes to `sink`.
    ///
    /// Errors: the machine gives no more threads.
    pub fn spawn(sink: impl Write + Send + 'static) -> io::Result<(Self, Writer)> {
        Self::with_room(ROOM, sink)
    }

    fn with_room(room: usize, sink: impl Write + Send + 'static) -> io::Result<(Self, Writer)> {
        let waiting = Arc::new(Waiting::new(room));
        let taking = waiting.clone();
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(&taking, sink))?;
        let shared = Shared {
            waiting,
            dropped: Arc::default(),
        };
        Ok((Self(Arc::new(shared)), Writer { thread }))
    }

    /// Tells of a request; never waits for the sink.
    pub fn record(&self, record: &Record) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            line::append(line, record);
            if !self.0.waiting.add(line) {
                self.0.dropped.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// How many lines were lost because the sink was too slow or gone.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Gives that count to whoever shows it; holding it does not keep the log open.
    pub fn dropped_count(&self) -> Arc<AtomicU64> {
        self.0.dropped.clone()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.waiting.close();
    }
}

impl Writer {
    /// Waits until all that was handed over is written. Blocks while any [`AccessLog`] is left.
    pub fn join(self) {
        if self.thread.join().is_err() {
            warn!("the access log's thread panicked; lines may be lost");
        }
    }
}

/// A sink that is gone (a closed pipe) must not end the gateway.
fn write_all(waiting: &Waiting, mut sink: impl Write) {
    let mut lines = Vec::new();
    while waiting.take(&mut lines) {
        let _ = sink.write_all(&lines).and_then(|()| sink.flush());
        lines.clear();
        waiting.rest(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use parking_lot::Mutex;
    use turnpike_snapshot::name::ObjectName;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn record() -> Record {
        Record {
            time: Timestamp::UNIX_EPOCH,
            request_id: RequestId::of(&HeaderMap::from_iter([(
                HeaderName::from_static("x-request-id"),
                HeaderValue::from_static("r-1"),
            )])),
            remote: [127, 0, 0, 1].into(),
            host: Some("a.test".into()),
            method: Method::POST,
            path: "/v1/chat/completions".into(),
            status: 200,
            operation: None,
            namespace: None,
            route: None,
            rule: None,
            consumer: None,
            provider: None,
            credential: None,
            protocol: None,
            model: Models::default(),
            stream: true,
            tokens: None,
            first_token_ms: None,
            duration_ms: 7,
            failed_attempts: 0,
            retry: None,
            bytes_in: 1,
            bytes_out: 2,
            end: End::Timeout("idle"),
            error: None,
        }
    }

    #[test]
    fn a_record_is_one_line_without_what_does_not_apply() {
        let sink = Sink::default();
        let (log, writer) = AccessLog::spawn(sink.clone()).unwrap();
        log.record(&record());
        drop(log);
        writer.join();
        let expected = concat!(
            r#"{"time":"1970-01-01T00:00:00Z","request_id":"r-1","remote":"127.0.0.1","host":"a.test","#,
            r#""method":"POST","path":"/v1/chat/completions","status":200,"stream":true,"#,
            r#""duration_ms":7,"bytes_in":1,"bytes_out":2,"end":"timeout:idle"}"#,
            "\n",
        );
        assert_eq!(String::from_utf8(sink.0.lock().clone()).unwrap(), expected);
    }

    #[test]
    fn every_member_has_its_name_and_what_needs_it_is_escaped() {
        let consumer = Consumer {
            name: ObjectName::new("team", "alice"),
            groups: Vec::new(),
            is_suspended: false,
        };
        let full = Record {
            host: None,
            operation: Some("ChatCompletions"),
            namespace: Some("team".into()),
            route: Some("main".into()),
            rule: Some("r".into()),
            consumer: Some(Arc::new(consumer)),
            provider: Some("p".into()),
            credential: Some("k".into()),
            protocol: Some("OpenAI"),
            model: Models {
                requested: Some("a\"b\\c\n\u{1F600}\u{7f}".into()),
                upstream: None,
                response: Some("m".into()),
            },
            tokens: Some(Tokens {
                input: 1,
                cached: Some(2),
                output: 3,
                reasoning: Some(4),
                audio_input: Some(5),
                audio_output: Some(6),
                estimated: true,
            }),
            first_token_ms: Some(8),
            failed_attempts: 2,
            retry: Some("body_too_large"),
            end: End::ClientGone,
            error: Some("cut".into()),
            ..record()
        };
        let mut lines = Vec::new();
        line::append(&mut lines, &full);
        let read: serde_json::Value = serde_json::from_slice(&lines).unwrap();
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00Z", "request_id": "r-1", "remote": "127.0.0.1", "host": "",
            "method": "POST", "path": "/v1/chat/completions", "status": 200,
            "operation": "ChatCompletions", "namespace": "team", "route": "main", "rule": "r",
            "consumer": "alice", "provider": "p", "credential": "k", "protocol": "OpenAI",
            "model": {"requested": "a\"b\\c\n\u{1F600}\u{7f}", "response": "m"}, "stream": true,
            "tokens": {"input": 1, "cached": 2, "output": 3, "reasoning": 4, "audio_input": 5,
                       "audio_output": 6, "estimated": true},
            "first_token_ms": 8, "duration_ms": 7, "failed_attempts": 2, "retry": "body_too_large",
            "bytes_in": 1, "bytes_out": 2, "end": "client_gone", "error": "cut",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn what_many_threads_tell_is_written_whole_and_to_the_last() {
        let sink = Sink::default();
        let (log, writer) = AccessLog::spawn(sink.clone()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        log.record(&record());
                    }
                });
            }
        });
        drop(log);
        writer.join();
        let written = sink.0.lock();
        let lines = written
            .strip_suffix(b"\n")
            .unwrap()
            .split(|byte| *byte == b'\n');
        let read = lines.map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap());
        assert_eq!(read.count(), 2000);
    }

    #[test]
    fn lines_beyond_the_room_are_dropped_and_counted() {
        let sink = Sink::default();
        let stuck = sink.0.lock();
        let mut line = Vec::new();
        line::append(&mut line, &record());
        let (log, writer) = AccessLog::with_room(2 * line.len(), sink.clone()).unwrap();
        for _ in 0..10 {
            log.record(&record());
        }
        // Two may be with the thread, which is stuck; two wait; the others are lost.
        let dropped = log.dropped();
        assert!((6..=8).contains(&dropped), "{dropped}");
        drop(stuck);
        drop(log);
        writer.join();
        let lines = sink.0.lock().iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines as u64, 10 - dropped);
    }
}
