//! `bench NAME`: builds the release programs and runs a benchmark of the end-to-end package.

use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, run as run_command};
use crate::tools::{ClusterTool, nginx, redis};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, name: &str, arguments: &[String]) -> Result<()> {
    if name == "protocol" {
        // It measures functions, not programs.
        let bench = [
            "bench",
            "--package",
            "turnpike-protocol",
            "--bench",
            "protocol",
        ];
        return run_command(cargo(workspace).args(bench));
    }
    run_command(cargo(workspace).args(["build", "--release", "--workspace", "--bins"]))?;
    let mut command = Command::new(workspace.release("turnpike-bench"));
    command.arg(name).args(arguments);
    match name {
        "create-to-served" | "tenancy" | "streams" => {
            ClusterTool::for_tests(workspace)?.offer_to(&mut command)?
        }
        // It starts API servers of its own, whatever KUBECONFIG names.
        "domains" => ClusterTool::build(workspace)?.offer_to(&mut command)?,
        "proxy" | "uploads" => nginx::install()?,
        _ => {}
    }
    if arguments.iter().any(|argument| argument == "--redis") {
        redis::install()?;
    }
    run_command(&mut command)
}
