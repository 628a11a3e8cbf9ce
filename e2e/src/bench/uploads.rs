//! `uploads`: what large request bodies make a proxy hold, with the model first and with the model last,
//! beside a bare reverse proxy and nginx.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;

use crate::bench::load::Load;
use crate::bench::proxy::{itself, start_nginx};
use crate::bench::{memory, table};
use crate::eventually::eventually;
use crate::fleet::{Controller, DataPlane, Source};
use crate::ports::free_address;
use crate::process::Process;
use crate::{places, resources};

const HOST: &str = "bench.test";
const KEY: &str = "tk-bench-0123456789abcdef0123";
/// Source: proc(5), `/proc/PID/clear_refs`: sets the peak to what is resident now.
const RESET_PEAK: &str = "5";

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Uploads at the same time
    #[arg(long, default_value_t = 20)]
    uploads: usize,
    /// The size of each, in MiB
    #[arg(long, default_value_t = 16)]
    mib: usize,
}

/// Runs it and prints the table.
pub async fn run(options: Options) -> Result<()> {
    let folder = places::run_folder()?;
    let world = World::start(&folder).await?;
    let bytes = options.mib << 20;
    let picture = "iVBORw0KGgoAAAANSUhEUgAAA".repeat(bytes / 25);
    let messages = format!(
        r#""messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{picture}"}}}}]}}]"#
    );
    let mut rows = Vec::new();
    for (name, body) in [
        ("model first", format!(r#"{{"model":"bench",{messages}}}"#)),
        ("model last", format!(r#"{{{messages},"model":"bench"}}"#)),
    ] {
        let load = Load::whole(HOST, KEY, &body);
        for target in &world.targets {
            let grown = grown(target, &load, options.uploads).await?;
            let each = grown as f64 / options.uploads as f64;
            rows.push(vec![
                name.to_owned(),
                target.name.to_owned(),
                format!("{:.1}", grown as f64 / f64::from(1 << 20)),
                format!("{:.0}", each / 1024.0),
                format!("{:.2}", each / bytes as f64 * 100.0),
            ]);
        }
    }
    println!();
    let title = format!("{} uploads of {} MiB", options.uploads, options.mib);
    let headings = [
        &title,
        "proxy",
        "growth, MiB",
        "each, KiB",
        "of its bytes, %",
    ];
    table::print(&headings, &rows);
    Ok(())
}

/// By how much the process is larger at its peak, in bytes.
async fn grown(target: &Target, load: &Load, uploads: usize) -> Result<u64> {
    // Buffers and threads that stay.
    load.run(target.address, 2, 2).await?;
    let before = memory::of(target.pid)?.now;
    let file = format!("/proc/{}/clear_refs", target.pid);
    std::fs::write(&file, RESET_PEAK).with_context(|| format!("writing {file}"))?;
    load.run(target.address, uploads, uploads).await?;
    Ok(memory::of(target.pid)?.peak.saturating_sub(before))
}

struct Target {
    name: &'static str,
    address: SocketAddr,
    /// Of the process that carries the bytes.
    pid: u32,
}

struct World {
    targets: Vec<Target>,
    _processes: Vec<Process>,
    _data_plane: DataPlane,
    _controller: Controller,
}

impl World {
    async fn start(folder: &Path) -> Result<Self> {
        let (model, baseline) = (free_address()?, free_address()?);
        let model_process = itself(folder, "serve-model", &[("--listen", model)])?;
        let flags = [("--listen", baseline), ("--upstream", model)];
        let baseline_process = itself(folder, "serve-proxy", &flags)?;
        let files = folder.join("resources");
        std::fs::create_dir_all(&files)?;
        std::fs::write(files.join("all.yaml"), yaml(model))?;
        let controller = Controller::start(folder, Source::Folder(&files)).await?;
        let data_plane = DataPlane::start(folder, "dataplane", &controller, None).await?;
        let pid = |process: &Process| process.id().context("the proxy has ended");
        let mut targets = vec![Target {
            name: "bare hyper",
            address: baseline,
            pid: pid(&baseline_process)?,
        }];
        let mut processes = vec![model_process, baseline_process];
        let address = free_address()?;
        let process = start_nginx(folder, address, model)?;
        targets.push(Target {
            name: "nginx",
            address,
            pid: pid(&process)?,
        });
        processes.push(process);
        targets.push(Target {
            name: "turnpike",
            address: data_plane.gateway().address(),
            pid: pid(data_plane.process())?,
        });
        let small = Load::chat(HOST, KEY, 1);
        for target in &targets {
            eventually("the target answers", async || {
                small.run(target.address, 1, 1).await.map(drop)
            })
            .await?;
        }
        Ok(Self {
            targets,
            _processes: processes,
            _data_plane: data_plane,
            _controller: controller,
        })
    }
}

/// The rule looks at the model, so that its name is awaited.
fn yaml(model: SocketAddr) -> String {
    let route = format!(
        "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: bench}}
spec:
  hostnames: [{HOST}]
  rules:
    - matches: [{{models: [\"ben*\"]}}]
      backendRefs: [{{name: model}}]
"
    );
    resources::provider(
        "model",
        "OpenAI",
        &format!("http://{model}/v1"),
        "bench",
        "",
    ) + &resources::consumer("alice", "gold", KEY)
        + &route
}
