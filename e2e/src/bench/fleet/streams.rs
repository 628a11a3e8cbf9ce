//! All simulated data planes over one controller's state.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use turnpike_controller::metrics::Metrics;
use turnpike_controller::serve::acceptance::Acceptance;
use turnpike_controller::serve::{Context, Standing, View};
use turnpike_controller::world::World;
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::{Name, Snapshot, Version};

use super::changes::{Change, Reach};
use super::client::{Board, Client, Holding};
use super::report::{Churned, Delivered, Reconnected, Subscribed};
use super::tenants::Tenants;
use crate::bench::memory;

/// How long anything may take before the simulation gives up.
const PATIENCE: Duration = Duration::from_secs(900);
/// Between two looks at whether something has happened.
const PAUSE: Duration = Duration::from_millis(1);
/// Looks in a row that must find everything done: a unit is counted a moment after it was made.
const LOOKS: usize = 3;
/// Without a unit or a compilation for so long, many changes have had all their effects.
const QUIET: Duration = Duration::from_millis(500);

/// The streams and what they are interested in.
pub(super) struct Streams {
    tenants: Tenants,
    world: Arc<World>,
    view: Arc<Counted>,
    context: Context,
    board: Arc<Board>,
    features: Vec<String>,
    clients: Vec<Client>,
    /// The tenants of each stream.
    interests: Vec<HashSet<u32>>,
    domains: u32,
    random: SmallRng,
    /// Of the changes so far; each has another.
    form: u64,
}

/// The view, with a count of what it compiles.
struct Counted {
    world: Arc<World>,
    compiled: AtomicU64,
}

/// What was sent up to some moment.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sent {
    units: u64,
    bytes: u64,
    compiled: u64,
}

impl View for Counted {
    fn snapshot(&self, name: &Name) -> Option<Snapshot> {
        self.compiled.fetch_add(1, Ordering::Relaxed);
        self.world.snapshot(name)
    }

    fn exists(&self, name: &Name) -> bool {
        self.world.exists(name)
    }

    fn is_synced(&self) -> bool {
        self.world.is_synced()
    }

    fn fleet_keys(&self) -> Vec<FleetKey> {
        self.world.fleet_keys()
    }
}

impl Streams {
    /// Nobody is connected yet.
    pub(super) fn new(tenants: Tenants, world: World, domains: u32, random: SmallRng) -> Self {
        let world = Arc::new(world);
        let view = Arc::new(Counted {
            world: world.clone(),
            compiled: AtomicU64::new(0),
        });
        let context = Context {
            view: view.clone(),
            hub: world.hub().clone(),
            acceptance: Acceptance::new(false),
            metrics: Metrics::new().serving,
            shutdown: CancellationToken::new(),
        };
        let features = features(&*world, tenants.domain(0));
        Self {
            tenants,
            world,
            view,
            context,
            board: Arc::new(Board::new()),
            features,
            clients: Vec::new(),
            interests: Vec::new(),
            domains,
            random,
            form: 1000,
        }
    }

    /// Connects so many streams, each asking for so many tenants.
    pub(super) async fn subscribe(
        &mut self,
        streams: usize,
        interest: usize,
    ) -> Result<Subscribed> {
        let memory_before = memory::own()?.now;
        let before = self.sent();
        let begun = Instant::now();
        for number in 0..streams {
            self.connect(number, Holding::default());
            let mut tenants = HashSet::new();
            while tenants.len() < interest.min(self.domains as usize) {
                tenants.insert(self.draw());
            }
            let names = tenants.iter().flat_map(|tenant| self.roots(*tenant));
            self.clients[number].subscribe(names.collect()).await?;
            self.interests.push(tenants);
        }
        self.settle(QUIET).await?;
        let took = self.board.last().saturating_duration_since(begun);
        let sent = self.sent();
        let (names, remembered) = self.held().await?;
        let memory = memory::own()?.now.saturating_sub(memory_before);
        Ok(Subscribed {
            streams,
            names,
            units: sent.units - before.units,
            bytes: sent.bytes - before.bytes,
            memory: memory.saturating_sub(remembered as u64),
            took,
        })
    }

    /// Makes one kind of change several times, waiting each time until all have it.
    pub(super) async fn change(&mut self, change: Change, times: usize) -> Result<Delivered> {
        let mut delivered = Delivered {
            kind: change.name(),
            holders: Vec::new(),
            units: Vec::new(),
            strays: 0,
            bytes: 0,
            converged: Vec::new(),
        };
        for number in 0..times {
            let tenant = self.held_tenant(number);
            self.form += 1;
            if let Some(prior) = change.prior() {
                self.apply(prior, tenant).await?;
            }
            let before = self.sent();
            let others = self.units_of_others(change, tenant);
            let begun = Instant::now();
            self.apply(change, tenant).await?;
            let converged = self.board.last().saturating_duration_since(begun);
            let sent = self.sent();
            delivered.holders.push(self.holders(change, tenant));
            delivered.units.push(sent.units - before.units);
            delivered.strays += self.units_of_others(change, tenant) - others;
            delivered.bytes += sent.bytes - before.bytes;
            delivered.converged.push(converged);
            if let Some(undo) = change.undo() {
                self.apply(undo, tenant).await?;
            }
        }
        Ok(delivered)
    }

    /// In each round every stream gives up some tenants and asks for others, and some routes change.
    pub(super) async fn churn(
        &mut self,
        rounds: usize,
        redrawn: usize,
        edits: usize,
    ) -> Result<Churned> {
        let before = self.sent();
        let begun = Instant::now();
        let mut churned = Churned::default();
        for _ in 0..rounds {
            for number in 0..self.clients.len() {
                churned.redrawn += self.redraw(number, redrawn).await?;
            }
            for _ in 0..edits {
                self.form += 1;
                let tenant = self.draw();
                let event = Change::RouteEdited.event(&self.tenants, tenant, self.form)?;
                self.world.apply([event]);
                churned.changes += 1;
            }
            tokio::task::yield_now().await;
        }
        churned.took = begun.elapsed();
        self.settle(QUIET).await?;
        churned.settled = self
            .board
            .last()
            .saturating_duration_since(begun + churned.took);
        let sent = self.sent();
        churned.units = sent.units - before.units;
        churned.bytes = sent.bytes - before.bytes;
        Ok(churned)
    }

    /// Breaks all streams, compares what each held with the index, and connects them again.
    pub(super) async fn reconnect(&mut self, churned: &mut Churned) -> Result<Reconnected> {
        let mut holdings = Vec::new();
        let begun = Instant::now();
        for client in std::mem::take(&mut self.clients) {
            holdings.push(client.leave().await?);
        }
        while self.world.hub().connected() > 0 {
            ensure!(begun.elapsed() < PATIENCE, "streams are still connected");
            sleep(PAUSE).await;
        }
        let left = begun.elapsed();
        (churned.compared, churned.different) = self.compare(&holdings);
        let before = self.sent();
        let names = holdings.iter().map(|held| held.versions.len()).sum();
        let begun = Instant::now();
        for (number, holding) in holdings.into_iter().enumerate() {
            self.connect(number, holding);
        }
        let took = self.settle(QUIET).await?.saturating_duration_since(begun);
        let sent = self.sent();
        Ok(Reconnected {
            names,
            units: sent.units - before.units,
            compiled: sent.compiled - before.compiled,
            left,
            took,
        })
    }

    fn connect(&mut self, number: usize, holding: Holding) {
        self.clients.push(Client::connect(
            self.context.clone(),
            format!("data-plane-{number}"),
            self.features.clone(),
            self.board.clone(),
            holding,
        ));
    }

    /// Applies a change and waits until everything that comes of it has come.
    async fn apply(&mut self, change: Change, tenant: u32) -> Result<()> {
        let event = change.event(&self.tenants, tenant, self.form)?;
        let names = self.tenants.names_around(tenant);
        self.world.apply([event]);
        let begun = Instant::now();
        let mut looks = 0;
        while looks < LOOKS {
            ensure!(begun.elapsed() < PATIENCE, "{change:?} is not everywhere");
            sleep(PAUSE).await;
            looks = if self.is_done(&names) { looks + 1 } else { 0 };
        }
        Ok(())
    }

    /// Whether every holder of the names has the newest, and every unit arrived.
    fn is_done(&self, names: &[Name]) -> bool {
        let hub = self.world.hub();
        let lags = |name| {
            let mut holders = hub.delivery(name).holders.into_iter();
            holders.any(|holder| holder.standing == Standing::Lagging)
        };
        let arrived: u64 = self.clients.iter().map(Client::units).sum();
        arrived == self.sent().units && !names.iter().any(lags)
    }

    /// Waits until nothing was sent or compiled for a while; when that began.
    async fn settle(&self, quiet: Duration) -> Result<Instant> {
        let begun = Instant::now();
        let mut last = (self.sent(), Instant::now());
        while last.1.elapsed() < quiet {
            ensure!(begun.elapsed() < PATIENCE, "units are still sent");
            sleep(PAUSE).await;
            let sent = self.sent();
            if sent != last.0 {
                last = (sent, Instant::now());
            }
        }
        Ok(last.1)
    }

    async fn redraw(&mut self, number: usize, count: usize) -> Result<u64> {
        let given_up: Vec<u32> = self.interests[number].iter().take(count).copied().collect();
        let mut asked = Vec::new();
        for tenant in &given_up {
            self.interests[number].remove(tenant);
        }
        for _ in 0..given_up.len() {
            let tenant = self.draw();
            if self.interests[number].insert(tenant) {
                asked.push(tenant);
            }
        }
        let names = |tenants: &[u32]| -> Vec<Name> {
            tenants
                .iter()
                .flat_map(|tenant| self.roots(*tenant))
                .collect()
        };
        let (gone, come) = (names(&given_up), names(&asked));
        self.clients[number].unsubscribe(gone).await?;
        self.clients[number].subscribe(come).await?;
        Ok((given_up.len() + asked.len()) as u64)
    }

    fn roots(&self, tenant: u32) -> [Name; 2] {
        [self.tenants.domain(tenant), self.tenants.credential(tenant)]
    }

    /// A tenant by Zipf's law with exponent 1: the one of rank r is drawn 1/r as often as the first.
    fn draw(&mut self) -> u32 {
        let share: f64 = self.random.random();
        let rank = (f64::from(self.domains) + 1.0).powf(share) - 1.0;
        (rank as u32).min(self.domains - 1)
    }

    /// A tenant that some stream holds: one of each stream in turn, as it comes.
    fn held_tenant(&self, number: usize) -> u32 {
        let tenants = &self.interests[number % self.interests.len()];
        tenants.iter().next().copied().unwrap_or_default()
    }

    fn holders(&self, change: Change, tenant: u32) -> u64 {
        let interests = self.interests.iter();
        let holders = interests.filter(|tenants| self.holds(tenants, change, tenant));
        holders.count() as u64
    }

    /// Units that went so far to streams that a change does not concern.
    fn units_of_others(&self, change: Change, tenant: u32) -> u64 {
        let streams = self.clients.iter().zip(&self.interests);
        let others = streams.filter(|(_, tenants)| !self.holds(tenants, change, tenant));
        others.map(|(client, _)| client.units()).sum()
    }

    fn holds(&self, tenants: &HashSet<u32>, change: Change, tenant: u32) -> bool {
        change.reach(&self.tenants) == Reach::Fleet || tenants.contains(&tenant)
    }

    async fn held(&self) -> Result<(usize, usize)> {
        let mut sum = (0, 0);
        for client in &self.clients {
            let (names, bytes) = client.size().await?;
            sum = (sum.0 + names, sum.1 + bytes);
        }
        Ok(sum)
    }

    /// How many held names there are, and how many of them are not as the index has them.
    fn compare(&self, holdings: &[Holding]) -> (usize, usize) {
        let mut newest: HashMap<Arc<Name>, Option<Version>> = HashMap::new();
        let mut counts = (0, 0);
        for (name, version) in holdings.iter().flat_map(|held| &held.versions) {
            let newest = newest.entry(name.clone()).or_insert_with(|| {
                let snapshot = self.world.snapshot(name);
                snapshot.map(|snapshot| Version::of(&snapshot))
            });
            counts.0 += 1;
            counts.1 += usize::from(newest != version);
        }
        counts
    }

    fn sent(&self) -> Sent {
        Sent {
            units: self.context.metrics.units.get(),
            bytes: self.context.metrics.unit_bytes.get(),
            compiled: self.view.compiled.load(Ordering::Relaxed),
        }
    }
}

/// What a data plane must know how to obey, so that nothing is withheld from it: all that a
/// domain and what it refers to need.
fn features(view: &dyn View, domain: Name) -> Vec<String> {
    let mut features = HashSet::new();
    let mut seen = HashSet::new();
    let mut names = vec![domain];
    while let Some(name) = names.pop() {
        if let Some(snapshot) = view.snapshot(&name)
            && seen.insert(name)
        {
            features.extend(snapshot.features());
            names.extend(snapshot.references());
        }
    }
    features.into_iter().collect()
}
