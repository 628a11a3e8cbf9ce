//! The directory of YAML files that a command works on.

use std::path::{Path, PathBuf};

use clap::Args;

/// The flag that names the directory.
#[derive(Args)]
pub(crate) struct Directory {
    /// The directory of YAML files
    #[arg(
        short = 'f',
        long = "files",
        env = "TURNPIKE_FILES",
        value_name = "DIR"
    )]
    files: PathBuf,
}

/// There is no such directory: a mistake in the flags.
#[derive(Debug, thiserror::Error)]
#[error("-f {}: no such directory; name one that holds YAML files", .0.display())]
pub(crate) struct NoDirectory(PathBuf);

impl Directory {
    /// Gives the path, if there is a directory.
    pub(crate) fn path(&self) -> Result<&Path, NoDirectory> {
        match self.files.is_dir() {
            true => Ok(&self.files),
            false => Err(NoDirectory(self.files.clone())),
        }
    }
}
