//! The same protocol on both sides: the hot path. Events pass as slices of the chunks they came in.
//!
//! An event is forwarded once it is whole: a client cannot use half an event, so this costs it
//! nothing, and it makes three things sound. A usage chunk that the client did not ask for can be
//! left out; a provider's error, or an event torn by a cut, never reaches the client as half a line.
//! The unfinished event at a chunk's end is held as slices, not copied out again; once it exceeds
//! [`HOLD_LIMIT`] (audio, images) it is neither a usage chunk nor an error, and flows as it comes.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::fault::StreamFault;
use crate::gate::Gate;
use crate::sse::{Framer, Step};
use crate::usage::Usage;
use crate::vendor::WireProtocol;

/// Larger events pass without being looked at.
const SCAN_LIMIT: usize = 1 << 20;
/// An unfinished event is held up to here. A usage chunk has a few hundred bytes.
const HOLD_LIMIT: usize = 64 << 10;

/// What one protocol's events mean to those who only let them pass.
pub(crate) trait Judge: std::fmt::Debug + Send {
    const PROTOCOL: WireProtocol;

    /// Looks at one event, and notes what it tells.
    fn judge(&mut self, event: &[u8], seen: &mut Seen) -> Result<Verdict, StreamFault>;

    /// The body has ended, with this much of an event. Whether the answer is whole.
    fn closed(&mut self, unfinished: &[u8], seen: &mut Seen) -> Result<bool, StreamFault>;
}

/// What the stream has told so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) is_committed: bool,
    pub(crate) usage: Option<Usage>,
    pub(crate) output_bytes: u64,
    /// The model that answers, as the provider calls it.
    pub(crate) model: Option<String>,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Drop,
    /// It goes on, and is the last.
    Done,
}

/// A stream that passes.
pub(crate) trait Pass: std::fmt::Debug + Send {
    fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), StreamFault>;
    fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), StreamFault>;
    fn is_complete(&self) -> bool;
    fn seen(&self) -> &Seen;
    /// Whether half an event is already with the client.
    fn is_mid_event(&self) -> bool;
}

/// Passes one stream of events.
#[derive(Debug)]
pub(crate) struct PassThrough<J> {
    framer: Framer,
    judge: J,
    /// The unfinished event's bytes, in slices.
    held: SmallVec<[Bytes; 4]>,
    held_len: usize,
    /// The unfinished event grew over the limit: what was held is out, the rest follows as it comes.
    is_flowing: bool,
    /// Whether the last event went to the client; its late LF follows it.
    kept_last: bool,
    gate: Gate,
    state: State,
    seen: Seen,
}

/// Whether the last event has passed; only the LF of its last line end may still follow.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Open,
    Done { may_owe_lf: bool },
}

impl<J: Judge> PassThrough<J> {
    pub(crate) fn new(judge: J) -> Self {
        Self {
            framer: Framer::new(SCAN_LIMIT),
            judge,
            held: SmallVec::new(),
            held_len: 0,
            is_flowing: false,
            kept_last: true,
            gate: Gate::default(),
            state: State::Open,
            seen: Seen::default(),
        }
    }

    fn push_events(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        // Neighbouring events that stay go out as one slice, from `start` on.
        let (mut start, mut at) = (0, 0);
        loop {
            let (verdict, end) = match self.framer.next(&chunk, at) {
                Step::Event { bytes, end } => {
                    let verdict = match bytes {
                        Some(event) => self.judge.judge(event, &mut self.seen),
                        None => Ok(Verdict::Keep),
                    };
                    if verdict.is_err() {
                        push_slice(out, &chunk, start, at);
                    }
                    (verdict?, end)
                }
                Step::Rest { end } if self.kept_last => (Verdict::Keep, end),
                Step::Rest { end } => (Verdict::Drop, end),
                Step::Partial { .. } => break,
            };
            if verdict == Verdict::Drop {
                push_slice(out, &chunk, start, at);
                if self.is_flowing {
                    push_slice(out, &chunk, at, end);
                }
                self.forget();
                start = end;
            } else {
                self.release(out);
            }
            self.is_flowing = false;
            self.kept_last = verdict != Verdict::Drop;
            at = end;
            if verdict == Verdict::Done {
                push_slice(out, &chunk, start, at);
                self.state = State::Done {
                    may_owe_lf: end == chunk.len(),
                };
                return Ok(());
            }
        }
        push_slice(out, &chunk, start, at);
        self.hold(chunk.slice(at..), out);
        Ok(())
    }

    fn hold(&mut self, tail: Bytes, out: &mut Vec<Bytes>) {
        if tail.is_empty() {
            return;
        }
        self.held_len += tail.len();
        self.held.push(tail);
        if self.is_flowing || self.held_len > HOLD_LIMIT {
            self.is_flowing = true;
            self.seen.is_committed = true;
            self.release(out);
        }
    }

    fn release(&mut self, out: &mut Vec<Bytes>) {
        out.extend(self.held.drain(..));
        self.held_len = 0;
    }

    fn forget(&mut self) {
        self.held.clear();
        self.held_len = 0;
    }
}

impl<J: Judge> Pass for PassThrough<J> {
    fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        if chunk.is_empty() {
            return Ok(());
        }
        if let State::Done { may_owe_lf } = &mut self.state {
            if std::mem::take(may_owe_lf)
                && let Step::Rest { end } = self.framer.next(&chunk, 0)
            {
                out.push(chunk.slice(..end));
            }
            return Ok(());
        }
        match self.gate.admit(&chunk)? {
            Some(start) => self.push_events(chunk.slice(start..), out),
            None => Ok(()),
        }
    }

    fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        if self.is_complete() {
            return Ok(());
        }
        self.gate.finish(J::PROTOCOL)?;
        // Some servers leave out the last blank line.
        let unfinished = self.framer.unfinished();
        if !self.judge.closed(unfinished, &mut self.seen)? {
            return Err(StreamFault::Cut);
        }
        self.release(out);
        self.state = State::Done { may_owe_lf: false };
        Ok(())
    }

    fn is_complete(&self) -> bool {
        matches!(self.state, State::Done { .. })
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }

    fn is_mid_event(&self) -> bool {
        self.is_flowing
    }
}

fn push_slice(out: &mut Vec<Bytes>, chunk: &Bytes, start: usize, end: usize) {
    if start < end {
        out.push(chunk.slice(start..end));
    }
}
