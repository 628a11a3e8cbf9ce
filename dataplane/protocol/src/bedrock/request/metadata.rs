//! What is kept with the invocation log.

use serde_json::value::RawValue;

use super::give_up;
use crate::fault::{Losses, Unsupported};
use crate::json;

/// Hands an object of strings on as it is, if Bedrock would take it: at most 16 members, of at most
/// 256 characters, each a letter, a digit, a space or one of a few signs.
/// Source: Bedrock API reference, "Converse", `requestMetadata` (2026-11).
pub(super) fn read<'a>(
    metadata: Option<&'a RawValue>,
    losses: &mut Losses,
) -> Result<Option<&'a RawValue>, Unsupported> {
    let Some(raw) = metadata else {
        return Ok(None);
    };
    if is_fit(raw) {
        return Ok(Some(raw));
    }
    let what = "must be an object of at most 16 strings for this model, names and values of at most 256 \
                letters, digits, spaces and the signs : _ @ $ # = / + , - .";
    give_up(losses, "metadata", what)?;
    Ok(None)
}

fn is_fit(raw: &RawValue) -> bool {
    let Some(object) = json::object(raw) else {
        return false;
    };
    let is_plain = |text: &str| {
        let is_fine =
            |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || ":_@$#=/+,-.".contains(c);
        text.len() <= 256 && text.chars().all(is_fine)
    };
    object.members.len() <= 16
        && object.members.iter().all(|(name, value)| {
            let value = json::string(value);
            !name.is_empty() && is_plain(name) && value.is_some_and(|value| is_plain(&value))
        })
}
