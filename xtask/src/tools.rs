//! The real parts that tests run against. Each is installed if it is missing and this may be
//! done, else the error names the command that does it.

mod apt;
mod clients;
mod cluster;
mod faketime;
pub(crate) mod nginx;
mod node;
pub(crate) mod pods;
pub(crate) mod python;
pub(crate) mod redis;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

pub(crate) use crate::tools::cluster::ClusterTool;
use crate::workspace::Workspace;

/// All of them.
pub(crate) struct Tools {
    python: PathBuf,
    node: PathBuf,
    cluster: ClusterTool,
}

impl Tools {
    /// Installs what is missing; fast if nothing is.
    pub(crate) fn install(workspace: &Workspace) -> Result<Self> {
        redis::install()?;
        faketime::install()?;
        clients::install()?;
        Ok(Self {
            python: python::install(workspace)?,
            node: node::install(workspace)?,
            cluster: ClusterTool::for_tests(workspace)?,
        })
    }

    /// Tells a test program where they are.
    pub(crate) fn offer_to(&self, command: &mut Command) -> Result<()> {
        command.env("TURNPIKE_E2E_PYTHON", &self.python);
        command.env("TURNPIKE_E2E_NODE", &self.node);
        self.cluster.offer_to(command)
    }
}
