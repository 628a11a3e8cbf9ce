//! The API server as benchmarks use it: bytes over kept TLS connections, so that what is
//! timed is the API server and not a client of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use http::{Method, Request};
use kube::Client;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinHandle;
use turnpike_controller::connect::connect;

use super::posted::Posted;

/// Objects of one page of a list: what controllers ask for.
const PAGE: usize = 500;

/// An API server; cheap to clone.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
}

/// What the API server says of an object that it wrote.
#[derive(Debug, Deserialize)]
struct Written {
    metadata: WrittenMeta,
}

#[derive(Debug, Deserialize)]
struct WrittenMeta {
    name: String,
    namespace: Option<String>,
    generation: Option<i64>,
}

/// Names one state of an object: namespace/name, and generation.
type State = (String, i64);

/// A write that was answered.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) at: Instant,
    state: State,
}

impl Api {
    pub(super) async fn connect(kubeconfig: &Path) -> Result<Self> {
        let client = connect(Some(kubeconfig)).await?;
        Ok(Self { client })
    }

    pub(super) async fn create(&self, posted: &Posted) -> Result<Answered> {
        let body = posted.object.to_string();
        self.write(Method::POST, &posted.path, "application/json", body)
            .await
    }

    /// Changes members of an object (RFC 7386).
    pub(super) async fn merge(&self, path: &str, change: &Value) -> Result<Answered> {
        let body = change.to_string();
        self.write(Method::PATCH, path, "application/merge-patch+json", body)
            .await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        let request = Request::delete(path).body(Vec::new())?;
        let deleted = self.client.request_text(request).await;
        deleted.with_context(|| format!("deleting {path}"))?;
        Ok(())
    }

    /// Reads all objects of a collection in pages, and nothing else; gives how many bytes came.
    pub(super) async fn list(&self, path: &str) -> Result<usize> {
        let mut bytes = 0;
        let mut next = String::new();
        loop {
            let query = format!("{path}?limit={PAGE}{next}");
            let request = Request::get(query).body(Vec::new())?;
            let page = self.client.request_text(request).await?;
            bytes += page.len();
            match continuation(&page) {
                Some(token) => next = format!("&continue={token}"),
                None => return Ok(bytes),
            }
        }
    }

    /// Follows a collection from now on.
    pub(super) async fn watch(&self, path: &str) -> Result<Watch> {
        let request = Request::get(format!("{path}?limit=1")).body(Vec::new())?;
        let page: Value = self.client.request(request).await?;
        let version = page["metadata"]["resourceVersion"].as_str();
        let version = version.context("a list without resourceVersion")?;
        let query = format!("{path}?watch=1&resourceVersion={version}");
        let request = Request::get(query).body(Vec::new())?;
        let lines = self.client.request_stream(request).await?.lines();
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let task = tokio::spawn({
            let seen = seen.clone();
            async move {
                // It ends with the API server's patience, which is longer than a measurement.
                let _ = lines
                    .map_err(anyhow::Error::from)
                    .try_for_each(|line| {
                        let noted = note(&seen, &line);
                        async move { noted }
                    })
                    .await;
            }
        });
        Ok(Watch { seen, task })
    }

    async fn write(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: String,
    ) -> Result<Answered> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(body.into_bytes())?;
        let answer = self.client.request_text(request).await;
        let at = Instant::now();
        let answer = answer.with_context(|| format!("writing to {path}"))?;
        let written: Written = serde_json::from_str(&answer)?;
        let state = written.metadata.state();
        Ok(Answered { at, state })
    }
}

impl WrittenMeta {
    fn state(self) -> State {
        let namespace = self.namespace.unwrap_or_default();
        let generation = self.generation.unwrap_or_default();
        (format!("{namespace}/{}", self.name), generation)
    }
}

/// When each state of an object was first heard of.
pub(super) struct Watch {
    seen: Arc<Mutex<HashMap<State, Instant>>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Stops it; from each write's answer to its event, zero where the event came first, and
    /// nothing where none came.
    pub(super) fn finish(self, writes: &[Answered]) -> Vec<Option<Duration>> {
        self.task.abort();
        let seen = self.seen.lock();
        let times = writes.iter().map(|write| {
            let heard = seen.get(&write.state)?;
            Some(heard.saturating_duration_since(write.at))
        });
        times.collect()
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Written,
}

fn note(seen: &Mutex<HashMap<State, Instant>>, line: &str) -> Result<()> {
    let now = Instant::now();
    let event: Event = serde_json::from_str(line)?;
    match event.kind.as_str() {
        "ADDED" | "MODIFIED" => {
            let state = event.object.metadata.state();
            seen.lock().entry(state).or_insert(now);
            Ok(())
        }
        "DELETED" => Ok(()),
        other => bail!("the watch ended: {other}"),
    }
}

/// The token of the next page; it stands once in a page.
fn continuation(page: &str) -> Option<&str> {
    const MEMBER: &str = "\"continue\":\"";
    let from = page.rfind(MEMBER)? + MEMBER.len();
    let rest = &page[from..];
    let token = &rest[..rest.find('"')?];
    (!token.is_empty()).then_some(token)
}

/// Does something for many, so many at a time, and tells how far it is.
pub(super) async fn for_all<T, F>(
    what: &str,
    items: impl IntoIterator<Item = T>,
    width: usize,
    work: impl Fn(T) -> F,
) -> Result<usize>
where
    F: Future<Output = Result<()>>,
{
    const TELL_EVERY: usize = 10_000;
    let begun = Instant::now();
    let mut done = 0;
    let mut running = futures::stream::iter(items)
        .map(work)
        .buffer_unordered(width);
    while let Some(outcome) = running.next().await {
        outcome?;
        done += 1;
        if done % TELL_EVERY == 0 {
            let rate = done as f64 / begun.elapsed().as_secs_f64();
            eprintln!("{what}: {done} ({rate:.0}/s)");
        }
    }
    Ok(done)
}
