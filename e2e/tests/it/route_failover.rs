//! A rule of two tiers, of two protocols: what fails before its first content is answered by the
//! second, what has content is not, and a cure is noticed at once.

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use turnpike_e2e::gateway::text_of;
use turnpike_e2e::provider::{Behaviour, Provider};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, eventually, resources};

#[test]
fn second_tier_answers_what_the_first_fails_at_before_content() -> Result<()> {
    Scene::run(async |scene| {
        let tiers = Tiers::start(scene).await?;
        for behaviour in [
            Behaviour::Status(StatusCode::TOO_MANY_REQUESTS),
            Behaviour::Status(StatusCode::INTERNAL_SERVER_ERROR),
            Behaviour::Garbage,
            Behaviour::Html,
            Behaviour::Hang,
            Behaviour::Cut { after: 0 },
            Behaviour::HangAfter(0),
        ] {
            tiers.first.behave(behaviour.clone());
            let before = tiers.second.received().len();
            // What is wrong with streams alone, plain answers do not meet.
            if !matches!(behaviour, Behaviour::Cut { .. } | Behaviour::HangAfter(_)) {
                let answer = scene.gateway().send(tiers.plain()).await?.expect_ok()?;
                ensure!(!answer.content()?.is_empty(), "{behaviour:?}");
            }
            let stream = scene.gateway().send_streaming(tiers.stream()).await?;
            let (events, end) = stream.rest().await;
            end.with_context(|| format!("{behaviour:?}: {events:?}"))?;
            ensure!(!text_of(&events).is_empty(), "{behaviour:?}: {events:?}");
            let asked = tiers.second.received().len() - before;
            ensure!(asked > 0, "{behaviour:?}: the second was not asked");
            let sent = tiers.second.last()?;
            ensure!(sent.path == "/v1/messages", "{}", sent.path);
            ensure!(sent.json()?["model"] == "claude-small", "{behaviour:?}");
        }

        // A request that is wrong is wrong for all.
        tiers
            .first
            .behave(Behaviour::Status(StatusCode::BAD_REQUEST));
        let before = tiers.second.received().len();
        let refused = scene.gateway().send(tiers.plain()).await?;
        ensure!(refused.status == 400, "{}", refused.status);

        // Content that the caller has seen is not written again by somebody else.
        tiers.first.behave(Behaviour::Cut { after: 2 });
        let stream = scene.gateway().send_streaming(tiers.stream()).await?;
        let (events, end) = stream.rest().await;
        ensure!(end.is_err(), "a clean end: {events:?}");
        ensure!(tiers.second.received().len() == before, "it was asked");

        tiers.first.behave(Behaviour::GOOD);
        scene.gateway().send(tiers.plain()).await?.expect_ok()?;
        ensure!(tiers.second.received().len() == before, "it was asked");
        Ok(())
    })
}

#[test]
fn blocked_or_missing_first_tier_leaves_all_to_the_second() -> Result<()> {
    Scene::run(async |scene| {
        let tiers = Tiers::start(scene).await?;
        let patch = r#"{"spec": {"state": "Blocked"}}"#;
        scene
            .kubectl(&["patch", "aip", "first", "--type", "merge", "-p", patch])
            .await?;
        tiers.await_second_alone().await?;
        scene.delete("aiprovider", "first").await?;
        tiers.await_second_alone().await
    })
}

/// Two providers, each of a tier of its own.
struct Tiers<'a> {
    scene: &'a Scene,
    first: Provider,
    second: Provider,
    host: String,
    key: String,
}

impl<'a> Tiers<'a> {
    async fn start(scene: &'a Scene) -> Result<Self> {
        let tiers = Self {
            scene,
            first: Provider::start().await?,
            second: Provider::start().await?,
            host: scene.host("tiers"),
            key: scene.key("alice"),
        };
        let (first, second) = (tiers.first.openai_url(), tiers.second.anthropic_url());
        let yaml = resources::provider("first", "OpenAI", &first, "m", "")
            + &resources::provider("second", "Anthropic", &second, "claude-small", "")
            + &resources::consumer("alice", "gold", &tiers.key)
            + &format!(
                "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: tiers}}
spec:
  hostnames: [{host}]
  rules:
  - backendRefs:
    - {{name: first}}
    - {{name: second, model: claude-small, priority: 1}}
    retry: {{attempts: 0, perAttemptTimeout: 500ms}}
",
                host = tiers.host
            );
        scene.apply(&yaml).await?;
        await_answer(scene.gateway(), tiers.plain()).await?;
        Ok(tiers)
    }

    fn plain(&self) -> Call<'_> {
        Call::say(&self.host, "m", "hi").key(&self.key)
    }

    fn stream(&self) -> Call<'_> {
        Call::stream(&self.host, "m", "hi").key(&self.key)
    }

    async fn await_second_alone(&self) -> Result<()> {
        eventually("the second answers alone", async || {
            let before = self.first.received().len();
            let answer = self.scene.gateway().send(self.plain()).await?;
            answer.expect_ok()?;
            ensure!(self.first.received().len() == before, "the first was asked");
            Ok(())
        })
        .await
    }
}
