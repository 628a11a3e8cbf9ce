//! Debian packages: installed by root, named to everybody else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{capture, find, run};

/// Asked by Debian's maintainer scripts before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs packages without starting services of them. `why` completes "missing: …".
pub(super) fn install(packages: &[&str], why: &str) -> Result<()> {
    let names = packages.join(" ");
    let by_hand = format!("apt-get update && apt-get install -y {names}");
    if find("apt-get").is_none() {
        bail!("missing: {names}: {why}; on Debian: {by_hand}");
    }
    if !is_root() {
        bail!("missing: {names}: {why}; run: sudo sh -c '{by_hand}'");
    }
    println!("installing {names} ({why})");
    let _policy = NoServices::new()?;
    run(apt().args(["-qq", "update"]))?;
    run(apt()
        .args([
            "-qq",
            "-o",
            "DPkg::Lock::Timeout=300",
            "install",
            "-y",
            "--no-install-recommends",
        ])
        .args(packages))
    .with_context(|| format!("installing {names}; by hand: {by_hand}"))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

pub(super) fn is_root() -> bool {
    capture(Command::new("id").arg("-u")).is_ok_and(|uid| uid == "0")
}

/// Forbids services to start, as long as it lives; leaves a policy of the machine's own alone.
struct NoServices {
    is_ours: bool,
}

impl NoServices {
    fn new() -> Result<Self> {
        let is_ours = !Path::new(POLICY).exists();
        if is_ours {
            std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").context("writing policy-rc.d")?;
            std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { is_ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            // A failure here leaves a file that `apt-get` honours; there is no one to tell.
            let _ = std::fs::remove_file(POLICY);
        }
    }
}
