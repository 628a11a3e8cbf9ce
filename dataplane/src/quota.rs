//! Token and request quotas: reserve an estimate before a request is sent, settle the true usage
//! once afterwards.
//!
//! ```text
//! request ── Quotas::admit ──► Store::reserve ──► Ticket ── settle(tokens) ──► Store::settle
//!                │ store down: Allow | Deny          │ dropped or store down
//!                ▼                                   ▼
//!           Decision::StoreDown                   Journal ── replay, once by id ──► Store::settle
//! ```
//!
//! `window` is the arithmetic (pure, time is an argument); `memory` and `redis` are the two stores;
//! `service` is the door that the request path uses. Nothing here knows HTTP or resources.

mod breaker;
pub mod charge;
mod clock;
mod counters;
pub mod estimate;
pub mod journal;
mod judge;
pub mod memory;
pub mod redis;
pub mod service;
pub mod store;
pub mod window;

pub use charge::{
    Admission, Charge, CounterKey, CounterName, Entry, Reservation, ReservationId, Reserve,
    Settlement, Standing, Unit,
};
pub use clock::{Clock, system_clock};
pub use counters::QuotaCounters;
pub use estimate::{Estimator, Output};
pub use journal::Journal;
pub use memory::MemoryStore;
pub use redis::{RedisSettings, RedisStore};
pub use service::{Ask, Decision, OnStoreFailure, QuotaSettings, Quotas, Ticket};
pub use store::{QuotaStore, Store, StoreError};
