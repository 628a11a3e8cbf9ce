//! Constant load on one address: streams and short requests, each on a connection of its own, and
//! requests that share connections as SDKs do. Whatever fails is kept.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use turnpike_e2e::gateway::{chat_body, text_of};
use turnpike_e2e::pods::tell;
use turnpike_e2e::{Call, Gateway, eventually};

const STREAMS: usize = 8;
const SHORT: usize = 2;
const SHARED: usize = 2;
/// Between two requests on connections of their own: each keeps a port of this machine for a minute.
const PAUSE: Duration = Duration::from_millis(10);
/// Words of a streamed answer, one each 100 ms.
const WORDS: usize = 40;

/// Who is asked, and with which key.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) gateway: SocketAddr,
    pub(crate) host: String,
    pub(crate) key: String,
}

#[derive(Debug, Default)]
pub(crate) struct Load {
    stop: AtomicBool,
    streams: AtomicUsize,
    requests: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Runs `work` under load; fails if anything of the load failed, even if the work did not.
    pub(crate) async fn during(
        target: &Target,
        what: &str,
        work: impl AsyncFnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let load = Self::default();
        let working = async {
            let outcome = async {
                load.await_streams(STREAMS).await?;
                work(&load).await?;
                load.await_streams(STREAMS).await
            }
            .await;
            load.stop.store(true, Ordering::Relaxed);
            outcome
        };
        let streams = futures::future::join_all((0..STREAMS).map(|_| load.stream(target)));
        let short = futures::future::join_all((0..SHORT).map(|_| load.ask(target)));
        let shared = load.share(target);
        let (outcome, ..) = tokio::join!(working, streams, short, shared);
        let (streams, requests) = (
            load.streams.load(Ordering::Relaxed),
            load.requests.load(Ordering::Relaxed),
        );
        let failures = load.failures.into_inner();
        tell(&format!(
            "{what}: {streams} streams, {requests} requests, {} failed",
            failures.len()
        ));
        outcome.with_context(|| format!("{what}; {failures:#?}"))?;
        ensure!(failures.is_empty(), "{what}: {failures:#?}");
        Ok(())
    }

    /// Waits until so many more streams have ended well.
    pub(crate) async fn await_streams(&self, count: usize) -> Result<()> {
        self.await_more("streams end", &self.streams, count).await
    }

    /// Waits until so many more short requests were answered well.
    pub(crate) async fn await_requests(&self, count: usize) -> Result<()> {
        let what = "requests are answered";
        self.await_more(what, &self.requests, count).await
    }

    async fn await_more(&self, what: &str, counter: &AtomicUsize, count: usize) -> Result<()> {
        let before = counter.load(Ordering::Relaxed);
        eventually(what, async || {
            let more = counter.load(Ordering::Relaxed) - before;
            ensure!(more >= count, "{more}: {:?}", self.failures.lock().first());
            Ok(())
        })
        .await
    }

    /// One stream after the other, each read to its end.
    async fn stream(&self, target: &Target) {
        while !self.stop.load(Ordering::Relaxed) {
            match self::stream(target).await {
                Ok(()) => self.streams.fetch_add(1, Ordering::Relaxed),
                Err(error) => self.fail("stream", format_args!("{error:#}")),
            };
        }
    }

    /// One request after the other, each on a connection of its own.
    async fn ask(&self, target: &Target) {
        let gateway = Gateway::at(target.gateway);
        while !self.stop.load(Ordering::Relaxed) {
            let call = Call::say(&target.host, "echo", "hello").key(&target.key);
            let answer = gateway.send(call).await;
            match answer.and_then(turnpike_e2e::Answer::expect_ok) {
                Ok(_) => self.requests.fetch_add(1, Ordering::Relaxed),
                Err(error) => self.fail("request", format_args!("{error:#}")),
            };
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Requests on connections that are kept and used again. Each takes a little while, so that a
    /// connection is seldom free for long.
    async fn share(&self, target: &Target) {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let callers = (0..SHARED).map(|_| async {
            while !self.stop.load(Ordering::Relaxed) {
                match ask_shared(&client, target).await {
                    Ok(()) => self.requests.fetch_add(1, Ordering::Relaxed),
                    Err(error) => {
                        self.fail("request on a kept connection", format_args!("{error:#}"))
                    }
                };
            }
        });
        futures::future::join_all(callers).await;
    }

    fn fail(&self, what: &str, error: impl Display) -> usize {
        let mut failures = self.failures.lock();
        failures.push(format!("{what}: {error}"));
        failures.len()
    }
}

/// Reads one streamed answer; fails unless every word and the clean end came.
pub(crate) async fn stream(target: &Target) -> Result<()> {
    let words: Vec<String> = (0..WORDS).map(|number| format!("word{number}")).collect();
    let words = words.join(" ");
    let text = format!("/slow 100ms {words}");
    let call = Call::stream(&target.host, "echo", &text).key(&target.key);
    let stream = Gateway::at(target.gateway).send_streaming(call).await?;
    let (events, end) = stream.rest().await;
    end.with_context(|| format!("after {} events", events.len()))?;
    ensure!(
        text_of(&events) == words && events.last().is_some_and(|last| last == "[DONE]"),
        "a clean end after {} events: {:?}",
        events.len(),
        events.last()
    );
    Ok(())
}

async fn ask_shared(client: &Client<HttpConnector, Full<Bytes>>, target: &Target) -> Result<()> {
    let body = chat_body("echo", "/slow 20ms hello", false).to_string();
    let request = Request::post(format!("http://{}/v1/chat/completions", target.gateway))
        .header(HOST, &target.host)
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, format!("Bearer {}", target.key))
        .body(Full::from(body))?;
    let response = client.request(request).await.context("sending")?;
    let status = response.status();
    let body = response.into_body().collect().await.context("reading")?;
    ensure!(status == 200, "{status}: {:?}", body.to_bytes());
    Ok(())
}
