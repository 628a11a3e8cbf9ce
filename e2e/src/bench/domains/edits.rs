//! Many random edits at once, then quiet: memory must come back to what it was.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use super::tenants::MODELS;
use super::world::{World, memory_of};

/// Edits at a time.
const EDITORS: usize = 16;

/// Memory before and after, in bytes; edits a second.
pub(super) struct Outcome {
    pub(super) controller: (u64, u64),
    pub(super) data_plane: (u64, u64),
    pub(super) rate: f64,
}

/// Makes the edits and waits until the world is quiet again.
pub(super) async fn run(world: &World, edits: usize, rest: Duration, seed: u64) -> Result<Outcome> {
    world.await_quiet().await?;
    let memory = || -> Result<(u64, u64)> {
        let controller = memory_of(world.controller.process())?;
        let data_plane = memory_of(world.data_planes[0].process())?;
        Ok((controller.now, data_plane.now))
    };
    let before = memory()?;
    let begun = Instant::now();
    let each = edits.div_ceil(EDITORS);
    try_join_all((0..EDITORS).map(|editor| edit(world, editor, each, seed))).await?;
    let rate = edits as f64 / begun.elapsed().as_secs_f64();
    world.await_quiet().await?;
    sleep(rest).await;
    let after = memory()?;
    Ok(Outcome {
        controller: (before.0, after.0),
        data_plane: (before.1, after.1),
        rate,
    })
}

/// One editor has every `EDITORS`th tenant for itself, so that no two edits meet.
async fn edit(world: &World, editor: usize, edits: usize, seed: u64) -> Result<()> {
    let mut random = SmallRng::seed_from_u64(seed.wrapping_add(editor as u64));
    let shape = world.shape;
    let own = world.size.saturating_sub(editor).div_ceil(EDITORS).max(1);
    for number in 0..edits {
        let tenant = (random.random_range(0..own) * EDITORS + editor) % world.size;
        let route = shape.route_path(tenant);
        match random.random_range(0..10) {
            0 => {
                world.api.delete(&route).await?;
                world.api.create(&shape.route(tenant)).await?;
            }
            1..4 => {
                let change = shape.another_key(tenant, number as u64);
                let path = shape.consumer_path(tenant);
                world.api.merge(&path, &change).await?;
            }
            _ => {
                let model = MODELS[random.random_range(0..MODELS.len())];
                let change = shape.allow_only(tenant, model);
                world.api.merge(&route, &change).await?;
            }
        }
    }
    Ok(())
}
