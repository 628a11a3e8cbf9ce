//! The one trait behind which quotas are kept, its errors, and the choice between the two stores.

use std::future::Future;

use super::charge::{Admission, Reserve, Settlement};
use super::memory::MemoryStore;
use super::redis::RedisStore;

/// Why a store did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was done; may be repeated.
    #[error("the quota store is unavailable: {0}")]
    Unavailable(String),
    /// It may or may not have been done; repeating it with the same id is safe.
    #[error("the quota store did not answer in time")]
    Timeout,
    /// The store understood and will never do it; repeating is useless.
    #[error("the quota store refused the call: {0}")]
    Refused(String),
}

impl StoreError {
    /// Says whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

/// Keeps the counters. Every method is atomic and idempotent by the reservation's id.
pub trait QuotaStore: Send + Sync + 'static {
    /// Reserves all charges or none.
    ///
    /// Cancel-safe in this sense: dropped half-way, the reservation exists or not, and lapses by
    /// itself after its ttl, or by a settlement of the same id.
    fn reserve(
        &self,
        reserve: &Reserve,
    ) -> impl Future<Output = Result<Admission, StoreError>> + Send;

    /// Replaces a reservation by the true amounts, exactly once by id; also if it has lapsed or
    /// never existed.
    fn settle(
        &self,
        settlement: &Settlement,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The store in use.
pub enum Store {
    Memory(MemoryStore),
    Redis(Box<RedisStore>),
}

impl QuotaStore for Store {
    async fn reserve(&self, reserve: &Reserve) -> Result<Admission, StoreError> {
        match self {
            Self::Memory(store) => QuotaStore::reserve(store, reserve).await,
            Self::Redis(store) => store.reserve(reserve).await,
        }
    }

    async fn settle(&self, settlement: &Settlement) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => QuotaStore::settle(store, settlement).await,
            Self::Redis(store) => store.settle(settlement).await,
        }
    }
}
