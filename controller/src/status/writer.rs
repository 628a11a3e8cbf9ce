//! Writes statuses to the API server: once a real change, and never what stands
//! there already.
//!
//! ```text
//! touched objects ┐
//! news of names   ├→ agenda → judge → status ≠ stored? → patch → herald (events)
//! data planes     ┘     ↑ data planes lag (≤ 2 s), a count changed (5 s), a write failed,
//!                         a certificate ends
//! ```
//! Only while this replica leads. Data planes of other replicas count as its own do,
//! once these have answered for the very versions that are judged; they are asked
//! only about what is not known to be well.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use turnpike_crds::status::{INVALID, PROGRAMMED};
use turnpike_crds::{AIProvider, AIRoute, Consumer, Status, TokenQuota};
use turnpike_snapshot::{Name, Version};

use crate::compile;
use crate::index::Index;
use crate::lease::Leadership;
use crate::peers::Board;
use crate::serve::{Delivery, Hub};
use crate::source::{Kind, ObjectKey};
use crate::status::agenda::Agenda;
use crate::status::certificates;
use crate::status::conditions::{self, Occasion};
use crate::status::herald::Herald;
use crate::status::programmed::{Programmed, Verdict};
use crate::status::public_url::PublicUrl;
use crate::status::writes::Writes;
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
/// Where the API server throttles and does not say for how long.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);
/// Ends of certificates are as the wall clock has them, which may be set meanwhile: it is looked at
/// again after so long.
const CLOCK_CHECK: Duration = Duration::from_secs(3600);
/// Objects that are looked at before news is heard again.
const MAX_BATCH: usize = 64;

/// Starts to write statuses once the index is synced, while this replica leads, until
/// shutdown.
pub fn spawn(
    world: Arc<World>,
    client: Client,
    writes: Arc<Writes>,
    replicas: Replicas,
    public_url: Option<PublicUrl>,
    clock: Clock,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let writer = Writer {
        herald: Herald::spawn(client.clone(), writes.clone(), shutdown.clone()),
        world,
        client,
        writes,
        replicas,
        public_url,
        clock,
        agenda: Agenda::default(),
        had_data_planes: false,
    };
    tokio::spawn(async move {
        shutdown.run_until_cancelled(writer.run()).await;
    })
}

/// Tells the time of day.
pub type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

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
    public_url: Option<PublicUrl>,
    clock: Clock,
    agenda: Agenda,
    herald: Herald,
    /// Whether any data plane was connected when last looked.
    had_data_planes: bool,
}

/// A status that is to be written.
struct Draft {
    object: ObjectKey,
    /// A new object of this name must not get the status of the old one.
    uid: Option<String>,
    before: Option<Status>,
    status: Status,
}

/// What came of a write.
enum Outcome {
    Written,
    /// The object is gone; events tell the rest.
    Gone,
    /// Another of its name is there, or others write to it all the time: what the index
    /// knows by then decides.
    Conflict,
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
            self.herald.forget_all();
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
                touched = world.next_touched() => {
                    let now = Instant::now();
                    self.agenda.touched(touched.objects, now);
                    self.agenda.counted(touched.counted, now);
                }
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
        while let Some((draft, outcome)) = outcomes.next().await {
            let Draft {
                object,
                uid,
                before,
                status,
            } = draft;
            match outcome {
                Outcome::Written => {
                    self.writes.status_written();
                    self.herald
                        .tell(&object, uid.as_deref(), before.as_ref(), &status);
                    self.world.record_status(&object, status);
                    self.agenda.settled(&object);
                }
                Outcome::Gone => self.agenda.settled(&object),
                Outcome::Conflict => self.agenda.failed(object, Instant::now()),
                Outcome::Failed(pause) => {
                    self.writes.status_failed();
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
        let now = (self.clock)();
        let draft = self.world.read(|index| {
            let findings = compile::findings(index, &object)?;
            let names = findings.names.iter();
            let mut deliveries: Vec<_> = names
                .map(|name| (name.clone(), hub.delivery(name)))
                .collect();
            let (meta, before) = index.find_status(&object)?;
            let occasion = Occasion {
                generation: meta.generation,
                before: before.as_ref(),
                now,
                public_url: self.public_url.as_ref(),
            };
            let status = |verdict: &Verdict| conditions::status(&findings, verdict, occasion);
            let board = &self.replicas.board;
            let connected = self.connected();
            let mut verdict = Verdict::new(&findings, connected, &deliveries);
            let mut said = status(&verdict);
            let stands = |said: &Status| before.as_ref() == Some(said);
            let is_well = stands(&said) && is_programmed(before.as_ref());
            if !board.is_empty() && (!is_well || board.is_suspect(&findings.names)) {
                add_others(index, board, &mut deliveries);
                verdict = Verdict::new(&findings, connected, &deliveries);
                said = status(&verdict);
            }
            let stands = stands(&said);
            let draft = Draft {
                object: object.clone(),
                uid: meta.uid.clone(),
                status: said,
                before,
            };
            let change = certificates::next_change(&findings.certificates, now);
            Some((verdict.object, stands, draft, change))
        });
        let Some((programmed, stands, draft, change)) = draft else {
            self.agenda.settled(&object);
            self.agenda.ends(&object, None);
            self.agenda.arrived(&object);
            self.herald.forget(&object);
            return None;
        };
        let change = change.and_then(|change| Duration::try_from(change).ok());
        let end = change.map(|change| Instant::now() + change.min(CLOCK_CHECK));
        self.agenda.ends(&object, end);
        if !matches!(programmed, Programmed::Lagging(_)) {
            self.agenda.arrived(&object);
        } else if !stands && self.agenda.wait(&object, Instant::now()) {
            return None;
        }
        if stands {
            self.agenda.settled(&object);
            return None;
        }
        Some(draft)
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

/// Whether nothing of it waits for data planes.
fn is_programmed(status: Option<&Status>) -> bool {
    let programmed = |conditions: &[Condition], is: fn(&Condition) -> bool| {
        let mut conditions = conditions.iter();
        conditions.any(|condition| condition.type_ == PROGRAMMED && is(condition))
    };
    status.is_some_and(|status| {
        let mut hostnames = status.hostnames.iter();
        programmed(&status.conditions, |it| it.status == "True")
            && hostnames.all(|hostname| {
                programmed(&hostname.conditions, |it| {
                    it.status == "True" || it.reason == INVALID
                })
            })
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
) -> (Draft, Outcome) {
    if !leadership.borrow().is_leader(Instant::now()) {
        return (draft, Outcome::Gone);
    }
    let writing = async {
        match draft.object.kind {
            Kind::AIProvider => patch::<AIProvider>(client, &draft).await,
            Kind::AIRoute => patch::<AIRoute>(client, &draft).await,
            Kind::Consumer => patch::<Consumer>(client, &draft).await,
            Kind::TokenQuota => patch::<TokenQuota>(client, &draft).await,
            Kind::Secret
            | Kind::ConfigMap
            | Kind::Namespace
            | Kind::Service
            | Kind::EndpointSlice => Ok(()),
        }
    };
    let written = tokio::time::timeout(WRITE_TIMEOUT, writing).await;
    let object = &draft.object;
    let outcome = match written {
        Err(_) => {
            warn!(%object, "status not written: the API server did not answer in time");
            Outcome::Failed(None)
        }
        Ok(Ok(())) => Outcome::Written,
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            debug!(%object, "status not written: the object is gone");
            Outcome::Gone
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
            debug!(%object, "status not written: the object is another now");
            Outcome::Conflict
        }
        Ok(Err(error)) => {
            warn!(%object, %error, "status not written; will be tried again");
            Outcome::Failed(asked_pause(&error))
        }
    };
    (draft, outcome)
}

/// Source: Kubernetes API conventions, `StatusDetails.retryAfterSeconds`, which an API
/// server sends along with the header `Retry-After`; where it does so as plain text
/// (API priority and fairness), the header asks for one second.
fn asked_pause(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else {
        return None;
    };
    let details = status.details.as_ref();
    let seconds = details.map_or(0, |details| details.retry_after_seconds);
    match (status.code, seconds) {
        (429, 0) => Some(THROTTLED_PAUSE),
        (429 | 503, 1..) => Some(Duration::from_secs(seconds.into())),
        _ => None,
    }
}

async fn patch<K>(client: Client, draft: &Draft) -> kube::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client, &draft.object.name.namespace);
    let mut status = serde_json::to_value(&draft.status).map_err(kube::Error::SerdeError)?;
    for member in members(draft.object.kind) {
        if status.get(member).is_none() {
            // What a merge patch does not name would stay.
            status[member] = Value::Null;
        }
    }
    let mut patch = serde_json::json!({ "status": status });
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

/// What the status of a kind may have beside conditions.
fn members(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::AIProvider => &["routes"],
        Kind::AIRoute => &["hostnames", "routes"],
        Kind::TokenQuota => &["groups"],
        Kind::Consumer
        | Kind::Secret
        | Kind::ConfigMap
        | Kind::Namespace
        | Kind::Service
        | Kind::EndpointSlice => &[],
    }
}

#[cfg(test)]
mod tests;
