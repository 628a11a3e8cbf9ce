//! The chores, one module each.

pub(crate) mod bench;
pub(crate) mod chart;
pub(crate) mod cluster;
pub(crate) mod crds;
pub(crate) mod fuzz;
pub(crate) mod image;
pub(crate) mod test;
