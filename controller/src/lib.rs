//! Turnpike's controller: resources in, snapshots and conditions out.

pub mod serve;
