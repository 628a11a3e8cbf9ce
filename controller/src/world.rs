//! The controller's shared state: one index, written by one task, read by many.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use turnpike_crds::Status;
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::{Name, Snapshot};

use crate::compile;
use crate::index::{Index, Touched};
use crate::serve::{Hub, View};
use crate::source::{Event, ObjectKey};

/// Events that are applied under one lock; readers get in between.
const MAX_BATCH: usize = 128;

/// The index and who must hear of its changes.
pub struct World {
    index: RwLock<Index>,
    hub: Hub,
    synced: watch::Sender<bool>,
    /// `None` until somebody listens. Bounded by the objects that there are.
    touched: Mutex<Option<Touched>>,
    wake: Notify,
}

impl World {
    /// Puts an index where tasks can share it; the hub hears of the names it touches.
    pub fn new(index: Index, hub: Hub) -> Self {
        Self {
            synced: watch::Sender::new(index.is_synced()),
            index: RwLock::new(index),
            hub,
            touched: Mutex::new(None),
            wake: Notify::new(),
        }
    }

    /// Applies what a source tells until it has no more to tell or shutdown comes.
    pub async fn follow(
        self: Arc<Self>,
        mut events: mpsc::Receiver<Event>,
        shutdown: CancellationToken,
    ) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        loop {
            let count = tokio::select! {
                () = shutdown.cancelled() => return,
                count = events.recv_many(&mut batch, MAX_BATCH) => count,
            };
            if count == 0 {
                return;
            }
            self.apply(batch.drain(..));
        }
    }

    /// Applies events and tells everyone whom they concern. For one writer.
    pub fn apply(&self, events: impl IntoIterator<Item = Event>) {
        let mut touched = Touched::default();
        let was_synced = *self.synced.borrow();
        let (is_synced, certificates) = {
            let mut index = self.index.write();
            for event in events {
                touched.merge(index.apply(event));
            }
            // Under the lock: whoever reads the index sees what changed in it lag.
            let names = std::mem::take(&mut touched.names);
            let is_synced = index.is_synced();
            let certificates = changed_certificates(&index, &names, is_synced, was_synced);
            self.hub.publish(names);
            (is_synced, certificates)
        };
        self.touch(touched);
        for name in certificates {
            let fault = self.read(|index| compile::certificate::fleet_fault(index, &name));
            if let Some(fault) = fault {
                warn!(%name, fault, "certificate of --fleet-certificates not usable");
            }
        }
        self.synced
            .send_if_modified(|synced| std::mem::replace(synced, is_synced) != is_synced);
    }

    /// Reads the index. The lock is held meanwhile, so keep it short.
    pub fn read<R>(&self, read: impl FnOnce(&Index) -> R) -> R {
        read(&self.index.read())
    }

    /// Wakes when every kind has been listed once.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    /// Starts to collect the objects that are touched, from all that there are. One listener.
    pub fn collect_touched(&self) {
        let all = self.read(|index| index.keys_with_status().collect::<BTreeSet<_>>());
        let mut touched = self.touched.lock();
        touched.get_or_insert_default().objects.extend(all);
        drop(touched);
        self.wake.notify_one();
    }

    /// Collects no more.
    pub fn ignore_touched(&self) {
        *self.touched.lock() = None;
    }

    /// Waits for touched objects and takes all there are; names are the hub's. Safe to cancel.
    pub async fn next_touched(&self) -> Touched {
        loop {
            let taken = self.touched.lock().as_mut().map(std::mem::take);
            if let Some(taken) = taken.filter(|taken| !taken.is_empty()) {
                return taken;
            }
            self.wake.notified().await;
        }
    }

    /// Remembers a status that was just written.
    pub fn record_status(&self, object: &ObjectKey, status: Status) {
        self.index.write().record_status(object, status);
    }

    /// Where data planes meet names.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The names are taken out already.
    fn touch(&self, touched: Touched) {
        if touched.is_empty() {
            return;
        }
        if let Some(all) = self.touched.lock().as_mut() {
            all.merge(touched);
            self.wake.notify_one();
        }
    }
}

/// Gives those of the platform's certificates that may be another's now, all once at the start:
/// nobody's status tells of them.
fn changed_certificates(
    index: &Index,
    names: &BTreeSet<Name>,
    is_synced: bool,
    was_synced: bool,
) -> Vec<ObjectName> {
    let is_changed =
        |name: &&ObjectName| !was_synced || names.contains(&Name::Certificate((*name).clone()));
    let certificates = index.fleet_certificates().iter().filter(is_changed);
    let certificates = certificates.filter(|_| is_synced);
    certificates.cloned().collect()
}

impl View for World {
    fn snapshot(&self, name: &Name) -> Option<Snapshot> {
        compile::snapshot(&self.index.read(), name)
    }

    fn exists(&self, name: &Name) -> bool {
        let index = self.index.read();
        match name {
            Name::Domain(host) => index.hosts.owner(host).is_some(),
            name => compile::snapshot(&index, name).is_some(),
        }
    }

    fn is_synced(&self) -> bool {
        self.index.read().is_synced()
    }

    fn fleet_keys(&self) -> Vec<FleetKey> {
        self.index.read().fleet_keys().to_vec()
    }
}
