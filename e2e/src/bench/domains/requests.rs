//! What requests wait for: cold domains against loaded ones, loaded ones among many tenants
//! against few.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;

use super::tenants::MODELS;
use super::world::World;
use crate::bench::caller::Caller;

/// Times of the same requests, first on cold domains, then on the same when loaded.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) cold: Vec<Duration>,
    pub(super) loaded: Vec<Duration>,
}

/// Asks tenants that the data plane has not loaded, each twice.
pub(super) async fn cold(
    world: &World,
    tenants: impl IntoIterator<Item = usize>,
    body: Option<&Bytes>,
) -> Result<Pairs> {
    let mut caller = Caller::connect(world.data_planes[0].gateway().address()).await?;
    let mut pairs = Pairs::default();
    for tenant in tenants {
        let mut question = world.question(tenant, MODELS[0]);
        if let Some(body) = body {
            question.body = body.clone();
        }
        pairs.cold.push(caller.time(&question).await?);
        pairs.loaded.push(caller.time(&question).await?);
    }
    Ok(pairs)
}

/// Asks loaded tenants in turn over one connection.
pub(super) async fn loaded(
    world: &World,
    tenants: usize,
    requests: usize,
) -> Result<Vec<Duration>> {
    let mut caller = Caller::connect(world.data_planes[0].gateway().address()).await?;
    let mut times = Vec::with_capacity(requests);
    for number in 0..requests {
        let question = world.question(number % tenants, MODELS[0]);
        times.push(caller.time(&question).await?);
    }
    Ok(times)
}
