//! What a request asks of the echo model.

use serde_json::Value;

/// How to spoil the answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) delay_ms: u64,
    pub(super) failure: Option<Failure>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Status(u16),
    Garbage,
    Cut,
    Hang,
}

/// The longest pause between words.
const MAX_DELAY_MS: u64 = 60_000;

impl Directive {
    /// Takes the directives off the start of a text. What is no directive is text.
    pub(super) fn take(text: &str) -> (Self, &str) {
        let mut directive = Directive::default();
        let mut rest = text;
        while let Some(after) = directive.take_one(rest) {
            rest = after;
        }
        (directive, rest)
    }

    fn take_one<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let (name, after) = text.trim_start().split_once(' ')?;
        let value_end = after.find(char::is_whitespace).unwrap_or(after.len());
        let value = &after[..value_end];
        match name {
            "/slow" => self.delay_ms = delay(value)?,
            "/fail" => self.failure = Some(failure(value)?),
            _ => return None,
        }
        Some(after[value_end..].trim_start())
    }
}

fn delay(text: &str) -> Option<u64> {
    let ms = match text.strip_suffix("ms") {
        Some(ms) => ms.parse().ok()?,
        None => text
            .strip_suffix('s')?
            .parse::<u64>()
            .ok()?
            .saturating_mul(1000),
    };
    Some(ms.min(MAX_DELAY_MS))
}

fn failure(word: &str) -> Option<Failure> {
    match word {
        "garbage" => Some(Failure::Garbage),
        "cut" => Some(Failure::Cut),
        "hang" => Some(Failure::Hang),
        status => status
            .parse()
            .ok()
            .filter(|s| (400..600).contains(s))
            .map(Failure::Status),
    }
}

/// The text of a message's content: a string, or the text parts of an array.
pub(super) fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}

/// What is to be echoed: the tool results at the end, else the last user message.
pub(super) fn prompt(messages: &[Value]) -> String {
    let is_tool = |message: &&Value| message["role"] == "tool";
    let mut results: Vec<String> = messages
        .iter()
        .rev()
        .take_while(is_tool)
        .map(text_of)
        .collect();
    if !results.is_empty() {
        results.reverse();
        return results.join("\n");
    }
    let user = messages
        .iter()
        .rev()
        .find(|message| message["role"] == "user");
    user.map(text_of).unwrap_or_default()
}
