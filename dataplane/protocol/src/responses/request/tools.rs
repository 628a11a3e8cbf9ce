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
        let tool = tool(Members::open(path, raw)?, losses)?;
        conversation.tools.extend(tool);
    }
    conversation.parallel_tool_calls = request.bool("parallel_tool_calls")?;
    if let Some(raw) = request.take("tool_choice") {
        conversation.tool_choice = choice(raw, losses)?;
    }
    Ok(())
}

/// Tools that the provider itself would run (search, code, computer, MCP) are given up by name.
fn tool<'a>(mut tool: Members<'a>, losses: &mut Losses) -> Result<Option<Tool<'a>>, Unsupported> {
    let kind = tool.required_string("type")?;
    if kind != "function" {
        let what = format!(
            "{kind:?} tools cannot be carried to the provider of this model; use \"function\""
        );
        losses.give_up(unsupported(tool.path.at("type"), what))?;
        return Ok(None);
    }
    let read = Tool {
        name: tool.required_string("name")?,
        description: tool.string("description")?,
        parameters: tool.take("parameters"),
        strict: tool.bool("strict")?.unwrap_or(false),
        cache: None,
    };
    if read
        .parameters
        .is_some_and(|schema| !schema.get().starts_with('{'))
    {
        let what = "must be an object";
        return Err(unsupported(tool.path.at("parameters"), what));
    }
    tool.refuse_rest(losses)?;
    Ok(Some(read))
}

fn choice<'a>(
    raw: &'a RawValue,
    losses: &mut Losses,
) -> Result<Option<ToolChoice<'a>>, Unsupported> {
    let path = Path::top("tool_choice");
    if let Some(word) = json::string(raw) {
        return match word.as_ref() {
            "auto" => Ok(Some(ToolChoice::Auto)),
            "none" => Ok(Some(ToolChoice::None)),
            "required" => Ok(Some(ToolChoice::Required)),
            _ => {
                let known = "must be \"auto\", \"none\", \"required\" or a function";
                Err(unsupported(path, known))
            }
        };
    }
    let mut choice = Members::open(path, raw)?;
    let kind = choice.required_string("type")?;
    if kind != "function" {
        let what = format!("{kind:?} cannot be carried to the provider of this model");
        losses.give_up(unsupported(choice.path.at("type"), what))?;
        return Ok(None);
    }
    let name = choice.required_string("name")?;
    choice.refuse_rest(losses)?;
    Ok(Some(ToolChoice::Named(name)))
}
