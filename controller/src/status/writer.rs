//! Writes statuses to the API server: once a real change, and never what stands
//! there already.
//!
//! ```text
//! touched objects ┐
//! news of names   ├→ agenda → judge → status ≠ stored? → patch
//! data planes     ┘     ↑ data planes lag (≤ 2 s), a write failed
//! ```
//! Only while this replica leads. Data planes of other replicas count as its own do,
//! once these have answered for the very versions that are judged; they are asked
//! only about what is not known to be well.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use turnpike_crds::{AIProvider, AIRoute, Consumer, Status, TokenQuota};
use turnpike_snapshot::{Name, Version};

use crate::compile;
use crate::index::Index;
use crate::lease::Leadership;
use crate::peers::Board;
use crate::serve::{Delivery, Hub};
use crate::source::{Kind, ObjectKey};
use crate::status::agenda::Agenda;
use crate::status::conditions;
use crate::status::programmed::{Programmed, judge};
use crate::world::World;

/// Names the controller as the owner of what it writes.
const FIELD_MANAGER: &str = "turnpike";
/// Writes at a time: enough to keep an API server busy, too few to drown it.
const MAX_WRITES: usize = 16;
/// A write that takes longer has failed; others shall not wait for it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// For the other replicas to find a new leader; without their reports it would tell
/// that no data plane is connected.
const SUCCESSION: Duration = Duration::from_millis(1_500);
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

/// Starts to write statuses once the index is synced, while this replica leads, until
/// shutdown.
pub fn spawn(
    world: Arc<World>,
    client: Client,
    writes: Arc<Writes>,
    replicas: Replicas,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let writer = Writer {
        world,
        client,
        writes,
        replicas,
        agenda: Agenda::default(),
        had_data_planes: false,
    };
    tokio::spawn(async move {
        shutdown.run_until_cancelled(writer.run()).await;
    })
}

/// What the writer has to do with other replicas.
pub struct Replicas {
    /// Whether to write.
    pub leadership: watch::Receiver<Leadership>,
    /// What the others report.
    pub board: Board,
}

struct Writer {
    world: Arc<World>,
    client: Client,
    writes: Arc<Writes>,
    replicas: Replicas,
    agenda: Agenda,
    /// Whether any data plane was connected when last looked.
    had_data_planes: bool,
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
    /// With the pause that the API server asks for, if it does.
    Failed(Option<Duration>),
}

impl Writer {
    async fn run(mut self) {
        let mut synced = self.world.synced();
        if synced.wait_for(|is_synced| *is_synced).await.is_err() {
            return;
        }
        loop {
            let leadership = &mut self.replicas.leadership;
            let leads = |leadership: &Leadership| leadership.is_leader(Instant::now());
            let leading = leadership.wait_for(leads).await;
            let Ok(is_succession) = leading.map(|leading| leading.is_succession) else {
                return;
            };
            if is_succession {
                tokio::time::sleep(SUCCESSION).await;
            }
            self.lead().await;
            // A later term begins with what stands then.
            self.agenda = Agenda::default();
            self.world.ignore_touched();
        }
    }

    /// Writes until another replica may.
    async fn lead(&mut self) {
        let world = self.world.clone();
        let hub = world.hub().clone();
        let board = self.replicas.board.clone();
        let mut news = hub.news();
        let mut connections = hub.connections();
        let mut others = board.connections();
        self.had_data_planes = self.connected() > 0;
        world.collect_touched();
        while self.replicas.leadership.borrow().is_leader(Instant::now()) {
            let next = self.agenda.next(Instant::now());
            tokio::select! {
                biased;
                changed = self.replicas.leadership.changed() => if changed.is_err() { return },
                objects = world.next_touched() => self.agenda.touched(objects, Instant::now()),
                names = news.next() => self.hear(&names),
                names = board.next_news() => self.hear(&names),
                Ok(()) = connections.changed() => self.count(),
                Ok(()) = others.changed() => self.count(),
                () = until(next) => {}
            }
            self.look(&hub).await;
        }
    }

    fn connected(&self) -> usize {
        let others = self.replicas.board.connected();
        self.world.hub().connected().saturating_add(others)
    }

    /// The first data plane may serve what none was known to; later ones tell of the
    /// names that they hold.
    fn count(&mut self) {
        let has_data_planes = self.connected() > 0;
        if std::mem::replace(&mut self.had_data_planes, has_data_planes) != has_data_planes {
            self.agenda.heard(self.world.read(unprogrammed));
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
        let leadership = self.replicas.leadership.clone();
        let mut outcomes = futures::stream::iter(drafts)
            .map(|draft| write(client.clone(), &leadership, draft))
            .buffer_unordered(MAX_WRITES);
        while let Some((object, outcome)) = outcomes.next().await {
            match outcome {
                Outcome::Written(status) => {
                    self.writes.written.fetch_add(1, Ordering::Relaxed);
                    self.world.record_status(&object, status);
                    self.agenda.settled(&object);
                }
                Outcome::Gone => self.agenda.settled(&object),
                Outcome::Failed(pause) => {
                    self.writes.failed.fetch_add(1, Ordering::Relaxed);
                    if let Some(pause) = pause {
                        self.agenda.throttled(pause, Instant::now());
                    }
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
            let mut deliveries: Vec<_> = names
                .map(|name| (name.clone(), hub.delivery(name)))
                .collect();
            let (meta, before) = index.find_status(&object)?;
            let status = |programmed: &Programmed| {
                conditions::status(
                    &findings,
                    programmed,
                    meta.generation,
                    before.as_ref(),
                    Timestamp::now(),
                )
            };
            let board = &self.replicas.board;
            let connected = self.connected();
            let mut programmed = judge(connected, &deliveries);
            let mut said = status(&programmed);
            let stands = |said: &Status| before.as_ref() == Some(said);
            let is_well = stands(&said) && is_programmed(before.as_ref());
            if !board.is_empty() && (!is_well || board.is_suspect(&findings.names)) {
                add_others(index, board, &mut deliveries);
                programmed = judge(connected, &deliveries);
                said = status(&programmed);
            }
            let stands = stands(&said);
            let uid = meta.uid.clone();
            Some((programmed, stands, uid, said))
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
    let is_known = |object: &ObjectKey| {
        let status = index.find_status(object).and_then(|(_, status)| status);
        is_programmed(status.as_ref())
    };
    let objects = index.keys_with_status();
    objects.filter(|object| !is_known(object)).collect()
}

fn is_programmed(status: Option<&Status>) -> bool {
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    conditions.iter().any(|condition| {
        condition.type_ == turnpike_crds::status::PROGRAMMED && condition.status == "True"
    })
}

/// Adds the data planes of other replicas to those of this one.
fn add_others(index: &Index, board: &Board, deliveries: &mut [(Name, Delivery)]) {
    for (name, delivery) in deliveries {
        let compiled = compile::snapshot(index, name);
        let version = compiled.map(|snapshot| Version::of(&snapshot));
        delivery.holders.extend(board.holders(name, version));
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Writes nothing once another replica may be writing.
async fn write(
    client: Client,
    leadership: &watch::Receiver<Leadership>,
    draft: Draft,
) -> (ObjectKey, Outcome) {
    if !leadership.borrow().is_leader(Instant::now()) {
        return (draft.object, Outcome::Gone);
    }
    let writing = async {
        match draft.object.kind {
            Kind::AIProvider => patch::<AIProvider>(client, &draft).await,
            Kind::AIRoute => patch::<AIRoute>(client, &draft).await,
            Kind::Consumer => patch::<Consumer>(client, &draft).await,
            Kind::TokenQuota => patch::<TokenQuota>(client, &draft).await,
            Kind::Secret | Kind::Namespace => Ok(()),
        }
    };
    let Ok(written) = tokio::time::timeout(WRITE_TIMEOUT, writing).await else {
        let object = draft.object;
        warn!(%object, "status not written: the API server did not answer in time");
        return (object, Outcome::Failed(None));
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
            Outcome::Failed(asked_pause(&error))
        }
    };
    (object, outcome)
}

/// Source: Kubernetes API conventions, `StatusDetails.retryAfterSeconds`, which an API
/// server sends along with the header `Retry-After`.
fn asked_pause(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else {
        return None;
    };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    let is_asked = matches!(status.code, 429 | 503) && seconds > 0;
    is_asked.then(|| Duration::from_secs(seconds.into()))
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
