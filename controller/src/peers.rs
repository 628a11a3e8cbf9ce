//! How the replica that writes status learns what data planes of the others do.
//!
//! ```text
//! follower: hub ─ standings ─→ reporter ══ answers ══→ service ─→ board ─→ status writer
//!                                 ↑ ══ questions (name, version) ══╧═══════╛      :leader
//! ```
//! The leader asks about the very versions that it judges, and only while it judges
//! them; a follower speaks unasked only of how many data planes it has and of names
//! that one of them refuses. So nothing is kept for the names that are well.

pub mod board;
pub mod reporter;
pub mod service;

mod wire;

pub use board::Board;
