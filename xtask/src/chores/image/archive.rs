//! An image of one layer as a file.
//!
//! Source: Docker's image specification v1.2, "Combined Image JSON + Filesystem Changeset Format".

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{capture, run};

pub(super) struct Archive<'a> {
    /// The program that a container runs when it is told no other.
    pub(super) entrypoint: &'a str,
    /// As `NAME:TAG`.
    pub(super) names: &'a [&'a str],
}

impl Archive<'_> {
    /// Packs a folder of files.
    pub(super) fn write(&self, root: &Path, output: &Path) -> Result<()> {
        let parts = output.with_extension("parts");
        if parts.exists() {
            std::fs::remove_dir_all(&parts).context("removing an archive's old parts")?;
        }
        std::fs::create_dir_all(&parts).context("making the folder of an archive's parts")?;
        let layer = parts.join("layer.tar");
        pack(root, &["."], &layer)?;
        let digest = capture(Command::new("sha256sum").arg(&layer))?;
        let digest = digest.split(' ').next().context("no digest")?;
        std::fs::write(parts.join("config.json"), self.config(digest))?;
        std::fs::write(parts.join("manifest.json"), self.manifest())?;
        let names = ["config.json", "layer.tar", "manifest.json"];
        pack(&parts, &names, output)?;
        std::fs::remove_dir_all(&parts).context("removing an archive's parts")
    }

    fn config(&self, digest: &str) -> String {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let entrypoint = self.entrypoint;
        format!(
            r#"{{"architecture":"{architecture}","os":"linux","config":{{"Entrypoint":["{entrypoint}"],"Env":["PATH=/usr/local/bin:/usr/bin:/bin"],"User":"65532:65532","WorkingDir":"/"}},"rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}},"history":[{{"created_by":"cargo xtask image"}}]}}"#
        )
    }

    fn manifest(&self) -> String {
        let names: Vec<String> = self.names.iter().map(|name| format!("{name:?}")).collect();
        format!(
            r#"[{{"Config":"config.json","RepoTags":[{}],"Layers":["layer.tar"]}}]"#,
            names.join(",")
        )
    }
}

/// Equal files make equal archives: sorted, without times and owners.
fn pack(folder: &Path, names: &[&str], output: &Path) -> Result<()> {
    run(Command::new("tar")
        .args(["--create", "--format=gnu", "--sort=name", "--mtime=@0"])
        .args(["--owner=0", "--group=0", "--numeric-owner"])
        .arg("--file")
        .arg(output)
        .arg("--directory")
        .arg(folder)
        .args(names))
}
