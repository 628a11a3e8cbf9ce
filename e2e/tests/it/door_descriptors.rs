//! A gateway that runs out of file descriptors: those who are in go on, the others wait.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use turnpike_e2e::gateway::chat_body;
use turnpike_e2e::provider::{Behaviour, Provider};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, FileScene, eventually, resources};

use crate::standalone_serve::Standalone;

const HOST: &str = "few.test";
const KEY: &str = "tk-few-0123456789abcdef012345";
/// Half of them are for callers.
const DESCRIPTORS: usize = 80;

#[test]
fn without_descriptors_open_connections_go_on_and_others_wait() -> Result<()> {
    FileScene::run(async |scene| {
        let provider = Provider::start().await?;
        let upstream = resources::provider("m", "OpenAI", &provider.openai_url(), "m", "");
        let yaml = upstream.replace("total: 10s", "total: 300s")
            + &resources::consumer("alice", "gold", KEY)
            + &resources::route("main", HOST, "m");
        scene.write("all.yaml", &yaml)?;
        let standalone = Standalone::start_with_few(scene, DESCRIPTORS).await?;
        let gateway = &standalone.gateway;
        await_answer(gateway, Call::say(HOST, "m", "ready?").key(KEY)).await?;

        provider.behave(Behaviour::Good {
            chunks: 10_000,
            delay: Duration::from_millis(20),
        });
        let mut stream = gateway
            .send_streaming(Call::stream(HOST, "m", "go on").key(KEY))
            .await?;
        stream.next().await?.context("the stream begins")?;
        provider.behave(Behaviour::GOOD);
        let kept = TcpStream::connect(gateway.address()).await?;
        let (mut kept, connection) = handshake::<_, Full<bytes::Bytes>>(TokioIo::new(kept)).await?;
        tokio::spawn(connection);

        let mut idle = Vec::new();
        for _ in 0..DESCRIPTORS {
            idle.push(TcpStream::connect(gateway.address()).await?);
        }
        eventually("no more connections are taken", async || {
            let metrics = standalone.metrics().await?;
            ensure!(!metrics.contains("\nturnpike_accept_pauses_total 0\n"));
            Ok(())
        })
        .await?;
        for _ in 0..10 {
            stream.next().await?.context("the stream goes on")?;
            kept.ready().await?;
            let body = chat_body("m", "hello", false).to_string();
            let request = Request::post("/v1/chat/completions")
                .header("host", HOST)
                .header("x-api-key", KEY)
                .body(Full::from(body))?;
            let answer = kept.send_request(request).await?;
            ensure!(answer.status() == 200, "{}", answer.status());
            answer.into_body().collect().await?;
        }

        drop(idle);
        gateway
            .send(Call::say(HOST, "m", "hello").key(KEY))
            .await?
            .expect_ok()?;
        stream.next().await?.context("the stream goes on")?;
        standalone.process.check_runs()
    })
}
