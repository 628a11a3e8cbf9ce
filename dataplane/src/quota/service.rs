//! The request path's door to quotas: admit, then settle exactly once, whatever happens between.
//!
//! A [`Ticket`] always knows the settlement that its loss would mean, so that a panic, a cancelled
//! task or a store that went away ends in the journal and never in nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::charge::{Admission, Charge, Reservation, ReservationId, Reserve, Settlement, Standing};
use super::clock::{Clock, system_clock};
use super::counters::QuotaCounters;
use super::journal::Journal;
use super::judge;
use super::store::{QuotaStore, Store, StoreError};

/// What a quota wants while the store is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// Serve; usage is kept and written later.
    Allow,
    /// Refuse.
    Deny,
}

/// A charge and what to do when it cannot be checked.
#[derive(Clone, Debug)]
pub struct Ask {
    pub charge: Charge,
    pub on_store_failure: OnStoreFailure,
}

/// The answer to a request. `charge` is an index into the asks; standings are in their order.
#[must_use]
pub enum Decision {
    Admitted {
        ticket: Ticket,
        standings: Vec<Standing>,
    },
    /// The store is down and every quota says `Allow`: served unchecked, usage is counted later.
    Unchecked { ticket: Ticket },
    Exceeded {
        charge: usize,
        retry_after: Duration,
        standings: Vec<Standing>,
    },
    TooLarge {
        charge: usize,
        standings: Vec<Standing>,
    },
    /// The store is down and this charge's quota says `Deny`.
    StoreDown { charge: usize },
}

/// How the service behaves; the defaults are those of the binary.
#[derive(Clone)]
pub struct QuotaSettings {
    /// Settlements kept while the store is down: at about 500 bytes each, 50 MB.
    pub journal_capacity: usize,
    /// How long the end of the process may wait for the store.
    pub flush_within: Duration,
    /// Places usage in a window while the store, whose clock counts otherwise, is down.
    pub clock: Clock,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self {
            journal_capacity: 100_000,
            flush_within: Duration::from_secs(5),
            clock: system_clock(),
        }
    }
}

/// Admits and settles. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Quotas {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<Store>,
    journal: Journal,
    counters: Arc<QuotaCounters>,
    clock: Clock,
}

impl Quotas {
    /// Starts the service and its one task, which replays the journal.
    ///
    /// Cancel `stop` once no request is left, then await the handle: it ends within
    /// `flush_within`.
    pub fn spawn(
        store: Store,
        counters: Arc<QuotaCounters>,
        settings: QuotaSettings,
        stop: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let store = Arc::new(store);
        let journal = Journal::new(settings.journal_capacity, counters.clone());
        let replay = journal
            .clone()
            .run(store.clone(), stop, settings.flush_within);
        let task = tokio::spawn(replay);
        let shared = Shared {
            store,
            journal,
            counters,
            clock: settings.clock,
        };
        let quotas = Self {
            shared: Arc::new(shared),
        };
        (quotas, task)
    }

    /// Reserves all charges, or says which one stands in the way. Without asks it admits at once.
    ///
    /// `ttl` is the route's total timeout + 30 s. Cancel-safe: dropped half-way, the reservation is
    /// given back through the journal.
    pub async fn admit(&self, asks: Vec<Ask>, ttl: Duration) -> Decision {
        if asks.is_empty() {
            let ticket = Ticket::empty(self.clone());
            let standings = Vec::new();
            return Decision::Admitted { ticket, standings };
        }
        let denying = asks
            .iter()
            .position(|a| a.on_store_failure == OnStoreFailure::Deny);
        let reserve = Reserve {
            id: ReservationId::random(),
            charges: asks.into_iter().map(|ask| ask.charge).collect(),
            ttl,
        };
        let now_ms = (self.shared.clock)();
        let placed = judge::place(reserve.id, &reserve.charges, now_ms);
        let ticket = Ticket::armed(self.clone(), Settlement::released(placed));
        match self.shared.store.reserve(&reserve).await {
            Ok(admission) => decide(admission, ticket),
            Err(error) => self.decide_without_store(&error, ticket, denying),
        }
    }

    /// A ticket for what was used without having been reserved; settled, it counts whatever the
    /// limits say.
    pub fn unasked(&self, asks: Vec<Ask>) -> Ticket {
        if asks.is_empty() {
            return Ticket::empty(self.clone());
        }
        let charges: Vec<Charge> = asks.into_iter().map(|ask| ask.charge).collect();
        let now_ms = (self.shared.clock)();
        let mut ticket = Ticket::empty(self.clone());
        ticket.arm(judge::place(ReservationId::random(), &charges, now_ms));
        ticket
    }

    fn decide_without_store(
        &self,
        error: &StoreError,
        mut ticket: Ticket,
        denying: Option<usize>,
    ) -> Decision {
        QuotaCounters::add(&self.shared.counters.store_errors, 1);
        if !error.is_retryable() {
            warn!(%error, "quota not checked");
        }
        match denying {
            None => {
                ticket.count();
                Decision::Unchecked { ticket }
            }
            Some(charge) => {
                // After a timeout the reservation may stand: the armed ticket gives it back.
                if *error != StoreError::Timeout {
                    ticket.disarm();
                }
                Decision::StoreDown { charge }
            }
        }
    }
}

fn decide(admission: Admission, mut ticket: Ticket) -> Decision {
    match admission {
        Admission::Admitted {
            reservation,
            standings,
        } => {
            ticket.arm(reservation);
            Decision::Admitted { ticket, standings }
        }
        Admission::Exceeded {
            charge,
            retry_after,
            standings,
        } => {
            ticket.disarm();
            Decision::Exceeded {
                charge,
                retry_after,
                standings,
            }
        }
        Admission::TooLarge { charge, standings } => {
            ticket.disarm();
            Decision::TooLarge { charge, standings }
        }
    }
}

/// An admitted request's right to settle, once. Dropped unsettled it settles by its estimate.
#[must_use]
pub struct Ticket {
    quotas: Quotas,
    /// What the journal gets if the ticket is dropped now.
    claim: Option<Settlement>,
}

impl Ticket {
    fn empty(quotas: Quotas) -> Self {
        Self {
            quotas,
            claim: None,
        }
    }

    fn armed(quotas: Quotas, claim: Settlement) -> Self {
        Self {
            quotas,
            claim: Some(claim),
        }
    }

    fn arm(&mut self, reservation: Reservation) {
        let estimate = reservation.estimated_tokens();
        self.claim = Some(Settlement::used(reservation, estimate));
    }

    /// Lets what would be given back count as it was estimated.
    fn count(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.arm(claim.reservation);
        }
    }

    fn disarm(&mut self) {
        self.claim = None;
    }

    /// Settles by what was used. Cancel-safe: dropped half-way, the journal settles it.
    pub async fn settle(mut self, tokens: u64) {
        if let Some(claim) = &mut self.claim {
            claim.tokens = tokens;
        }
        self.finish().await;
    }

    /// Gives the reservation back: the request never reached a provider, so nothing counts.
    /// Cancel-safe like [`Ticket::settle`].
    pub async fn release(mut self) {
        if let Some(claim) = &mut self.claim {
            (claim.tokens, claim.requests) = (0, 0);
        }
        self.finish().await;
    }

    async fn finish(mut self) {
        let Some(claim) = &self.claim else { return };
        let shared = &self.quotas.shared;
        match shared.store.settle(claim).await {
            Ok(()) => self.disarm(),
            // Still armed: dropping the ticket hands the claim to the journal.
            Err(_) => QuotaCounters::add(&shared.counters.store_errors, 1),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.quotas.shared.journal.record(claim);
        }
    }
}

#[cfg(test)]
mod tests;
