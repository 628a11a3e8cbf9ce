//! The store that data planes share: two scripts, one round trip each, every call bounded in time.
//!
//! ```text
//! tq:{<uid>}:<quota>:<limit>:<subject>:<window id>     hash  u = used, r = reserved
//! tq:{<uid>}:<quota>:<limit>:<subject>:<window id>:h   zset  <reservation>:<estimate> by expiry;
//!                                                            r is always the sum of its estimates
//! tq:{<uid>}:settled:<reservation>                     marker, keeps a second settlement out
//! ```
//!
//! Starts without Redis and connects when first called. Fails fast while it is gone; does not retry
//! (that is the journal's work) and does not decide what a failure means (that is the service's).

mod connection;
mod keys;
mod server;

use std::sync::Arc;
use std::time::Duration;

use redis::{Script, ScriptInvocation};

use self::connection::Connection;
pub use self::server::InvalidRedisUrl;
use self::server::Server;
use super::charge::{Admission, Charge, Entry, Reserve, Settlement};
use super::counters::QuotaCounters;
use super::judge::{self, Obstacle};
use super::store::{QuotaStore, StoreError};
use super::window::{self, Counts};

/// Most that a call may cost a request before the breaker opens. A healthy store answers within a
/// few milliseconds; a quarter of a second leaves room for its pauses (fork, a busy node), and a
/// request to a model, which takes seconds, bears it. Shorter makes pauses into uncounted requests.
const CALL_TIMEOUT: Duration = Duration::from_millis(250);
/// Highest amount that a script's double holds exactly.
const MAX_EXACT: u64 = (1 << 53) - 1;

/// Where Redis is and how patient calls are.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host[:port][/db]`, `rediss://…`, or with Sentinels
    /// `redis+sentinel://[user:password@]host[:port],…/primary[/db]`; never logged.
    pub url: String,
    pub call_timeout: Duration,
}

impl RedisSettings {
    /// Takes the default timeout, 250 ms.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            call_timeout: CALL_TIMEOUT,
        }
    }
}

/// Keeps quotas in Redis, shared by all data planes.
pub struct RedisStore {
    connection: Connection,
    reserve: Script,
    settle: Script,
}

impl RedisStore {
    /// Makes the store, without connecting. Call it inside a Tokio runtime.
    pub fn open(
        settings: &RedisSettings,
        counters: Arc<QuotaCounters>,
    ) -> Result<Self, InvalidRedisUrl> {
        let server = Server::parse(&settings.url)?;
        let connection = Connection::open(server, settings.call_timeout, counters)
            .map_err(|_| InvalidRedisUrl)?;
        Ok(Self {
            connection,
            reserve: Script::new(include_str!("redis/reserve.lua")),
            settle: Script::new(include_str!("redis/settle.lua")),
        })
    }

    fn reserve_invocation(&self, reserve: &Reserve, first: &Charge) -> ScriptInvocation<'_> {
        let mut invocation = self.reserve.key(keys::settled(&first.counter, reserve.id));
        invocation.arg(reserve.id.to_hex()).arg(exact(
            u64::try_from(reserve.ttl.as_millis()).unwrap_or(MAX_EXACT),
        ));
        for charge in &reserve.charges {
            invocation
                .key(keys::base(&charge.counter))
                .arg(window::to_ms(charge.window))
                .arg(exact(charge.limit))
                .arg(exact(charge.estimate))
                .arg(exact(window::keep_ms(charge.window, reserve.ttl)));
        }
        invocation
    }

    fn settle_invocation(&self, settlement: &Settlement, first: &Entry) -> ScriptInvocation<'_> {
        let reservation = &settlement.reservation;
        let mut invocation = self
            .settle
            .key(keys::settled(&first.counter, reservation.id));
        invocation
            .arg(reservation.id.to_hex())
            .arg(window::remember_ms(reservation.longest_window()));
        for entry in &reservation.entries {
            invocation
                .key(keys::base(&entry.counter))
                .arg(entry.window_id)
                .arg(exact(entry.estimate))
                .arg(exact(settlement.amount(entry.unit)))
                .arg(window::keep_ms(entry.window, Duration::ZERO));
        }
        invocation
    }
}

impl QuotaStore for RedisStore {
    async fn reserve(&self, reserve: &Reserve) -> Result<Admission, StoreError> {
        if let Some(fault) = reserve.find_fault() {
            return Err(StoreError::Refused(fault.to_owned()));
        }
        let Some(first) = reserve.charges.first() else {
            return Ok(judge::admitted(reserve, &[], 0));
        };
        let reply: Vec<u64> = self
            .connection
            .call(&self.reserve_invocation(reserve, first))
            .await?;
        read_reply(reserve, &reply)
    }

    async fn settle(&self, settlement: &Settlement) -> Result<(), StoreError> {
        let Some(first) = settlement.reservation.entries.first() else {
            return Ok(());
        };
        let _first_time: u64 = self
            .connection
            .call(&self.settle_invocation(settlement, first))
            .await?;
        Ok(())
    }
}

/// Reads the answer of reserve.lua: status, the store's time, two counts a charge.
fn read_reply(reserve: &Reserve, reply: &[u64]) -> Result<Admission, StoreError> {
    let (status, now_ms, counts) = match reply {
        [status, now_ms, counts @ ..] => (*status, *now_ms, counts),
        _ => return Err(StoreError::Refused("short reply of reserve.lua".to_owned())),
    };
    let counts = counts.chunks_exact(2).map(|pair| Counts {
        current: pair[0],
        previous: pair[1],
    });
    let counts: Vec<Counts> = counts.collect();
    match status {
        0 => Ok(judge::admitted(reserve, &counts, now_ms)),
        1 => {
            let obstacle = judge::find_obstacle(&reserve.charges, &counts, now_ms);
            // The script's word counts. It differs from ours only for amounts that its doubles round.
            let obstacle = obstacle.unwrap_or(Obstacle::Exceeded {
                charge: 0,
                retry_after: Duration::from_secs(1),
            });
            Ok(judge::refused(reserve, &counts, now_ms, obstacle))
        }
        _ => Err(StoreError::Refused("settled before reserved".to_owned())),
    }
}

fn exact(amount: u64) -> u64 {
    amount.min(MAX_EXACT)
}
