//! A virtual environment with the SDKs for Python, of the versions in `e2e/python/requirements.txt`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::run;
use crate::tools::apt;
use crate::workspace::Workspace;

/// Makes the environment unless it is there and of these requirements; returns its Python.
pub(crate) fn install(workspace: &Workspace) -> Result<PathBuf> {
    let requirements = workspace.root.join("e2e/python/requirements.txt");
    let folder = workspace.e2e_state().join("venv");
    let python = folder.join("bin/python");
    let wanted = std::fs::read_to_string(&requirements).context("reading requirements.txt")?;
    let stamp = folder.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted)
        && succeeds(Command::new(&python).args(["-c", "import openai"]))
    {
        return Ok(python);
    }
    println!("making a virtual environment with the SDKs for Python");
    let base = find_python()?;
    run(Command::new(base)
        .args(["-m", "venv", "--clear"])
        .arg(&folder))?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(&requirements))
    .context("installing the SDKs for Python")?;
    std::fs::write(&stamp, wanted).context("noting what is installed")?;
    Ok(python)
}

/// A Python that can make virtual environments: the first on the search path may be one that
/// a version manager put there, Debian's own lacks `ensurepip` without python3-venv.
fn find_python() -> Result<&'static Path> {
    if let Some(python) = usable_python() {
        return Ok(python);
    }
    apt::install(
        &["python3-venv"],
        "the end-to-end tests run SDKs for Python",
    )?;
    match usable_python() {
        Some(python) => Ok(python),
        None => bail!("no Python on PATH can make a virtual environment"),
    }
}

fn usable_python() -> Option<&'static Path> {
    ["python3", "/usr/bin/python3"]
        .map(Path::new)
        .into_iter()
        .find(|python| succeeds(Command::new(python).args(["-c", "import venv, ensurepip"])))
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
