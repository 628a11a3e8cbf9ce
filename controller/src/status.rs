//! Telling resources what became of them: `Accepted`, `ResolvedRefs`, `Programmed`.

pub mod announcer;
pub mod conditions;
pub mod programmed;
pub mod writer;

mod agenda;

pub use agenda::GRACE;
