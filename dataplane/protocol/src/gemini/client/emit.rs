//! Writes a translated answer as the replies of streamGenerateContent.
//!
//! Calls are told whole, as Gemini does: their arguments are gathered. The last reply has the finish
//! reason and the usage; nothing follows it.

use bytes::Bytes;

use super::response::{Candidate, PartBody, Reply};
use crate::gemini::finish;
use crate::gemini::usage::UsageBody;
use crate::json;
use crate::message::in_order::InOrder;
use crate::message::{Delta, Emit, Emitter, Finish};
use crate::openai::chat::arguments_object;
use crate::usage::Usage;

/// Arguments over this are cut, and told as what they are: no JSON.
const MAX_ARGUMENTS: usize = 16 << 20;

/// Emits replies; what it is told out of order it completes or leaves out.
#[derive(Debug)]
pub(crate) struct ReplyEmitter {
    model: String,
    id: String,
    order: InOrder,
    call: Option<Call>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    is_ended: bool,
    is_committed: bool,
    output_bytes: u64,
    buffer: Vec<u8>,
}

/// A call that is being gathered.
#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    signature: Option<String>,
    arguments: String,
}

impl Emit for ReplyEmitter {
    fn emit(&mut self, delta: Delta<'_>) {
        if self.is_ended {
            return;
        }
        let mut order = std::mem::take(&mut self.order);
        order.pass(delta, &mut |delta| self.write(delta));
        self.order = order;
    }
}

impl Emitter for ReplyEmitter {
    fn take(&mut self, out: &mut Vec<Bytes>) {
        if !self.buffer.is_empty() {
            out.push(Bytes::from(std::mem::take(&mut self.buffer)));
        }
    }

    fn is_committed(&self) -> bool {
        self.is_committed
    }

    fn output_bytes(&self) -> u64 {
        self.output_bytes
    }
}

impl ReplyEmitter {
    pub(crate) fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            id: String::new(),
            order: InOrder::default(),
            call: None,
            finish: None,
            usage: None,
            is_ended: false,
            is_committed: false,
            output_bytes: 0,
            buffer: Vec::new(),
        }
    }

    fn write(&mut self, delta: Delta<'_>) {
        match delta {
            Delta::Start { id } if self.id.is_empty() => self.id = id.to_owned(),
            Delta::Text(text) | Delta::Refusal(text) => {
                self.end_call();
                self.output_bytes += text.len() as u64;
                self.part(PartBody::text(text));
            }
            Delta::Reasoning(text) => {
                self.end_call();
                self.output_bytes += text.len() as u64;
                self.part(PartBody::thought(text));
            }
            Delta::Image { media_type, data } => {
                self.end_call();
                self.part(PartBody::image(media_type, data));
            }
            Delta::ToolStart {
                id,
                name,
                signature,
                ..
            } => {
                self.end_call();
                self.is_committed = true;
                self.output_bytes += name.len() as u64;
                self.call = Some(Call {
                    id: id.to_owned(),
                    name: name.to_owned(),
                    signature: signature.map(str::to_owned),
                    arguments: String::new(),
                });
            }
            Delta::ToolArguments { json, .. } => {
                self.output_bytes += json.len() as u64;
                if let Some(call) = &mut self.call
                    && call.arguments.len() + json.len() <= MAX_ARGUMENTS
                {
                    call.arguments.push_str(json);
                }
            }
            Delta::Usage(usage) => self.usage.get_or_insert_default().merge(usage),
            Delta::Finish(finish) => {
                self.is_committed = true;
                self.finish.get_or_insert(finish);
            }
            Delta::End { usage } => self.end(usage),
            // What proves thinking is another provider's own.
            Delta::Start { .. }
            | Delta::Thinking(_)
            | Delta::Logprobs(_)
            | Delta::StopSequence(_) => {}
        }
    }

    fn end_call(&mut self) {
        if let Some(call) = self.call.take() {
            let args = arguments_object(&call.arguments);
            self.part(PartBody::call(
                &call.id,
                &call.name,
                &args,
                call.signature.as_deref(),
            ));
        }
    }

    fn part(&mut self, part: PartBody<'_>) {
        self.is_committed = true;
        self.reply(vec![part], None, None);
    }

    fn reply(&mut self, parts: Vec<PartBody<'_>>, word: Option<&str>, usage: Option<Usage>) {
        let reply = Reply {
            candidates: [Candidate::new(parts, word)],
            usage_metadata: usage.map(UsageBody::from),
            model_version: &self.model,
            response_id: (!self.id.is_empty()).then_some(&self.id),
        };
        self.buffer.extend_from_slice(b"data: ");
        json::write(&mut self.buffer, &reply);
        self.buffer.extend_from_slice(b"\n\n");
    }

    fn end(&mut self, usage: Option<Usage>) {
        self.end_call();
        if let Some(usage) = usage {
            self.usage.get_or_insert_default().merge(usage);
        }
        let finish = self.finish.take().unwrap_or(Finish::Stop);
        let usage = self.usage;
        self.is_committed = true;
        self.reply(vec![PartBody::text("")], Some(finish::word(&finish)), usage);
        self.is_ended = true;
    }
}
