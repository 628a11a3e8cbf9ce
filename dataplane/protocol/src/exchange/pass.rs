//! The same protocol on both sides: the hot path. Events pass as slices of the chunks they came in.
//!
//! An event is forwarded once it is whole: a client cannot use half an event, so this costs it
//! nothing, and it makes three things sound. A usage chunk that the client did not ask for can be
//! left out; a provider's error, or an event torn by a cut, never reaches the client as half a line.
//! The unfinished event at a chunk's end is held as slices, not copied out again; once it exceeds
//! [`HOLD_LIMIT`] (audio, images) it is neither a usage chunk nor an error, and flows as it comes.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem::{self, Finder};
use smallvec::SmallVec;

use crate::fault::StreamFault;
use crate::gate::Gate;
use crate::json;
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
    /// Larger events pass without being looked at.
    const SCAN_LIMIT: usize = SCAN_LIMIT;

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
    /// The number of the next event, where events are numbered.
    pub(crate) next_sequence: u64,
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

/// Calls the model in answers by the name that the client asked for.
#[derive(Debug, Clone)]
pub(crate) struct Rename {
    /// The member that names it, with its quotes and colon: it cannot stand inside a JSON string, whose
    /// quotes are escaped.
    member: &'static str,
    /// The name, as JSON.
    name: Bytes,
}

/// Where an event that passes is changed.
enum Renamed {
    /// This part of the chunk that it lies in.
    Within(Range<usize>),
    /// It began in another chunk, and was written anew.
    Whole(Bytes),
}

impl Rename {
    pub(crate) fn new(member: &'static str, name: &str) -> Self {
        Self {
            member,
            name: Bytes::from(json::quoted(name)),
        }
    }

    /// Where a name stands that is another one.
    fn find(&self, text: &[u8]) -> Option<Range<usize>> {
        let after = memmem::find(text, self.member.as_bytes())? + self.member.len();
        let blank = text[after..]
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        let begin = after + blank;
        let inner = text[begin..].strip_prefix(b"\"")?;
        let end = begin + string_len(inner) as usize + 2;
        (text.get(begin..end)? != self.name.as_ref()).then_some(begin..end)
    }

    fn apply(&self, text: &[u8], span: Range<usize>) -> Bytes {
        [&text[..span.start], &self.name, &text[span.end..]]
            .concat()
            .into()
    }

    /// Changes a whole answer.
    pub(crate) fn whole(&self, body: Bytes) -> Bytes {
        match self.find(&body) {
            Some(span) => self.apply(&body, span),
            None => body,
        }
    }
}

/// Passes one stream of events.
#[derive(Debug)]
pub(crate) struct PassThrough<J> {
    framer: Framer,
    judge: J,
    rename: Option<Rename>,
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
    /// `rename`: how the model shall be called, where the provider calls it otherwise.
    pub(crate) fn new(judge: J, rename: Option<Rename>) -> Self {
        Self {
            framer: Framer::new(J::SCAN_LIMIT),
            judge,
            rename,
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
            let mut renamed = None;
            let (verdict, end) = match self.framer.next(&chunk, at) {
                Step::Event { bytes, end } => {
                    if let (Some(rename), Some(event)) = (&self.rename, bytes) {
                        renamed = rename.find(event).map(|span| match self.held.is_empty() {
                            true => {
                                let began = end - event.len();
                                Renamed::Within(began + span.start..began + span.end)
                            }
                            false => Renamed::Whole(rename.apply(event, span)),
                        });
                    }
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
                start = self.let_go(renamed, &chunk, start..end, out);
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

    /// Lets an event go that stays, with the model's name in it changed; gives where what is not out of
    /// the chunk begins.
    fn let_go(
        &mut self,
        renamed: Option<Renamed>,
        chunk: &Bytes,
        rest: Range<usize>,
        out: &mut Vec<Bytes>,
    ) -> usize {
        match (renamed, &self.rename) {
            (Some(Renamed::Within(span)), Some(rename)) => {
                push_slice(out, chunk, rest.start, span.start);
                out.push(rename.name.clone());
                span.end
            }
            (Some(Renamed::Whole(event)), _) if !self.is_flowing => {
                self.forget();
                out.push(event);
                rest.end
            }
            _ => {
                self.release(out);
                rest.start
            }
        }
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

/// The bytes of the strings that follow a name, as they are written.
pub(crate) fn string_bytes(name: &Finder<'_>, event: &[u8]) -> u64 {
    let count = |at: usize| {
        let value = event[at + name.needle().len()..].trim_ascii_start();
        value.strip_prefix(b"\"").map_or(0, string_len)
    };
    name.find_iter(event).map(count).sum()
}

fn string_len(text: &[u8]) -> u64 {
    let mut at = 0;
    while let Some(next) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        if text[at + next] == b'"' {
            return (at + next) as u64;
        }
        at += next + 2;
    }
    text.len() as u64
}
