//! The events of a streamed response, each with its number.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::json;
use crate::responses::output::{Item, ItemBody, Kind, Part, PartBody, SummaryBody};
use crate::responses::response::ResponseBody;

/// What is written and not yet taken.
#[derive(Debug, Default)]
pub(super) struct Wire {
    buffer: Vec<u8>,
    sequence: u64,
}

/// Which item an event is about.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Place<'a> {
    item_id: &'a str,
    output_index: usize,
}

impl<'a> Place<'a> {
    pub(super) fn new(item_id: &'a str, output_index: usize) -> Self {
        Place {
            item_id,
            output_index,
        }
    }
}

impl Wire {
    pub(super) fn take(&mut self, out: &mut Vec<Bytes>) {
        if !self.buffer.is_empty() {
            out.push(Bytes::from(std::mem::take(&mut self.buffer)));
        }
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn response(&mut self, kind: &'static str, response: ResponseBody<'_>) {
        self.write(kind, Lifecycle { response });
    }

    pub(super) fn item_added(&mut self, output_index: usize, item: ItemBody<'_>) {
        let event = ItemEvent { output_index, item };
        self.write("response.output_item.added", event);
    }

    /// Ends what is open inside the item, then the item.
    pub(super) fn item_done(&mut self, index: usize, item: &Item) {
        let place = Place::new(&item.id, index);
        match &item.kind {
            Kind::Message { parts } => self.part_done(&place, parts),
            Kind::Reasoning { summary, .. } if !summary.is_empty() => {
                self.summary_done(&place, summary);
            }
            Kind::Call {
                name, arguments, ..
            } => self.write(
                "response.function_call_arguments.done",
                ArgumentsDone {
                    place,
                    name,
                    arguments,
                },
            ),
            Kind::Reasoning { .. } | Kind::Image { .. } => {}
        }
        let item = item.body();
        let output_index = index;
        self.write(
            "response.output_item.done",
            ItemEvent { output_index, item },
        );
    }

    /// The last part has begun.
    pub(super) fn part_added(&mut self, place: &Place<'_>, parts: &[Part]) {
        self.part("response.content_part.added", place, parts);
    }

    /// The last part, if there is one, has ended.
    pub(super) fn part_done(&mut self, place: &Place<'_>, parts: &[Part]) {
        let content_index = parts.len().saturating_sub(1);
        match parts.last() {
            None => return,
            Some(Part::Text { text, logprobs }) => self.write(
                "response.output_text.done",
                TextDone {
                    place: *place,
                    content_index,
                    text,
                    logprobs,
                },
            ),
            Some(Part::Refusal(refusal)) => self.write(
                "response.refusal.done",
                RefusalDone {
                    place: *place,
                    content_index,
                    refusal,
                },
            ),
        }
        self.part("response.content_part.done", place, parts);
    }

    fn part(&mut self, kind: &'static str, place: &Place<'_>, parts: &[Part]) {
        if let Some(part) = parts.last() {
            let event = PartEvent {
                place: *place,
                content_index: parts.len() - 1,
                part: part.body(),
            };
            self.write(kind, event);
        }
    }

    pub(super) fn text_delta(
        &mut self,
        place: &Place<'_>,
        content_index: usize,
        delta: &str,
        logprobs: &[Box<RawValue>],
    ) {
        let event = TextDelta {
            place: *place,
            content_index,
            delta,
            logprobs,
        };
        self.write("response.output_text.delta", event);
    }

    pub(super) fn refusal_delta(&mut self, place: &Place<'_>, content_index: usize, delta: &str) {
        let event = RefusalDelta {
            place: *place,
            content_index,
            delta,
        };
        self.write("response.refusal.delta", event);
    }

    pub(super) fn arguments_delta(&mut self, place: &Place<'_>, delta: &str) {
        let place = *place;
        let event = ArgumentsDelta { place, delta };
        self.write("response.function_call_arguments.delta", event);
    }

    pub(super) fn summary_added(&mut self, place: &Place<'_>) {
        self.summary_part("response.reasoning_summary_part.added", place, "");
    }

    pub(super) fn summary_delta(&mut self, place: &Place<'_>, delta: &str) {
        let event = SummaryDelta {
            place: *place,
            summary_index: 0,
            delta,
        };
        self.write("response.reasoning_summary_text.delta", event);
    }

    fn summary_done(&mut self, place: &Place<'_>, text: &str) {
        let event = SummaryDone {
            place: *place,
            summary_index: 0,
            text,
        };
        self.write("response.reasoning_summary_text.done", event);
        self.summary_part("response.reasoning_summary_part.done", place, text);
    }

    fn summary_part(&mut self, kind: &'static str, place: &Place<'_>, text: &str) {
        let event = SummaryPart {
            place: *place,
            summary_index: 0,
            part: SummaryBody::SummaryText { text },
        };
        self.write(kind, event);
    }

    fn write<T: Serialize>(&mut self, kind: &'static str, body: T) {
        self.buffer.extend_from_slice(b"event: ");
        self.buffer.extend_from_slice(kind.as_bytes());
        self.buffer.extend_from_slice(b"\ndata: ");
        let event = Event {
            r#type: kind,
            sequence_number: self.sequence,
            body,
        };
        json::write(&mut self.buffer, &event);
        self.buffer.extend_from_slice(b"\n\n");
        self.sequence += 1;
    }
}

#[derive(Serialize)]
struct Event<T> {
    r#type: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct Lifecycle<'a> {
    response: ResponseBody<'a>,
}

#[derive(Serialize)]
struct ItemEvent<'a> {
    output_index: usize,
    item: ItemBody<'a>,
}

#[derive(Serialize)]
struct PartEvent<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    content_index: usize,
    part: PartBody<'a>,
}

#[derive(Serialize)]
struct TextDelta<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    content_index: usize,
    delta: &'a str,
    logprobs: &'a [Box<RawValue>],
}

#[derive(Serialize)]
struct TextDone<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    content_index: usize,
    text: &'a str,
    logprobs: &'a [Box<RawValue>],
}

#[derive(Serialize)]
struct RefusalDelta<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    content_index: usize,
    delta: &'a str,
}

#[derive(Serialize)]
struct RefusalDone<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    content_index: usize,
    refusal: &'a str,
}

#[derive(Serialize)]
struct ArgumentsDelta<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    delta: &'a str,
}

#[derive(Serialize)]
struct ArgumentsDone<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct SummaryPart<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    summary_index: usize,
    part: SummaryBody<'a>,
}

#[derive(Serialize)]
struct SummaryDelta<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    summary_index: usize,
    delta: &'a str,
}

#[derive(Serialize)]
struct SummaryDone<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    summary_index: usize,
    text: &'a str,
}
