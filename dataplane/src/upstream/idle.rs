//! The connections of HTTP/1.1 to one origin that nobody uses at the moment, the last used on top, so
//! that those above the need grow old.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::http1::Driven;

/// How long a connection may idle: under the 60 s after which common load balancers drop it unasked.
pub(super) const IDLE_CONNECTION: Duration = Duration::from_secs(50);
/// Idle connections kept of one origin: what a busy one needs again within the idle time.
const MAX_IDLE: usize = 1024;
/// How often idle connections are looked through for those that have ended.
pub(super) const SWEEP: Duration = Duration::from_secs(5);

/// Connections that wait for another request, the last used on top.
#[derive(Default)]
pub(super) struct Idle(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    connections: Vec<(Driven, Instant)>,
    is_swept: bool,
}

impl Idle {
    /// Takes one that still stands.
    pub(super) fn take(&self) -> Option<Driven> {
        loop {
            let (mut driven, since) = self.0.lock().connections.pop()?;
            if since.elapsed() < IDLE_CONNECTION && driven.is_free() {
                return Some(driven);
            }
        }
    }

    /// Keeps one whose answer was read to its end, if it can serve again.
    pub(super) fn put(self: &Arc<Self>, mut driven: Driven) {
        if !driven.is_free() {
            return;
        }
        let mut shelf = self.0.lock();
        if shelf.connections.len() >= MAX_IDLE {
            return;
        }
        shelf.connections.push((driven, Instant::now()));
        if !std::mem::replace(&mut shelf.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes those that have idled for too long or have ended; says whether any are left.
    fn sweep(&self, now: Instant) -> bool {
        let mut shelf = self.0.lock();
        // Those that nobody needs lie at the bottom.
        shelf
            .connections
            .retain_mut(|(driven, since)| now < *since + IDLE_CONNECTION && driven.is_free());
        shelf.is_swept = !shelf.connections.is_empty();
        shelf.is_swept
    }
}

/// Goes on as long as there are idle connections, and somebody who may use them.
async fn sweep(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        match idle.upgrade() {
            Some(idle) if idle.sweep(Instant::now()) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests;
