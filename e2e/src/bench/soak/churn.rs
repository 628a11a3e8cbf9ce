//! Changes of the configuration while the load runs: of the objects that its requests use.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

use super::world;

/// What is written, and where.
pub(super) struct Churn {
    /// That the controller reads.
    pub(super) file: PathBuf,
    pub(super) model: std::net::SocketAddr,
}

/// Writes the next form again and again until it is told to stop; how many were written.
pub(super) async fn run(churn: Churn, pause: Duration, stop: CancellationToken) -> Result<usize> {
    let mut ticks = tokio::time::interval(pause.max(Duration::from_millis(1)));
    let mut form = 0;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        form += 1;
        write(&churn.file, &world::yaml(churn.model, form))?;
    }
    Ok(form)
}

/// Replaces a file at once, so that nobody reads half of it.
pub(super) fn write(file: &Path, text: &str) -> Result<()> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).context("writing resources")?;
    std::fs::rename(&beside, file).context("putting resources in their place")
}
