//! Reads a generateContent request into the message model, strictly: every member is carried, is a
//! no-op, is a hint that is reported as dropped, or is given up by name. Google takes names in camel
//! case and in snake case alike.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::contents;
use crate::fault::{Losses, Unsupported};
use crate::message::{Conversation, Effort, Format, Number, Reasoning, TextPart, Tool, ToolChoice};
use crate::strict::{Members, Path, unsupported};

/// Parses a request for translation. Errors name the member at fault by its path.
pub(crate) fn parse<'a>(
    body: &'a [u8],
    losses: &mut Losses,
) -> Result<Conversation<'a>, Unsupported> {
    let mut request = Members::parse(body)?.camel_case();
    let mut conversation = Conversation::default();
    // The path names it.
    request.skip(&["model"]);
    if let Some(mut system) = request.members("systemInstruction")? {
        system.skip(&["role"]);
        let parts = contents::texts(&mut system)?;
        conversation
            .system
            .extend(parts.into_iter().map(|text| TextPart { text, cache: None }));
        system.refuse_rest(losses)?;
    }
    tools(&mut request, &mut conversation, losses)?;
    if let Some(config) = request.members("generationConfig")? {
        generation(config.camel_case(), &mut conversation, losses)?;
    }
    for hint in ["safetySettings", "labels"] {
        if request
            .take(hint)
            .is_some_and(|raw| !matches!(raw.get(), "[]" | "{}"))
        {
            losses.hint(hint);
        }
    }
    contents::read(&mut request, &mut conversation, losses)?;
    request.refuse_rest(losses)?;
    Ok(conversation)
}

fn tools<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    for (path, raw) in request.array("tools")?.unwrap_or_default() {
        let mut tool = Members::open(path, raw)?.camel_case();
        for (path, raw) in tool.array("functionDeclarations")?.unwrap_or_default() {
            let declaration = Members::open(path, raw)?.camel_case();
            conversation.tools.push(declared(declaration, losses)?);
        }
        // Google's own tools: search, code execution, maps.
        tool.refuse_rest(losses)?;
    }
    let Some(config) = request.members("toolConfig")? else {
        return Ok(());
    };
    let mut config = config.camel_case();
    if let Some(calling) = config.members("functionCallingConfig")? {
        conversation.tool_choice = choice(calling.camel_case(), losses)?;
    }
    config.refuse_rest(losses)
}

fn declared<'a>(
    mut declaration: Members<'a>,
    losses: &mut Losses,
) -> Result<Tool<'a>, Unsupported> {
    let schema = declaration.take("parametersJsonSchema");
    let read = Tool {
        name: declaration.required_string("name")?,
        description: declaration.string("description")?,
        parameters: schema.or(declaration.take("parameters")),
        strict: false,
        cache: None,
    };
    for hint in ["response", "responseJsonSchema", "behavior"] {
        if declaration.take(hint).is_some() {
            losses.hint(declaration.path.at(hint));
        }
    }
    declaration.refuse_rest(losses)?;
    Ok(read)
}

fn choice<'a>(
    mut calling: Members<'a>,
    losses: &mut Losses,
) -> Result<Option<ToolChoice<'a>>, Unsupported> {
    let mode = calling.string("mode")?.unwrap_or(Cow::Borrowed("AUTO"));
    let allowed = calling.array("allowedFunctionNames")?.unwrap_or_default();
    let path = calling.path.at("allowedFunctionNames");
    let read = match (mode.as_ref(), allowed.as_slice()) {
        ("AUTO" | "MODE_UNSPECIFIED", _) => Some(ToolChoice::Auto),
        ("NONE", _) => Some(ToolChoice::None),
        ("ANY" | "VALIDATED", []) => Some(ToolChoice::Required),
        ("ANY" | "VALIDATED", [(path, raw)]) => {
            let name = crate::json::string(raw);
            let name = name.ok_or_else(|| unsupported(path.clone(), "must be a string"))?;
            Some(ToolChoice::Named(name))
        }
        ("ANY" | "VALIDATED", _) => {
            losses.give_up(unsupported(path, "must be one name at most for this model"))?;
            Some(ToolChoice::Required)
        }
        _ => {
            let known = "must be AUTO, ANY, VALIDATED or NONE";
            return Err(unsupported(calling.path.at("mode"), known));
        }
    };
    calling.refuse_rest(losses)?;
    Ok(read)
}

fn number<'a>(config: &mut Members<'a>, name: &str) -> Result<Option<Number<'a>>, Unsupported> {
    let Some(raw) = config.take(name) else {
        return Ok(None);
    };
    match raw.get().parse() {
        Ok(value) => Ok(Some(Number { raw, value })),
        Err(_) => Err(unsupported(config.path.at(name), "must be a number")),
    }
}

fn generation<'a>(
    mut config: Members<'a>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    conversation.temperature = number(&mut config, "temperature")?;
    conversation.top_p = number(&mut config, "topP")?;
    conversation.top_k = number(&mut config, "topK")?.map(|number| number.value as u64);
    conversation.max_tokens = config.count("maxOutputTokens")?;
    conversation.seed = config.take("seed");
    conversation.presence_penalty = number(&mut config, "presencePenalty")?;
    conversation.frequency_penalty = number(&mut config, "frequencyPenalty")?;
    for (path, raw) in config.array("stopSequences")?.unwrap_or_default() {
        let text = crate::json::string(raw);
        conversation
            .stop
            .push(text.ok_or_else(|| unsupported(path, "must be a string"))?);
    }
    if config.bool("responseLogprobs")? == Some(true) {
        conversation.logprobs = Some(config.count("logprobs")?.unwrap_or(0));
    }
    conversation.format = format(&mut config)?;
    if let Some(thinking) = config.members("thinkingConfig")? {
        conversation.reasoning = thinking_config(thinking.camel_case(), losses)?;
    }
    if config
        .count("candidateCount")?
        .is_some_and(|count| count != 1)
    {
        let what = "must be 1 for this model: it gives one answer a call";
        return Err(unsupported(config.path.at("candidateCount"), what));
    }
    config.skip_if("responseModalities", |raw| {
        raw.get().replace(' ', "") == "[\"TEXT\"]"
    });
    config.refuse_rest(losses)
}

fn format<'a>(config: &mut Members<'a>) -> Result<Option<Format<'a>>, Unsupported> {
    let mime = config.string("responseMimeType")?;
    let in_json = config.take("responseJsonSchema");
    let schema: Option<&'a RawValue> = in_json.or(config.take("responseSchema"));
    match (mime.as_deref(), schema) {
        (None | Some("application/json"), Some(schema)) => Ok(Some(Format::Schema {
            name: None,
            description: None,
            strict: None,
            schema,
        })),
        (Some("application/json"), None) => Ok(Some(Format::JsonObject)),
        (None | Some("text/plain"), None) => Ok(None),
        _ => {
            let known = "must be \"text/plain\" or \"application/json\" for this model";
            Err(unsupported(config.path.at("responseMimeType"), known))
        }
    }
}

fn thinking_config(
    mut thinking: Members<'_>,
    losses: &mut Losses,
) -> Result<Option<Reasoning>, Unsupported> {
    // What is told of it is told in any case.
    thinking.skip(&["includeThoughts"]);
    let level = thinking.string("thinkingLevel")?;
    let budget = number(&mut thinking, "thinkingBudget")?.map(|number| number.value);
    let path = thinking.path.at("thinkingLevel");
    thinking.refuse_rest(losses)?;
    Ok(
        match (
            level.as_deref().map(str::to_ascii_uppercase).as_deref(),
            budget,
        ) {
            (Some("MINIMAL"), _) => Some(Reasoning::Effort(Effort::Minimal)),
            (Some("LOW"), _) => Some(Reasoning::Effort(Effort::Low)),
            (Some("MEDIUM"), _) => Some(Reasoning::Effort(Effort::Medium)),
            (Some("HIGH"), _) => Some(Reasoning::Effort(Effort::High)),
            (Some("THINKING_LEVEL_UNSPECIFIED"), _) | (None, None) => None,
            (Some(_), _) => {
                return Err(unsupported(path, "must be MINIMAL, LOW, MEDIUM or HIGH"));
            }
            (None, Some(budget)) if budget < 0.0 => Some(Reasoning::Adaptive),
            (None, Some(0.0)) => Some(Reasoning::Effort(Effort::Off)),
            (None, Some(budget)) => Some(Reasoning::Budget(budget as u64)),
        },
    )
}

/// A path of the request's top, for what is missing there.
pub(super) fn top(name: &str) -> Path {
    Path::top(name)
}
