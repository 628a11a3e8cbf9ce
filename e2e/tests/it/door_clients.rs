//! Clients as people have them: curl and h2load, over HTTP/1.1 and HTTP/2, in the clear and over TLS.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use turnpike_e2e::ports::free_address;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::secure::Certified;
use turnpike_e2e::{Call, FileScene, resources};

use crate::standalone_serve::Standalone;
use crate::tls_certificates::route;

const HOST: &str = "clients.test";
const KEY: &str = "tk-clients-0123456789abcdef01";

const BALANCER: &str = "127.0.0.2";
const BALANCER_CIDR: &str = "127.0.0.2/32";

/// A gateway in the clear and over TLS, a body, and a certificate to trust.
struct World {
    clear: SocketAddr,
    tls: SocketAddr,
    body: String,
    certificate: String,
    key: &'static str,
    _standalone: Standalone,
}

impl World {
    async fn start(scene: &FileScene, text: &str) -> Result<Self> {
        let certified = Certified::make(&[HOST])?;
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", KEY)
            + &certified.secret("own")
            + &route("main", HOST, "echo", "{certificateRefs: [{name: own}]}");
        scene.write("all.yaml", &yaml)?;
        let tls = free_address()?;
        // curl plays a balancer from that address.
        let flags = [
            "--listen-tls",
            &tls.to_string(),
            "--proxy-protocol",
            BALANCER_CIDR,
        ];
        let standalone = Standalone::start(scene, &scene.resources(), &flags).await?;
        await_answer(
            &standalone.gateway,
            Call::say(HOST, "echo", "ready?").key(KEY),
        )
        .await?;
        let write = |name: &str, text: &str| -> Result<String> {
            let file = scene.folder.join(name);
            std::fs::write(&file, text)?;
            Ok(file.display().to_string())
        };
        let body = turnpike_e2e::gateway::chat_body("echo", text, false).to_string();
        Ok(Self {
            clear: standalone.gateway.address(),
            tls,
            body: write("body.json", &body)?,
            certificate: write("ca.pem", &certified.chain)?,
            key: KEY,
            _standalone: standalone,
        })
    }

    /// Asks with curl; gives the answer's head and body.
    async fn curl(&self, is_secure: bool, more: &[&str]) -> Result<String> {
        let (scheme, address) = match is_secure {
            true => ("https", self.tls),
            false => ("http", self.clear),
        };
        let port = address.port();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", "--max-time", "60"])
            .args(["--cacert", &self.certificate])
            .args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")])
            .args(["--header", &format!("authorization: Bearer {}", self.key)])
            .args(["--header", "content-type: application/json"])
            .args(["--data-binary", &format!("@{}", self.body)])
            .args(more)
            .arg(format!("{scheme}://{HOST}:{port}/v1/chat/completions"));
        output(curl).await
    }
}

async fn output(mut command: Command) -> Result<String> {
    let output = command.output().await.context("starting it")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {error}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn curl_is_answered_over_every_version_with_and_without_tls() -> Result<()> {
    FileScene::run(async |scene| {
        let world = World::start(scene, "hello clients").await?;
        for (is_secure, flags, status) in [
            (false, &["--http1.1"][..], "HTTP/1.1 200"),
            (false, &["--http1.0"], "HTTP/1.0 200"),
            (false, &["--http2-prior-knowledge"], "HTTP/2 200"),
            (true, &["--http1.1"], "HTTP/1.1 200"),
            (true, &["--http2"], "HTTP/2 200"),
            (true, &["--tls-max", "1.2"], "HTTP/2 200"),
        ] {
            let answer = world.curl(is_secure, flags).await?;
            ensure!(answer.starts_with(status), "{flags:?}: {answer}");
            ensure!(answer.contains("hello clients"), "{flags:?}: {answer}");
        }
        Ok(())
    })
}

#[test]
fn curl_that_waits_for_100_continue_sends_its_body() -> Result<()> {
    FileScene::run(async |scene| {
        let text = "many words ".repeat(200_000);
        let mut world = World::start(scene, &text).await?;
        let expecting = [
            "--header",
            "expect: 100-continue",
            "--expect100-timeout",
            "50",
        ];
        for is_secure in [false, true] {
            let answer = world
                .curl(is_secure, &[&["--http1.1"], &expecting[..]].concat())
                .await?;
            ensure!(answer.starts_with("HTTP/1.1 100 Continue"), "{answer:.100}");
            ensure!(answer.contains("HTTP/1.1 200"), "{answer:.300}");
        }
        // No interim answer comes over HTTP/2, where the window does the same.
        let answer = world.curl(true, &["--http2"]).await?;
        ensure!(answer.contains("HTTP/2 200"), "{answer:.300}");
        // A body that is refused is never sent.
        world.key = "tk-wrong-0123456789abcdef01";
        let answer = world
            .curl(false, &[&["--http1.1"], &expecting[..]].concat())
            .await?;
        ensure!(answer.starts_with("HTTP/1.1 401"), "{answer:.300}");
        Ok(())
    })
}

#[test]
fn h2load_finds_every_request_answered() -> Result<()> {
    FileScene::run(async |scene| {
        let world = World::start(scene, "hello h2load").await?;
        for (scheme, address) in [("http", world.clear), ("https", world.tls)] {
            let mut h2load = Command::new("h2load");
            h2load
                .args([
                    "--requests=2000",
                    "--clients=4",
                    "--max-concurrent-streams=50",
                ])
                .args(["--header", &format!("x-api-key: {KEY}")])
                .arg(format!("--data={}", world.body))
                .arg(format!("--connect-to={address}"))
                .arg(format!("{scheme}://{HOST}/v1/chat/completions"));
            let told = output(h2load).await?;
            ensure!(told.contains("2000 2xx"), "{told}");
        }
        Ok(())
    })
}

#[test]
fn curl_as_a_balancer_begins_with_a_header_and_is_let_in_by_that_alone() -> Result<()> {
    FileScene::run(async |scene| {
        let world = World::start(scene, "hello balancer").await?;
        let balancer = ["--interface", BALANCER];
        for is_secure in [false, true] {
            let named = [&balancer[..], &["--haproxy-protocol"]].concat();
            let answer = world.curl(is_secure, &named).await?;
            ensure!(answer.contains("hello balancer"), "{answer}");
            let unnamed = world.curl(is_secure, &balancer).await;
            ensure!(unnamed.is_err(), "{unnamed:?}");
        }
        Ok(())
    })
}
