//! A redis-server of a test's own: a free port, a folder of its own, ended with the test.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

/// Longest wait for something that must come; only a failing test gets there.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Redis that can be stopped, started again, frozen and killed.
pub(crate) struct RedisServer {
    program: PathBuf,
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts it and waits until it answers.
    pub(crate) async fn start() -> Self {
        let mut server = Self::prepare();
        server.resume_process().await;
        server
    }

    /// Chooses the port without starting it.
    pub(crate) fn prepare() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        Self {
            program: find_program(),
            port,
            folder: tempfile::tempdir().expect("a folder"),
            child: None,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts the process on the same port with the data that the last one left.
    pub(crate) async fn resume_process(&mut self) {
        self.spawn(&[
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
        ])
        .await;
    }

    /// Starts a Sentinel that follows one primary, alone decides, and does so quickly.
    pub(crate) async fn start_sentinel(primary: &str, server: &Self) -> Self {
        let mut sentinel = Self::prepare();
        let file = sentinel.folder.path().join("sentinel.conf");
        let port = server.port;
        let settings = format!(
            "sentinel monitor {primary} 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds {primary} 500\n\
             sentinel failover-timeout {primary} 2000\n"
        );
        std::fs::write(&file, settings).expect("its settings");
        let file = file.display().to_string();
        sentinel.spawn(&[&file, "--sentinel"]).await;
        sentinel
    }

    /// `host port`, as Redis' own commands take it.
    pub(crate) fn place(&self) -> [String; 2] {
        ["127.0.0.1".to_owned(), self.port.to_string()]
    }

    async fn spawn(&mut self, arguments: &[&str]) {
        let log = File::create(self.folder.path().join("log")).expect("a log file");
        let child = Command::new(&self.program)
            .args(arguments)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::from(log))
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server starts"));
        eventually("redis-server answers", async || {
            let Some(mut connection) = self.try_connect().await else {
                return false;
            };
            let ping = redis::cmd("PING");
            let pong: redis::RedisResult<String> = ping.query_async(&mut connection).await;
            pong.is_ok()
        })
        .await;
    }

    /// Ends the process as a machine's fault does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it from answering, with its sockets open.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Runs one command and returns its reply; again where the connection broke, as it does when
    /// a server's role changes.
    pub(crate) async fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut reply = None;
        eventually("redis-server replies", async || {
            let Some(mut connection) = self.try_connect().await else {
                return false;
            };
            let mut command = redis::cmd(words[0]);
            command.arg(&words[1..]);
            match command.query_async(&mut connection).await {
                Err(error) if error.is_io_error() => {}
                result => reply = Some(result.unwrap()),
            }
            reply.is_some()
        })
        .await;
        reply.unwrap()
    }

    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        self.try_connect().await.expect("redis-server answers")
    }

    async fn try_connect(&self) -> Option<MultiplexedConnection> {
        let client = redis::Client::open(self.url()).expect("a valid URL");
        client.get_multiplexed_async_connection().await.ok()
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("a running redis-server");
        let status = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "never: {what}");
}

fn find_program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("redis-server"))
        .find(|file: &PathBuf| Path::is_file(file));
    found.expect(
        "redis-server is not on PATH; install it: sudo apt-get update && sudo apt-get install -y redis-server",
    )
}
