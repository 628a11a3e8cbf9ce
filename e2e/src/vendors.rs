//! The strict vendors of `e2e/python/vendors.py`, each under a path of its own.

use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{places, python};

/// The key that they take.
pub const KEY: &str = "sk-vendor-0123456789abcdef";
/// What Bedrock's signatures are made with.
pub const ACCESS_KEY: &str = "AKIDEXAMPLE0123456789";
/// The same.
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Running vendors; they stop when dropped.
pub struct Vendors {
    port: u16,
    _process: Child,
}

impl Vendors {
    /// Starts them on a port of their choice.
    pub async fn start() -> Result<Self> {
        let script = places::root()?.join("e2e/python/vendors.py");
        let mut process = Command::new(python::interpreter()?)
            .arg(script)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the vendors")?;
        let stdout = process.stdout.take().context("the vendors say nothing")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        Ok(Self {
            port: line.trim().parse().context("the vendors' port")?,
            _process: process,
        })
    }

    /// The base URL of one.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}
