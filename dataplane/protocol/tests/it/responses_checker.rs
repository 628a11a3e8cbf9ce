//! Judges a stream of a response as a strict client would: order, numbers, indices, and that what is
//! told at an end is what came in pieces.

use std::collections::BTreeMap;

use serde_json::Value;

/// How a valid stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It has ended with the whole response.
    Done,
    /// It has ended with an error.
    Error,
    /// It may go on.
    Open,
}

#[derive(Default)]
struct Item {
    kind: String,
    id: Value,
    /// The open part's text, by the index of the part.
    open: Option<(u64, String)>,
    parts: Vec<String>,
    arguments: String,
    has_arguments_done: bool,
    done: Option<Value>,
}

#[derive(Default)]
struct Checker {
    events: u64,
    items: BTreeMap<u64, Item>,
    end: Option<End>,
}

/// Checks a stream from its first byte.
pub(crate) fn check(stream: &[u8]) -> Result<End, String> {
    let text = std::str::from_utf8(stream).map_err(|error| error.to_string())?;
    let mut checker = Checker::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (event, tail) = rest.split_once("\n\n").ok_or("an event has no end")?;
        let (name, data) = event.split_once('\n').ok_or("an event has no data")?;
        let name = name.strip_prefix("event: ").ok_or("an event has no name")?;
        let data = data.strip_prefix("data: ").ok_or("an event has no data")?;
        let event: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
        if event["type"] != name {
            return Err(format!("{name} is called {}", event["type"]));
        }
        checker
            .event(name, &event)
            .map_err(|error| format!("{error}: {event}"))?;
        rest = tail;
    }
    Ok(checker.end.unwrap_or(End::Open))
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(what.to_owned()),
    }
}

impl Checker {
    fn event(&mut self, name: &str, event: &Value) -> Result<(), String> {
        ensure(self.end.is_none(), "comes after the end")?;
        ensure(
            event["sequence_number"] == self.events,
            "has the wrong number",
        )?;
        self.events += 1;
        if name == "error" {
            self.end = Some(End::Error);
            return Ok(());
        }
        match self.events {
            1 => return ensure(name == "response.created", "is not created"),
            2 => return ensure(name == "response.in_progress", "is not in_progress"),
            _ => {}
        }
        match name {
            "response.completed" | "response.incomplete" => self.completed(name, event),
            "response.output_item.added" => self.added(event),
            _ => {
                let index = event["output_index"].as_u64().ok_or("has no index")?;
                let item = self.items.get_mut(&index).ok_or("has an unknown index")?;
                item.event(name, event)
            }
        }
    }

    fn added(&mut self, event: &Value) -> Result<(), String> {
        let next = self.items.len() as u64;
        ensure(event["output_index"] == next, "is not the next item")?;
        let item = Item {
            kind: event["item"]["type"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            id: event["item"]["id"].clone(),
            ..Item::default()
        };
        ensure(
            event["item"]["status"] == "in_progress",
            "has ended already",
        )?;
        self.items.insert(next, item);
        Ok(())
    }

    fn completed(&mut self, name: &str, event: &Value) -> Result<(), String> {
        let response = &event["response"];
        ensure(
            name == format!(
                "response.{}",
                response["status"].as_str().unwrap_or_default()
            ),
            "has another status",
        )?;
        let output = response["output"].as_array().ok_or("has no output")?;
        ensure(output.len() == self.items.len(), "has other items")?;
        for (item, told) in self.items.values().zip(output) {
            ensure(
                item.done.as_ref() == Some(told),
                "has an item that was not told so",
            )?;
        }
        self.end = Some(End::Done);
        Ok(())
    }
}

impl Item {
    fn event(&mut self, name: &str, event: &Value) -> Result<(), String> {
        ensure(self.done.is_none(), "is about an item that has ended")?;
        if name == "response.output_item.done" {
            return self.done(event);
        }
        ensure(event["item_id"] == self.id, "has another id")?;
        match name {
            "response.content_part.added" => {
                ensure(self.kind == "message", "is no message")?;
                self.open_part(&event["content_index"])
            }
            "response.reasoning_summary_part.added" => {
                ensure(self.kind == "reasoning", "is no reasoning")?;
                self.open_part(&event["summary_index"])
            }
            "response.output_text.delta" | "response.refusal.delta" => {
                self.delta(&event["content_index"], &event["delta"])
            }
            "response.reasoning_summary_text.delta" => {
                self.delta(&event["summary_index"], &event["delta"])
            }
            "response.output_text.done" => self.told(&event["content_index"], &event["text"]),
            "response.refusal.done" => self.told(&event["content_index"], &event["refusal"]),
            "response.reasoning_summary_text.done" => {
                self.told(&event["summary_index"], &event["text"])
            }
            "response.content_part.done" => self.close_part(&event["content_index"]),
            "response.reasoning_summary_part.done" => self.close_part(&event["summary_index"]),
            "response.function_call_arguments.delta" => {
                ensure(self.kind == "function_call", "is no call")?;
                ensure(!self.has_arguments_done, "comes after all arguments")?;
                self.arguments += event["delta"].as_str().ok_or("has no delta")?;
                Ok(())
            }
            "response.function_call_arguments.done" => {
                ensure(event["arguments"] == self.arguments, "has other arguments")?;
                self.has_arguments_done = true;
                Ok(())
            }
            _ => Err("is unknown".to_owned()),
        }
    }

    fn open_part(&mut self, index: &Value) -> Result<(), String> {
        ensure(self.open.is_none(), "comes within a part")?;
        let next = self.parts.len() as u64;
        ensure(*index == next, "is not the next part")?;
        self.open = Some((next, String::new()));
        Ok(())
    }

    fn delta(&mut self, index: &Value, delta: &Value) -> Result<(), String> {
        let (at, text) = self.open.as_mut().ok_or("comes outside a part")?;
        ensure(*index == *at, "is of another part")?;
        *text += delta.as_str().ok_or("has no delta")?;
        Ok(())
    }

    fn told(&self, index: &Value, told: &Value) -> Result<(), String> {
        let (at, text) = self.open.as_ref().ok_or("comes outside a part")?;
        ensure(*index == *at && *told == *text, "tells another text")
    }

    fn close_part(&mut self, index: &Value) -> Result<(), String> {
        let (at, text) = self.open.take().ok_or("comes outside a part")?;
        ensure(*index == at, "is of another part")?;
        self.parts.push(text);
        Ok(())
    }

    fn done(&mut self, event: &Value) -> Result<(), String> {
        let item = &event["item"];
        ensure(
            item["id"] == self.id && item["type"] == self.kind,
            "is another",
        )?;
        ensure(item["status"] != "in_progress", "has not ended")?;
        ensure(self.open.is_none(), "has an open part")?;
        let parts = match self.kind.as_str() {
            "message" => &item["content"],
            _ => &item["summary"],
        };
        let texts: Vec<&str> = parts
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|part| part["text"].as_str().or(part["refusal"].as_str()))
            .collect();
        ensure(texts == self.parts, "has other texts")?;
        if self.kind == "function_call" {
            ensure(self.has_arguments_done, "has not told its arguments")?;
            ensure(item["arguments"] == self.arguments, "has other arguments")?;
        }
        self.done = Some(item.clone());
        Ok(())
    }
}
