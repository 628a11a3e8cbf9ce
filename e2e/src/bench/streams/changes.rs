//! The changes, and how it is seen that the last of them is in force.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use tokio::time::sleep;

use super::World;
use super::tenants::Kind;
use crate::eventually::eventually;
use crate::gateway::Call;
use crate::secure::Caller;

/// Controller and data plane agree for so long before it counts.
const CALM: Duration = Duration::from_millis(500);

/// What a change is of: number, tenant and kind take turns. Its form is its round plus one, so
/// that no change leaves an object as it was.
fn target(number: usize, tenants: usize) -> (usize, Kind, usize) {
    let kinds = Kind::ALL.len();
    let tenant = number / kinds % tenants;
    let round = number / (kinds * tenants);
    (tenant, Kind::ALL[number % kinds], round + 1)
}

/// The last form of a tenant's object after so many changes.
fn last_form(changes: usize, tenants: usize, tenant: usize, kind: Kind) -> usize {
    let kinds = Kind::ALL.len();
    let place = Kind::ALL.iter().position(|it| *it == kind);
    let first = tenant * kinds + place.unwrap_or_default();
    changes.saturating_sub(first).div_ceil(kinds * tenants)
}

/// Makes all changes. Each writer has tenants of its own, so that an object's come in order.
pub(super) async fn make(world: &World<'_>) -> Result<()> {
    let writers = world.options.writers.max(1);
    try_join_all((0..writers).map(|writer| write(world, writer, writers))).await?;
    Ok(())
}

async fn write(world: &World<'_>, writer: usize, writers: usize) -> Result<()> {
    let tenants = &world.tenants;
    for number in 0..world.options.changes {
        let (tenant, kind, form) = target(number, tenants.count());
        if tenant % writers == writer {
            let change = tenants.change(tenant, kind, form);
            world.api.merge(&change.path, &change.members).await?;
        }
    }
    Ok(())
}

/// Waits until every tenant shows its last route, key and certificate, and the data plane holds
/// of everything what the controller would tell it.
pub(super) async fn await_last(world: &World<'_>) -> Result<()> {
    let changes = world.options.changes;
    for tenant in 0..world.tenants.count() {
        let what = format!("the last changes of tenant {tenant} are in force");
        eventually(&what, async || ask(world, tenant, changes).await).await?;
    }
    eventually(
        "the data plane holds what the controller tells",
        async || {
            let told = agreed(world).await?;
            sleep(CALM).await;
            ensure!(told == agreed(world).await?, "it goes on");
            Ok(())
        },
    )
    .await
}

/// Asks by the key, model and certificate that a tenant has after so many changes.
pub(super) async fn ask(world: &World<'_>, tenant: usize, changes: usize) -> Result<()> {
    let tenants = &world.tenants;
    let form = |kind| last_form(changes, tenants.count(), tenant, kind);
    let shown = tenants.certificate(tenant, form(Kind::Certificate));
    let (host, model) = (tenants.host(tenant), tenants.model(form(Kind::Rules)));
    let key = tenants.key(tenant, form(Kind::ConsumerKey));
    let caller = Caller::trusting(&[shown])?;
    let call = Call::say(&host, &model, "hi").key(&key);
    let answer = caller.send(world.data_plane.tls(), call).await?;
    answer.expect_ok().map(drop)
}

/// All names of the run with their versions, if both say the same.
async fn agreed(world: &World<'_>) -> Result<BTreeMap<String, String>> {
    let run = world.tenants.run();
    let page = world.controller.debug_index("held=true").await?;
    let names = page["names"].as_array().context("no names")?;
    let text = |entry: &Value, member: &str| entry[member].as_str().map(str::to_owned);
    let told: BTreeMap<String, String> = names
        .iter()
        .filter_map(|entry| Some((text(entry, "name")?, text(entry, "version")?)))
        .filter(|(name, _)| name.contains(run))
        .collect();
    let held = world.data_plane.held(run).await?;
    ensure!(!held.is_empty(), "the data plane holds nothing");
    for (name, version) in &held {
        let is_same = version.as_ref() == told.get(name);
        ensure!(is_same, "{name} is held as {version:?}");
    }
    Ok(told)
}
