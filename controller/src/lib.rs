//! Turnpike's controller: resources in, snapshots and conditions out.
//!
//! ```text
//! source ─ events ─→ world ─→ index ─→ compile ─→ serve ─→ data planes
//!                                          └────→ status ─→ resources
//! ```
//! Sources feed one index; a pure compile turns names into snapshots and objects
//! into findings; data planes are served what they ask for.

pub mod admin;
pub mod compile;
pub mod config;
pub mod connect;
pub mod debug;
pub mod explain;
pub mod fleet_key;
pub mod glob;
pub mod index;
pub mod lease;
pub mod metrics;
pub mod peers;
pub mod run;
pub mod serve;
pub mod source;
pub mod status;
pub mod trust;
pub mod world;

#[cfg(test)]
mod testing;
