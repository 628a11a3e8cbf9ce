//! What touches every tenant at once: how many messages it costs, and when all see it.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use super::tenants::MODELS;
use super::world::World;
use crate::bench::caller::{Caller, Question};
use crate::bench::posted::collection;
use crate::kubernetes::PLATFORM_NAMESPACE;

/// Tenants that are asked; each through each data plane.
pub(super) const PROBES: usize = 8;
/// After which nothing more is sent.
const SETTLED: Duration = Duration::from_millis(500);

/// What one change showed.
pub(super) struct Reach {
    /// Messages that the controller sent, by data plane.
    pub(super) messages: f64,
    /// Until the last tenant saw it.
    pub(super) in_force: Duration,
}

/// Attaches a quota that no request can keep to all tenants, and removes it.
pub(super) async fn quota(world: &World, number: usize) -> Result<Reach> {
    let name = format!("strict-{number}");
    let mut probes = Probes::connect(world, MODELS[0]).await?;
    let before = world.units().await?;
    let answered = world.api.create(&world.shape.strict_quota(&name)).await?;
    let in_force = probes.until(answered.at, |status| status == 429).await?;
    let messages = messages(world, before).await?;
    let path = format!("{}/{name}", collection(PLATFORM_NAMESPACE, "tokenquotas"));
    world.api.delete(&path).await?;
    probes.until(Instant::now(), |status| status == 200).await?;
    Ok(Reach { messages, in_force })
}

/// Gives the template another model, and takes it away.
pub(super) async fn template(world: &World) -> Result<Reach> {
    let path = world.shape.template_path();
    let mut probes = Probes::connect(world, MODELS[3]).await?;
    let before = world.units().await?;
    let form = world.shape.template_with(&MODELS);
    let answered = world.api.merge(&path, &form).await?;
    let in_force = probes.until(answered.at, |status| status == 200).await?;
    let messages = messages(world, before).await?;
    let form = world.shape.template_with(&MODELS[..3]);
    let answered = world.api.merge(&path, &form).await?;
    probes.until(answered.at, |status| status != 200).await?;
    Ok(Reach { messages, in_force })
}

async fn messages(world: &World, before: f64) -> Result<f64> {
    sleep(SETTLED).await;
    let sent = world.units().await? - before;
    Ok(sent / world.data_planes.len() as f64)
}

struct Probes(Vec<(Caller, Question)>);

impl Probes {
    /// Connects, and has every probe's domain loaded.
    async fn connect(world: &World, model: &str) -> Result<Self> {
        let mut probes = Vec::new();
        for data_plane in &world.data_planes {
            world.load(data_plane, 0..PROBES).await?;
            for tenant in 0..PROBES {
                let caller = Caller::connect(data_plane.gateway().address()).await?;
                probes.push((caller, world.question(tenant, model)));
            }
        }
        sleep(SETTLED).await;
        Ok(Self(probes))
    }

    /// Asks one after the other, each until it sees it; the time until the last did.
    async fn until(&mut self, since: Instant, wanted: impl Fn(u16) -> bool) -> Result<Duration> {
        let mut last = Duration::ZERO;
        for (caller, question) in &mut self.0 {
            last = caller.until(question, since, &wanted).await?;
        }
        Ok(last)
    }
}
