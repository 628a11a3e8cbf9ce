//! `cluster up|down`: an etcd and an API server to develop against.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Subcommand;

use crate::command::{capture, run as run_command};
use crate::tools::ClusterTool;
use crate::workspace::Workspace;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Starts it, applies crds/manifests and prints KUBECONFIG
    Up,
    /// Stops it and removes what it stored
    Down,
}

pub(crate) fn run(workspace: &Workspace, action: Action) -> Result<()> {
    match action {
        Action::Up => up(workspace),
        Action::Down => {
            run_command(Command::new(workspace.cluster_tool().join("down")).arg(state(workspace)))
        }
    }
}

fn up(workspace: &Workspace) -> Result<()> {
    let tool = ClusterTool::build(workspace)?;
    let kubeconfig = capture(
        Command::new(workspace.cluster_tool().join("up"))
            .arg("--api-only")
            .arg(state(workspace)),
    )?;
    run_command(
        Command::new(tool.kubectl())
            .args(["--kubeconfig", &kubeconfig, "apply", "--server-side", "-f"])
            .arg(workspace.root.join("crds/manifests")),
    )?;
    println!("export KUBECONFIG={kubeconfig}");
    println!("export PATH={}:$PATH", tool.programs.display());
    Ok(())
}

fn state(workspace: &Workspace) -> PathBuf {
    workspace.e2e_state().join("dev-cluster")
}
