//! The requests: which kind comes next, and whether each ended as it should.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::Options;
use super::world::{HOST, KEY};
use crate::bench::caller::{Caller, Question, large, small};
use crate::gateway::chat_body;

/// Bytes of an answer that is neither a stream nor an error.
const LEAST: usize = 800;
/// How a stream of the model server ends.
const END: &[u8] = b"data: [DONE]\n\n";
const MEGABYTE: usize = 1_000_000;
/// A request of which nothing comes for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests whose end was seen, or brought about.
#[derive(Clone, Default)]
pub(super) struct Done(Arc<AtomicU64>);

impl Done {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What went wrong, and how often.
pub(super) type Failures = BTreeMap<String, usize>;

/// What is sent, and how it ends.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Whole,
    Stream,
    /// A whole answer to a body of this size.
    Big(usize),
    /// A stream that is given up after its first piece, while the model is silent.
    CancelledSilent,
    /// The same while the model sends as fast as it can.
    CancelledBurst,
}

/// The load of one run.
pub(super) struct Load {
    options: Options,
    target: SocketAddr,
    bodies: Bodies,
    taken: AtomicU64,
    done: Done,
}

/// Made once; a request takes them by reference count.
struct Bodies {
    whole: Bytes,
    stream: Bytes,
    big: Vec<Bytes>,
    silent: Bytes,
    burst: Bytes,
}

impl Load {
    pub(super) fn new(options: &Options, target: SocketAddr) -> Self {
        Self {
            options: options.clone(),
            target,
            bodies: Bodies::new(options.largest),
            taken: AtomicU64::new(0),
            done: Done::default(),
        }
    }

    /// Counts while the load runs.
    pub(super) fn done(&self) -> Done {
        self.done.clone()
    }

    /// Sends until time or number is used up.
    pub(super) async fn run(&self) -> Result<Failures> {
        let end = Instant::now() + Duration::from_secs_f64(self.options.minutes * 60.0);
        let connections = 0..self.options.connections as u64;
        let all = try_join_all(connections.map(|number| self.connection(number, end))).await?;
        let mut failures = Failures::new();
        for (reason, count) in all.into_iter().flatten() {
            *failures.entry(reason).or_default() += count;
        }
        Ok(failures)
    }

    async fn connection(&self, number: u64, end: Instant) -> Result<Failures> {
        let mut random = SmallRng::seed_from_u64(self.options.seed.wrapping_add(number));
        let mut caller = Caller::connect(self.target).await?;
        let mut failures = Failures::new();
        while Instant::now() < end && self.take() {
            let kind = self.choose(&mut random);
            let sent = tokio::time::timeout(PATIENCE, self.send(&mut caller, kind)).await;
            if let Err(error) = sent.context("no end in sight").flatten() {
                let reason = format!("{kind:?}: {error:#}");
                *failures.entry(reason).or_default() += 1;
                caller = Caller::connect(self.target).await?;
            }
            self.done.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(failures)
    }

    fn take(&self) -> bool {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        self.options.requests.is_none_or(|most| before < most)
    }

    fn choose(&self, random: &mut SmallRng) -> Kind {
        let (cancelled, big) = (self.options.cancelled, self.options.big);
        let half = random.random_range(0..2) == 0;
        match random.random_range(0..100) {
            roll if roll < cancelled && half => Kind::CancelledSilent,
            roll if roll < cancelled => Kind::CancelledBurst,
            roll if roll < cancelled + big => {
                Kind::Big(random.random_range(0..self.bodies.big.len()))
            }
            _ if half => Kind::Stream,
            _ => Kind::Whole,
        }
    }

    async fn send(&self, caller: &mut Caller, kind: Kind) -> Result<()> {
        let question = Question {
            host: HOST.to_owned(),
            key: KEY.to_owned(),
            body: self.bodies.of(kind),
        };
        let response = caller.begin(&question).await?;
        if response.status() != 200 {
            bail!("{}", response.status());
        }
        match kind {
            Kind::Whole | Kind::Big(_) => {
                let body = response.into_body().collect().await?.to_bytes();
                ensure!(body.len() >= LEAST, "a short answer");
                Ok(())
            }
            Kind::Stream => read_stream(response).await,
            Kind::CancelledSilent | Kind::CancelledBurst => {
                let mut body = response.into_body();
                let first = body.frame().await.context("a stream without events")?;
                first.map(drop).context("before its first event")
            }
        }
    }
}

impl Bodies {
    fn new(largest: usize) -> Self {
        let halves = std::iter::successors(Some(largest), |size| Some(size / 2));
        let sizes = halves.take_while(|size| *size > 0);
        let stream = |model| Bytes::from(chat_body(model, "hello", true).to_string());
        Self {
            whole: small("bench"),
            stream: stream("bench"),
            big: sizes
                .map(|size| large("bench-big", size * MEGABYTE))
                .collect(),
            silent: stream("bench-hold"),
            burst: stream("bench-burst"),
        }
    }

    fn of(&self, kind: Kind) -> Bytes {
        match kind {
            Kind::Whole => self.whole.clone(),
            Kind::Stream => self.stream.clone(),
            Kind::Big(which) => self.big[which].clone(),
            Kind::CancelledSilent => self.silent.clone(),
            Kind::CancelledBurst => self.burst.clone(),
        }
    }
}

/// Reads a stream to its clean end.
async fn read_stream(response: Response<Incoming>) -> Result<()> {
    let mut body = response.into_body();
    let mut tail = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame.context("the stream broke off")?.data_ref() {
            tail.extend_from_slice(data);
            tail.drain(..tail.len().saturating_sub(END.len()));
        }
    }
    ensure!(tail == END, "a stream without its end");
    Ok(())
}
