//! The body of one attempt's request: pieces of the caller's, edited as they pass.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use parking_lot::Mutex;
use turnpike_protocol::splice::{Passage, Pieces, Splice};
use turnpike_protocol::{Edits, Operation, edits};

use super::State;
use super::spill::Reading;
use crate::request::error::RequestError;
use crate::upstream::BodyStopped;

/// What an attempt sends. It ends uncleanly where the caller's body does, is wrong, or another
/// attempt has begun.
pub(super) struct Flow {
    state: Arc<Mutex<State>>,
    turn: u32,
    /// What is asked for, what the provider calls the model, and whether it can be asked for usage.
    asked: Asked,
    /// All edits, once no more can be added.
    edits: Option<Vec<Splice>>,
    passage: Passage,
    /// Came, and must not pass yet.
    withheld: VecDeque<Bytes>,
    /// May be sent.
    out: VecDeque<Bytes>,
    /// Bytes read of those on disk, pieces of those held.
    at: (u64, usize),
    reading: Option<Reading>,
    is_over: bool,
}

pub(super) type Asked = (Operation, Option<Box<str>>, bool);

impl Flow {
    pub(super) fn new(state: Arc<Mutex<State>>, turn: u32, asked: Asked, edits: Edits) -> Self {
        Self {
            state,
            turn,
            asked,
            edits: edits.are_all.then_some(edits.splices),
            passage: Passage::default(),
            withheld: VecDeque::new(),
            out: VecDeque::new(),
            at: (0, 0),
            reading: None,
            is_over: false,
        }
    }

    /// By how much the edits change the length, where all are known.
    pub(super) fn added(edits: &[Splice]) -> i64 {
        let added = |edit: &Splice| edit.with.len() as i64 - edit.span.len() as i64;
        edits.iter().map(added).sum()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyStopped>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let piece = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                return Poll::Ready(match piece {
                    Ok(piece) => {
                        self.at.0 += piece.len() as u64;
                        Ok(Some(piece))
                    }
                    Err(error) => Err(self.fail(error)),
                });
            }
            let mut state = self.state.lock();
            if state.turn != self.turn {
                return Poll::Ready(Err(BodyStopped));
            }
            state.begin();
            let spilled = state.source.spilled();
            if let Some(spilled) = spilled.filter(|spilled| self.at.0 < spilled.length()) {
                self.reading = Some(spilled.start_reading(self.at.0));
                continue;
            }
            let piece = ready!(state.poll_piece(&mut self.at.1, cx));
            drop(state);
            return Poll::Ready(piece.map_err(|error| self.fail(error)));
        }
    }

    fn fail(&self, error: RequestError) -> BodyStopped {
        let mut state = self.state.lock();
        if state.turn == self.turn {
            state.fail(error);
        }
        BodyStopped
    }

    /// Lets pass what may; `None`: nothing more comes, and all may.
    fn take(&mut self, piece: Option<Bytes>) {
        let state = self.state.lock();
        let computed;
        let splices = match &self.edits {
            Some(all) => all,
            None => {
                let (operation, model, asks_for_usage) = &self.asked;
                computed = edits(
                    operation,
                    state.source.head(),
                    model.as_deref(),
                    *asks_for_usage,
                );
                &computed.splices
            }
        };
        let ready = match piece {
            Some(piece) => {
                let before: usize = self.withheld.iter().map(Bytes::len).sum();
                self.withheld.push_back(piece);
                (self.passage.passed() + before).min(state.source.settled())
            }
            None => {
                self.is_over = true;
                usize::MAX
            }
        };
        drop(state);
        let mut passed = Pieces::new();
        while let Some(piece) = self.withheld.front_mut() {
            let length = piece.len().min(ready.saturating_sub(self.passage.passed()));
            let is_whole = length == piece.len();
            let piece = piece.split_to(length);
            self.passage.pass(piece, splices, &mut passed);
            if !is_whole {
                break;
            }
            self.withheld.pop_front();
        }
        self.out.extend(passed);
    }

    /// Tells that the connection has taken everything.
    fn note_sent(&self) {
        let mut state = self.state.lock();
        if state.turn == self.turn {
            state.sent();
        }
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = BodyStopped;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyStopped>>> {
        let flow = &mut *self;
        while flow.out.is_empty() && !flow.is_over {
            match ready!(flow.poll_piece(cx)) {
                Ok(piece) => flow.take(piece),
                Err(stopped) => return Poll::Ready(Some(Err(stopped))),
            }
        }
        let piece = flow.out.pop_front();
        if flow.is_end_stream() {
            flow.note_sent();
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over && self.out.is_empty()
    }
}
