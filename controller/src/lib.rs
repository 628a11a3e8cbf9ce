//! The controller: sources of resources feed one index; a pure compile turns
//! names into snapshots and objects into conditions; data planes are served
//! what they ask for, and resources are told their status.

pub mod compile;
pub mod glob;
pub mod index;
pub mod source;
