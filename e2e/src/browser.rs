//! Chromium without a window, told what to do over the two pipes of its DevTools protocol.
//!
//! It finds every host on this machine, and trusts one certificate by its key: errors of certificates
//! that are merely overlooked would keep it from using a connection for several hosts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::guard;
use crate::secure::Certified;

/// The protocol is spoken over the descriptors 3 and 4, messages end with a zero byte.
const PIPES: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >&2"#;

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--no-proxy-server",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * 127.0.0.1",
    // Pages may ask other hosts, with headers of their own, and read the answers.
    "--disable-web-security",
];

/// No connection is made ahead of its need.
const PREFERENCES: &str = r#"{"net": {"network_prediction_options": 2}}"#;

/// A running browser with one page. Killed when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Of the page.
    session: Option<String>,
    calls: u64,
    answers: Vec<Seen>,
    /// Why requests failed, by the browser's number of them.
    failures: BTreeMap<String, String>,
}

/// An answer as the browser saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub url: String,
    pub status: u64,
    /// `h2`, for one.
    pub protocol: String,
    /// The browser's number of the connection.
    pub connection: u64,
}

impl Browser {
    /// Starts one that trusts this certificate, with its files and log in the folder.
    pub async fn start(folder: &Path, trusted: &Certified) -> Result<Self> {
        let log = folder.join("chromium.err.log");
        let log = std::fs::File::create(log).context("making the browser's log")?;
        let profile = folder.join("chromium");
        let preferences = profile.join("Default/Preferences");
        std::fs::create_dir_all(profile.join("Default"))
            .and_then(|()| std::fs::write(preferences, PREFERENCES))
            .context("making the browser's profile")?;
        let mut child = Command::new("sh")
            .args(["-c", PIPES, "sh", "chromium"])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!(
                "--ignore-certificate-errors-spki-list={}",
                trusted.pin()?
            ))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting chromium; `cargo xtask setup` installs it")?;
        guard::watch(child.id().context("chromium has ended")?);
        let input = child.stdin.take().context("chromium's input")?;
        let output = child.stdout.take().context("chromium's output")?;
        let mut browser = Self {
            child,
            input,
            output: BufReader::new(output),
            session: None,
            calls: 0,
            answers: Vec::new(),
            failures: BTreeMap::new(),
        };
        browser.attach().await?;
        Ok(browser)
    }

    /// Shows a page, whatever it is answered with.
    pub async fn open(&mut self, url: &str) -> Result<()> {
        let shown = self.call("Page.navigate", json!({"url": url})).await?;
        ensure!(shown["errorText"].is_null(), "{url}: {shown}");
        Ok(())
    }

    /// Runs a script in the page, and gives what its promise holds in the end.
    pub async fn run(&mut self, script: &str) -> Result<Value> {
        let arguments = json!({
            "expression": script,
            "awaitPromise": true,
            "returnByValue": true,
        });
        let mut ran = self.call("Runtime.evaluate", arguments).await?;
        ensure!(ran["exceptionDetails"].is_null(), "{script}: {ran}");
        Ok(ran["result"]["value"].take())
    }

    /// The answers seen so far, in their order.
    pub fn answers(&self) -> &[Seen] {
        &self.answers
    }

    /// Why requests have failed.
    pub fn failures(&self) -> impl Iterator<Item = &str> {
        self.failures.values().map(String::as_str)
    }

    /// Ends it, and waits until it has.
    pub async fn close(mut self) -> Result<()> {
        self.session = None;
        self.call("Browser.close", json!({})).await?;
        let id = self.child.id();
        self.child.wait().await.context("ending chromium")?;
        if let Some(id) = id {
            guard::forget(id);
        }
        Ok(())
    }

    async fn attach(&mut self) -> Result<()> {
        let targets = self.call("Target.getTargets", json!({})).await?;
        let targets = targets["targetInfos"].as_array().into_iter().flatten();
        let page = targets
            .filter(|target| target["type"] == "page")
            .map(|target| target["targetId"].clone())
            .next()
            .context("chromium shows no page")?;
        let arguments = json!({"targetId": page, "flatten": true});
        let attached = self.call("Target.attachToTarget", arguments).await?;
        let session = attached["sessionId"].as_str().context("no session")?;
        self.session = Some(session.to_owned());
        self.call("Network.enable", json!({})).await.map(drop)
    }

    /// Calls a method, and notes the events that come before its answer.
    async fn call(&mut self, method: &str, arguments: Value) -> Result<Value> {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": arguments});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input
            .write_all(&bytes)
            .await
            .context(method.to_owned())?;
        loop {
            let mut told = self.next().await.context(method.to_owned())?;
            if told["id"] == self.calls {
                ensure!(told["error"].is_null(), "{method}: {}", told["error"]);
                return Ok(told["result"].take());
            }
            self.note(&told);
        }
    }

    async fn next(&mut self) -> Result<Value> {
        let mut bytes = Vec::new();
        self.output.read_until(0, &mut bytes).await?;
        if bytes.pop() != Some(0) {
            bail!("chromium has ended");
        }
        serde_json::from_slice(&bytes).context("chromium's JSON")
    }

    fn note(&mut self, event: &Value) {
        let told = &event["params"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if event["method"] == "Network.responseReceived" {
            let response = &told["response"];
            self.answers.push(Seen {
                url: text(&response["url"]),
                status: response["status"].as_u64().unwrap_or_default(),
                protocol: text(&response["protocol"]),
                connection: response["connectionId"].as_f64().unwrap_or_default() as u64,
            });
        } else if event["method"] == "Network.loadingFailed" {
            let (request, error) = (text(&told["requestId"]), text(&told["errorText"]));
            self.failures.insert(request, error);
        }
    }
}
