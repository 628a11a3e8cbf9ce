//! Lines on their way from whoever has something to tell to the one who writes.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// What is kept of the room that a full sink has made necessary.
const KEPT: usize = 256 << 10;

/// Lines that wait, within bounds.
pub(super) struct Waiting {
    state: Mutex<State>,
    /// Told when there is something to write, or never will be again.
    told: Condvar,
    /// Bytes.
    room: usize,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// Who writes has nothing to do.
    is_awaited: bool,
    is_closed: bool,
}

impl Waiting {
    pub(super) fn new(room: usize) -> Self {
        Self {
            state: Mutex::default(),
            told: Condvar::new(),
            room,
        }
    }

    /// Adds a line; `false`: there is no room for it.
    pub(super) fn add(&self, line: &[u8]) -> bool {
        let mut state = self.state.lock();
        if state.lines.len() + line.len() > self.room {
            return false;
        }
        state.lines.extend_from_slice(line);
        let is_awaited = std::mem::take(&mut state.is_awaited);
        drop(state);
        if is_awaited {
            self.told.notify_one();
        }
        true
    }

    /// Nothing is added any more.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.told.notify_one();
    }

    /// Waits for lines and puts them into `lines`, which is empty; `false`: there are none, and none will
    /// come.
    pub(super) fn take(&self, lines: &mut Vec<u8>) -> bool {
        if lines.capacity() > KEPT {
            *lines = Vec::new();
        }
        let mut state = self.state.lock();
        while state.lines.is_empty() {
            if state.is_closed {
                return false;
            }
            state.is_awaited = true;
            self.told.wait(&mut state);
        }
        std::mem::swap(&mut state.lines, lines);
        true
    }

    /// Lets more come, but not once it is the end.
    pub(super) fn rest(&self, pause: Duration) {
        let mut state = self.state.lock();
        if !state.is_closed {
            self.told.wait_for(&mut state, pause);
        }
    }
}
