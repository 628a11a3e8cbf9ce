//! Whether a caller takes what it is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by who writes an answer and who settles it. Clones share.
#[derive(Clone, Debug, Default)]
pub struct Uptake(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Something was handed over to be written, and no more was asked for since.
    is_waiting: AtomicBool,
    is_expired: AtomicBool,
}

impl Uptake {
    /// A piece is on its way to the caller.
    pub fn handed(&self) {
        self.0.is_waiting.store(true, Ordering::Relaxed);
    }

    /// The caller's side asks for the next piece: what was handed over has gone.
    pub fn asked(&self) {
        self.0.is_waiting.store(false, Ordering::Relaxed);
    }

    /// Whether a piece is on its way.
    pub fn is_waiting(&self) -> bool {
        self.0.is_waiting.load(Ordering::Relaxed)
    }

    /// The caller took nothing for too long.
    pub fn expire(&self) {
        self.0.is_expired.store(true, Ordering::Relaxed);
    }

    /// Whether that is why an answer ends.
    pub fn is_expired(&self) -> bool {
        self.0.is_expired.load(Ordering::Relaxed)
    }
}
