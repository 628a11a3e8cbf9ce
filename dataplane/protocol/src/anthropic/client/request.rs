//! Reads a Messages request into the message model, strictly: every member is carried, is a no-op,
//! is a hint that is reported as dropped, or is given up by name.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::blocks;
use crate::fault::{Losses, Unsupported};
use crate::message::{
    Conversation, Effort, Format, Number, Reasoning, Role, TextPart, Tier, Tool, ToolChoice, Turn,
};
use crate::strict::{Members, Path, elements, unsupported};

/// Parses a request for translation. Errors name the member at fault by its path.
pub(crate) fn parse<'a>(
    body: &'a [u8],
    losses: &mut Losses,
) -> Result<Conversation<'a>, Unsupported> {
    let mut request = Members::parse(body)?;
    let mut conversation = Conversation::default();
    // Read from the head, or decided by it; versions are of the wire, not of what is said.
    request.skip(&["model", "anthropic_version", "anthropic_beta"]);
    conversation.stream = request.bool("stream")?.unwrap_or(false);
    conversation.max_tokens = request.count("max_tokens")?;
    if conversation.max_tokens.is_none() {
        return Err(unsupported(Path::top("max_tokens"), "is required"));
    }
    conversation.temperature = number(&mut request, "temperature")?;
    conversation.top_p = number(&mut request, "top_p")?;
    conversation.top_k = request.count("top_k")?;
    conversation.stop = stop(&mut request)?;
    conversation.system = system(&mut request)?;
    tools(&mut request, &mut conversation, losses)?;
    conversation.reasoning = thinking(&mut request, losses)?;
    output(&mut request, &mut conversation, losses)?;
    identity(&mut request, &mut conversation, losses)?;
    for hint in ["cache_control", "inference_geo"] {
        if request.take(hint).is_some() {
            losses.hint(hint);
        }
    }
    messages(&mut request, &mut conversation, losses)?;
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

fn stop<'a>(request: &mut Members<'a>) -> Result<Vec<Cow<'a, str>>, Unsupported> {
    let given = request.array("stop_sequences")?.unwrap_or_default();
    let texts = given.into_iter().map(|(path, raw)| {
        crate::json::string(raw).ok_or_else(|| unsupported(path, "must be a string"))
    });
    texts.collect()
}

fn system<'a>(request: &mut Members<'a>) -> Result<Vec<TextPart<'a>>, Unsupported> {
    let Some(raw) = request.take("system") else {
        return Ok(Vec::new());
    };
    let mut parts = Vec::new();
    if let Some(text) = crate::json::string(raw) {
        parts.push(TextPart { text, cache: None });
    } else {
        for (path, raw) in elements(&Path::top("system"), raw)? {
            let mut block = Members::open(path, raw)?;
            if block.required_string("type")? != "text" {
                return Err(unsupported(block.path.at("type"), "must be \"text\""));
            }
            parts.push(TextPart {
                text: block.required_string("text")?,
                cache: block.take("cache_control"),
            });
        }
    }
    parts.retain(|part| !part.text.is_empty());
    Ok(parts)
}

fn tools<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    for (path, raw) in request.array("tools")?.unwrap_or_default() {
        conversation
            .tools
            .extend(tool(Members::open(path, raw)?, losses)?);
    }
    let Some(mut choice) = request.members("tool_choice")? else {
        return Ok(());
    };
    let kind = choice.required_string("type")?;
    conversation.tool_choice = Some(match kind.as_ref() {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "any" => ToolChoice::Required,
        "tool" => ToolChoice::Named(choice.required_string("name")?),
        _ => {
            let known = "must be \"auto\", \"any\", \"tool\" or \"none\"";
            return Err(unsupported(choice.path.at("type"), known));
        }
    });
    let disabled = choice.bool("disable_parallel_tool_use")?;
    conversation.parallel_tool_calls = disabled.map(|disabled| !disabled);
    choice.refuse_rest(losses)
}

/// `None`: one of Anthropic's own tools, given up.
fn tool<'a>(mut tool: Members<'a>, losses: &mut Losses) -> Result<Option<Tool<'a>>, Unsupported> {
    if let Some(kind) = tool.string("type")?.filter(|kind| kind != "custom") {
        let what =
            format!("{kind:?} is run by Anthropic; the provider of this model has no such tool");
        losses.give_up(unsupported(tool.path.at("type"), what))?;
        return Ok(None);
    }
    let read = Tool {
        name: tool.required_string("name")?,
        description: tool.string("description")?,
        parameters: tool.take("input_schema"),
        strict: tool.bool("strict")?.unwrap_or(false),
        cache: tool.take("cache_control"),
    };
    if read
        .parameters
        .is_some_and(|schema| !schema.get().starts_with('{'))
    {
        return Err(unsupported(
            tool.path.at("input_schema"),
            "must be an object",
        ));
    }
    for hint in ["eager_input_streaming", "input_examples"] {
        if tool.take(hint).is_some() {
            losses.hint(tool.path.at(hint));
        }
    }
    tool.refuse_rest(losses)?;
    Ok(Some(read))
}

fn thinking(
    request: &mut Members<'_>,
    losses: &mut Losses,
) -> Result<Option<Reasoning>, Unsupported> {
    let Some(mut thinking) = request.members("thinking")? else {
        return Ok(None);
    };
    let kind = thinking.required_string("type")?;
    let budget = thinking.count("budget_tokens")?;
    // How it is shown, which is each provider's own affair.
    thinking.skip(&["display"]);
    let read = match (kind.as_ref(), budget) {
        ("disabled", _) => Reasoning::Effort(Effort::Off),
        ("adaptive", _) => Reasoning::Adaptive,
        ("enabled", Some(tokens)) => Reasoning::Budget(tokens),
        ("enabled", None) => {
            return Err(unsupported(
                thinking.path.at("budget_tokens"),
                "is required",
            ));
        }
        _ => {
            let known = "must be \"enabled\", \"disabled\" or \"adaptive\"";
            return Err(unsupported(thinking.path.at("type"), known));
        }
    };
    thinking.refuse_rest(losses)?;
    Ok(Some(read))
}

/// `output_config`, and `output_format` as it was called before.
fn output<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    if let Some(format) = request.members("output_format")? {
        conversation.format = Some(schema(format, losses)?);
    }
    let Some(mut config) = request.members("output_config")? else {
        return Ok(());
    };
    if let Some(format) = config.members("format")? {
        conversation.format = Some(schema(format, losses)?);
    }
    if let Some(word) = config.string("effort")? {
        let effort = match word.as_ref() {
            "low" => Effort::Low,
            "medium" => Effort::Medium,
            "high" => Effort::High,
            "xhigh" | "max" => Effort::XHigh,
            _ => {
                let known = "must be \"low\", \"medium\", \"high\", \"xhigh\" or \"max\"";
                return Err(unsupported(config.path.at("effort"), known));
            }
        };
        // Thinking that is switched off, or has a budget, says more.
        if matches!(conversation.reasoning, None | Some(Reasoning::Adaptive)) {
            conversation.reasoning = Some(Reasoning::Effort(effort));
        }
    }
    config.refuse_rest(losses)
}

fn schema<'a>(mut format: Members<'a>, losses: &mut Losses) -> Result<Format<'a>, Unsupported> {
    if format.required_string("type")? != "json_schema" {
        return Err(unsupported(
            format.path.at("type"),
            "must be \"json_schema\"",
        ));
    }
    let read = Format::Schema {
        name: None,
        description: None,
        // Anthropic always keeps to it.
        strict: Some(true),
        schema: format.required("schema")?,
    };
    format.refuse_rest(losses)?;
    Ok(read)
}

fn identity<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    if let Some(mut metadata) = request.members("metadata")? {
        conversation.user = metadata.string("user_id")?;
        metadata.refuse_rest(losses)?;
    }
    conversation.tier = match request.string("service_tier")?.as_deref() {
        None => None,
        Some("auto") => Some(Tier::Auto),
        Some("standard_only") => Some(Tier::Standard),
        Some(_) => {
            let known = "must be \"auto\" or \"standard_only\"";
            return Err(unsupported(Path::top("service_tier"), known));
        }
    };
    Ok(())
}

fn messages<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    for (path, raw) in request.array("messages")?.unwrap_or_default() {
        let mut message = Members::open(path, raw)?;
        let role = match message.required_string("role")?.as_ref() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            // Amid the conversation it is Anthropic's alone; elsewhere there is one place for it.
            "system" => {
                let parts = system_text(&mut message)?;
                conversation.system.extend(parts);
                continue;
            }
            _ => {
                let known = "must be \"user\" or \"assistant\"";
                return Err(unsupported(message.path.at("role"), known));
            }
        };
        let parts = blocks::read(&mut message, losses)?;
        message.refuse_rest(losses)?;
        append(&mut conversation.turns, role, parts);
    }
    if conversation.turns.is_empty() {
        let what = "must hold a message of the user that is not empty";
        return Err(unsupported(Path::top("messages"), what));
    }
    Ok(())
}

fn system_text<'a>(message: &mut Members<'a>) -> Result<Vec<TextPart<'a>>, Unsupported> {
    let raw: &'a RawValue = message.required("content")?;
    match crate::json::string(raw) {
        Some(text) => Ok(vec![TextPart { text, cache: None }]),
        None => {
            let mut parts = Vec::new();
            for (path, raw) in elements(&message.path.at("content"), raw)? {
                let mut block = Members::open(path, raw)?;
                parts.push(TextPart {
                    text: block.required_string("text")?,
                    cache: block.take("cache_control"),
                });
            }
            Ok(parts)
        }
    }
}

/// An empty message says nothing, and some providers refuse it.
fn append<'a>(turns: &mut Vec<Turn<'a>>, role: Role, parts: Vec<crate::message::Part<'a>>) {
    if parts.is_empty() {
        return;
    }
    match turns.last_mut().filter(|turn| turn.role == role) {
        Some(turn) => turn.parts.extend(parts),
        None => turns.push(Turn { role, parts }),
    }
}

#[cfg(test)]
mod tests;
