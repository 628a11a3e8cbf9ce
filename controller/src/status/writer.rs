//! Writes statuses to the API server: once a real change, and never what stands
//! there already.
//!
//! ```text
//! touched objects ┐
//! news of names   ├→ agenda → judge → status ≠ stored? → patch
//! data planes     ┘     ↑ data planes lag (≤ 2 s), a write failed
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use turnpike_crds::{AIProvider, AIRoute, Consumer, Status, TokenQuota};
use turnpike_snapshot::Name;

use crate::compile;
use crate::index::Index;
use crate::serve::Hub;
use crate::source::{Kind, ObjectKey};
use crate::status::agenda::Agenda;
use crate::status::conditions;
use crate::status::programmed::{Programmed, judge};
use crate::world::World;

/// Names the controller as the owner of what it writes.
const FIELD_MANAGER: &str = "turnpike";
/// Writes at a time: enough to keep an API server busy, too few to drown it.
const MAX_WRITES: usize = 16;
/// Objects that are looked at before news is heard again.
const MAX_BATCH: usize = 64;

/// How many statuses were written, for metrics.
#[derive(Debug, Default)]
pub struct Writes {
    written: AtomicU64,
    failed: AtomicU64,
}

impl Writes {
    /// Statuses that the API server took.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Attempts that failed; each is repeated.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Starts to write statuses once the index is synced, until shutdown.
pub fn spawn(
    world: Arc<World>,
    client: Client,
    writes: Arc<Writes>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let writer = Writer {
        world,
        client,
        writes,
        agenda: Agenda::default(),
    };
    tokio::spawn(async move {
        shutdown.run_until_cancelled(writer.run()).await;
    })
}

struct Writer {
    world: Arc<World>,
    client: Client,
    writes: Arc<Writes>,
    agenda: Agenda,
}

/// A status that is to be written.
struct Draft {
    object: ObjectKey,
    /// A new object of this name must not get the status of the old one.
    uid: Option<String>,
    status: Status,
}

/// What came of a write.
enum Outcome {
    Written(Status),
    /// The object is gone, or another of its name is there; events tell the rest.
    Gone,
    Failed,
}

impl Writer {
    async fn run(mut self) {
        let mut synced = self.world.synced();
        if synced.wait_for(|is_synced| *is_synced).await.is_err() {
            return;
        }
        let world = self.world.clone();
        let hub = world.hub().clone();
        let mut news = hub.news();
        let mut connections = hub.connections();
        world.collect_touched();
        loop {
            let next = match self.agenda.is_ready() {
                true => Some(Instant::now()),
                false => self.agenda.next(),
            };
            tokio::select! {
                biased;
                objects = world.next_touched() => self.agenda.touched(objects, Instant::now()),
                names = news.next() => self.hear(&names),
                Ok(()) = connections.changed() => {
                    connections.borrow_and_update();
                    self.agenda.heard(world.read(unprogrammed));
                }
                () = until(next) => {}
            }
            self.look(&hub).await;
        }
    }

    fn hear(&mut self, names: &BTreeSet<Name>) {
        let objects: BTreeSet<ObjectKey> = self.world.read(|index| {
            let objects = names.iter();
            objects
                .flat_map(|name| compile::objects(index, name))
                .collect()
        });
        self.agenda.heard(objects);
    }

    async fn look(&mut self, hub: &Hub) {
        let objects = self.agenda.take(MAX_BATCH, Instant::now());
        let drafts: Vec<Draft> = objects
            .into_iter()
            .filter_map(|object| self.draft(object, hub))
            .collect();
        let client = self.client.clone();
        let mut outcomes = futures::stream::iter(drafts)
            .map(|draft| write(client.clone(), draft))
            .buffer_unordered(MAX_WRITES);
        while let Some((object, outcome)) = outcomes.next().await {
            match outcome {
                Outcome::Written(status) => {
                    self.writes.written.fetch_add(1, Ordering::Relaxed);
                    self.world.record_status(&object, status);
                    self.agenda.settled(&object);
                }
                Outcome::Gone => self.agenda.settled(&object),
                Outcome::Failed => {
                    self.writes.failed.fetch_add(1, Ordering::Relaxed);
                    self.agenda.failed(object, Instant::now());
                }
            }
        }
    }

    /// Drafts an object's status; `None`: it stands, waits, or is gone.
    fn draft(&mut self, object: ObjectKey, hub: &Hub) -> Option<Draft> {
        let draft = self.world.read(|index| {
            let findings = compile::findings(index, &object)?;
            let names = findings.names.iter();
            let deliveries: Vec<_> = names
                .map(|name| (name.clone(), hub.delivery(name)))
                .collect();
            let programmed = judge(hub.connected(), &deliveries);
            let (meta, before) = index.find_status(&object)?;
            let status = conditions::status(
                &findings,
                &programmed,
                meta.generation,
                before.as_ref(),
                Timestamp::now(),
            );
            let stands = before.as_ref() == Some(&status);
            let uid = meta.uid.clone();
            Some((programmed, stands, uid, status))
        });
        let Some((programmed, stands, uid, status)) = draft else {
            self.agenda.settled(&object);
            self.agenda.arrived(&object);
            return None;
        };
        if !matches!(programmed, Programmed::Lagging(_)) {
            self.agenda.arrived(&object);
        } else if !stands && self.agenda.wait(&object, Instant::now()) {
            return None;
        }
        if stands {
            self.agenda.settled(&object);
            return None;
        }
        Some(Draft {
            object,
            uid,
            status,
        })
    }
}

/// Gives the objects that no data plane was known to serve: a new one may settle that.
fn unprogrammed(index: &Index) -> Vec<ObjectKey> {
    let is_programmed = |object: &ObjectKey| {
        let status = index.find_status(object).and_then(|(_, status)| status);
        let conditions = status.map(|status| status.conditions).unwrap_or_default();
        conditions.iter().any(|condition| {
            condition.type_ == turnpike_crds::status::PROGRAMMED && condition.status == "True"
        })
    };
    let objects = index.keys_with_status();
    objects.filter(|object| !is_programmed(object)).collect()
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn write(client: Client, draft: Draft) -> (ObjectKey, Outcome) {
    let written = match draft.object.kind {
        Kind::AIProvider => patch::<AIProvider>(client, &draft).await,
        Kind::AIRoute => patch::<AIRoute>(client, &draft).await,
        Kind::Consumer => patch::<Consumer>(client, &draft).await,
        Kind::TokenQuota => patch::<TokenQuota>(client, &draft).await,
        Kind::Secret | Kind::Namespace => Ok(()),
    };
    let object = draft.object;
    let outcome = match written {
        Ok(()) => Outcome::Written(draft.status),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
            debug!(%object, code = status.code, "status not written: the object is another now");
            Outcome::Gone
        }
        Err(error) => {
            warn!(%object, %error, "status not written; will be tried again");
            Outcome::Failed
        }
    };
    (object, outcome)
}

async fn patch<K>(client: Client, draft: &Draft) -> kube::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client, &draft.object.name.namespace);
    let mut patch = serde_json::json!({ "status": draft.status });
    if let Some(uid) = &draft.uid {
        patch["metadata"] = serde_json::json!({ "uid": uid });
    }
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch_status(&draft.object.name.name, &params, &Patch::Merge(patch))
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
