//! Writes a translated answer as the events of a streamed response.
//!
//! A state machine that cannot write an invalid order:
//!
//! ```text
//! created, in_progress, { item added, { part added, deltas, done, part done }, item done }, completed
//! ```
//!
//! One message or one thought is open at a time. Calls stay open until the answer ends, since
//! providers may interleave the arguments of parallel calls. Every event has the next number.
//!
//! Source: platform.openai.com, "Streaming events" (2026-11).

mod events;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::message::{Delta, Emit, Emitter, Finish, Thought};
use crate::responses::output::{Item, Kind, Part, Status, incomplete_reason};
use crate::responses::response::{
    IncompleteDetails, ResponseBody, UsageBody, response_id, token_logprobs,
};
use crate::usage::Usage;
use events::{Place, Wire};

/// The last event repeats all content, which must be kept for it. What goes beyond is left out, and
/// the response ends as one that ran out of tokens.
const MAX_CONTENT: usize = 32 << 20;
/// What an item or part is taken to weigh beside its content, so that empty ones are bounded as well.
const ITEM_BYTES: usize = 256;

/// Emits events; what it is told out of order it completes or leaves out.
#[derive(Debug)]
pub(crate) struct ResponseEmitter {
    id: String,
    model: String,
    created: u64,
    state: State,
    /// All items so far; an item's place is its index.
    output: Vec<Item>,
    /// The message or thought that is open.
    open: Option<usize>,
    /// Which items the calls are.
    calls: Vec<usize>,
    /// The odds of the text that comes next.
    logprobs: Vec<Box<RawValue>>,
    finish: Option<Finish>,
    content_bytes: usize,
    is_committed: bool,
    output_bytes: u64,
    wire: Wire,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Open,
    Finished,
    Ended,
}

impl Emit for ResponseEmitter {
    fn emit(&mut self, delta: Delta<'_>) {
        match delta {
            Delta::Start { id } => self.start(id),
            Delta::Text("")
            | Delta::Refusal("")
            | Delta::Reasoning("")
            | Delta::ToolArguments { json: "", .. }
            | Delta::Usage(_)
            | Delta::StopSequence(_) => {}
            Delta::Text(text) => self.text(text),
            Delta::Refusal(text) => self.refusal(text),
            Delta::Reasoning(text) => self.reasoning(text),
            Delta::Thinking(thought) => self.thought(thought),
            Delta::Image { data, .. } => self.image(data),
            Delta::Logprobs(odds) => self.odds(odds),
            Delta::ToolStart { call, id, name, .. } => self.tool_start(call, id, name),
            Delta::ToolArguments { call, json } => self.tool_arguments(call, json),
            Delta::Finish(finish) => self.finish(finish),
            Delta::End { usage } => self.end(usage),
        }
    }
}

impl Emitter for ResponseEmitter {
    fn take(&mut self, out: &mut Vec<Bytes>) {
        self.wire.take(out);
    }

    fn is_committed(&self) -> bool {
        self.is_committed
    }

    fn output_bytes(&self) -> u64 {
        self.output_bytes
    }

    fn next_sequence(&self) -> u64 {
        self.wire.next_sequence()
    }
}

impl ResponseEmitter {
    pub(crate) fn new(model: &str, created: u64) -> Self {
        Self {
            id: String::new(),
            model: model.to_owned(),
            created,
            state: State::Fresh,
            output: Vec::new(),
            open: None,
            calls: Vec::new(),
            logprobs: Vec::new(),
            finish: None,
            content_bytes: 0,
            is_committed: false,
            output_bytes: 0,
            wire: Wire::default(),
        }
    }

    fn start(&mut self, id: &str) {
        if self.state != State::Fresh {
            return;
        }
        self.id = response_id(id, self.created);
        self.state = State::Open;
        for kind in ["response.created", "response.in_progress"] {
            let response = ResponseBody::new(&self.id, &self.model, self.created);
            self.wire.response(kind, response);
        }
    }

    /// Whether this much content may still be put out; notes that it is.
    fn admits(&mut self, bytes: usize) -> bool {
        self.start("");
        if self.state != State::Open {
            return false;
        }
        if self.content_bytes.saturating_add(bytes) > MAX_CONTENT {
            self.finish(Finish::Length);
            return false;
        }
        self.content_bytes += bytes;
        self.output_bytes += bytes as u64;
        self.is_committed = true;
        true
    }

    fn odds(&mut self, odds: &RawValue) {
        let bytes = odds.get().len();
        if self.state == State::Open && self.content_bytes.saturating_add(bytes) <= MAX_CONTENT {
            self.content_bytes += bytes;
            self.logprobs.extend(token_logprobs(odds));
        }
    }

    fn text(&mut self, more: &str) {
        if !self.admits(more.len()) {
            return;
        }
        let index = self.open_message(
            |part| matches!(part, Part::Text { .. }),
            || Part::Text {
                text: String::new(),
                logprobs: Vec::new(),
            },
        );
        let odds = std::mem::take(&mut self.logprobs);
        let Some((item, parts)) = message_mut(&mut self.output, index) else {
            return;
        };
        let place = Place::new(item, index);
        let at = parts.len().saturating_sub(1);
        self.wire.text_delta(&place, at, more, &odds);
        if let Some(Part::Text { text, logprobs }) = parts.last_mut() {
            text.push_str(more);
            logprobs.extend(odds);
        }
    }

    fn refusal(&mut self, more: &str) {
        if !self.admits(more.len()) {
            return;
        }
        let is_refusal = |part: &Part| matches!(part, Part::Refusal(_));
        let index = self.open_message(is_refusal, || Part::Refusal(String::new()));
        let Some((item, parts)) = message_mut(&mut self.output, index) else {
            return;
        };
        let place = Place::new(item, index);
        let at = parts.len().saturating_sub(1);
        self.wire.refusal_delta(&place, at, more);
        if let Some(Part::Refusal(text)) = parts.last_mut() {
            text.push_str(more);
        }
    }

    /// The place of the open message, whose last part is of the kind wanted.
    fn open_message(&mut self, is_wanted: impl Fn(&Part) -> bool, new: impl Fn() -> Part) -> usize {
        let is_message = |index: &usize| {
            let item = self.output.get(*index);
            item.is_some_and(|item| matches!(item.kind, Kind::Message { .. }))
        };
        let index = match self.open.filter(is_message) {
            Some(index) => index,
            None => {
                self.close_open(Status::Completed);
                let index = self.add(Kind::Message { parts: Vec::new() });
                self.open = Some(index);
                index
            }
        };
        if let Some((item, parts)) = message_mut(&mut self.output, index) {
            let place = Place::new(item, index);
            if !parts.last().is_some_and(is_wanted) {
                self.wire.part_done(&place, parts);
                parts.push(new());
                self.content_bytes += ITEM_BYTES;
                self.wire.part_added(&place, parts);
            }
        }
        index
    }

    fn reasoning(&mut self, more: &str) {
        if !self.admits(more.len()) {
            return;
        }
        let is_thought = |index: &usize| {
            let item = self.output.get(*index);
            item.is_some_and(|item| matches!(item.kind, Kind::Reasoning { .. }))
        };
        let index = match self.open.filter(is_thought) {
            Some(index) => index,
            None => self.open_thought(),
        };
        if let Some(item) = self.output.get_mut(index) {
            let place = Place::new(&item.id, index);
            if let Kind::Reasoning { summary, .. } = &mut item.kind {
                if summary.is_empty() {
                    self.wire.summary_added(&place);
                }
                self.wire.summary_delta(&place, more);
                summary.push_str(more);
            }
        }
    }

    fn open_thought(&mut self) -> usize {
        self.close_open(Status::Completed);
        let index = self.add(Kind::Reasoning {
            summary: String::new(),
            encrypted: None,
        });
        self.open = Some(index);
        index
    }

    /// Seals the open thought with what proves whose it is; one that was not told before is told now.
    fn thought(&mut self, thought: &Thought<'_>) {
        let proof = match thought {
            Thought::Told { signature, .. } => signature.as_deref(),
            Thought::Redacted { data } => Some(data.as_ref()),
        };
        if !self.admits(0) {
            return;
        }
        let open = self.open.and_then(|index| self.output.get(index));
        let is_open = open.is_some_and(|item| matches!(item.kind, Kind::Reasoning { .. }));
        match thought {
            Thought::Told { .. } if is_open => {}
            Thought::Told { text, .. } if !text.is_empty() => self.reasoning(text),
            _ => {
                self.open_thought();
            }
        }
        let room = MAX_CONTENT.saturating_sub(self.content_bytes);
        let proof = proof.filter(|proof| proof.len() <= room);
        let item = self.open.and_then(|index| self.output.get_mut(index));
        if let (Some(proof), Some(item)) = (proof, item)
            && let Kind::Reasoning { encrypted, .. } = &mut item.kind
        {
            self.content_bytes += proof.len();
            *encrypted = Some(proof.to_owned());
        }
        self.close_open(Status::Completed);
    }

    fn image(&mut self, data: &str) {
        if !self.admits(data.len()) {
            return;
        }
        self.close_open(Status::Completed);
        let index = self.add(Kind::Image {
            data: data.to_owned(),
        });
        self.close(index, Status::Completed);
    }

    fn tool_start(&mut self, call: usize, id: &str, name: &str) {
        if call != self.calls.len() || !self.admits(name.len()) {
            return;
        }
        self.close_open(Status::Completed);
        let index = self.add(Kind::Call {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: String::new(),
        });
        self.calls.push(index);
    }

    fn tool_arguments(&mut self, call: usize, json: &str) {
        let Some(&index) = self.calls.get(call) else {
            return;
        };
        if self.admits(json.len()) {
            self.append_arguments(index, json);
        }
    }

    fn append_arguments(&mut self, index: usize, json: &str) {
        if let Some(item) = self.output.get_mut(index)
            && let Kind::Call { arguments, .. } = &mut item.kind
        {
            let place = Place::new(&item.id, index);
            self.wire.arguments_delta(&place, json);
            arguments.push_str(json);
        }
    }

    fn add(&mut self, kind: Kind) -> usize {
        self.content_bytes += ITEM_BYTES;
        let index = self.output.len();
        let item = Item::new(&self.id, index, kind);
        self.wire.item_added(index, item.body());
        self.output.push(item);
        index
    }

    fn close_open(&mut self, status: Status) {
        if let Some(index) = self.open.take() {
            self.close(index, status);
        }
    }

    /// Writes the events that end an item, once.
    fn close(&mut self, index: usize, status: Status) {
        let Some(item) = self.output.get_mut(index) else {
            return;
        };
        if item.status != Status::InProgress {
            return;
        }
        item.status = status;
        self.wire.item_done(index, item);
    }

    fn finish(&mut self, finish: Finish) {
        self.start("");
        if self.state != State::Open {
            return;
        }
        self.state = State::Finished;
        self.is_committed = true;
        let is_cut = incomplete_reason(Some(&finish)).is_some();
        self.finish = Some(finish);
        // What was cut short is what came last.
        let last = self.output.len().saturating_sub(1);
        let status = |index| match is_cut && index == last {
            true => Status::Incomplete,
            false => Status::Completed,
        };
        if let Some(index) = self.open.take() {
            self.close(index, status(index));
        }
        for index in std::mem::take(&mut self.calls) {
            let status = status(index);
            let is_bare = matches!(
                self.output.get(index).map(|item| &item.kind),
                Some(Kind::Call { arguments, .. }) if arguments.is_empty()
            );
            if is_bare && status == Status::Completed {
                // A call without arguments: clients parse them as JSON.
                self.append_arguments(index, "{}");
            }
            self.close(index, status);
        }
    }

    fn end(&mut self, usage: Option<Usage>) {
        if self.state == State::Ended {
            return;
        }
        self.finish(Finish::Stop);
        self.state = State::Ended;
        let reason = incomplete_reason(self.finish.as_ref());
        let (kind, status) = match reason {
            None => ("response.completed", Status::Completed),
            Some(_) => ("response.incomplete", Status::Incomplete),
        };
        let mut response = ResponseBody::new(&self.id, &self.model, self.created);
        response.status = status;
        response.incomplete_details = reason.map(|reason| IncompleteDetails { reason });
        response.output = self.output.iter().map(Item::body).collect();
        response.usage = usage.map(UsageBody::from);
        self.wire.response(kind, response);
    }
}

/// A message's id and parts.
fn message_mut(output: &mut [Item], index: usize) -> Option<(&str, &mut Vec<Part>)> {
    match output.get_mut(index)? {
        Item {
            id,
            kind: Kind::Message { parts },
            ..
        } => Some((id, parts)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
