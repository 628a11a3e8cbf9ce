//! The programs that are measured, each on the proxies' core.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::nginx;
use crate::bench::load::Load;
use crate::bench::role::{LOAD, MEASURED, pin};
use crate::eventually::eventually;
use crate::fleet::{Controller, DataPlane, Source};
use crate::ports::free_address;
use crate::process::{Process, Program};
use crate::redis::{Durability, Redis};
use crate::resources;

pub(super) const HOST: &str = "bench.test";
pub(super) const KEY: &str = "tk-bench-0123456789abcdef0123";

/// What the load goes to.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// Of the proxy in between, if there is one.
    pub(super) pid: Option<u32>,
}

pub(super) struct World {
    model: SocketAddr,
    baseline: (SocketAddr, Process),
    nginx: (SocketAddr, Process),
    data_plane: DataPlane,
    _controller: Controller,
    _model_process: Process,
    _redis: Option<Redis>,
}

/// Moves this program, and what it starts, to the core of the load.
pub(super) fn pin_load() -> Result<()> {
    let own = std::process::id();
    pin(own, LOAD)
}

impl World {
    pub(super) async fn start(folder: &Path, with_redis: bool) -> Result<Self> {
        let (model, baseline) = (free_address()?, free_address()?);
        let model_process = itself(folder, "serve-model", &[("--listen", model)])?;
        let flags = [("--listen", baseline), ("--upstream", model)];
        let baseline_process = pinned(itself(folder, "serve-proxy", &flags)?)?;
        let nginx_address = free_address()?;
        let nginx_process = pinned(nginx::start(folder, nginx_address, model)?)?;
        let files = folder.join("resources");
        std::fs::create_dir_all(&files)?;
        std::fs::write(files.join("all.yaml"), yaml(model))?;
        let redis = match with_redis {
            true => Some(Redis::start(folder, Durability::Nothing).await?),
            false => None,
        };
        let controller = Controller::start(folder, Source::Folder(&files)).await?;
        let data_plane = DataPlane::start(folder, "dataplane", &controller, redis.as_ref()).await?;
        pin(data_plane.process().id().context("it runs")?, MEASURED)?;
        let world = Self {
            model,
            baseline: (baseline, baseline_process),
            nginx: (nginx_address, nginx_process),
            data_plane,
            _controller: controller,
            _model_process: model_process,
            _redis: redis,
        };
        for target in world.targets() {
            eventually("the target answers", async || {
                let load = Load::chat(HOST, KEY, 1);
                load.run(target.address, 1, 1).await.map(drop)
            })
            .await?;
        }
        Ok(world)
    }

    /// Direct, bare, nginx, turnpike.
    pub(super) fn targets(&self) -> [Target; 4] {
        let target = |name, address, pid| Target { name, address, pid };
        let (bare, nginx) = (&self.baseline, &self.nginx);
        [
            target("direct", self.model, None),
            target("bare hyper", bare.0, bare.1.id()),
            target("nginx", nginx.0, nginx.1.id()),
            target(
                "turnpike",
                self.data_plane.gateway().address(),
                self.data_plane.process().id(),
            ),
        ]
    }
}

fn pinned(process: Process) -> Result<Process> {
    pin(process.id().context("it runs")?, MEASURED)?;
    Ok(process)
}

/// This very program, in another role.
pub(in crate::bench) fn itself(
    folder: &Path,
    role: &str,
    flags: &[(&str, SocketAddr)],
) -> Result<Process> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut arguments: Vec<OsString> = vec![role.into()];
    for (name, address) in flags {
        arguments.extend([OsString::from(name), address.to_string().into()]);
    }
    Process::spawn(folder, Program::new(role, program, arguments))
}

fn yaml(model: SocketAddr) -> String {
    let route = format!(
        "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: bench}}
spec:
  hostnames: [{HOST}]
  authorization: {{allow: [{{groups: [gold]}}]}}
  rules:
    - matches: [{{models: [\"other-*\"]}}]
      backendRefs: [{{name: model}}]
    - matches: [{{models: [\"claude\"]}}]
      backendRefs: [{{name: claude}}]
    - matches: [{{path: {{type: PathPrefix, value: /v1}}, models: [\"ben*\"]}}]
      backendRefs: [{{name: model}}]
"
    );
    let v1 = format!("http://{model}/v1");
    patient(&resources::provider(
        "model",
        "OpenAI",
        &v1,
        "\"bench*\"",
        "",
    )) + &patient(&resources::provider(
        "claude",
        "Anthropic",
        &format!("http://{model}"),
        "claude",
        "",
    )) + &resources::consumer("alice", "gold", KEY)
        + &resources::quota("tokens", "gold", "tokens: 1000000M, window: 1m", "Allow")
        + &resources::quota("requests", "gold", "requests: 100M, window: 1m", "Allow")
        + &route
}

/// A stream that is held open to be counted is not idle too long.
fn patient(provider: &str) -> String {
    provider.replace("idle: 2s, total: 10s", "idle: 10m, total: 30m")
}
