//! A controller on a folder, a data plane, a model server; and what the load has left in them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::churn::{self, Churn};
use super::log::{self, Lines};
use crate::bench::role;
use crate::eventually::eventually;
use crate::fleet::{Controller, DataPlane, Source};
use crate::gateway::{Call, chat_body};
use crate::ports::free_address;
use crate::process::Process;
use crate::redis::{Durability, Redis};
use crate::resources;

pub(super) const HOST: &str = "soak.test";
pub(super) const KEY: &str = "tk-soak-0123456789abcdef0123";
/// Of the one quota; windows are aligned to multiples of it since 1970.
const WINDOW: &str = "768h";
/// Tokens in a window.
const LIMIT: u64 = 100_000_000_000_000;
/// Asked for once, so that its tokens are estimated by the rule for models that nobody has used.
const PROBE: &str = "bench-probe";
/// Bytes that make a token by that rule, and the answer's tokens that the probe allows.
const BYTES_PER_TOKEN: u64 = 4;
const PROBE_OUTPUT: u64 = 1;

pub(super) struct World {
    model: SocketAddr,
    file: PathBuf,
    log: PathBuf,
    data_plane: DataPlane,
    _controller: Controller,
    _model: Process,
    _redis: Option<Redis>,
}

/// What is left once all requests have ended.
#[derive(Debug)]
pub struct Left {
    /// Lines of the access log that the load has made.
    pub lines: u64,
    /// The ends that they tell, with how often.
    pub ends: std::collections::BTreeMap<String, u64>,
    /// Lines that the data plane had no room for.
    pub lines_dropped: u64,
    pub in_flight: u64,
    /// Tokens that are reserved for requests which are no more.
    pub reserved: i128,
    /// Settlements that were lost.
    pub settlements_dropped: u64,
}

impl World {
    pub(super) async fn start(folder: &Path, with_redis: bool) -> Result<Self> {
        let model = free_address()?;
        let model_process = role::start(folder, "serve-model", model, &[])?;
        let files = folder.join("soak-resources");
        std::fs::create_dir_all(&files)?;
        let file = files.join("all.yaml");
        churn::write(&file, &yaml(model, 0))?;
        let controller = Controller::start(folder, Source::Folder(&files)).await?;
        let name = "soak-dataplane";
        let redis = match with_redis {
            true => Some(Redis::start(folder, Durability::Nothing).await?),
            false => None,
        };
        let data_plane = DataPlane::start(folder, name, &controller, redis.as_ref()).await?;
        let world = Self {
            model,
            file,
            log: folder.join(format!("{name}.out.log")),
            data_plane,
            _controller: controller,
            _model: model_process,
            _redis: redis,
        };
        eventually("the host is served", async || {
            let call = Call::say(HOST, "bench", "hi").key(KEY);
            let answer = world.data_plane.gateway().send(call).await?;
            answer.expect_ok().map(drop)
        })
        .await?;
        Ok(world)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.data_plane.gateway().address()
    }

    pub(super) fn data_plane_id(&self) -> Result<u32> {
        let id = self.data_plane.process().id();
        id.context("the data plane does not run")
    }

    pub(super) fn churn(&self) -> Churn {
        Churn {
            file: self.file.clone(),
            model: self.model,
        }
    }

    /// The lines of the access log, once nothing is in flight.
    pub(super) async fn settled_lines(&self) -> Result<Lines> {
        let mut before = None;
        eventually("the access log is at rest", async || {
            let metrics = self.data_plane.metrics().await?;
            let in_flight = value(&metrics, "turnpike_requests_in_flight")?;
            let size = std::fs::metadata(&self.log)?.len();
            let is_same = before.replace(size) == Some(size);
            ensure!(in_flight == 0 && is_same, "{in_flight} are in flight");
            Ok(())
        })
        .await?;
        log::read(&self.log)
    }

    /// What there is beside what there was before.
    pub(super) async fn left(&self, before: Lines) -> Result<Left> {
        // A request that is never settled is told of as one in flight.
        let settled = self.settled_lines().await;
        let lines = match settled {
            Ok(lines) => lines,
            Err(_) => log::read(&self.log)?,
        };
        let reserved = self.reserved(&lines).await?;
        let own = lines.since(&before);
        let metrics = self.data_plane.metrics().await?;
        let value = |name| value(&metrics, name);
        Ok(Left {
            lines: own.count,
            lines_dropped: value("turnpike_access_log_lines_dropped_total")?,
            in_flight: value("turnpike_requests_in_flight")?,
            settlements_dropped: value("turnpike_quota_settlements_dropped_total")?,
            ends: own.ends,
            reserved,
        })
    }

    /// What counts against the quota, less what the log says was used and what the asking reserves.
    async fn reserved(&self, lines: &Lines) -> Result<i128> {
        let mut body = chat_body(PROBE, "hi", false);
        body["max_tokens"] = json!(PROBE_OUTPUT);
        let body = body.to_string();
        let own = (body.len() as u64).div_ceil(BYTES_PER_TOKEN) + PROBE_OUTPUT;
        let call = Call::chat(HOST, body).key(KEY);
        let answer = self.data_plane.gateway().send(call).await?.expect_ok()?;
        let remaining = answer.header("x-ratelimit-remaining-tokens");
        let remaining: u64 = remaining.context("no x-ratelimit header")?.parse()?;
        let counted = i128::from(LIMIT) - i128::from(remaining);
        Ok(counted - i128::from(lines.tokens) - i128::from(own))
    }
}

/// The value of a metric without labels.
fn value(metrics: &str, name: &str) -> Result<u64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.with_context(|| format!("no {name}"))?;
    Ok(value.trim().parse()?)
}

/// All resources, each in one of its forms: rules, timeouts, keys and the quota's words change.
pub(super) fn yaml(model: SocketAddr, form: usize) -> String {
    let (first_token, other) = (30 + form % 10, resources::digest(&form.to_string()));
    let route = format!(
        "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: soak}}
spec:
  hostnames: [{HOST}]
  rules:
    - matches: [{{models: [\"other-{form}\"]}}]
      backendRefs: [{{name: model}}]
    - matches: [{{models: [\"bench*\"]}}]
      backendRefs: [{{name: model}}]
"
    );
    let consumer = resources::consumer("alice", "gold", KEY).replace(
        "apiKeys: [",
        &format!("apiKeys: [{{name: other, sha256: {other}}}, "),
    );
    let credentials = "[{name: main, secretRef: {name: provider-key, key: k}}]";
    let v1 = format!("http://{model}/v1");
    let provider = resources::provider("model", "OpenAI", &v1, "bench*", credentials).replace(
        "firstToken: 2s, idle: 2s, total: 10s",
        &format!("firstToken: {first_token}s, idle: 1m, total: 5m"),
    );
    let limit = format!("tokens: {LIMIT}, window: {WINDOW}");
    let words = format!("the plan of gold, form {form}, is used up");
    resources::secret("provider-key", "k", &format!("sk-soak-{form:08}-abcdef"))
        + &provider.replace("bench*", "\"bench*\"")
        + &consumer
        + &resources::quota("tokens", "gold", &limit, "Allow")
            .replace("the plan of gold is used up", &words)
        + &route
}
