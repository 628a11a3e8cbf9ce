//! Builds a controller: every part, and what each is given, in one place.
//!
//! ```text
//! source ─→ World ─→ gRPC (a socket, or pipes in this process)
//!             └────→ status writer (in a cluster)
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use turnpike_snapshot::credential::FleetKey;

use crate::admin::{Admin, Health};
use crate::config::{Config, Protection, Source};
use crate::connect::connect;
use crate::debug;
use crate::fleet_key;
use crate::index::Index;
use crate::lease::{self, Leadership};
use crate::metrics::{Census, Metrics};
use crate::peers::{Board, reporter, service};
use crate::serve::grpc::{self, Dialer, Gates, Pipes};
use crate::serve::{Acceptance, Context, Hub, View};
use crate::source::Event;
use crate::source::directory::Directory;
use crate::source::kube::Scope;
use crate::status::public_url::PublicUrl;
use crate::status::writer::{self, Replicas};
use crate::status::writes::Writes;
use crate::status::{GRACE, announcer};
use crate::trust::dial::Dial;
use crate::trust::guard::Guard;
use crate::trust::identity::Identity;
use crate::trust::listener;
use crate::trust::lobby::{self, Lobby};
use crate::world::World;

/// Events told and not applied yet. While they are so many, sources wait.
const EVENTS: usize = 1024;

/// A controller whose ports are bound; it does nothing before [`Controller::run`].
pub struct Controller {
    state: State,
    origin: Origin,
    door: Door,
    admin: Option<Admin>,
}

/// What is shared with the admin port.
#[derive(Clone)]
struct State {
    world: Arc<World>,
    metrics: Metrics,
    writes: Arc<Writes>,
    acceptance: Acceptance,
    /// As another replica finds it; empty where there is none.
    leadership: watch::Sender<Leadership>,
    board: Board,
    /// What the snapshot port shows; `None`: it is not protected.
    identity: Option<Identity>,
}

/// Where resources come from, ready to be read.
enum Origin {
    Cluster(Client, Scope, Standing),
    Files(Directory),
}

/// What a replica needs to lead others, or to follow.
struct Standing {
    /// Where the Lease is.
    namespace: String,
    /// Who this is, and where it is reached.
    identity: String,
    /// How clients reach hosts.
    public_url: Option<PublicUrl>,
    /// How others are reached.
    dial: Dial,
}

/// Where data planes come in.
enum Door {
    Tcp(TcpListener, SocketAddr),
    Tls(TcpListener, SocketAddr, Box<Guard>),
    Pipes(Pipes),
}

impl Controller {
    /// Builds a controller for data planes of other processes.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let listen = config.listen;
        let admin = Admin::bind(config.admin)
            .await
            .with_context(|| format!("listening on --admin {}", config.admin))?;
        let snapshots = TcpListener::bind(listen)
            .await
            .with_context(|| format!("listening on --listen {listen}"))?;
        let address = snapshots
            .local_addr()
            .context("reading the bound address")?;
        let advertised = config.advertise.unwrap_or_else(|| address.to_string());
        let metrics = Metrics::new();
        let (origin, index, guard) = match &config.source {
            Source::Files(directory) => {
                let (origin, index) = open_files(directory, &config.platform_namespace)?;
                (origin, index, None)
            }
            Source::Cluster { kubeconfig, scope } => {
                let client = connect(kubeconfig.as_deref()).await?;
                let namespace = config.platform_namespace;
                let index = index_of(&client, &namespace).await?;
                let guard = match &config.protection {
                    Protection::Plaintext => None,
                    Protection::Secured(secured) => {
                        let refusals = metrics.refusals.clone();
                        let opening =
                            Guard::open(&client, &namespace, secured, &advertised, refusals);
                        Some(opening.await?)
                    }
                };
                let standing = Standing {
                    identity: lease::identity(&advertised),
                    dial: guard.as_ref().map_or(Dial::Plain, Guard::dial),
                    public_url: config.public_url,
                    namespace,
                };
                (
                    Origin::Cluster(client, scope.clone(), standing),
                    index,
                    guard,
                )
            }
        };
        let index = index
            .with_class(config.class)
            .with_hostname_policy(config.hostname_policy)
            .with_fleet_certificates(config.fleet_certificates);
        if guard.is_none() && !listen.ip().is_loopback() {
            warn!(
                %listen,
                "snapshots, and the provider keys in them, go over this network unprotected"
            );
        }
        let mut state = State::new(index, metrics, config.accept_mass_delete);
        state.identity = guard.as_ref().map(Guard::identity);
        Ok(Self {
            state,
            origin,
            door: match guard {
                Some(guard) => Door::Tls(snapshots, address, Box::new(guard)),
                None => Door::Tcp(snapshots, address),
            },
            admin: Some(admin),
        })
    }

    /// Builds a controller over a directory of YAML files for one data plane in
    /// this process, which connects through the dialer. Without an admin port.
    pub fn from_directory(
        directory: &Path,
        platform_namespace: &str,
    ) -> anyhow::Result<(Self, Dialer)> {
        let (origin, index) = open_files(directory, platform_namespace)?;
        let (dialer, pipes) = grpc::in_process();
        let controller = Self {
            // Whoever edits files sees what goes.
            state: State::new(index, Metrics::new(), true),
            origin,
            door: Door::Pipes(pipes),
            admin: None,
        };
        Ok((controller, dialer))
    }

    /// Where data planes connect; `None`: through pipes.
    pub fn listen_address(&self) -> Option<SocketAddr> {
        match &self.door {
            Door::Tcp(_, address) | Door::Tls(_, address, _) => Some(*address),
            Door::Pipes(_) => None,
        }
    }

    /// Where health and metrics are answered, if anywhere.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// The state, for the cli and for tests to look at.
    pub fn world(&self) -> Arc<World> {
        self.state.world.clone()
    }

    /// Runs until shutdown. Fails when a part of it ends before.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self {
            state,
            origin,
            door,
            admin,
        } = self;
        // Whatever ends first takes the rest along.
        let stop = shutdown.child_token();
        let _guard = stop.clone().drop_guard();
        let mut parts = Parts::new(stop.clone());

        let (events, told) = mpsc::channel(EVENTS);
        parts.spawn("index", state.world.clone().follow(told, stop.clone()));
        parts.follow(origin, events, &state)?;
        if let Some(admin) = admin {
            let health = Arc::new(Answering(state.clone(), stop.clone()));
            parts.spawn("admin port", admin.serve(health, stop.clone()));
        }

        let context = Context {
            view: state.world.clone(),
            hub: state.world.hub().clone(),
            acceptance: state.acceptance.clone(),
            metrics: state.metrics.serving.clone(),
            shutdown: stop.clone(),
        };
        let peers = service::Context {
            board: state.board.clone(),
            leadership: state.leadership.subscribe(),
            shutdown: stop.clone(),
        };
        let ended = tokio::select! {
            served = door.serve(context, peers, state.world.synced()) => {
                served.context("serving snapshots")
            }
            failed = parts.watch() => Err(failed),
        };
        stop.cancel();
        parts.join().await;
        ended
    }
}

impl State {
    fn new(index: Index, metrics: Metrics, accepts_mass_delete: bool) -> Self {
        Self {
            world: Arc::new(World::new(index, Hub::new())),
            metrics,
            writes: Arc::default(),
            acceptance: Acceptance::new(accepts_mass_delete),
            leadership: watch::Sender::new(Leadership::default()),
            board: Board::default(),
            identity: None,
        }
    }

    fn census(&self) -> Census {
        let hub = self.world.hub();
        let counts = self.world.read(Index::counts);
        let standpoints = hub.standpoints(Instant::now());
        let beats = || standpoints.iter().map(|standpoint| standpoint.beat);
        Census {
            data_planes_lagging: beats().filter(|beat| beat.oldest >= GRACE).count(),
            oldest_unacknowledged: beats().map(|beat| beat.oldest).max().unwrap_or_default(),
            leads: self.leadership.borrow().is_leader(Instant::now()),
            replicas_reporting: self.board.len(),
            withheld_withdrawals: beats().map(|beat| beat.withheld).sum(),
            data_planes: hub.connected(),
            names_held: hub.names_held(),
            is_synced: self.world.is_synced(),
            objects: counts.map(|(kind, count)| (kind.as_str(), count)).into(),
            status_writes: self.writes.written(),
            status_failures: self.writes.failed(),
            events_written: self.writes.events_written(),
            events_dropped: self.writes.events_dropped(),
            certificates: self.identity.as_ref().map(Identity::expiry),
        }
    }
}

/// What the admin port tells.
struct Answering(State, CancellationToken);

impl Health for Answering {
    fn ready(&self) -> Result<(), &'static str> {
        let Self(state, stop) = self;
        match (stop.is_cancelled(), state.world.is_synced()) {
            (true, _) => Err("shutting down"),
            (false, false) => Err("not every kind of resource has been listed yet"),
            (false, true) => Ok(()),
        }
    }

    fn metrics(&self) -> Result<String, fmt::Error> {
        self.0.metrics.encode(&self.0.census())
    }

    fn index(&self, query: &str) -> Result<String, String> {
        let query = debug::Query::parse(query)?;
        let leadership = self.0.leadership.borrow().clone();
        Ok(debug::page(&self.0.world, &leadership, query, Instant::now()).to_string())
    }

    fn accept_mass_delete(&self) {
        self.0.acceptance.accept(Instant::now());
    }
}

impl Door {
    /// Before the index is synced, other processes are told so and may try another
    /// controller; the data plane of this one has no other, and is let in when it is.
    async fn serve(
        self,
        context: Context,
        peers: service::Context,
        mut synced: watch::Receiver<bool>,
    ) -> Result<(), tonic::transport::Error> {
        match self {
            Door::Tcp(listener, _) => grpc::serve_tcp(listener, context, Some(peers)).await,
            Door::Tls(listener, _, guard) => serve_guarded(*guard, listener, context, peers).await,
            Door::Pipes(pipes) => {
                let synced = synced.wait_for(|is_synced| *is_synced);
                drop(context.shutdown.run_until_cancelled(synced).await);
                grpc::serve_pipes(pipes, context).await
            }
        }
    }
}

/// Serves, and renews what it serves with.
async fn serve_guarded(
    guard: Guard,
    listener: TcpListener,
    context: Context,
    peers: service::Context,
) -> Result<(), tonic::transport::Error> {
    let stop = context.shutdown.clone();
    let gates = Gates {
        data_planes: guard.data_planes,
        controllers: guard.controllers,
    };
    let lobby = Lobby::new(lobby::Bounds::default());
    let (config, complaints) = (guard.config, guard.complaints);
    let connections = listener::spawn(listener, config, lobby, complaints, stop.clone());
    let serving = grpc::serve_tls(connections, context, Some(peers), gates);
    let keeping = async {
        guard.keeper.run(stop).await;
        // Streams are still let end.
        std::future::pending().await
    };
    tokio::select! {
        served = serving => served,
        () = keeping => Ok(()),
    }
}

/// The tasks beside the snapshot server. Each runs until `stop`.
struct Parts {
    tasks: JoinSet<&'static str>,
    stop: CancellationToken,
}

impl Parts {
    fn new(stop: CancellationToken) -> Self {
        Self {
            tasks: JoinSet::new(),
            stop,
        }
    }

    fn spawn(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            part.await;
            name
        });
    }

    /// Starts to read resources and, in a cluster, to write their status.
    fn follow(
        &mut self,
        origin: Origin,
        events: mpsc::Sender<Event>,
        state: &State,
    ) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        match origin {
            Origin::Files(directory) => {
                let reading = directory
                    .spawn(events, stop.clone())
                    .context("watching the directory for changes")?;
                self.spawn("directory", ended(reading));
                self.spawn("announcer", announcer::run(state.world.clone(), stop));
            }
            Origin::Cluster(client, scope, standing) => {
                let watches = crate::source::kube::spawn(&client, &scope, &events, &stop);
                self.spawn("watches", all_ended(watches));
                let world = state.world.clone();
                let replicas = Replicas {
                    leadership: state.leadership.subscribe(),
                    board: state.board.clone(),
                };
                let Standing {
                    namespace,
                    identity,
                    dial,
                    public_url,
                } = standing;
                let writes = state.writes.clone();
                let writing = writer::spawn(
                    world.clone(),
                    client.clone(),
                    writes,
                    replicas,
                    public_url,
                    Box::new(Timestamp::now),
                    stop.clone(),
                );
                self.spawn("status writer", ended(writing));
                let (told, led) = (state.leadership.clone(), state.leadership.subscribe());
                let reporting = reporter::run(world, led, identity.clone(), dial, stop.clone());
                self.spawn("reporter", reporting);
                let competing = lease::run(client, namespace, identity, told, stop);
                self.spawn("lease", competing);
            }
        }
        Ok(())
    }

    /// Waits for a part to end before it should; says which.
    async fn watch(&mut self) -> anyhow::Error {
        while !self.stop.is_cancelled() {
            match self.tasks.join_next().await {
                Some(Ok(name)) if !self.stop.is_cancelled() => {
                    return anyhow!("{name} ended by itself");
                }
                Some(Err(error)) => return anyhow!(error).context("a part of the controller"),
                Some(Ok(_)) => {}
                None => break,
            }
        }
        std::future::pending().await
    }

    async fn join(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Waits for a task; its panic becomes the waiter's.
async fn ended(task: tokio::task::JoinHandle<()>) {
    if let Err(error) = task.await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Waits for the first of several tasks that belong together; the rest end with it.
async fn all_ended(mut tasks: JoinSet<()>) {
    if let Some(Err(error)) = tasks.join_next().await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn index_of(client: &Client, platform_namespace: &str) -> anyhow::Result<Index> {
    let keys = fleet_key::fetch(client.clone(), platform_namespace)
        .await
        .context("getting the fleet key")?;
    let ids: Vec<&str> = keys.iter().map(FleetKey::id).collect();
    info!(?ids, "fleet keys");
    Ok(Index::new(keys.clone(), platform_namespace))
}

fn open_files(directory: &Path, platform_namespace: &str) -> anyhow::Result<(Origin, Index)> {
    let key = fleet_key::random(Timestamp::now());
    let index = Index::new(vec![key], platform_namespace).of_files();
    let directory = Directory::new(directory).context("reading the resources' own schemas")?;
    Ok((Origin::Files(directory), index))
}
