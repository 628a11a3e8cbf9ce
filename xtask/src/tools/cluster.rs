//! The programs of a Kubernetes API server, built once a machine by `e2e/cluster/build`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{capture, find, path_with};
use crate::workspace::Workspace;

/// The built programs, or only the kubectl of a cluster that the environment names.
pub(crate) struct ClusterTool {
    /// Holds etcd, kube-apiserver, kubectl and helm.
    pub(crate) programs: PathBuf,
}

impl ClusterTool {
    /// What the tests need: nothing is built where `KUBECONFIG` names a cluster and there is a
    /// kubectl to talk to it.
    pub(crate) fn for_tests(workspace: &Workspace) -> Result<Self> {
        let kubectl = std::env::var_os("KUBECONFIG").and_then(|_| find("kubectl"));
        match kubectl.as_deref().and_then(Path::parent) {
            Some(programs) => Ok(Self {
                programs: programs.to_owned(),
            }),
            None => Self::build(workspace),
        }
    }

    /// Builds them if they are not built yet: minutes the first time.
    pub(crate) fn build(workspace: &Workspace) -> Result<Self> {
        if find("go").is_none() {
            bail!("Go is missing: the tests build an API server; install Go 1.25 or later");
        }
        let programs = capture(&mut Command::new(workspace.cluster_tool().join("build")))
            .context("building etcd, kube-apiserver and kubectl")?;
        Ok(Self {
            programs: programs.into(),
        })
    }

    pub(crate) fn kubectl(&self) -> PathBuf {
        self.programs.join("kubectl")
    }

    /// Puts them on the search path of a program.
    pub(crate) fn offer_to(&self, command: &mut Command) -> Result<()> {
        command.env("PATH", path_with(&self.programs)?);
        Ok(())
    }
}
