//! Reads a chat completion request into the message model, strictly: every member is carried, is a
//! no-op, is a hint that is reported as dropped, or is refused by name. Nothing goes silently.

pub(crate) mod content;
mod messages;
mod tools;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::fault::{Losses, Unsupported};
use crate::message::{Conversation, Effort, Format, Number, Reasoning, Tier};
use crate::strict::{Members, Path, unsupported};
pub(crate) use content::data_url;

/// Parses a request for translation. Errors name the member at fault by its path.
pub(crate) fn parse<'a>(
    body: &'a [u8],
    losses: &mut Losses,
) -> Result<Conversation<'a>, Unsupported> {
    let mut request = Members::parse(body)?;
    let mut conversation = Conversation::default();
    // Read from the head, or decided by it.
    request.skip(&["model"]);
    conversation.stream = request.bool("stream")?.unwrap_or(false);
    stream_options(&mut request, losses)?;
    sampling(&mut request, &mut conversation)?;
    limits(&mut request, &mut conversation)?;
    tools::read(&mut request, &mut conversation, losses)?;
    conversation.format = response_format(&mut request, losses)?;
    identity(&mut request, &mut conversation)?;
    no_ops(&mut request)?;
    for hint in ["prompt_cache_key", "prompt_cache_retention"] {
        if request.take(hint).is_some() {
            losses.hint(hint);
        }
    }
    let messages = request.array("messages")?;
    messages::read(messages.unwrap_or_default(), &mut conversation, losses)?;
    request.refuse_rest(losses)?;
    Ok(conversation)
}

fn stream_options(request: &mut Members<'_>, losses: &mut Losses) -> Result<(), Unsupported> {
    let Some(mut options) = request.members("stream_options")? else {
        return Ok(());
    };
    options.skip(&["include_usage"]);
    if options.take("include_obfuscation").is_some() {
        losses.hint("stream_options.include_obfuscation");
    }
    options.refuse_rest(losses)
}

fn sampling<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Unsupported> {
    conversation.temperature = number(request, "temperature")?;
    conversation.top_p = number(request, "top_p")?;
    conversation.top_k = request.count("top_k")?;
    conversation.frequency_penalty = number(request, "frequency_penalty")?.filter(is_said);
    conversation.presence_penalty = number(request, "presence_penalty")?.filter(is_said);
    conversation.seed = request.take("seed");
    conversation.logprobs = match request.bool("logprobs")? {
        Some(true) => Some(request.count("top_logprobs")?.unwrap_or(0)),
        _ => None,
    };
    conversation.reasoning = effort(request)?.map(Reasoning::Effort);
    Ok(())
}

/// Whether a number says anything: zero is what everybody has.
fn is_said(number: &Number<'_>) -> bool {
    number.value != 0.0
}

pub(crate) fn number<'a>(
    request: &mut Members<'a>,
    name: &str,
) -> Result<Option<Number<'a>>, Unsupported> {
    let Some(raw) = request.take(name) else {
        return Ok(None);
    };
    match raw.get().parse() {
        Ok(value) => Ok(Some(Number { raw, value })),
        Err(_) => Err(unsupported(request.path.at(name), "must be a number")),
    }
}

fn limits<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Unsupported> {
    let old = request.count("max_tokens")?;
    conversation.max_tokens = request.count("max_completion_tokens")?.or(old);
    conversation.stop = stop(request)?;
    if request.count("n")?.is_some_and(|n| n != 1) {
        return Err(unsupported(
            Path::top("n"),
            "must be 1 for this model: it gives one answer a call",
        ));
    }
    Ok(())
}

fn stop<'a>(request: &mut Members<'a>) -> Result<Vec<Cow<'a, str>>, Unsupported> {
    let Some(raw) = request.take("stop") else {
        return Ok(Vec::new());
    };
    if let Some(one) = crate::json::string(raw) {
        return Ok(vec![one]);
    }
    let many: Option<Vec<&RawValue>> = serde_json::from_str(raw.get()).ok();
    many.and_then(|many| many.into_iter().map(crate::json::string).collect())
        .ok_or_else(|| unsupported(Path::top("stop"), "must be a string or an array of strings"))
}

fn effort(request: &mut Members<'_>) -> Result<Option<Effort>, Unsupported> {
    let Some(effort) = request.string("reasoning_effort")? else {
        return Ok(None);
    };
    Ok(Some(match effort.as_ref() {
        "none" => Effort::Off,
        "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        "xhigh" => Effort::XHigh,
        _ => {
            let known = "must be one of none, minimal, low, medium, high, xhigh";
            return Err(unsupported(Path::top("reasoning_effort"), known));
        }
    }))
}

fn response_format<'a>(
    request: &mut Members<'a>,
    losses: &mut Losses,
) -> Result<Option<Format<'a>>, Unsupported> {
    let Some(mut format) = request.members("response_format")? else {
        return Ok(None);
    };
    let kind = format.required_string("type")?;
    let read = match kind.as_ref() {
        "text" => None,
        "json_object" => Some(Format::JsonObject),
        "json_schema" => {
            let mut named = format.required_members("json_schema")?;
            let read = Format::Schema {
                name: named.string("name")?,
                description: named.string("description")?,
                strict: named.bool("strict")?,
                schema: named.required("schema")?,
            };
            named.refuse_rest(losses)?;
            Some(read)
        }
        other => {
            let message =
                format!("{other:?} is unknown; use \"text\", \"json_object\" or \"json_schema\"");
            return Err(unsupported(
                Path::top("response_format").at("type"),
                message,
            ));
        }
    };
    format.refuse_rest(losses)?;
    Ok(read)
}

fn identity<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Unsupported> {
    let user = request.string("user")?;
    conversation.user = request.string("safety_identifier")?.or(user);
    conversation.metadata = request.take("metadata").filter(|raw| raw.get() != "{}");
    conversation.tier = match request.string("service_tier")?.as_deref() {
        None => None,
        Some("auto") => Some(Tier::Auto),
        Some("default") => Some(Tier::Standard),
        Some("flex") => Some(Tier::Flex),
        Some("priority") => Some(Tier::Priority),
        Some(_) => {
            let known = "must be \"auto\", \"default\", \"flex\" or \"priority\"";
            return Err(unsupported(Path::top("service_tier"), known));
        }
    };
    Ok(())
}

/// Members whose neutral value says nothing; any other value is refused by [`Members::refuse_rest`].
fn no_ops(request: &mut Members<'_>) -> Result<(), Unsupported> {
    let is_zero = |raw: &RawValue| raw.get().parse() == Ok(0.0);
    let is_false = |raw: &RawValue| raw.get() == "false";
    let is_medium = |raw: &RawValue| raw.get() == "\"medium\"";
    let is_text = |raw: &RawValue| {
        let modalities: Option<Vec<Cow<'_, str>>> = serde_json::from_str(raw.get()).ok();
        modalities.is_some_and(|m| m.iter().all(|modality| modality == "text"))
    };
    request.skip_if("top_logprobs", is_zero);
    request.skip_if("store", is_false);
    request.skip_if("verbosity", is_medium);
    request.skip_if("modalities", is_text);
    Ok(())
}

#[cfg(test)]
mod tests;
