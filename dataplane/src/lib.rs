//! placeholder
pub mod quota;
