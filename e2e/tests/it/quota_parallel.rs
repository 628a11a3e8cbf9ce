//! Limits hold however many requests come at once, over however many data planes.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use turnpike_e2e::provider::Provider;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Answer, Call, Scene, eventually, resources};

const PARALLEL: usize = 200;

#[test]
fn parallel_requests_over_two_data_planes_never_exceed_a_limit_of_requests() -> Result<()> {
    Scene::run(async |scene| {
        let limit = 50;
        let tenant = Tenant::start(scene, &format!("requests: {limit}, window: 1h")).await?;
        let answers = tenant.send_all(scene).await?;
        let Outcome { served, unsure } = outcome(&answers)?;
        let is_full = served == limit || unsure > 0;
        ensure!(
            served <= limit && is_full,
            "{served} of {PARALLEL} were served"
        );
        eventually("every request that was served is counted", async || {
            let used = scene.fleet.redis.used(&tenant.quota, "main").await?;
            ensure!(used == served as u64, "{used} counted, {served} served");
            Ok(())
        })
        .await
    })
}

#[test]
fn parallel_requests_over_two_data_planes_never_exceed_a_limit_of_tokens() -> Result<()> {
    Scene::run(async |scene| {
        let limit = 2_000;
        let tenant = Tenant::start(scene, &format!("tokens: {limit}, window: 1h")).await?;
        let answers = tenant.send_all(scene).await?;
        let served = outcome(&answers)?.served;
        // Each uses 14 tokens, of which the limit has room for 142; fewer pass at once, since
        // more than that is reserved for each until its answer has come.
        let used = served as u64 * 14;
        ensure!(
            served > 0 && used <= limit,
            "{served} were served, for {used} tokens"
        );
        eventually("all is settled to what was used", async || {
            let counted = scene.fleet.redis.used(&tenant.quota, "main").await?;
            ensure!(counted == used, "{counted} counted, {used} used");
            Ok(())
        })
        .await?;
        // The reservations were given back: there is room again.
        await_answer(scene.fleet.gateway(0), tenant.call()).await
    })
}

#[test]
fn request_that_no_window_has_room_for_is_told_so() -> Result<()> {
    Scene::run(async |scene| {
        let tenant = Tenant::start(scene, "tokens: 100, window: 1h").await?;
        let prompt = "word ".repeat(1_000);
        let call = Call::say(&tenant.host, "m", &prompt).key(&tenant.key);
        let answer = scene.gateway().send(call).await?;
        answer.expect_error(429, "request_too_large_for_quota")?;
        ensure!(
            answer.header("retry-after").is_none(),
            "waiting would not help"
        );
        Ok(())
    })
}

#[test]
fn answers_tell_how_much_is_left() -> Result<()> {
    Scene::run(async |scene| {
        let tenant = Tenant::start(scene, "requests: 3, window: 1h").await?;
        for left in ["2", "1", "0"] {
            let answer = scene.gateway().send(tenant.call()).await?.expect_ok()?;
            let limit = answer.header("x-ratelimit-limit-requests");
            ensure!(limit == Some("3"), "{:?}", answer.headers);
            let remaining = answer.header("x-ratelimit-remaining-requests");
            ensure!(remaining == Some(left), "{:?}", answer.headers);
        }
        let over = scene.gateway().send(tenant.call()).await?;
        over.expect_error(429, "token_quota_exceeded")?;
        let message = &over.json()?["error"]["message"];
        let wanted = format!("the plan of {} is used up", tenant.group);
        ensure!(
            message.as_str().is_some_and(|m| m.contains(&wanted)),
            "{message}"
        );
        Ok(())
    })
}

#[test]
fn streamed_answer_is_counted_by_its_real_usage() -> Result<()> {
    Scene::run(async |scene| {
        let tenant = Tenant::start(scene, "tokens: 100k, window: 1h").await?;
        let call = Call::stream(&tenant.host, "m", "hello").key(&tenant.key);
        let stream = scene.gateway().send_streaming(call).await?;
        let (events, end) = stream.rest().await;
        end?;
        ensure!(
            events.last().is_some_and(|event| event == "[DONE]"),
            "{events:?}"
        );
        ensure!(
            !events.iter().any(|event| event.contains("\"usage\":{")),
            "{events:?}"
        );
        eventually("the stream is settled", async || {
            let used = scene.fleet.redis.used(&tenant.quota, "main").await?;
            ensure!(used == 14, "{used}");
            Ok(())
        })
        .await
    })
}

/// A host whose only consumer, of a group of its own, has one quota.
struct Tenant {
    host: String,
    key: String,
    group: String,
    quota: String,
    _provider: Provider,
}

impl Tenant {
    async fn start(scene: &Scene, limit: &str) -> Result<Self> {
        let provider = Provider::start().await?;
        let (host, key) = (scene.host("quota"), scene.key("alice"));
        // Asks once the route works, without being counted: by a consumer of no group of the quota.
        let free = scene.key("free");
        let yaml = resources::provider("m", "OpenAI", &provider.openai_url(), "m", "")
            + &resources::consumer("alice", "limited", &key)
            + &resources::consumer("free", "free", &free)
            + &resources::quota("plan", "limited", limit, "Deny")
            + &resources::route("main", &host, "m");
        scene.apply(&yaml).await?;
        scene.await_served("tokenquota", "plan").await?;
        for number in 0..2 {
            let call = Call::say(&host, "m", "ready?").key(&free);
            await_answer(scene.fleet.gateway(number), call).await?;
        }
        Ok(Self {
            host,
            key,
            group: "limited".to_owned(),
            quota: format!("{}/plan", scene.namespace),
            _provider: provider,
        })
    }

    fn call(&self) -> Call<'_> {
        let mut body = turnpike_e2e::gateway::chat_body("m", "hello", false);
        body["max_tokens"] = 20.into();
        Call::chat(&self.host, body.to_string()).key(&self.key)
    }

    async fn send_all(&self, scene: &Scene) -> Result<Vec<Answer>> {
        let requests = (0..PARALLEL).map(|i| scene.fleet.gateway(i).send(self.call()));
        try_join_all(requests).await
    }
}

/// What became of many requests.
struct Outcome {
    /// Answered with 200.
    served: usize,
    /// Refused as the store was too slow: on a machine that is busy with other things.
    unsure: usize,
}

/// Counts the answers; what is neither of these must be a 429 of the quota.
fn outcome(answers: &[Answer]) -> Result<Outcome> {
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        if refused.status == 503 {
            refused.expect_error(503, "quota_store_unavailable")?;
        } else {
            refused.expect_error(429, "token_quota_exceeded")?;
        }
        ensure!(
            refused.header("retry-after").is_some(),
            "{:?}",
            refused.headers
        );
    }
    Ok(Outcome {
        served: count(200),
        unsure: count(503),
    })
}
