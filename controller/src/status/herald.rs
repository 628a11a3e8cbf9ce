//! Writes events: what a person should see of a status that was just written. None is
//! worth waiting for, or a second try: what cannot be told is counted and dropped.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use turnpike_crds::{GROUP, Status, VERSION};

use crate::source::ObjectKey;
use crate::status::notice::{Budget, Notice, Severity, is_bad, is_ready, notices};
use crate::status::writes::Writes;

/// As events name who tells them.
const REPORTER: &str = "turnpike-controller";
/// Events to be written; while they are so many, more are dropped.
const QUEUE: usize = 64;
/// One that takes longer is dropped.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The status writer's side.
pub(crate) struct Herald {
    sender: mpsc::Sender<Told>,
    writes: Arc<Writes>,
    budget: Budget,
    /// Of which something bad was told, or was to be.
    bad: HashSet<ObjectKey>,
}

struct Told {
    notice: Notice,
    regarding: ObjectReference,
}

impl Herald {
    /// Starts to write events, until shutdown.
    pub(crate) fn spawn(client: Client, writes: Arc<Writes>, shutdown: CancellationToken) -> Self {
        let (sender, told) = mpsc::channel(QUEUE);
        let writing = run(client, told, writes.clone());
        tokio::spawn(async move { shutdown.run_until_cancelled(writing).await });
        Self {
            sender,
            writes,
            budget: Budget::default(),
            bad: HashSet::new(),
        }
    }

    /// Tells what is new in a status that was just written.
    pub(crate) fn tell(
        &mut self,
        object: &ObjectKey,
        uid: Option<&str>,
        before: Option<&Status>,
        now: &Status,
    ) {
        let was_bad = self.bad.contains(object);
        for notice in notices(before, now, was_bad) {
            self.send(object, uid, notice);
        }
        if is_bad(now) {
            self.bad.insert(object.clone());
        } else if is_ready(now) {
            self.bad.remove(object);
        }
    }

    /// The object is gone.
    pub(crate) fn forget(&mut self, object: &ObjectKey) {
        self.bad.remove(object);
    }

    /// Another replica tells from now on.
    pub(crate) fn forget_all(&mut self) {
        self.bad.clear();
    }

    fn send(&mut self, object: &ObjectKey, uid: Option<&str>, notice: Notice) {
        let regarding = ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some(object.kind.to_string()),
            namespace: Some(object.name.namespace.clone()),
            name: Some(object.name.name.clone()),
            uid: uid.map(str::to_owned),
            ..ObjectReference::default()
        };
        let told = Told { notice, regarding };
        let may_tell = self.budget.take(object, Instant::now());
        if !may_tell || self.sender.try_send(told).is_err() {
            debug!(%object, "event dropped: there are too many");
            self.writes.event_dropped();
        }
    }
}

async fn run(client: Client, mut told: mpsc::Receiver<Told>, writes: Arc<Writes>) {
    let recorder = Recorder::new(client, Reporter::from(REPORTER));
    let mut has_warned = false;
    while let Some(Told { notice, regarding }) = told.recv().await {
        let event = Event {
            type_: match notice.severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: notice.reason,
            note: Some(notice.note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let publishing = recorder.publish(&event, &regarding);
        let fault = match tokio::time::timeout(TIMEOUT, publishing).await {
            Ok(Ok(())) => {
                writes.event_written();
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the API server did not answer in time".to_owned(),
        };
        writes.event_dropped();
        if !std::mem::replace(&mut has_warned, true) {
            warn!(
                fault,
                "an event was not written; later ones are only counted"
            );
        }
    }
}
