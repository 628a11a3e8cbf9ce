//! The incident switch: a provider is drained, blocked and taken back, while requests come and
//! streams are under way.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use turnpike_e2e::gateway::Stream;
use turnpike_e2e::provider::{Behaviour, Provider};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, eventually, resources};

/// After so many answers in a row the others' weight is gone: with it one in ten would be theirs.
const IN_A_ROW: usize = 40;

#[test]
fn drained_provider_gets_no_new_requests_and_blocked_one_ends_what_it_answers() -> Result<()> {
    Scene::run(async |scene| {
        let state = State::start(scene).await?;
        let mut stream = state.stream().await?;

        state.set("Drain").await?;
        state.await_share_moved().await?;
        state.tells("Draining").await?;
        let alone = Call::say(&state.alone, "m", "hi").key(&state.key);
        let answer = scene.gateway().send(alone.clone()).await?;
        answer.expect_error(503, "provider_draining")?;
        ensure!(state.failing.abandoned() == 0, "the stream was ended");

        state.set("Blocked").await?;
        let last = last_event(&mut stream).await?;
        ensure!(last["error"]["code"] == "provider_blocked", "{last}");
        ensure!(stream.next().await.is_err(), "a clean end");
        state.failing.await_abandoned(1).await?;
        state.tells("Blocked").await?;
        let answer = scene.gateway().send(alone.clone()).await?;
        answer.expect_error(503, "provider_blocked")?;

        state.failing.behave(Behaviour::GOOD);
        state.set("Active").await?;
        await_answer(scene.gateway(), alone).await?;
        scene.await_served("aiprovider", "failing").await?;
        scene
            .await_condition("aiprovider", "failing", "Ready", "True")
            .await?;
        Ok(())
    })
}

#[test]
fn state_of_a_provider_is_one_of_three_and_shows_in_its_list() -> Result<()> {
    Scene::run(async |scene| {
        scene.apply(&resources::echo_provider("echo")).await?;
        let listed = scene.kubectl(&["get", "aip"]).await?;
        let (head, row) = listed.split_once('\n').context("no row")?;
        ensure!(head.contains("STATE") && row.contains("Active"), "{listed}");
        let told = scene
            .refusal(&(resources::echo_provider("echo") + "  state: Drained\n"))
            .await?;
        ensure!(told.contains("Unsupported value"), "{told}");
        Ok(())
    })
}

/// Two providers of one rule, one of which has nine tenths; and a route to that one alone.
struct State<'a> {
    scene: &'a Scene,
    failing: Provider,
    other: Provider,
    host: String,
    alone: String,
    key: String,
}

impl<'a> State<'a> {
    async fn start(scene: &'a Scene) -> Result<Self> {
        let state = Self {
            scene,
            failing: Provider::start().await?,
            other: Provider::start().await?,
            host: scene.host("both"),
            alone: scene.host("alone"),
            key: scene.key("alice"),
        };
        // Silent for long: the stream must not meet a timeout of its own.
        let patient = "  timeouts: {connect: 2s, firstToken: 60s, idle: 60s, total: 120s}\n";
        let provider = |name: &str, url: &str| {
            format!(
                "---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {{name: {name}}}
spec:
  protocol: OpenAI
  url: {url}
  models: [{{name: m}}]
{patient}"
            )
        };
        let yaml = provider("failing", &state.failing.openai_url())
            + &provider("other", &state.other.openai_url())
            + &resources::consumer("alice", "gold", &state.key)
            + &resources::route("alone", &state.alone, "failing")
            + &format!(
                "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: both}}
spec:
  hostnames: [{host}]
  rules: [{{backendRefs: [{{name: failing, weight: 9}}, {{name: other, weight: 1}}]}}]
",
                host = state.host
            );
        scene.apply(&yaml).await?;
        for host in [&state.host, &state.alone] {
            let call = Call::say(host, "m", "ready?").key(&state.key);
            await_answer(scene.gateway(), call).await?;
        }
        Ok(state)
    }

    /// A stream of the failing provider that has begun and falls silent.
    async fn stream(&self) -> Result<Stream> {
        self.failing.behave(Behaviour::HangAfter(2));
        let call = Call::stream(&self.alone, "m", "hi").key(&self.key);
        let mut stream = self.scene.gateway().send_streaming(call).await?;
        stream.next().await?.context("no first event")?;
        self.failing.behave(Behaviour::GOOD);
        Ok(stream)
    }

    async fn set(&self, state: &str) -> Result<()> {
        let patch = json!({"spec": {"state": state}}).to_string();
        let arguments = ["patch", "aiprovider", "failing", "--type", "merge", "-p"];
        let arguments = [arguments.as_slice(), &[patch.as_str()]].concat();
        self.scene.kubectl(&arguments).await.map(drop)
    }

    /// Waits until the other provider alone answers.
    async fn await_share_moved(&self) -> Result<()> {
        eventually("the other provider answers everything", async || {
            let before = self.failing.received().len();
            for _ in 0..IN_A_ROW {
                let call = Call::say(&self.host, "m", "hi").key(&self.key);
                self.scene.gateway().send(call).await?.expect_ok()?;
            }
            let asked = self.failing.received().len() - before;
            ensure!(asked == 0, "the drained one was asked {asked} times");
            Ok(())
        })
        .await?;
        ensure!(self.other.received().len() >= IN_A_ROW, "who answered?");
        Ok(())
    }

    /// Waits until `Ready` is false for that reason, and nothing else is wrong.
    async fn tells(&self, reason: &str) -> Result<()> {
        eventually(reason, async || {
            let ready = self
                .scene
                .condition("aiprovider", "failing", "Ready")
                .await?;
            ensure!(
                ready.reason == reason && ready.status == "False",
                "{ready:?}"
            );
            Ok(())
        })
        .await?;
        self.scene.await_served("aiprovider", "failing").await
    }
}

/// The last event before the stream breaks off.
async fn last_event(stream: &mut Stream) -> Result<Value> {
    loop {
        let event = stream.next().await?.context("a clean end")?;
        let event: Value = serde_json::from_str(&event)?;
        if event["error"].is_object() {
            return Ok(event);
        }
    }
}
