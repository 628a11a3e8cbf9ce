//! The protocol crate through its own door: golden files, streams cut at every byte, recordings of real
//! providers where `TURNPIKE_FIXTURES` names them, and arbitrary bytes.

#![expect(
    clippy::unwrap_used,
    reason = "tests; clippy's own exception covers test functions only, not their helpers"
)]

mod checker;
mod echo;
mod faults;
mod fuzz;
mod golden;
mod heads;
mod recordings;
mod replay;
