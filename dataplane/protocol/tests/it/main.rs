//! The protocol crate through its own door: golden files, streams cut at every byte, recordings of real
//! providers where `TURNPIKE_FIXTURES` names them, and arbitrary bytes.

#![expect(
    clippy::unwrap_used,
    reason = "tests; clippy's own exception covers test functions only, not their helpers"
)]

mod checker;
mod echo;
mod faults;
mod frames;
mod fuzz;
mod golden;
mod heads;
mod matrix;
mod recordings;
mod rename;
mod replay;
mod responses;
mod responses_checker;
