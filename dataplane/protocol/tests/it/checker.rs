//! Judges whether a stream is a valid one of OpenAI's chat completion chunks, by the order in which
//! official SDKs put an answer together.

use std::collections::BTreeMap;

use serde_json::Value;

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With `[DONE]`.
    Done,
    /// With an error event and no `[DONE]`.
    Error,
    /// With neither.
    Open,
}

#[derive(Default)]
struct Choice {
    has_role: bool,
    calls: usize,
    is_finished: bool,
}

/// Checks a whole stream as a client reads it; `Err` tells the first rule that is broken.
///
/// The rules: every event is one chunk, all of one id and model; each choice begins with its role once;
/// calls are numbered from 0 as they begin, with id and name, before their arguments; one finish
/// reason a choice, nothing after it; usage alone comes last, if at all; `[DONE]` or an error ends it.
pub(crate) fn check(stream: &[u8]) -> Result<End, String> {
    let text = std::str::from_utf8(stream).map_err(|error| format!("no UTF-8: {error}"))?;
    let mut state = Checker::default();
    let mut events = text.split("\n\n").filter(|event| !event.is_empty());
    if !text.is_empty() && !text.ends_with("\n\n") {
        return Err("the last event is torn".to_owned());
    }
    for event in events.by_ref() {
        let data = event
            .strip_prefix("data: ")
            .ok_or_else(|| format!("no data: {event}"))?;
        if data == "[DONE]" {
            state.end()?;
            return match events.next() {
                None => Ok(End::Done),
                Some(more) => Err(format!("after [DONE]: {more}")),
            };
        }
        let chunk: Value = serde_json::from_str(data).map_err(|e| format!("{e}: {data}"))?;
        if chunk.get("error").is_some() {
            return match events.next() {
                None => Ok(End::Error),
                Some(more) => Err(format!("after an error: {more}")),
            };
        }
        state
            .chunk(&chunk)
            .map_err(|rule| format!("{rule}: {data}"))?;
    }
    Ok(End::Open)
}

#[derive(Default)]
struct Checker {
    identity: Option<(Value, Value)>,
    choices: BTreeMap<u64, Choice>,
    has_usage: bool,
}

impl Checker {
    fn chunk(&mut self, chunk: &Value) -> Result<(), &'static str> {
        if chunk["object"] != "chat.completion.chunk" || !chunk["created"].is_u64() {
            return Err("no chunk");
        }
        let identity = (chunk["id"].clone(), chunk["model"].clone());
        if !identity.0.is_string() || *self.identity.get_or_insert(identity.clone()) != identity {
            return Err("the id or model changed");
        }
        if self.has_usage {
            return Err("a chunk after the usage");
        }
        let choices = chunk["choices"].as_array().ok_or("no choices")?;
        if choices.is_empty() {
            self.has_usage = chunk["usage"]["total_tokens"].is_u64();
            return if self.has_usage {
                self.end()
            } else {
                Err("neither choices nor usage")
            };
        }
        choices.iter().try_for_each(|choice| self.choice(choice))
    }

    fn choice(&mut self, body: &Value) -> Result<(), &'static str> {
        let index = body["index"].as_u64().ok_or("a choice without an index")?;
        let choice = self.choices.entry(index).or_default();
        let delta = body["delta"]
            .as_object()
            .ok_or("a choice without a delta")?;
        if choice.is_finished {
            return Err("a choice goes on after its finish reason");
        }
        if delta.contains_key("role") == choice.has_role {
            return Err("the role must come first and once");
        }
        choice.has_role = true;
        for call in delta
            .get("tool_calls")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            choice.call(call)?;
        }
        match &body["finish_reason"] {
            Value::Null => {}
            Value::String(reason) => {
                let known = ["stop", "length", "tool_calls", "content_filter"];
                choice.is_finished = known.contains(&reason.as_str());
                if !choice.is_finished {
                    return Err("an unknown finish reason");
                }
            }
            _ => return Err("a finish reason of a wrong type"),
        }
        Ok(())
    }

    fn end(&self) -> Result<(), &'static str> {
        let all =
            !self.choices.is_empty() && self.choices.values().all(|choice| choice.is_finished);
        if all {
            Ok(())
        } else {
            Err("the end before every choice's finish reason")
        }
    }
}

impl Choice {
    fn call(&mut self, call: &Value) -> Result<(), &'static str> {
        let index = call["index"].as_u64().ok_or("a call without an index")? as usize;
        let begins = call["function"]["name"].is_string();
        if !call["function"]["arguments"].is_string() {
            return Err("a call without arguments");
        }
        match index.cmp(&self.calls) {
            std::cmp::Ordering::Equal if begins && call["id"].is_string() => {
                self.calls += 1;
                Ok(())
            }
            std::cmp::Ordering::Less if !begins => Ok(()),
            _ => Err("a call out of order"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{End, check};

    fn stream(choices: &[&str]) -> String {
        let chunk = |choices: &&str| {
            format!(
                r#"data: {{"id":"i","object":"chat.completion.chunk","created":1,"model":"m",{choices}}}"#
            ) + "\n\n"
        };
        choices.iter().map(chunk).collect()
    }

    const ROLE: &str =
        r#""choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]"#;
    const TEXT: &str = r#""choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]"#;
    const STOP: &str = r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}]"#;
    const USAGE: &str = r#""choices":[],"usage":{"total_tokens":1}"#;

    #[test]
    fn a_valid_order_passes() {
        let whole = stream(&[ROLE, TEXT, STOP, USAGE]) + "data: [DONE]\n\n";
        assert_eq!(check(whole.as_bytes()), Ok(End::Done));
        assert_eq!(check(stream(&[ROLE, TEXT]).as_bytes()), Ok(End::Open));
        let failed = stream(&[ROLE]) + "data: {\"error\":{}}\n\n";
        assert_eq!(check(failed.as_bytes()), Ok(End::Error));
    }

    #[test]
    fn each_broken_rule_is_seen() {
        let call =
            |body: &str| format!(r#""choices":[{{"index":0,"delta":{{"tool_calls":[{body}]}}}}]"#);
        let early = call(r#"{"index":0,"function":{"arguments":"{}"}}"#);
        let gap = call(r#"{"index":1,"id":"a","function":{"name":"f","arguments":""}}"#);
        for broken in [
            vec![TEXT],
            vec![ROLE, ROLE],
            vec![ROLE, STOP, TEXT],
            vec![ROLE, USAGE],
            vec![ROLE, STOP, USAGE, USAGE],
            vec![ROLE, &early],
            vec![ROLE, &gap],
        ] {
            assert!(check(stream(&broken).as_bytes()).is_err(), "{broken:?}");
        }
        assert!(check((stream(&[ROLE]) + "data: [DONE]\n\n").as_bytes()).is_err());
        assert!(check(stream(&[ROLE]).trim_end().as_bytes()).is_err());
    }
}
