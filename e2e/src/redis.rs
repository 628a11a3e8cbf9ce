//! A redis-server of a test's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::eventually::eventually;
use crate::ports::free_address;
use crate::process::{Process, Program};

/// What outlives a crash of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Everything that it has answered: each write waits for the disk.
    EveryWrite,
    /// Nothing: as fast as can be.
    Nothing,
}

/// A running (or stopped) redis-server; its data outlives a restart.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    address: SocketAddr,
}

impl Redis {
    /// Starts one with its data and log in the folder, and waits until it answers.
    pub async fn start(folder: &Path, durability: Durability) -> Result<Self> {
        let address = free_address()?;
        let data = data_folder(folder, address)?;
        let arguments = [
            "--bind",
            "127.0.0.1",
            "--port",
            &address.port().to_string(),
            "--dir",
            &data.display().to_string(),
            "--appendonly",
            match durability {
                Durability::EveryWrite => "yes",
                Durability::Nothing => "no",
            },
            "--appendfsync",
            "always",
            "--save",
            "",
        ]
        .map(str::to_owned);
        let program = Program::new("redis", "redis-server", arguments);
        let process = Process::spawn(folder, program).context(
            "redis-server; install it with: apt-get update && apt-get install -y redis-server",
        )?;
        let redis = Self { process, address };
        redis.await_ready().await?;
        Ok(redis)
    }

    /// What data planes are given.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The process: to be killed and frozen.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Stops it cleanly.
    pub async fn stop(&self) -> Result<()> {
        self.process.terminate().await.map(drop)
    }

    /// Starts it again on the same port, with what the append-only file kept.
    pub async fn start_again(&self) -> Result<()> {
        self.process.start()?;
        self.await_ready().await
    }

    /// One command of redis-cli; its output without the last newline.
    pub async fn command(&self, words: &[&str]) -> Result<String> {
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.address.port().to_string()])
            .args(words)
            .output()
            .await
            .context("running redis-cli")?;
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        ensure!(output.status.success(), "redis-cli {words:?}: {text}");
        Ok(text)
    }

    /// What one limit of a quota has counted in all its windows: the fields `u` of the hashes
    /// `tq:{namespace uid}:<quota>:<limit>:…`.
    pub async fn used(&self, quota: &str, limit: &str) -> Result<u64> {
        let mut sum = 0;
        let keys = self.command(&["--scan", "--pattern", "tq:*"]).await?;
        for key in keys.lines().filter(|key| names(key, quota, limit)) {
            if self.command(&["TYPE", key]).await? == "hash" {
                let used = self.command(&["HGET", key, "u"]).await?;
                sum += used.parse::<u64>().unwrap_or(0);
            }
        }
        Ok(sum)
    }

    async fn await_ready(&self) -> Result<()> {
        eventually("redis-server answers", async || {
            self.process.check_runs()?;
            let answer = self.command(&["PING"]).await?;
            ensure!(answer == "PONG", "{answer}");
            Ok(())
        })
        .await
    }
}

/// Whether a key counts for the limit of the quota; a quota is written as `namespace/name`.
fn names(key: &str, quota: &str, limit: &str) -> bool {
    let mut parts = key.split(':').skip(2);
    let is_quota = parts
        .next()
        .is_some_and(|part| part == quota || part.ends_with(&format!("/{quota}")));
    is_quota && parts.next() == Some(limit)
}

fn data_folder(folder: &Path, address: SocketAddr) -> Result<PathBuf> {
    let data = folder.join(format!("redis-{}", address.port()));
    std::fs::create_dir_all(&data).context("making Redis' folder")?;
    Ok(data)
}
