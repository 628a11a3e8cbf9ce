//! OpenAI's older completions, as spoken by clients: a text that goes on.
//!
//! Source: platform.openai.com, "Completions (legacy)".

use bytes::Bytes;
use serde::Serialize;

use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{
    Answer, Conversation, Delta, Emit, Emitter, Finish, Number, Part, Role, TextPart, Turn,
};
use crate::openai::response::{UsageBody, word};
use crate::strict::{Members, Path, elements, unsupported};
use crate::usage::Usage;

/// Reads a request: the prompt becomes what the user says.
pub(crate) fn parse<'a>(
    body: &'a [u8],
    losses: &mut Losses,
) -> Result<Conversation<'a>, Unsupported> {
    let mut request = Members::parse(body)?;
    request.skip(&["model", "stream_options"]);
    let mut conversation = Conversation {
        stream: request.bool("stream")?.unwrap_or(false),
        max_tokens: request.count("max_tokens")?,
        temperature: number(&mut request, "temperature")?,
        top_p: number(&mut request, "top_p")?,
        frequency_penalty: number(&mut request, "frequency_penalty")?,
        presence_penalty: number(&mut request, "presence_penalty")?,
        seed: request.take("seed"),
        user: request.string("user")?,
        ..Conversation::default()
    };
    stop(&mut request, &mut conversation)?;
    prompt(&mut request, &mut conversation)?;
    for name in ["n", "best_of"] {
        request.skip_if(name, |raw| raw.get() == "1");
    }
    request.skip_if("echo", |raw| raw.get() == "false");
    request.refuse_rest(losses)?;
    Ok(conversation)
}

fn number<'a>(request: &mut Members<'a>, name: &str) -> Result<Option<Number<'a>>, Unsupported> {
    let Some(raw) = request.take(name) else {
        return Ok(None);
    };
    match raw.get().parse() {
        Ok(value) => Ok(Some(Number { raw, value })),
        Err(_) => Err(unsupported(request.path.at(name), "must be a number")),
    }
}

fn stop<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Unsupported> {
    let Some(raw) = request.take("stop") else {
        return Ok(());
    };
    if let Some(one) = json::string(raw) {
        conversation.stop.push(one);
        return Ok(());
    }
    for (path, raw) in elements(&Path::top("stop"), raw)? {
        let one = json::string(raw);
        conversation
            .stop
            .push(one.ok_or_else(|| unsupported(path, "must be a string"))?);
    }
    Ok(())
}

/// One text: a provider of conversations answers no more at once.
fn prompt<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Unsupported> {
    let path = Path::top("prompt");
    let raw = request.required("prompt")?;
    let text = match json::string(raw) {
        Some(text) => Some(text),
        None => match elements(&path, raw)?.as_slice() {
            [(_, one)] => json::string(one),
            _ => None,
        },
    };
    let text = text.filter(|text| !text.is_empty());
    let what = "must be one text that is not empty for this model";
    let text = text.ok_or_else(|| unsupported(path, what))?;
    conversation.turns.push(Turn {
        role: Role::User,
        parts: vec![Part::Text(TextPart { text, cache: None })],
    });
    Ok(())
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageBody>,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: u32,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

impl<'a> Choice<'a> {
    fn new(text: &'a str, finish_reason: Option<&'static str>) -> Self {
        Choice {
            text,
            index: 0,
            logprobs: None,
            finish_reason,
        }
    }
}

/// Writes a whole answer. `model` is what the client called it.
pub(crate) fn write(answer: &Answer<'_>, model: &str, created: u64) -> Bytes {
    let made = format!("cmpl-{created}");
    let text = answer
        .text
        .as_deref()
        .or(answer.refusal.as_deref())
        .unwrap_or_default();
    let finish = answer.finish.as_ref().map_or("stop", word);
    let completion = Completion {
        id: answer.id.as_deref().unwrap_or(&made),
        object: "text_completion",
        created,
        model,
        choices: &[Choice::new(text, Some(finish))],
        usage: answer.usage.map(UsageBody::from),
    };
    let mut out = Vec::with_capacity(512);
    json::write(&mut out, &completion);
    Bytes::from(out)
}

/// Writes the chunks of a streamed answer: text, one finish reason, the usage if it was asked for, and
/// `[DONE]`.
#[derive(Debug)]
pub(crate) struct TextEmitter {
    id: String,
    model: String,
    created: u64,
    wants_usage: bool,
    is_finished: bool,
    is_ended: bool,
    is_committed: bool,
    output_bytes: u64,
    buffer: Vec<u8>,
}

impl Emit for TextEmitter {
    fn emit(&mut self, delta: Delta<'_>) {
        match delta {
            Delta::Start { id } if self.id.is_empty() => self.id = id.to_owned(),
            Delta::Text(text) | Delta::Refusal(text) if !text.is_empty() && !self.is_finished => {
                self.output_bytes += text.len() as u64;
                self.chunk(&[Choice::new(text, None)], None);
            }
            Delta::Finish(finish) => self.finish(&finish),
            Delta::End { usage } if !self.is_ended => self.end(usage),
            // A text has nothing else.
            _ => {}
        }
    }
}

impl Emitter for TextEmitter {
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

impl TextEmitter {
    pub(crate) fn new(model: &str, created: u64, wants_usage: bool) -> Self {
        Self {
            id: String::new(),
            model: model.to_owned(),
            created,
            wants_usage,
            is_finished: false,
            is_ended: false,
            is_committed: false,
            output_bytes: 0,
            buffer: Vec::new(),
        }
    }

    fn chunk(&mut self, choices: &[Choice<'_>], usage: Option<UsageBody>) {
        self.is_committed = true;
        let made = format!("cmpl-{}", self.created);
        let completion = Completion {
            id: if self.id.is_empty() { &made } else { &self.id },
            object: "text_completion",
            created: self.created,
            model: &self.model,
            choices,
            usage,
        };
        self.buffer.extend_from_slice(b"data: ");
        json::write(&mut self.buffer, &completion);
        self.buffer.extend_from_slice(b"\n\n");
    }

    fn finish(&mut self, finish: &Finish) {
        if !std::mem::replace(&mut self.is_finished, true) {
            self.chunk(&[Choice::new("", Some(word(finish)))], None);
        }
    }

    fn end(&mut self, usage: Option<Usage>) {
        self.finish(&Finish::Stop);
        if let Some(usage) = usage.filter(|_| self.wants_usage) {
            self.chunk(&[], Some(UsageBody::from(usage)));
        }
        self.buffer.extend_from_slice(b"data: [DONE]\n\n");
        self.is_ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_what_the_user_says() {
        let said = |body: &str| {
            let conversation = parse(body.as_bytes(), &mut Losses::default());
            conversation.map(
                |conversation| match conversation.turns[0].parts.as_slice() {
                    [Part::Text(part)] => part.text.to_string(),
                    other => panic!("{other:?}"),
                },
            )
        };
        assert_eq!(
            said(r#"{"prompt":"a","best_of":1,"echo":false}"#).unwrap(),
            "a"
        );
        assert_eq!(said(r#"{"prompt":["a"]}"#).unwrap(), "a");
        for (body, field) in [
            (r#"{"prompt":["a","b"]}"#, "prompt"),
            (r#"{"prompt":[1,2]}"#, "prompt"),
            (r#"{"prompt":""}"#, "prompt"),
            (r#"{"prompt":"a","suffix":"x"}"#, "suffix"),
            (r#"{"prompt":"a","logprobs":3}"#, "logprobs"),
        ] {
            assert_eq!(said(body).unwrap_err().field, field);
        }
    }

    #[test]
    fn a_stream_has_its_parts_in_order_whatever_is_told() {
        let mut emitter = TextEmitter::new("m", 1, true);
        let usage = Some(Usage {
            input: Some(1),
            ..Usage::default()
        });
        for delta in [
            Delta::Text("a"),
            Delta::Reasoning("h"),
            Delta::Finish(Finish::Length),
            Delta::Text("late"),
            Delta::End { usage },
            Delta::End { usage: None },
        ] {
            emitter.emit(delta);
        }
        let mut out = Vec::new();
        emitter.take(&mut out);
        let text = String::from_utf8(out.concat()).unwrap();
        let events: Vec<&str> = text.split_terminator("\n\n").collect();
        assert_eq!(events.len(), 4);
        assert!(events[0].contains(r#""text":"a""#) && events[1].contains(r#""length""#));
        assert!(events[2].contains(r#""prompt_tokens":1"#));
        assert_eq!(events[3], "data: [DONE]");
    }
}
