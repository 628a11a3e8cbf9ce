//! Where things are: the sources, the target folder and the programs built into it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folders that chores work in.
pub(crate) struct Workspace {
    /// The repository's root.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever `CARGO_TARGET_DIR` or the configuration put it.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Takes the target folder from the place of this program, which cargo built into it.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask has no parent folder")?;
        let program = std::env::current_exe().context("finding this program")?;
        let target = program
            .ancestors()
            .nth(2)
            .context("this program is not in a target folder")?;
        Ok(Self {
            root: root.to_owned(),
            target: target.to_owned(),
        })
    }

    /// Programs of the debug build.
    pub(crate) fn debug(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// Programs of the release build.
    pub(crate) fn release(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// What the end-to-end tests keep between runs: the virtual environment, logs, clusters.
    pub(crate) fn e2e_state(&self) -> PathBuf {
        self.target.join("e2e")
    }

    /// Archives of images.
    pub(crate) fn images(&self) -> PathBuf {
        self.target.join("image")
    }

    /// The folder of the scripts that build, start and stop a Kubernetes API server.
    pub(crate) fn cluster_tool(&self) -> PathBuf {
        self.root.join("e2e/cluster")
    }
}
