//! Writes at a steady rate, each timed from the API server's answer until a request shows it:
//! routes created, routes changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::tenants::MODELS;
use super::world::World;
use crate::bench::api::Answered;
use crate::bench::caller::{Caller, Callers, Question};
use crate::bench::posted::Posted;

/// Slow ones of a round that are told of.
const SLOWEST: usize = 4;

/// Times of one round.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// From the API server's answer to the first request that shows the write.
    pub(super) in_force: Vec<Duration>,
    /// From the API server's answer to the event of a bare watch.
    pub(super) watch: Vec<Duration>,
}

enum Write {
    Create(Posted),
    Change(String, Value),
}

/// Creates the routes of tenants that a data plane never heard of; removes them afterwards.
pub(super) async fn create(world: &World, tenants: &[usize], rate: f64) -> Result<Round> {
    let writes = tenants.iter().map(|&tenant| {
        let write = Write::Create(world.shape.route(tenant));
        (write, world.question(tenant, MODELS[0]))
    });
    let round = steady(world, writes.collect(), rate).await?;
    for &tenant in tenants {
        world.api.delete(&world.shape.route_path(tenant)).await?;
    }
    Ok(round)
}

/// Brings tenants' routes to a first form and loads them, so that [`change`] can change them.
pub(super) async fn prepare(world: &World, tenants: &[usize]) -> Result<()> {
    let address = world.data_planes[0].gateway().address();
    let mut caller = Caller::connect(address).await?;
    for &tenant in tenants {
        let path = world.shape.route_path(tenant);
        let form = world.shape.allow_only(tenant, MODELS[1]);
        let answered = world.api.merge(&path, &form).await?;
        let refused = world.question(tenant, MODELS[2]);
        let is_refused = |status| status != 200;
        caller.until(&refused, answered.at, is_refused).await?;
    }
    Ok(())
}

/// Changes `count` times a route, in turn, so that the one model is allowed that was not.
/// `done` changes went before.
pub(super) async fn change(
    world: &World,
    tenants: &[usize],
    done: usize,
    count: usize,
    rate: f64,
) -> Result<Round> {
    let writes = (done..done + count).map(|number| {
        let tenant = tenants[number % tenants.len()];
        let is_even = (number / tenants.len()).is_multiple_of(2);
        let model = if is_even { MODELS[2] } else { MODELS[1] };
        let form = world.shape.allow_only(tenant, model);
        let write = Write::Change(world.shape.route_path(tenant), form);
        (write, world.question(tenant, model))
    });
    steady(world, writes.collect(), rate).await
}

async fn steady(world: &World, writes: Vec<(Write, Question)>, rate: f64) -> Result<Round> {
    let watch = world
        .api
        .watch("/apis/turnpike.dev/v1alpha1/airoutes")
        .await?;
    let callers = Arc::new(Callers::new(world.data_planes[0].gateway().address()));
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    for (write, question) in writes {
        ticks.tick().await;
        let (api, callers) = (world.api.clone(), callers.clone());
        running.spawn(async move {
            let mut caller = callers.take().await?;
            let answered = match write {
                Write::Create(posted) => api.create(&posted).await?,
                Write::Change(path, form) => api.merge(&path, &form).await?,
            };
            let is_ok = |status| status == 200;
            let time = caller.until(&question, answered.at, is_ok).await?;
            callers.put_back(caller);
            anyhow::Ok((answered, time))
        });
    }
    let mut answers: Vec<Answered> = Vec::new();
    let mut in_force = Vec::new();
    while let Some(sample) = running.join_next().await {
        let (answered, time) = sample.context("a sample")??;
        answers.push(answered);
        in_force.push(time);
    }
    // The last events of the watch may come after the last answer.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let watched = watch.finish(&answers);
    tell_slowest(world.size, begun, &answers, &in_force, &watched);
    let watch = watched.into_iter().flatten().collect();
    Ok(Round { in_force, watch })
}

/// Says of the slowest of a round when they were, and how much of each was the API server's.
fn tell_slowest(
    size: usize,
    begun: Instant,
    answers: &[Answered],
    in_force: &[Duration],
    watched: &[Option<Duration>],
) {
    let mut slowest: Vec<usize> = (0..in_force.len()).collect();
    slowest.sort_by_key(|&at| std::cmp::Reverse(in_force[at]));
    for &at in slowest.iter().take(SLOWEST) {
        let (time, own) = (in_force[at], watched[at].unwrap_or_default());
        let since = answers[at].at - begun;
        eprintln!("{size} tenants: {time:.1?}, the API server's own {own:.1?}, {since:.1?} in");
    }
}
