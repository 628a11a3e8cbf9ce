//! Scripts for Node, run with the SDKs in the folder that `cargo xtask` made.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::places;

/// Runs a script of `e2e/node` with a JSON argument; what it prints is returned, a failed
/// assertion an error.
pub async fn run(script: &str, argument: &Value) -> Result<String> {
    let folder = folder()?;
    // Modules are looked for beside the script.
    let source = places::root()?.join("e2e/node").join(script);
    std::fs::copy(&source, folder.join(script)).context("copying the script")?;
    let output = Command::new("node")
        .arg(folder.join(script))
        .arg(argument.to_string())
        .kill_on_drop(true)
        .output()
        .await
        .context("running Node")?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{script} ended with {}:\n{stdout}{stderr}",
        output.status
    );
    Ok(stdout)
}

fn folder() -> Result<PathBuf> {
    let folder = match std::env::var_os("TURNPIKE_E2E_NODE") {
        Some(folder) => PathBuf::from(folder),
        None => places::state_folder()?.join("node"),
    };
    ensure!(
        folder.join("node_modules").exists(),
        "{} has no SDKs; run `cargo xtask setup`",
        folder.display()
    );
    Ok(folder)
}
