//! Turnpike's data plane: it takes requests from callers, loads what it needs
//! to know of their domains from a controller, and carries them to providers.
//!
//! Floors, each importing only what stands below: `run` → `machine`, `listen`, `admin` →
//! `request` → `gateway` → `drains` → `metrics`, `access_log` → `store`,
//! `quota`, `upstream` → `arrival`, `budget`.

pub mod access_log;
pub mod admin;
pub mod arrival;
pub mod budget;
pub mod config;
pub mod drains;
pub mod gateway;
pub mod listen;
pub mod machine;
pub mod metrics;
pub mod quota;
pub mod request;
pub mod run;
pub mod store;
pub mod upstream;

#[cfg(test)]
mod testing;

pub use config::{Config, Flags};
pub use gateway::Gateway;
pub use run::{DataPlane, run};
pub use store::Store;
