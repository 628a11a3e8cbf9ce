//! curl, h2load and Chromium: HTTP clients that are not ours.

use anyhow::Result;

use crate::command::find;
use crate::tools::apt;

/// Programs, and the packages that they are in.
const CLIENTS: [(&str, &str); 3] = [
    ("curl", "curl"),
    ("h2load", "nghttp2-client"),
    ("chromium", "chromium"),
];

pub(crate) fn install() -> Result<()> {
    let missing = CLIENTS
        .iter()
        .filter(|(program, _)| find(program).is_none());
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    apt::install(&packages, "the tests let real clients ask")
}
