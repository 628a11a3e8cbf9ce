//! Answers that nobody waits for any more, read on in the background for what they cost.
//!
//! A route may ask for that where a caller hangs up (`onDisconnect: Drain`). How many are read at
//! once, of one tenant and of all, and for how long, is bounded; what finds no place is dropped, which
//! cancels it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::{DrainLabel, Metrics};

/// Read at once: each has a connection to a provider and the few buffers of a stream.
const PLACES: usize = 1024;
/// The part of the places that one tenant has at most: one of so many.
const SHARES: usize = 4;
/// How long one is read: long enough for almost every answer, and no leaver costs a place for longer.
const LONGEST: Duration = Duration::from_secs(300);

/// Those of the process. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Drains(Arc<State>);

/// Those of a tenant.
#[derive(Clone)]
pub struct TenantDrains {
    all: Drains,
    tenant: Arc<str>,
}

struct State {
    places: usize,
    taken: Mutex<Taken>,
    tasks: TaskTracker,
    over: CancellationToken,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Of tenants that have any.
    by_tenant: HashMap<Arc<str>, usize>,
}

/// A place; it is given back when dropped.
struct Place(TenantDrains);

/// How the reading of an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All of it came: what it cost is known.
    Whole,
    /// It came to no clean end.
    Failed,
    /// It was longer than is read.
    TooLong,
}

impl Drains {
    /// As many at once as a process bears.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self::with_places(PLACES, metrics)
    }

    fn with_places(places: usize, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(State {
            places,
            taken: Mutex::default(),
            tasks: TaskTracker::new(),
            over: CancellationToken::new(),
            metrics,
        }))
    }

    /// Those of a tenant, by its namespace.
    pub fn of(&self, tenant: Arc<str>) -> TenantDrains {
        let all = self.clone();
        TenantDrains { all, tenant }
    }

    /// Waits until none is left.
    pub async fn wait(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Ends all, and begins no others.
    pub fn end(&self) {
        self.0.over.cancel();
    }
}

impl TenantDrains {
    /// Reads an answer on in a task of its own, which ends with the answer, after [`LONGEST`], or with
    /// [`Drains::end`]. Dropped at once where there is no place, or no runtime any more.
    pub fn spawn(self, reading: impl Future<Output = Drained> + Send + 'static) {
        let state = self.all.0.clone();
        let metrics = &state.metrics;
        if state.over.is_cancelled() {
            return metrics.drained(DrainLabel::Shutdown);
        }
        let Some(place) = self.take_place() else {
            return metrics.drained(DrainLabel::Full);
        };
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (over, metrics) = (state.over.clone(), metrics.clone());
        let reading = async move {
            let _place = place;
            let _open = metrics.drains();
            let ended = tokio::select! {
                biased;
                () = over.cancelled() => DrainLabel::Shutdown,
                ended = tokio::time::timeout(LONGEST, reading) => match ended {
                    Ok(Drained::Whole) => DrainLabel::Whole,
                    Ok(Drained::Failed) => DrainLabel::Failed,
                    Ok(Drained::TooLong) | Err(_) => DrainLabel::TooLong,
                },
            };
            metrics.drained(ended);
        };
        state.tasks.spawn_on(reading, &runtime);
    }

    fn take_place(self) -> Option<Place> {
        let state = &*self.all.0;
        let mut taken = state.taken.lock();
        let own = taken.by_tenant.get(&self.tenant).copied().unwrap_or(0);
        if taken.all >= state.places || own >= state.places.div_ceil(SHARES) {
            return None;
        }
        taken.all += 1;
        taken.by_tenant.insert(self.tenant.clone(), own + 1);
        drop(taken);
        Some(Place(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let TenantDrains { all, tenant } = &self.0;
        let mut taken = all.0.taken.lock();
        taken.all -= 1;
        if let Some(own) = taken.by_tenant.get_mut(tenant) {
            *own -= 1;
            if *own == 0 {
                taken.by_tenant.remove(tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::sync::oneshot;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    /// Read for ever; tells when it is dropped.
    fn endless() -> (impl Future<Output = Drained> + Send, oneshot::Receiver<()>) {
        let (alive, dropped) = oneshot::channel();
        let reading = async move {
            let _alive = alive;
            pending().await
        };
        (reading, dropped)
    }

    fn ended(metrics: &Metrics, end: &str) -> bool {
        let line = format!("turnpike_drains_total{{end=\"{end}\"}} 1\n");
        metrics.encode().unwrap().contains(&line)
    }

    #[tokio::test]
    async fn what_finds_no_place_is_dropped_at_once() {
        let metrics = Arc::<Metrics>::default();
        let drains = Drains::with_places(1, metrics.clone());
        let (first, mut of_first) = endless();
        drains.of("a".into()).spawn(first);
        let (second, of_second) = endless();
        drains.of("b".into()).spawn(second);
        assert!(of_second.await.is_err());
        assert!(
            of_first
                .try_recv()
                .is_err_and(|it| it == TryRecvError::Empty)
        );
        assert!(ended(&metrics, "full"));
        drains.end();
        drains.wait().await;
        assert!(of_first.await.is_err());
        assert!(ended(&metrics, "shutdown"));
    }

    #[tokio::test]
    async fn no_tenant_takes_the_places_of_others() {
        let metrics = Arc::<Metrics>::default();
        let drains = Drains::with_places(8, metrics.clone());
        for tenant in ["a", "a", "a", "b"] {
            drains.of(tenant.into()).spawn(endless().0);
        }
        assert!(ended(&metrics, "full"));
        tokio::task::yield_now().await;
        let text = metrics.encode().unwrap();
        assert!(text.contains("turnpike_drains_open 3\n"), "{text}");
        drains.end();
        drains.wait().await;
        let taken = drains.0.taken.lock();
        assert_eq!((taken.all, taken.by_tenant.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn each_ends_in_time_and_gives_its_place_back() {
        let metrics = Arc::<Metrics>::default();
        let drains = Drains::with_places(1, metrics.clone());
        drains.of("a".into()).spawn(endless().0);
        drains.wait().await;
        assert!(ended(&metrics, "too_long"));
        drains.of("a".into()).spawn(ready(Drained::Whole));
        drains.wait().await;
        assert!(ended(&metrics, "whole"));
        assert!(
            metrics
                .encode()
                .unwrap()
                .contains("turnpike_drains_open 0\n")
        );
    }

    #[tokio::test]
    async fn none_begins_after_the_end() {
        let metrics = Arc::<Metrics>::default();
        let drains = Drains::new(metrics.clone());
        drains.end();
        let (reading, dropped) = endless();
        drains.of("a".into()).spawn(reading);
        assert!(dropped.await.is_err());
        assert!(ended(&metrics, "shutdown"));
    }
}
