//! Python scripts, run with the SDKs in the virtual environment that `cargo xtask` made.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::places;

/// Runs a script of `e2e/python` with a JSON argument; what it prints is returned, a failed
/// assertion an error.
pub async fn run(script: &str, argument: &Value) -> Result<String> {
    let file = places::root()?.join("e2e/python").join(script);
    run_file(&file, &[&argument.to_string()]).await
}

/// Runs any script.
pub async fn run_file(file: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(interpreter()?)
        .arg(file)
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await
        .context("running Python")?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} ended with {}:\n{stdout}{stderr}",
        file.display(),
        output.status
    );
    Ok(stdout)
}

pub(crate) fn interpreter() -> Result<PathBuf> {
    let python = match std::env::var_os("TURNPIKE_E2E_PYTHON") {
        Some(python) => PathBuf::from(python),
        None => places::state_folder()?.join("venv/bin/python"),
    };
    ensure!(
        python.exists(),
        "{} is missing; run `cargo xtask setup`",
        python.display()
    );
    Ok(python)
}
