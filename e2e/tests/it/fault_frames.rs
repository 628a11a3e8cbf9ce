//! Floods of frames over HTTP/2: the connection that they come by ends, and nobody else notices.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use turnpike_e2e::flood::{Kind, Target};
use turnpike_e2e::provider::{Behaviour, Provider};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, FileScene, eventually, resources};

use crate::standalone_serve::Standalone;

const KEY: &str = "tk-flood-0123456789abcdef0123";
const LIMIT: u64 = 1_000_000_000;
const PER_SECOND: u64 = 20_000;
/// So many requests one connection may have open.
const STREAMS: usize = 256;
/// Only a flood that nobody ends takes so long.
const LONGEST: Duration = Duration::from_secs(20);

#[test]
fn flood_of_frames_ends_its_connection_and_costs_nobody_else() -> Result<()> {
    FileScene::run(async |scene| {
        let provider = Provider::start().await?;
        let yaml = resources::provider("m", "OpenAI", &provider.openai_url(), "m", "")
            + &resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", KEY)
            + &resources::quota("plan", "gold", "tokens: 1000000000, window: 1h", "Deny")
            + &resources::route("flooded", "flooded.test", "m")
            + &resources::route("other", "other.test", "echo");
        scene.write("all.yaml", &yaml)?;
        let standalone = Standalone::start(scene, &scene.resources(), &[]).await?;
        let gateway = &standalone.gateway;
        for (host, model) in [("flooded.test", "m"), ("other.test", "echo")] {
            await_answer(gateway, Call::say(host, model, "ready?").key(KEY)).await?;
        }

        provider.behave(Behaviour::Hang);
        let body = "{\"model\": \"m\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}";
        let target = Target {
            address: gateway.address(),
            host: "flooded.test".into(),
            key: KEY.into(),
            body: body.into(),
        };
        for kind in Kind::ALL {
            let name = kind.name();
            let before = provider.received().len();
            let mut flood = std::pin::pin!(target.flood(kind, PER_SECOND, LONGEST));
            let outcome = loop {
                let other = gateway.send(Call::say("other.test", "echo", "hello").key(KEY));
                tokio::select! {
                    outcome = &mut flood => break outcome?,
                    answer = other => drop(answer?.expect_ok().context(name)?),
                }
            };
            ensure!(outcome.is_closed, "{name} goes on: {outcome:?}");
            ensure!(outcome.goaway.is_some(), "{name}: no GOAWAY: {outcome:?}");
            let asked = provider.received().len() - before;
            ensure!(
                asked <= STREAMS,
                "{name}: {asked} requests reached the provider"
            );
        }
        eventually("every request has ended", async || {
            let metrics = standalone.metrics().await?;
            ensure!(metrics.contains("\nturnpike_requests_in_flight 0\n"));
            Ok(())
        })
        .await?;
        provider.behave(Behaviour::GOOD);
        nothing_is_reserved(&standalone).await
    })
}

/// What is left of the quota is its limit less what the log tells, and what the request that asks
/// reserves for itself: at the most a token for each four bytes, and less once the model is known. What
/// was left reserved of the floods would be some hundred tokens for each request.
async fn nothing_is_reserved(standalone: &Standalone) -> Result<()> {
    let body = "{\"model\": \"m\", \"max_tokens\": 1, \"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}";
    let reserved = (body.len() as u64).div_ceil(4) + 1;
    eventually("all that was reserved is given back", async || {
        let used: u64 = standalone.log_lines()?.iter().map(tokens).sum();
        let call = Call::chat("flooded.test", body).key(KEY);
        let answer = standalone.gateway.send(call).await?.expect_ok()?;
        let remaining = answer.header("x-ratelimit-remaining-tokens");
        let remaining: u64 = remaining.context("no remaining tokens")?.parse()?;
        let expected = LIMIT - used - reserved..LIMIT - used;
        ensure!(
            expected.contains(&remaining),
            "{remaining} instead of {expected:?}"
        );
        Ok(())
    })
    .await
}

fn tokens(line: &Value) -> u64 {
    let tokens = &line["tokens"];
    let of = |kind: &str| tokens[kind].as_u64().unwrap_or(0);
    of("input") + of("output")
}
