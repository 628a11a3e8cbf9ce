//! libfaketime: programs under test take their wall clock for another.

use std::fs;

use anyhow::Result;

use crate::tools::apt;

pub(crate) fn install() -> Result<()> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut files = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    if files.any(|file| file.exists()) {
        return Ok(());
    }
    apt::install(
        &["libfaketime"],
        "controllers whose clocks differ are tried",
    )
}
