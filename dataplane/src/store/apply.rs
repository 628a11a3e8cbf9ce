//! Puts what a controller sent into force.
//!
//! A unit is applied in its own order, dependencies first, under one lock and
//! without an await in between.

mod put;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use turnpike_snapshot::convert::ConvertError;
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::{Name, Snapshot, Version};

use super::Store;
use super::book::{Book, Form, Outgoing, Restated, Settled};
use super::cost;
use super::journal::Journal;
use super::tables::{Gone, Tables};

/// One change of a unit.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) name: Name,
    pub(crate) kind: ChangeKind,
}

#[derive(Clone, Debug)]
pub(crate) enum ChangeKind {
    Upsert {
        version: Version,
        /// Of the snapshot as it was sent.
        encoded_bytes: usize,
        snapshot: Result<Box<Snapshot>, ConvertError>,
    },
    Absent,
    Drop,
}

/// A change that was not put into force, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) name: Name,
    pub(crate) version: Version,
    pub(crate) message: String,
}

impl Store {
    /// Puts a controller's unit into force; what is refused leaves the form before it standing.
    pub(crate) fn apply(&self, unit: Vec<Change>) -> Vec<Refusal> {
        let changes = unit.len() as u64;
        let refusals = self.put_into_force(unit);
        let refused = refusals.len() as u64;
        let counts = &self.0.counts;
        counts
            .applied
            .fetch_add(changes - refused, Ordering::Relaxed);
        counts.refused.fetch_add(refused, Ordering::Relaxed);
        refusals
    }

    /// The same for what no controller has sent: it is not counted.
    pub(super) fn put_into_force(&self, unit: Vec<Change>) -> Vec<Refusal> {
        let mut book = self.book();
        let mut applying = Applying {
            tables: &self.0.tables,
            book: &mut book,
            refusals: Vec::new(),
        };
        for change in unit {
            applying.apply(change);
        }
        applying.finish()
    }

    /// Takes the controller's fleet keys; what was asked under others is forgotten.
    pub(crate) fn set_fleet_keys(&self, keys: Vec<FleetKey>) {
        let mut book = self.book();
        let before = self.0.fleet_keys.load();
        if before.iter().map(|(_, key)| key).eq(&keys) {
            return;
        }
        let is_gone = |id: &str| {
            let held = before.iter().find(|(held, _)| **held == *id);
            !held.is_some_and(|(_, key)| keys.contains(key))
        };
        let gone = book.asked_under(is_gone);
        let with_id = |key: FleetKey| (Arc::from(key.id()), key);
        self.0
            .fleet_keys
            .store(Arc::new(keys.iter().cloned().map(with_id).collect()));
        for name in &gone {
            self.0.tables.forget(name);
            book.forget(name);
        }
        book.record_fleet_keys(keys);
        drop(book);
        self.0.outgoing.notify_one();
    }

    /// Notes from now on what changes, for the disk.
    pub(super) fn keep_journal(&self) {
        self.book().keep_journal();
    }

    /// Gives what has changed since it was last taken.
    pub(super) fn take_journal(&self) -> Journal {
        self.book().take_journal()
    }

    /// Makes names unknown, on disk too.
    pub(super) fn unlearn(&self, names: impl IntoIterator<Item = Name>) {
        let mut book = self.book();
        for name in names {
            self.0.tables.forget(&name);
            book.forget(&name);
            book.erase(&name);
        }
    }

    pub(crate) fn restate(&self) -> Restated {
        let mut restated = self.book().restate();
        if self.0.follows_certificates.load(Ordering::Relaxed) {
            restated.follow(Name::FleetCertificates);
        }
        restated
    }

    pub(crate) fn take_outgoing(&self, max: usize) -> Outgoing {
        self.book().take_outgoing(max)
    }

    /// Waits until there may be something to say. Cancel-safe; for one task alone.
    pub(crate) async fn outgoing(&self) {
        self.0.outgoing.notified().await;
    }
}

struct Applying<'a> {
    tables: &'a Tables,
    book: &'a mut Book,
    refusals: Vec<Refusal>,
}

impl Applying<'_> {
    fn finish(self) -> Vec<Refusal> {
        let tables = self.tables;
        self.book.sweep(|name| tables.remove_unused(name));
        self.refusals
    }

    fn apply(&mut self, change: Change) {
        let Change { name, kind } = change;
        if is_by_request(&name) && !self.book.is_asked(&name) {
            // Crossed with our unsubscription: nobody would tell us of its changes.
            return;
        }
        match kind {
            ChangeKind::Upsert {
                version,
                encoded_bytes,
                snapshot,
            } => {
                let bytes = cost::of(&name, encoded_bytes);
                self.upsert(name, Form { version, bytes }, snapshot);
            }
            ChangeKind::Absent => self.absent(&name),
            ChangeKind::Drop => self.withdraw(&name),
        }
    }

    fn upsert(&mut self, name: Name, form: Form, snapshot: Result<Box<Snapshot>, ConvertError>) {
        let applied = match snapshot {
            Ok(snapshot) => {
                snapshot
                    .references()
                    .into_iter()
                    .for_each(|name| self.book.refer(name));
                let put = self.put(&name, form, &snapshot);
                if put.is_ok() {
                    self.book.record(&name, form.version, &snapshot);
                }
                put.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(message) = applied {
            self.refuse(&name);
            self.refusals.push(Refusal {
                name,
                version: form.version,
                message,
            });
        }
    }

    /// Only where nothing is in force does a refusal change what requests see.
    fn refuse(&mut self, name: &Name) {
        let is_served = matches!(
            self.book.settled(name),
            Some((Settled::Held | Settled::Alias, _))
        );
        if is_by_request(name) && !is_served {
            self.tables.mark(name, Gone::Refused);
            self.settle(name, Settled::Refused, None);
        }
    }

    fn absent(&mut self, name: &Name) {
        if is_by_request(name) {
            self.tables.mark(name, Gone::Absent);
            self.settle(name, Settled::Absent, None);
        } else {
            self.tables.empty(name);
            self.book.release(name);
        }
    }

    /// Nobody is said to refer to the name any more. What still does, a request in
    /// flight or a domain kept by a refusal, keeps what it has.
    fn withdraw(&mut self, name: &Name) {
        self.tables.forget(name);
        if is_by_request(name) {
            if let Some(evicted) = self.book.unsettle(name) {
                self.tables.forget(&evicted);
            }
        } else {
            self.book.release(name);
        }
    }

    fn settle(&mut self, name: &Name, settled: Settled, form: Option<Form>) {
        if let Some(evicted) = self.book.settle(name, settled, form) {
            self.tables.forget(&evicted);
        }
    }
}

/// Whether requests ask for the name by itself; all else comes along by reference, or, like the
/// platform's certificates, is followed from the start.
pub(super) fn is_by_request(name: &Name) -> bool {
    match name {
        Name::Domain(host) => !is_wildcard(host),
        Name::Credential { .. } => true,
        _ => false,
    }
}

fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}
