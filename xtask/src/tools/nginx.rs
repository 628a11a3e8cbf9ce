//! nginx, which the proxy benchmark measures beside the data plane.

use anyhow::Result;

use crate::command::find;
use crate::tools::apt;

pub(crate) fn install() -> Result<()> {
    if find("nginx").is_some() {
        return Ok(());
    }
    apt::install(&["nginx-light"], "the proxy benchmark compares with it")
}
