//! redis-server; each test starts its own on a free port.

use anyhow::Result;

use crate::command::find;
use crate::tools::apt;

pub(crate) fn install() -> Result<()> {
    if find("redis-server").is_some() {
        return Ok(());
    }
    apt::install(&["redis-server"], "the quota tests start their own")
}
