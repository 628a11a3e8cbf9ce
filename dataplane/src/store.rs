//! What the data plane knows: domains and credentials, loaded when first asked
//! for and kept up to date by pushes from then on.
//!
//! ```text
//! request ── get ──► tables (lock-free) ── miss ──► book ──► demand ◄─gRPC─► controller
//!                      ▲                              │
//!                      └──────── units applied ───────┘
//! ```
//!
//! Readers never take a lock for what is loaded. All changes go through one
//! book behind one lock that is never held across an await.

mod apply;
mod asker;
mod book;
mod cost;
pub mod demand;
mod disk;
pub mod eviction;
mod fair;
mod fixed;
mod glob;
mod journal;
mod link;
mod lookup;
mod oldest;
mod report;
mod slot;
mod tables;
pub mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;
use turnpike_snapshot::Name;
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::name::ObjectName;

pub use asker::Asker;
pub use book::{Bounds, Census};
pub use disk::{Restorable, StateDir, StateDirError};
pub use eviction::Limits;
pub use glob::{GlobError, Globs, Pattern};
pub use link::Link;
pub use lookup::FetchError;
pub use report::Report;
pub use slot::{ProviderRuntime, Slot};
pub use view::{
    AuthenticationView, BackendView, CertificateView, ClientRule, Consumer, CredentialView,
    DomainView, FleetCertificatesView, FleetView, GrantView, MatchView, ProviderView, QuotaView,
    RouteView, RuleView, TenantView, UpstreamView,
};

use book::Book;
pub(crate) use tables::Tables;

/// How long a request waits for what is not loaded yet, unless told otherwise.
pub const LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// What the data plane knows; cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    tables: Tables,
    /// Newest first.
    fleet_keys: ArcSwap<Vec<(Arc<str>, FleetKey)>>,
    book: Mutex<Book>,
    /// The book has something to say upward.
    outgoing: Notify,
    link: link::LinkState,
    load_timeout: Duration,
    /// Something was in force before any controller was heard.
    is_restored: AtomicBool,
    /// Handshakes need the platform's certificates.
    follows_certificates: AtomicBool,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    applied: AtomicU64,
    refused: AtomicU64,
    idle: AtomicU64,
    over_budget: AtomicU64,
    refused_domains: AtomicU64,
    refused_credentials: AtomicU64,
}

impl Counts {
    fn refuse_lookup(&self, name: &Name) {
        let count = match name {
            Name::Credential { .. } => &self.refused_credentials,
            _ => &self.refused_domains,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// What was done with changes since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Put into force.
    pub applied: u64,
    /// Not put into force; what was held stayed.
    pub refused: u64,
    /// Forgotten because nobody had asked for them for long.
    pub evicted_idle: u64,
    /// Forgotten to stay within the budget.
    pub evicted_over_budget: u64,
    /// Hosts not looked up because their asker had looked up too many that do not exist.
    pub refused_domains: u64,
    /// The same for keys.
    pub refused_credentials: u64,
}

impl Store {
    /// A store that knows nothing yet; [`demand::run`] fills it.
    pub fn new(load_timeout: Duration, bounds: Bounds) -> Self {
        Self::with_link(load_timeout, bounds, Link::Down)
    }

    fn with_link(load_timeout: Duration, bounds: Bounds, link: Link) -> Self {
        let tables = Tables::default();
        let now = eviction::unix_now();
        tables.set_now(now);
        Self(Arc::new(Inner {
            tables,
            fleet_keys: ArcSwap::default(),
            book: Mutex::new(Book::new(bounds)),
            outgoing: Notify::new(),
            link: link::LinkState::new(link, now),
            load_timeout,
            is_restored: AtomicBool::new(false),
            follows_certificates: AtomicBool::new(false),
            counts: Counts::default(),
        }))
    }

    /// Gives a consumer that is in force.
    pub fn consumer(&self, name: &ObjectName) -> Option<Arc<Consumer>> {
        self.0.tables.consumers.find(name)
    }

    /// Holds the platform's certificates from the next stream on: hosts that nobody serves yet
    /// have no other. For a data plane with a TLS listener.
    pub fn follow_fleet_certificates(&self) {
        self.0.follows_certificates.store(true, Ordering::Relaxed);
    }

    /// Gives the platform's certificates; `None`: no controller has told them.
    pub fn fleet_certificates(&self) -> Option<Arc<FleetCertificatesView>> {
        self.0.tables.fleet_certificates.load()
    }

    /// Gives the keys of the installation, newest first.
    pub fn fleet_keys(&self) -> Arc<Vec<(Arc<str>, FleetKey)>> {
        self.0.fleet_keys.load_full()
    }

    /// How the store stands with its controller.
    pub fn link(&self) -> Link {
        self.0.link.get()
    }

    /// Whether a controller has ever been heard: until then nothing can be answered.
    pub fn has_been_up(&self) -> bool {
        self.0.link.has_been_up()
    }

    /// Whether there is anything to serve from: a controller was heard, or the disk held something.
    pub fn is_ready(&self) -> bool {
        self.has_been_up() || self.0.is_restored.load(Ordering::Relaxed)
    }

    fn set_restored(&self) {
        self.0.is_restored.store(true, Ordering::Relaxed);
    }

    /// Counts what is known.
    pub fn census(&self) -> Census {
        self.book().census()
    }

    /// What all that is held takes in memory, estimated, in bytes.
    pub fn bytes(&self) -> u64 {
        self.book().bytes()
    }

    /// Counts what was done.
    pub fn activity(&self) -> Activity {
        let Counts {
            applied,
            refused,
            idle,
            over_budget,
            refused_domains,
            refused_credentials,
        } = &self.0.counts;
        Activity {
            applied: applied.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
            evicted_idle: idle.load(Ordering::Relaxed),
            evicted_over_budget: over_budget.load(Ordering::Relaxed),
            refused_domains: refused_domains.load(Ordering::Relaxed),
            refused_credentials: refused_credentials.load(Ordering::Relaxed),
        }
    }

    fn set_link(&self, link: Link) {
        self.0.link.set(link, Instant::now(), self.0.tables.now());
    }

    /// The book, told the time.
    fn book(&self) -> MutexGuard<'_, Book> {
        let mut book = self.0.book.lock();
        book.set_now(self.0.tables.now());
        book
    }
}
