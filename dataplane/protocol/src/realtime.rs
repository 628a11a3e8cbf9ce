//! OpenAI's Realtime: the events that say what was used, and how an error is told.
//!
//! Sources: platform.openai.com, "Realtime server events" (`response.created`, `response.done`,
//! `conversation.item.input_audio_transcription.completed`, `error`), November 2026.

mod kind;

use std::borrow::Cow;

use serde::Serialize;

use crate::error::ErrorBody;
use crate::json::{self, Object};
use crate::usage::Usage;
use crate::websocket::Verdict;

const CREATED: &[u8] = b"response.created";
const DONE: &[u8] = b"response.done";
const TRANSCRIBED: &[u8] = b"conversation.item.input_audio_transcription.completed";

/// What a server says that costs tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A response has begun.
    Created {
        /// Its id; empty if it has none.
        response: Box<str>,
    },
    /// A response is over, whatever became of it.
    Done {
        /// Its id; empty if it has none.
        response: Box<str>,
        /// `None`: the server did not say.
        usage: Option<Usage>,
    },
    /// What the caller said was written down, by a model that counts tokens.
    Transcribed(Usage),
}

/// Judges by its beginning whether a message may be an [`Event`].
pub fn judge(text: &[u8]) -> Verdict {
    match kind::find(text) {
        None => Verdict::Undecided,
        Some(CREATED | DONE | TRANSCRIBED) => Verdict::Wanted,
        Some(_) => Verdict::Unwanted,
    }
}

/// Reads an event; `None`: it is another one, or none.
pub fn read(text: &[u8]) -> Option<Event> {
    let event = Object::parse(text).ok()?;
    match event.str("type")?.as_bytes() {
        CREATED => Some(Event::Created {
            response: id(&event.object("response")?),
        }),
        DONE => {
            let response = event.object("response")?;
            Some(Event::Done {
                response: id(&response),
                usage: done(&response),
            })
        }
        TRANSCRIBED => usage(&event.object("usage")?).map(Event::Transcribed),
        _ => None,
    }
}

fn id(response: &Object<'_>) -> Box<str> {
    response.str("id").unwrap_or_default().into()
}

/// A response that failed before it cost anything has no usage.
fn done(response: &Object<'_>) -> Option<Usage> {
    let said = response.object("usage").and_then(|said| usage(&said));
    let is_failed = response.str("status").as_deref() == Some("failed");
    let nothing = Usage {
        input: Some(0),
        output: Some(0),
        ..Usage::default()
    };
    said.or(is_failed.then_some(nothing))
}

/// Input includes what is cached. A transcription may be counted in seconds: that is no tokens.
fn usage(said: &Object<'_>) -> Option<Usage> {
    let details = |name| said.object(name).unwrap_or_default();
    let (of_input, of_output) = (
        details("input_token_details"),
        details("output_token_details"),
    );
    let (total, output) = (said.u64("total_tokens"), said.u64("output_tokens"));
    let rest = || Some(total?.saturating_sub(output.unwrap_or(0)));
    let usage = Usage {
        input: said.u64("input_tokens").or_else(rest),
        cached_input: of_input.u64("cached_tokens"),
        output,
        audio_input: of_input.u64("audio_tokens"),
        audio_output: of_output.u64("audio_tokens"),
        ..Usage::default()
    };
    (usage.input.is_some() || usage.output.is_some()).then_some(usage)
}

/// Writes an error as a server tells it amid a session.
pub fn error_event(error: &ErrorBody) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let event = ErrorEvent {
        r#type: "error",
        event_id: &error.request_id,
        error: Detail {
            r#type: error.kind.as_str(),
            code: &error.code,
            message: &error.message,
            param: error.param.as_deref(),
        },
    };
    json::write(&mut out, &event);
    out
}

#[derive(Serialize)]
struct ErrorEvent<'a> {
    r#type: &'static str,
    event_id: &'a str,
    error: Detail<'a>,
}

#[derive(Serialize)]
struct Detail<'a> {
    r#type: &'static str,
    code: &'a Cow<'static, str>,
    message: &'a str,
    param: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::ErrorKind;

    fn of(event: Value) -> Option<Event> {
        read(event.to_string().as_bytes())
    }

    fn done_with(response: Value) -> Option<Usage> {
        match of(json!({"type": "response.done", "response": response})) {
            Some(Event::Done { usage, .. }) => usage,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_usage_of_a_response_is_read() {
        // From the API's reference.
        let usage = json!({
            "total_tokens": 275, "input_tokens": 127, "output_tokens": 148,
            "input_token_details": {"cached_tokens": 64, "text_tokens": 119, "audio_tokens": 8},
            "output_token_details": {"text_tokens": 36, "audio_tokens": 112},
        });
        let expected = Usage {
            input: Some(127),
            cached_input: Some(64),
            output: Some(148),
            audio_input: Some(8),
            audio_output: Some(112),
            ..Usage::default()
        };
        assert_eq!(done_with(json!({"usage": usage})), Some(expected));
        let transcribed = json!({
            "type": "conversation.item.input_audio_transcription.completed",
            "usage": {"type": "tokens", "total_tokens": 22, "input_tokens": 13, "output_tokens": 9},
        });
        let expected = Usage {
            input: Some(13),
            output: Some(9),
            ..Usage::default()
        };
        assert_eq!(of(transcribed), Some(Event::Transcribed(expected)));
    }

    #[test]
    fn silence_is_not_zero_but_for_what_failed() {
        assert_eq!(
            done_with(json!({"status": "completed", "usage": null})),
            None
        );
        assert_eq!(done_with(json!({"usage": {}})), None);
        let failed = done_with(json!({"status": "failed", "usage": null}));
        assert_eq!(failed.map(|usage| usage.total()), Some(0));
        let total = done_with(json!({"usage": {"total_tokens": 9, "output_tokens": 4}}));
        assert_eq!(
            total.map(|usage| (usage.input, usage.output)),
            Some((Some(5), Some(4)))
        );
    }

    #[test]
    fn responses_are_known_by_their_ids() {
        let created = of(json!({"type": "response.created", "response": {"id": "resp_1"}}));
        let response = "resp_1".into();
        assert_eq!(created, Some(Event::Created { response }));
        let nameless = of(json!({"type": "response.created", "response": {}}));
        let response = "".into();
        assert_eq!(nameless, Some(Event::Created { response }));
    }

    #[test]
    fn what_costs_nothing_is_no_event() {
        for other in [
            json!({"type": "response.output_audio.delta", "delta": "AAAA"}),
            json!({"type": "response.created"}),
            json!({"type": "conversation.item.input_audio_transcription.completed",
                   "usage": {"type": "duration", "seconds": 3}}),
            json!(["response.done"]),
        ] {
            assert_eq!(of(other), None);
        }
        assert_eq!(read(b"{\"type\":\"response.done\""), None);
    }

    #[test]
    fn an_error_is_told_as_a_server_tells_it() {
        let error = ErrorBody {
            status: 429,
            kind: ErrorKind::RateLimit,
            code: "token_quota_exceeded".into(),
            message: "over".into(),
            param: None,
            request_id: "r-1".into(),
        };
        let told: Value = serde_json::from_slice(&error_event(&error)).unwrap();
        let detail = json!({"type": "rate_limit_error", "code": "token_quota_exceeded",
                            "message": "over", "param": null});
        assert_eq!(
            told,
            json!({"type": "error", "event_id": "r-1", "error": detail})
        );
    }
}
