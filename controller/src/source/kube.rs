//! Resources from a Kubernetes API server: one watch a kind, or one a kind and namespace.
//!
//! Lists come in pages; each object is passed on as it comes, and what nobody
//! reads of it is dropped by the index. Whatever goes wrong is tried again, and
//! never tells that an object is gone: only a complete list does ([`Relist`]).

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{self, ConfigMap, Namespace, Secret};
use k8s_openapi::api::discovery::v1 as discovery;
use kube::api::{ListParams, PartialObjectMeta};
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{self, Config, watcher};
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use turnpike_crds::{AIProvider, AIRoute, CREDENTIAL_LABEL, Consumer, TokenQuota};
use turnpike_snapshot::name::ObjectName;

use crate::source::relist::Relist;
use crate::source::service::{EndpointSlice, SERVICE_LABEL, Service};
use crate::source::wire::{Parts, Wire};
use crate::source::{
    Event, Kind, NamespaceData, Object, ObjectKey, SecretData, allowed_hostnames, config_map_data,
    object_name, secret_data,
};

/// Objects of one page of a list: what an API server's own clients use.
const PAGE: u32 = 500;
/// Seconds after which a watch is begun anew where it was, so that a connection
/// that died unseen is noticed.
const WATCH_SECONDS: u32 = 60;
/// Events of [`list_once`] told and not taken yet; while they are so many, the API server waits.
const LISTED_AHEAD: usize = 1024;
/// After which [`list_once`] gives up: nobody waits for a command that long.
const LIST_SILENCE: Duration = Duration::from_secs(30);
/// Between tries; short, since someone may just be installing the CRDs.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Tries between two complaints that the CRDs are missing: about a minute.
const TELL_EVERY: u32 = 12;

/// Which namespaces are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every one, those to come too.
    All,
    /// These; each needs rights of its own.
    Namespaces(BTreeSet<String>),
}

/// Starts the watches of each kind, until shutdown or until nobody takes the events.
///
/// The queue of events is the caller's: while it is full, the API server waits.
pub fn spawn(
    client: &Client,
    scope: &Scope,
    events: &mpsc::Sender<Event>,
    shutdown: &CancellationToken,
) -> JoinSet<()> {
    spawn_of(&Kind::ALL, client, scope, events, shutdown)
}

/// The same for some kinds.
fn spawn_of(
    kinds: &[Kind],
    client: &Client,
    scope: &Scope,
    events: &mpsc::Sender<Event>,
    shutdown: &CancellationToken,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for kind in kinds {
        let watches: Vec<BoxedWatch> = match scope {
            Scope::All => vec![watch_kind(client, *kind, None)],
            Scope::Namespaces(names) => names
                .iter()
                .map(|name| watch_kind(client, *kind, Some(name)))
                .collect(),
        };
        let unlisted = Unlisted::new(watches.len());
        for watch in watches {
            let follower = Follower {
                kind: *kind,
                events: events.clone(),
                relist: Relist::default(),
                failures: 0,
                unlisted: unlisted.clone(),
                is_listed: false,
            };
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                shutdown.run_until_cancelled(follower.follow(watch)).await;
            });
        }
    }
    tasks
}

/// Watches a kind in one namespace, or in all.
fn watch_kind(client: &Client, kind: Kind, namespace: Option<&str>) -> BoxedWatch {
    let all = || Config::default().page_size(PAGE).timeout(WATCH_SECONDS);
    let labelled = || all().labels(&format!("{CREDENTIAL_LABEL}=true"));
    match kind {
        Kind::AIProvider => {
            let api = api(client, namespace);
            watch(api, all(), |it| Object::Provider(Box::new(it)))
        }
        Kind::AIRoute => {
            let api = api(client, namespace);
            watch(api, all(), |it| Object::Route(Box::new(it)))
        }
        Kind::Consumer => {
            let api = api(client, namespace);
            watch(api, all(), |it| Object::Consumer(Box::new(it)))
        }
        Kind::TokenQuota => {
            let api = api(client, namespace);
            watch(api, all(), |it| Object::Quota(Box::new(it)))
        }
        Kind::Secret => {
            let secrets = watcher(api::<Secret>(client, namespace), labelled());
            Box::pin(secrets.map_ok(|event| map(event, |it| Ok(secret(it)))))
        }
        Kind::ConfigMap => {
            let config_maps = watcher(api::<ConfigMap>(client, namespace), labelled());
            let object = |it| Ok(Object::ConfigMap(config_map_data(it)));
            Box::pin(config_maps.map_ok(move |event| map(event, object)))
        }
        Kind::Namespace => {
            // A Namespace is in none: it is chosen by its name.
            let chosen = match namespace {
                Some(name) => all().fields(&format!("metadata.name={name}")),
                None => all(),
            };
            watch(Api::all(client.clone()), chosen, self::namespace)
        }
        Kind::Service => watch(api(client, namespace), all(), |it: Service| {
            Object::Service(it.into())
        }),
        Kind::EndpointSlice => {
            let of_services = all().labels(SERVICE_LABEL);
            watch(api(client, namespace), of_services, |it: EndpointSlice| {
                Object::Slice(it.into())
            })
        }
    }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// What a cluster holds at one moment.
pub struct Listed {
    /// Each object that could be read.
    pub events: Vec<Event>,
    /// What may not be listed: what is said of objects that need them is wrong.
    pub lacking: Vec<Kind>,
}

/// Kinds that somebody who may read our resources may well have no right to list.
const OPTIONAL: [Kind; 4] = [
    Kind::Secret,
    Kind::ConfigMap,
    Kind::Service,
    Kind::EndpointSlice,
];

/// Lists every kind once.
///
/// Errors: a kind of ours, or Namespaces, that may not be listed or is not installed; an API
/// server that says nothing for [`LIST_SILENCE`].
pub async fn list_once(client: &Client) -> anyhow::Result<Listed> {
    let (mut kinds, mut lacking) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        match probe(client, kind).await {
            Ok(()) => kinds.push(kind),
            Err(kube::Error::Api(status)) if status.code == 403 && OPTIONAL.contains(&kind) => {
                lacking.push(kind);
            }
            Err(kube::Error::Api(status)) if status.code == 404 => bail!(
                "the API server does not know the kind {kind}; install the CRDs: kubectl apply -f crds/manifests"
            ),
            Err(fault) => return Err(fault).with_context(|| format!("listing {kind} objects")),
        }
    }
    let (told, mut events) = mpsc::channel(LISTED_AHEAD);
    let shutdown = CancellationToken::new();
    let _stopped = shutdown.clone().drop_guard();
    let _watches = spawn_of(&kinds, client, &Scope::All, &told, &shutdown);
    drop(told);
    let mut listed = Vec::new();
    let mut missing = kinds.len();
    while missing > 0 {
        match timeout(LIST_SILENCE, events.recv()).await {
            Ok(Some(Event::Synced(_))) => missing -= 1,
            Ok(Some(event)) => listed.push(event),
            Ok(None) => bail!("a watch ended before its kind was listed"),
            Err(_) => bail!(
                "the API server has listed nothing for {LIST_SILENCE:?}; {missing} kinds are not complete, try again"
            ),
        }
    }
    Ok(Listed {
        events: listed,
        lacking,
    })
}

/// Asks for one object of a kind, to learn whether more may be asked for.
async fn probe(client: &Client, kind: Kind) -> kube::Result<()> {
    async fn one<K>(client: &Client) -> kube::Result<()>
    where
        K: kube::Resource<DynamicType = ()> + Clone + Debug + serde::de::DeserializeOwned,
    {
        let params = ListParams::default().limit(1);
        let api = Api::<K>::all(client.clone());
        api.list_metadata(&params).await.map(drop)
    }
    match kind {
        Kind::AIProvider => one::<AIProvider>(client).await,
        Kind::AIRoute => one::<AIRoute>(client).await,
        Kind::Consumer => one::<Consumer>(client).await,
        Kind::TokenQuota => one::<TokenQuota>(client).await,
        Kind::Secret => one::<Secret>(client).await,
        Kind::ConfigMap => one::<ConfigMap>(client).await,
        Kind::Namespace => one::<Namespace>(client).await,
        Kind::Service => one::<v1::Service>(client).await,
        Kind::EndpointSlice => one::<discovery::EndpointSlice>(client).await,
    }
}

type Parsed = Result<Object, Unreadable>;
type BoxedWatch = BoxStream<'static, watcher::Result<watcher::Event<Parsed>>>;

/// An object that this build's types cannot hold; written by another version.
#[derive(Debug)]
struct Unreadable {
    name: ObjectName,
    message: String,
}

/// How many watches of a kind have not been listed once; the kind is synced when none is left.
#[derive(Clone)]
struct Unlisted(Arc<AtomicUsize>);

impl Unlisted {
    fn new(watches: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(watches)))
    }

    fn note_listed(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    fn is_none(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// Turns the events of one watch into the index's.
struct Follower {
    kind: Kind,
    events: mpsc::Sender<Event>,
    relist: Relist,
    failures: u32,
    unlisted: Unlisted,
    /// Whether this watch is no longer among the unlisted.
    is_listed: bool,
}

impl Follower {
    /// Ends when nobody takes the events any more.
    async fn follow(mut self, mut watch: BoxedWatch) {
        loop {
            let told = match watch.try_next().await {
                Ok(Some(event)) => self.tell(event).await,
                Ok(None) => return,
                Err(fault) => {
                    self.pause(&fault).await;
                    Ok(())
                }
            };
            if told.is_err() {
                return;
            }
        }
    }

    async fn tell(
        &mut self,
        event: watcher::Event<Parsed>,
    ) -> Result<(), mpsc::error::SendError<Event>> {
        match event {
            watcher::Event::Init => self.relist.begin(),
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
                self.failures = 0;
                self.tell_apply(object).await?;
            }
            watcher::Event::Delete(object) => {
                let key = self.key(&object);
                if self.relist.delete(&key.name) {
                    self.events.send(Event::Delete(key)).await?;
                }
            }
            watcher::Event::InitDone => {
                self.failures = 0;
                for name in self.relist.end() {
                    let kind = self.kind;
                    self.events
                        .send(Event::Delete(ObjectKey { kind, name }))
                        .await?;
                }
                info!(kind = %self.kind, "listed");
                if !self.is_listed {
                    self.is_listed = true;
                    self.unlisted.note_listed();
                }
                if self.unlisted.is_none() {
                    self.events.send(Event::Synced(self.kind)).await?;
                }
            }
        }
        Ok(())
    }

    /// An object that cannot be read stays as it was last told.
    async fn tell_apply(&mut self, object: Parsed) -> Result<(), mpsc::error::SendError<Event>> {
        let key = self.key(&object);
        match object {
            Ok(object) => {
                self.relist.apply(&key.name);
                self.events.send(Event::Apply(object)).await
            }
            Err(Unreadable { message, .. }) => {
                error!(object = %key, fault = message, "cannot be read; was it written by a newer version?");
                self.relist.keep(&key.name);
                Ok(())
            }
        }
    }

    fn key(&self, object: &Parsed) -> ObjectKey {
        match object {
            Ok(object) => object.key(),
            Err(Unreadable { name, .. }) => ObjectKey {
                kind: self.kind,
                name: name.clone(),
            },
        }
    }

    async fn pause(&mut self, fault: &watcher::Error) {
        let kind = self.kind;
        if is_expired(fault) {
            // The API server is there; it only asks for a new list.
            self.failures = self.failures.min(1);
            info!(%kind, "the watch is too far behind; listing anew");
        } else if !is_missing(fault) {
            warn!(%kind, %fault, "watch failed; will be tried again");
        } else if self.failures.is_multiple_of(TELL_EVERY) {
            warn!(%kind, "the API server does not know this kind; install the CRDs: kubectl apply -f crds/manifests");
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(8));
        self.failures += 1;
        tokio::time::sleep(pause.min(MAX_PAUSE)).await;
    }
}

/// Watches a kind. One object that cannot be read fails alone.
fn watch<K>(
    api: Api<Wire<K>>,
    config: Config,
    object: impl Fn(K) -> Object + Send + 'static,
) -> BoxedWatch
where
    K: Parts + Debug + Send + 'static,
{
    let watch = watcher(api, config);
    Box::pin(watch.map_ok(move |event| {
        map(event, |wire| match wire {
            Wire::Read(it) => Ok(object(it)),
            Wire::Unreadable { metadata, fault } => Err(Unreadable {
                name: object_name(&metadata),
                message: fault,
            }),
        })
    }))
}

fn map<A, B>(event: watcher::Event<A>, to: impl FnOnce(A) -> B) -> watcher::Event<B> {
    match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(to(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(to(object)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(to(object)),
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}

fn secret(secret: Secret) -> Object {
    Object::Secret(SecretData {
        name: object_name(&secret.metadata),
        data: secret_data(secret),
    })
}

fn namespace(namespace: PartialObjectMeta<Namespace>) -> Object {
    let meta = namespace.metadata;
    Object::Namespace(NamespaceData {
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        allowed_hostnames: allowed_hostnames(meta.annotations.as_ref()),
        labels: meta.labels.unwrap_or_default().into(),
    })
}

/// Whether the watch's place is no longer known: 410 Gone.
fn is_expired(fault: &watcher::Error) -> bool {
    matches!(fault, watcher::Error::WatchError(status) if status.code == 410)
}

/// Whether the API server has no such kind.
fn is_missing(fault: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause)) =
        fault
    else {
        return false;
    };
    matches!(cause, kube::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
mod tests;
