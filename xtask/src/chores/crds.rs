//! `crds`: the custom resource definitions as YAML and the reference of their fields, generated
//! from the types in `crds/src`.
//!
//! They are written by an example program of that crate, so that xtask need not be built with
//! all of Kubernetes' types. The chart has a copy, since Helm reads no file outside a chart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::chores::test::build;
use crate::command::run as run_command;
use crate::workspace::Workspace;

/// All that is in these is generated; the last is a copy of the first.
const FOLDERS: [&str; 3] = [
    "crds/manifests",
    "docs/reference",
    "charts/turnpike/files/crds",
];

/// Builds the workspace, then writes the files or compares them.
pub(crate) fn run(workspace: &Workspace, only_check: bool) -> Result<()> {
    build(workspace)?;
    if only_check {
        return check(workspace);
    }
    let kept = FOLDERS.map(|folder| workspace.root.join(folder));
    generate(workspace, &kept)?;
    for (folder, kept) in FOLDERS.iter().zip(&kept) {
        for name in read(kept)?.keys() {
            println!("{folder}/{name}");
        }
    }
    Ok(())
}

/// Fails if a folder is not what the built types generate; writes nothing there.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let state = workspace.e2e_state().join("crds");
    let fresh = FOLDERS.map(|folder| state.join(folder));
    generate(workspace, &fresh)?;
    for (folder, fresh) in FOLDERS.iter().zip(&fresh) {
        let (kept, fresh) = (read(&workspace.root.join(folder))?, read(fresh)?);
        let names = differing(&kept, &fresh).join(", ");
        ensure!(
            names.is_empty(),
            "{folder}: {names}: not what crds/src says; run `cargo xtask crds`"
        );
    }
    Ok(())
}

/// Empties the folders and fills them.
fn generate(workspace: &Workspace, folders: &[PathBuf; 3]) -> Result<()> {
    for folder in folders {
        if folder.exists() {
            std::fs::remove_dir_all(folder).context("removing the old files")?;
        }
        std::fs::create_dir_all(folder).context("making the folder")?;
    }
    let [manifests, reference, copy] = folders;
    let mut program = Command::new(workspace.debug("examples/manifests"));
    run_command(program.arg(manifests).arg(reference))?;
    for (name, text) in read(manifests)? {
        std::fs::write(copy.join(name), text).context("copying a manifest")?;
    }
    Ok(())
}

/// The files of a folder by name; a missing folder has none.
fn read(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in std::fs::read_dir(folder).context("listing manifests")? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let text =
            std::fs::read_to_string(entry.path()).with_context(|| format!("reading {name}"))?;
        files.insert(name, text);
    }
    Ok(files)
}

/// Names of files that only one side has, or that differ.
fn differing<'a>(
    kept: &'a BTreeMap<String, String>,
    fresh: &'a BTreeMap<String, String>,
) -> Vec<&'a str> {
    let mut names: Vec<&str> = kept
        .keys()
        .chain(fresh.keys())
        .filter(|name| kept.get(*name) != fresh.get(*name))
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_a_surplus_file_are_stale() {
        let files = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(name, text)| (name.to_string(), text.to_string()))
                .collect::<BTreeMap<_, _>>()
        };
        let kept = files(&[("same", "1"), ("changed", "1"), ("surplus", "1")]);
        let fresh = files(&[("same", "1"), ("changed", "2"), ("missing", "1")]);
        assert_eq!(differing(&kept, &fresh), ["changed", "missing", "surplus"]);
    }
}
