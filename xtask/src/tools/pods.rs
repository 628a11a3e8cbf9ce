//! What real pods need: Debian's containerd, runc and network tools, and a machine whose root may
//! make cgroups and network namespaces. Where that is not so, tests of pods are left out.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::command::find;
use crate::tools::apt;

/// Programs by which a package is known to be there.
const PACKAGES: [(&str, &str); 5] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("curl", "curl"),
];
/// The network plugin that the cluster uses, and its package.
const NETWORK: (&str, &str) = ("/usr/lib/cni/ptp", "containernetworking-plugins");

/// Whether tests of pods can run here.
pub(crate) enum Pods {
    Ready,
    /// Why not.
    LeftOut(String),
}

impl Pods {
    /// Installs what is missing.
    pub(crate) fn install() -> Self {
        if let Some(reason) = obstacle() {
            return Self::LeftOut(reason.to_owned());
        }
        let programs = PACKAGES
            .iter()
            .filter(|(program, _)| find(program).is_none());
        let mut missing: Vec<&str> = programs.map(|(_, package)| *package).collect();
        if !Path::new(NETWORK.0).exists() {
            missing.push(NETWORK.1);
        }
        if missing.is_empty() {
            return Self::Ready;
        }
        match apt::install(&missing, "tests of real pods need a container runtime") {
            Ok(()) => Self::Ready,
            Err(error) => Self::LeftOut(format!("{error:#}")),
        }
    }
}

fn obstacle() -> Option<&'static str> {
    if !apt::is_root() {
        return Some("not root");
    }
    let groups = std::fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    let mut hierarchies = groups.map(|group| group.path().join("cgroup.procs"));
    if !hierarchies.any(|file| file.exists()) {
        return Some("no cgroup v1 hierarchies");
    }
    let separate = Command::new("unshare")
        .args(["--net", "--mount", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match separate {
        Ok(status) if status.success() => None,
        _ => Some("network namespaces cannot be made"),
    }
}
