//! A folder with the SDKs for Node, of the versions in `e2e/node/package-lock.json`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{find, run};
use crate::tools::apt;
use crate::workspace::Workspace;

const DESCRIPTIONS: [&str; 2] = ["package.json", "package-lock.json"];

/// Makes the folder unless it is there and of these versions; scripts are run in it.
pub(crate) fn install(workspace: &Workspace) -> Result<PathBuf> {
    let sources = workspace.root.join("e2e/node");
    let folder = workspace.e2e_state().join("node");
    let wanted = fs::read_to_string(sources.join(DESCRIPTIONS[1])).context("reading the lock")?;
    let stamp = folder.join("installed.json");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    if find("npm").is_none() || find("node").is_none() {
        apt::install(&["nodejs", "npm"], "the end-to-end tests run SDKs for Node")?;
    }
    println!("installing the SDKs for Node");
    fs::create_dir_all(&folder).context("making the folder for Node")?;
    for name in DESCRIPTIONS {
        fs::copy(sources.join(name), folder.join(name)).context("copying to it")?;
    }
    run(Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder))
    .context("installing the SDKs for Node")?;
    fs::write(&stamp, wanted).context("noting what is installed")?;
    Ok(folder)
}
