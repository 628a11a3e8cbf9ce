//! Tools and the choice among them.

use serde_json::value::RawValue;

use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{Conversation, Tool, ToolChoice};
use crate::strict::{Members, Path, unsupported};

/// Reads `tools`, `tool_choice` and `parallel_tool_calls`; the order of tools is kept.
pub(super) fn read<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    for (path, raw) in request.array("tools")?.unwrap_or_default() {
        conversation
            .tools
            .push(tool(Members::open(path, raw)?, losses)?);
    }
    conversation.parallel_tool_calls = request.bool("parallel_tool_calls")?;
    if let Some(raw) = request.take("tool_choice") {
        conversation.tool_choice = Some(choice(raw, losses)?);
    }
    Ok(())
}

fn tool<'a>(mut tool: Members<'a>, losses: &mut Losses) -> Result<Tool<'a>, Unsupported> {
    let kind = tool.required_string("type")?;
    if kind != "function" {
        let what = format!(
            "{kind:?} tools cannot be carried to the provider of this model; use \"function\""
        );
        return Err(unsupported(tool.path.at("type"), what));
    }
    let cache = tool.take("cache_control");
    let mut function = tool.required_members("function")?;
    let read = Tool {
        name: function.required_string("name")?,
        description: function.string("description")?,
        parameters: function.take("parameters"),
        strict: function.bool("strict")?.unwrap_or(false),
        cache,
    };
    if read
        .parameters
        .is_some_and(|schema| !schema.get().starts_with('{'))
    {
        return Err(unsupported(
            function.path.at("parameters"),
            "must be an object",
        ));
    }
    function.refuse_rest(losses)?;
    tool.refuse_rest(losses)?;
    Ok(read)
}

fn choice<'a>(raw: &'a RawValue, losses: &mut Losses) -> Result<ToolChoice<'a>, Unsupported> {
    let path = Path::top("tool_choice");
    if let Some(word) = json::string(raw) {
        return match word.as_ref() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(unsupported(
                path,
                "must be \"auto\", \"none\", \"required\" or a function",
            )),
        };
    }
    let mut choice = Members::open(path, raw)?;
    let kind = choice.required_string("type")?;
    if kind != "function" {
        let what = format!("{kind:?} cannot be carried to the provider of this model");
        return Err(unsupported(choice.path.at("type"), what));
    }
    let mut function = choice.required_members("function")?;
    let name = function.required_string("name")?;
    function.refuse_rest(losses)?;
    choice.refuse_rest(losses)?;
    Ok(ToolChoice::Named(name))
}
