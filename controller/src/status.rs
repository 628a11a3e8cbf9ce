//! Telling resources what became of them: `Ready`, and what it sums up; events.

pub mod announcer;
pub mod conditions;
pub mod programmed;
pub mod public_url;
pub mod writer;
pub mod writes;

mod agenda;
mod certificates;
mod herald;
mod notice;

pub use agenda::GRACE;
