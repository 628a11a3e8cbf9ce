//! Where the sources, the built programs and the tests' own files are.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The repository's root.
pub fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the package has no parent folder")
}

/// A built program of the workspace, of the same profile as the running one.
pub fn program(name: &str) -> Result<PathBuf> {
    let file = profile_folder()?.join(name);
    ensure!(
        file.exists(),
        "{} is not built; run `cargo build --workspace` or `cargo xtask e2e`",
        file.display()
    );
    Ok(file)
}

/// The folder of this run's files: logs, Redis data, clusters.
pub fn run_folder() -> Result<PathBuf> {
    static FOLDER: OnceLock<String> = OnceLock::new();
    let state = state_folder()?;
    let name = FOLDER.get_or_init(|| {
        remove_old_runs(&state);
        format!("{RUN}{}", unique())
    });
    let folder = state.join(name);
    std::fs::create_dir_all(&folder).context("making the run's folder")?;
    Ok(folder)
}

const RUN: &str = "run-";

/// Logs are kept for a day. What cannot be removed is left for the next run.
fn remove_old_runs(state: &Path) {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let entries = std::fs::read_dir(state).into_iter().flatten().flatten();
    for entry in entries {
        let is_run = entry.file_name().to_string_lossy().starts_with(RUN);
        let changed = entry.metadata().and_then(|data| data.modified());
        let age = changed.ok().and_then(|time| time.elapsed().ok());
        if is_run && age.is_some_and(|age| age > DAY) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// What is kept between runs, as `cargo xtask` made it.
pub fn state_folder() -> Result<PathBuf> {
    let profile = profile_folder()?;
    let target = profile.parent().context("no target folder")?;
    Ok(target.join("e2e"))
}

/// A short name that no other run or test has: lower-case letters and digits.
pub fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{SystemTime, UNIX_EPOCH};

    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |time| time.as_millis() as u64);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}{:x}x{count}", millis & 0xffff_ffff, std::process::id())
}

/// `target/debug` or `target/release`: this program is in it, or in its `deps`.
fn profile_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("finding this program")?;
    let folder = program.parent().context("this program has no folder")?;
    let is_test = folder.ends_with("deps");
    let profile = if is_test {
        folder.parent()
    } else {
        Some(folder)
    };
    Ok(profile.context("no profile folder")?.to_owned())
}
