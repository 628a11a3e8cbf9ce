//! Forgets domains and keys that nobody asks for: after a time, or the least
//! recently used ones while all that is held takes more than the budget.
//!
//! One task tells the store the time once a second; a look-up writes that time
//! beside what it finds, and only if another one stands there. So "last used"
//! costs requests a comparison, and is exact to a second.
//!
//! While no controller can be reached nothing is forgotten: it could not be
//! loaded again. What only the forgotten names referred to is dropped by the
//! controller, which is told by the unsubscription.

use std::sync::atomic::Ordering;

use tokio::time::{Duration, Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use turnpike_snapshot::Name;

use super::book::{Book, Settled};
use super::{Link, Store};

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Forgotten when unused for so long; `None`: never.
    pub idle: Option<Duration>,
    /// Of all that is held, estimated; `None`: no bound.
    pub bytes: Option<u64>,
}

impl Default for Limits {
    /// An hour, so that who works with pauses is not reloaded; 256 MiB, which some
    /// 50,000 tenants of one rule fit in.
    fn default() -> Self {
        Self {
            idle: Some(Duration::from_secs(3600)),
            bytes: Some(256 << 20),
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// The idle are looked for this many times within the time that makes them idle, ...
const LOOKS: u32 = 16;
/// ... and at least once a minute.
const LONGEST_LOOK: u32 = 60;
/// Seconds; whoever was asked for a moment ago goes only when nobody else is left.
const RECENT: u32 = 5;
/// Seconds after making room for the budget: until then the controller has dropped
/// what only the forgotten names referred to, and it shows how much was gained.
const REST: u32 = 3;
/// Names forgotten under one hold of the book's lock: some 100 µs.
const BATCH: usize = 256;

/// Seconds since 1970.
pub(crate) fn unix_now() -> u32 {
    let now = jiff::Timestamp::now().as_second();
    u32::try_from(now).unwrap_or_default()
}

/// Keeps the store's time and its limits until `stop`.
pub async fn run(store: Store, limits: Limits, stop: CancellationToken) {
    stop.run_until_cancelled(Sweeper::new(store, limits).keep())
        .await;
}

struct Sweeper {
    store: Store,
    limits: Limits,
    /// When the idle are looked for again.
    next_look: u32,
    /// When the budget is looked at again.
    rested: u32,
}

impl Sweeper {
    fn new(store: Store, limits: Limits) -> Self {
        Self {
            store,
            limits,
            next_look: 0,
            rested: 0,
        }
    }

    /// The clock is read once: a step of the machine's clock makes nobody idle.
    async fn keep(mut self) {
        let (first, began) = (self.store.0.tables.now(), Instant::now());
        let mut ticks = interval(SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let passed = u32::try_from(began.elapsed().as_secs()).unwrap_or(u32::MAX);
            self.sweep(first.saturating_add(passed));
        }
    }

    fn sweep(&mut self, now: u32) {
        self.store.0.tables.set_now(now);
        if self.store.link() != Link::Up {
            return;
        }
        if let Some(idle) = self.limits.idle
            && now >= self.next_look
        {
            let seconds = u32::try_from(idle.as_secs()).unwrap_or(u32::MAX).max(1);
            self.next_look = now + (seconds / LOOKS).clamp(1, LONGEST_LOOK);
            self.store.evict_idle(now.saturating_sub(seconds));
        }
        if let Some(budget) = self.limits.bytes
            && now >= self.rested
            && self.store.bytes() > budget
        {
            self.rested = now + REST;
            self.store.evict_over(budget, now);
        }
    }
}

impl Store {
    /// Forgets what was last used at this time or before.
    fn evict_idle(&self, last: u32) {
        let mut idle = self.0.tables.used_before(last.saturating_add(1));
        let mut forgotten = 0;
        while !idle.is_empty() {
            let mut book = self.book();
            for (used, name) in idle.drain(idle.len().saturating_sub(BATCH)..) {
                forgotten += u64::from(self.evict(&mut book, used, &name).is_some());
            }
        }
        self.0.outgoing.notify_one();
        self.0.counts.idle.fetch_add(forgotten, Ordering::Relaxed);
        if forgotten > 0 {
            debug!(forgotten, "idle names forgotten");
        }
    }

    /// Forgets the least recently used until a tenth of the budget is free.
    fn evict_over(&self, budget: u64, now: u32) {
        let recent = now.saturating_sub(RECENT);
        let mut forgotten = self.evict_oldest(recent, budget - budget / 10);
        if self.bytes() > budget {
            forgotten += self.evict_oldest(now, budget);
        }
        self.0.outgoing.notify_one();
        let counts = &self.0.counts;
        counts.over_budget.fetch_add(forgotten, Ordering::Relaxed);
        debug!(forgotten, "names forgotten to stay within the budget");
    }

    /// Forgets names last used before `end`, oldest first, until `target` is reached.
    fn evict_oldest(&self, end: u32, target: u64) -> u64 {
        let mut names = self.0.tables.used_before(end);
        // Oldest last, where they are taken from.
        names.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        let mut forgotten = 0;
        while !names.is_empty() {
            let mut book = self.book();
            for _ in 0..BATCH {
                if book.bytes() <= target {
                    return forgotten;
                }
                let Some((used, name)) = names.pop() else {
                    break;
                };
                let is_miss = matches!(book.settled(&name), Some((Settled::Absent, _)));
                // Misses take nothing from the budget: they are bounded by number.
                if !is_miss && self.evict(&mut book, used, &name).is_some() {
                    forgotten += 1;
                }
            }
        }
        forgotten
    }

    /// Forgets a name unless it was used meanwhile, or nobody asks for it by itself.
    fn evict(&self, book: &mut Book, used: u32, name: &Name) -> Option<()> {
        book.settled(name)?;
        let is_idle = self.0.tables.used(name) == Some(used);
        is_idle.then(|| {
            self.0.tables.forget(name);
            book.forget(name);
        })
    }
}
