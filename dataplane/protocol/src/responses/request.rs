//! Reads a Responses request into the message model, strictly: every member is carried, is a no-op, is
//! a hint that is reported as dropped, or is refused by name. Nothing goes silently.
//!
//! Source: platform.openai.com, "Create a model response" (2026-11).

mod content;
mod items;
mod tools;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{Conversation, Effort, Format, Reasoning, TextPart, Tier};
use crate::openai::request::number;
use crate::strict::{Members, Path, unsupported};

/// Parses a request for translation. Errors name the member at fault by its path.
pub(crate) fn parse<'a>(
    body: &'a [u8],
    losses: &mut Losses,
) -> Result<Conversation<'a>, Unsupported> {
    let mut request = Members::parse(body)?;
    let mut conversation = Conversation::default();
    // Read from the head, or decided by it.
    request.skip(&["model"]);
    refuse_memory(&mut request)?;
    conversation.stream = request.bool("stream")?.unwrap_or(false);
    stream_options(&mut request, losses)?;
    if let Some(text) = request
        .string("instructions")?
        .filter(|text| !text.is_empty())
    {
        conversation.system.push(TextPart { text, cache: None });
    }
    conversation.max_tokens = request.count("max_output_tokens")?;
    conversation.temperature = number(&mut request, "temperature")?;
    conversation.top_p = number(&mut request, "top_p")?;
    conversation.reasoning = reasoning(&mut request, losses)?;
    conversation.format = text(&mut request, losses)?;
    conversation.logprobs = logprobs(&mut request, losses)?;
    tools::read(&mut request, &mut conversation, losses)?;
    identity(&mut request, &mut conversation)?;
    no_ops(&mut request, losses);
    items::read(&mut request, &mut conversation, losses)?;
    request.refuse_rest(losses)?;
    Ok(conversation)
}

/// What refers to a response that was kept: without it the request is another one.
fn refuse_memory(request: &mut Members<'_>) -> Result<(), Unsupported> {
    for name in ["previous_response_id", "conversation", "prompt"] {
        if request.take(name).is_some() {
            let what = "needs a provider that keeps responses, and the provider of this model does \
                        not; send the whole conversation as input, or choose another model";
            return Err(unsupported(request.path.at(name), what));
        }
    }
    Ok(())
}

fn stream_options(request: &mut Members<'_>, losses: &mut Losses) -> Result<(), Unsupported> {
    let Some(mut options) = request.members("stream_options")? else {
        return Ok(());
    };
    // The usage is always told.
    options.skip(&["include_usage"]);
    if options.bool("include_obfuscation")? == Some(true) {
        losses.hint("stream_options.include_obfuscation");
    }
    options.refuse_rest(losses)
}

fn reasoning(
    request: &mut Members<'_>,
    losses: &mut Losses,
) -> Result<Option<Reasoning>, Unsupported> {
    let Some(mut reasoning) = request.members("reasoning")? else {
        return Ok(None);
    };
    let effort = match reasoning.string("effort")?.as_deref() {
        None => None,
        Some("none") => Some(Effort::Off),
        Some("minimal") => Some(Effort::Minimal),
        Some("low") => Some(Effort::Low),
        Some("medium") => Some(Effort::Medium),
        Some("high") => Some(Effort::High),
        Some("xhigh") => Some(Effort::XHigh),
        Some(_) => {
            let known = "must be one of none, minimal, low, medium, high, xhigh";
            return Err(unsupported(reasoning.path.at("effort"), known));
        }
    };
    // What a provider tells of its thinking is always shown, in its own words.
    reasoning.skip(&["summary", "generate_summary"]);
    reasoning.refuse_rest(losses)?;
    Ok(effort.map(Reasoning::Effort))
}

fn text<'a>(
    request: &mut Members<'a>,
    losses: &mut Losses,
) -> Result<Option<Format<'a>>, Unsupported> {
    let Some(mut text) = request.members("text")? else {
        return Ok(None);
    };
    text.skip_if("verbosity", |raw| raw.get() == "\"medium\"");
    let format = match text.members("format")? {
        Some(format) => read_format(format, losses)?,
        None => None,
    };
    text.refuse_rest(losses)?;
    Ok(format)
}

fn read_format<'a>(
    mut format: Members<'a>,
    losses: &mut Losses,
) -> Result<Option<Format<'a>>, Unsupported> {
    let read = match format.required_string("type")?.as_ref() {
        "text" => None,
        "json_object" => Some(Format::JsonObject),
        "json_schema" => Some(Format::Schema {
            name: format.string("name")?,
            description: format.string("description")?,
            strict: format.bool("strict")?,
            schema: format.required("schema")?,
        }),
        other => {
            let what =
                format!("{other:?} is unknown; use \"text\", \"json_object\" or \"json_schema\"");
            return Err(unsupported(format.path.at("type"), what));
        }
    };
    format.refuse_rest(losses)?;
    Ok(read)
}

/// Reads `include` and `top_logprobs`, which together ask for the odds of tokens.
fn logprobs(request: &mut Members<'_>, losses: &mut Losses) -> Result<Option<u64>, Unsupported> {
    let mut wants_odds = false;
    for (path, raw) in request.array("include")?.unwrap_or_default() {
        match json::string(raw).as_deref() {
            Some("message.output_text.logprobs") => wants_odds = true,
            // Always included where there is any.
            Some("reasoning.encrypted_content") => {}
            // Of tools that are refused, or of what the caller itself has sent.
            Some(_) => losses.hint(path),
            None => return Err(unsupported(path, "must be a string")),
        }
    }
    let top = request.count("top_logprobs")?;
    Ok(match top {
        Some(0) | None => wants_odds.then_some(0),
        top => top,
    })
}

fn identity<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Unsupported> {
    let user = request.string("user")?;
    conversation.user = request.string("safety_identifier")?.or(user);
    let metadata = request.take("metadata");
    if metadata.is_some_and(|raw| json::object(raw).is_none()) {
        return Err(unsupported(Path::top("metadata"), "must be an object"));
    }
    let says_something =
        |raw: &&RawValue| json::object(raw).is_some_and(|it| !it.members.is_empty());
    conversation.metadata = metadata.filter(says_something);
    conversation.tier = match request.string("service_tier")?.as_deref() {
        None => None,
        Some("auto") => Some(Tier::Auto),
        Some("default") => Some(Tier::Standard),
        Some("flex") => Some(Tier::Flex),
        Some("priority") => Some(Tier::Priority),
        Some(_) => {
            let known = "must be \"auto\", \"default\", \"flex\" or \"priority\" for this model";
            return Err(unsupported(Path::top("service_tier"), known));
        }
    };
    Ok(())
}

/// Members whose neutral value says nothing, and hints; any other value is given up by
/// [`Members::refuse_rest`].
fn no_ops(request: &mut Members<'_>, losses: &mut Losses) {
    let is_false = |raw: &RawValue| raw.get() == "false";
    request.skip_if("background", is_false);
    request.skip_if("store", is_false);
    request.skip_if("truncation", |raw| {
        json::string(raw) == Some(Cow::Borrowed("disabled"))
    });
    for hint in [
        "store",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
    ] {
        if request.take(hint).is_some() {
            losses.hint(hint);
        }
    }
}

#[cfg(test)]
mod tests;
