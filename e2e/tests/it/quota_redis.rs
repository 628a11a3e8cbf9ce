//! Redis stopped, started again and emptied: nothing is lost, nothing counted twice.

use anyhow::{Result, ensure};
use turnpike_e2e::fleet::DataPlane;
use turnpike_e2e::provider::Provider;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Redis, Scene, eventually, resources};

/// What each request uses: the scripted provider's 11 prompt and 3 completion tokens.
const TOKENS: u64 = 14;

#[test]
fn usage_made_while_redis_is_down_is_counted_once_when_it_is_back() -> Result<()> {
    Scene::run(async |scene| {
        let world = World::start(scene).await?;
        world.expect_used("patient", 3 * TOKENS, 3).await?;

        world.redis.stop().await?;
        for number in 0..4 {
            world.send(number, "patient").await?.expect_ok()?;
        }
        world.redis.start_again().await?;
        world.expect_settled("patient", 7 * TOKENS).await?;

        for number in 0..2 {
            world.serve(number, "patient").await?;
        }
        world.expect_settled("patient", 9 * TOKENS).await?;

        // Killed without a chance to say goodbye: what it had answered is in its file.
        world.redis.process().kill();
        world.send(0, "patient").await?.expect_ok()?;
        world.redis.start_again().await?;
        world.expect_settled("patient", 10 * TOKENS).await
    })
}

#[test]
fn strict_quota_refuses_while_redis_is_down_and_harms_no_other() -> Result<()> {
    Scene::run(async |scene| {
        let world = World::start(scene).await?;
        world.send(0, "strict").await?.expect_ok()?;
        world.redis.stop().await?;
        for number in 0..2 {
            let answer = world.send(number, "strict").await?;
            ensure!(
                answer.status == 503,
                "{}: {}",
                answer.status,
                answer.text()?
            );
            answer.error_code()?;
            world.send(number, "patient").await?.expect_ok()?;
            world.send(number, "free").await?.expect_ok()?;
        }
        world.redis.start_again().await?;
        for number in 0..2 {
            world.serve(number, "strict").await?;
        }
        world.expect_settled("strict", 3 * TOKENS).await
    })
}

#[test]
fn frozen_redis_delays_no_request_for_long() -> Result<()> {
    Scene::run(async |scene| {
        let world = World::start(scene).await?;
        world.redis.process().freeze()?;
        for number in 0..4 {
            world.send(number, "patient").await?.expect_ok()?;
        }
        world.redis.process().thaw()?;
        world.expect_settled("patient", 4 * TOKENS).await
    })
}

#[test]
fn emptied_redis_counts_anew_and_what_was_open_is_settled_once() -> Result<()> {
    Scene::run(async |scene| {
        let world = World::start(scene).await?;
        for number in 0..3 {
            world.send(number, "patient").await?.expect_ok()?;
        }
        world.expect_settled("patient", 3 * TOKENS).await?;
        world.redis.command(&["FLUSHALL"]).await?;
        for number in 0..2 {
            world.send(number, "patient").await?.expect_ok()?;
        }
        world.expect_settled("patient", 2 * TOKENS).await?;
        world.redis.command(&["SCRIPT", "FLUSH"]).await?;
        world.send(0, "patient").await?.expect_ok()?;
        world.expect_settled("patient", 3 * TOKENS).await
    })
}

#[test]
fn reservation_that_outlives_an_emptied_redis_is_settled_once() -> Result<()> {
    Scene::run(async |scene| {
        let world = World::start(scene).await?;
        world.provider.behave(turnpike_e2e::Behaviour::Good {
            chunks: 20,
            delay: std::time::Duration::from_millis(100),
        });
        let call = Call::stream(&world.host, "m", "hello").key(&world.patient);
        let mut stream = world.planes[0].gateway().send_streaming(call).await?;
        ensure!(stream.next().await?.is_some(), "the stream begins");
        world.redis.command(&["FLUSHALL"]).await?;
        let (_, end) = stream.rest().await;
        end?;
        world.expect_settled("patient", 11 + 20).await
    })
}

/// Three consumers: `patient` whose quota allows while Redis is down, `strict` whose quota
/// denies, and `free` without a quota.
struct World {
    host: String,
    patient: String,
    strict: String,
    free: String,
    provider: Provider,
    planes: [DataPlane; 2],
    redis: Redis,
}

impl World {
    async fn start(scene: &Scene) -> Result<Self> {
        let provider = Provider::start().await?;
        let (redis, planes) = scene.own_data_planes().await?;
        let world = Self {
            host: scene.host("store"),
            patient: scene.key("patient"),
            strict: scene.key("strict"),
            free: scene.key("free"),
            provider,
            planes,
            redis,
        };
        let limit = "tokens: 1M, window: 24h";
        let yaml = resources::provider("m", "OpenAI", &world.provider.openai_url(), "m", "")
            + &resources::consumer("patient", "patient", &world.patient)
            + &resources::consumer("strict", "strict", &world.strict)
            + &resources::consumer("free", "free", &world.free)
            + &resources::quota("patient", "patient", limit, "Allow")
            + &resources::quota("strict", "strict", limit, "Deny")
            + &resources::route("main", &world.host, "m");
        scene.apply(&yaml).await?;
        for name in ["patient", "strict"] {
            scene.await_served("tokenquota", name).await?;
        }
        for number in 0..2 {
            world.serve(number, "free").await?;
        }
        Ok(world)
    }

    fn call(&self, consumer: &str) -> Call<'_> {
        let key = match consumer {
            "patient" => &self.patient,
            "strict" => &self.strict,
            _ => &self.free,
        };
        Call::say(&self.host, "m", "hello").key(key)
    }

    async fn send(&self, number: usize, consumer: &str) -> Result<turnpike_e2e::Answer> {
        let gateway = self.planes[number % 2].gateway();
        gateway.send(self.call(consumer)).await
    }

    /// Sends until one request is answered with 200.
    async fn serve(&self, number: usize, consumer: &str) -> Result<()> {
        await_answer(self.planes[number % 2].gateway(), self.call(consumer)).await
    }

    /// Sends some requests, then waits until they are counted.
    async fn expect_used(&self, consumer: &str, tokens: u64, requests: usize) -> Result<()> {
        for number in 0..requests {
            self.send(number, consumer).await?.expect_ok()?;
        }
        self.expect_settled(consumer, tokens).await
    }

    /// Waits until so many tokens are counted, and sees that they stay so many when all that
    /// might be repeated had the time of one more answered request.
    async fn expect_settled(&self, quota: &str, tokens: u64) -> Result<()> {
        let check = async || {
            let used = self.redis.used(quota, "main").await?;
            ensure!(used == tokens, "{used} tokens are counted, not {tokens}");
            Ok(())
        };
        eventually("what was used is counted", check).await?;
        self.serve(0, "free").await?;
        self.serve(1, "free").await?;
        check().await
    }
}
