//! A tool call as a provider tells it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::json::{self, Object};

/// What stands in place of arguments that are no JSON object, so that nothing of them is lost.
#[derive(Serialize)]
struct Invalid<'a> {
    invalid_json: &'a str,
}

/// The text of a call's arguments: JSON in a string, or, from some servers, the object itself.
pub(super) fn arguments_text<'a>(function: &Object<'a>) -> Option<Cow<'a, str>> {
    let raw = function.raw("arguments")?;
    Some(json::string(raw).unwrap_or(Cow::Borrowed(raw.get())))
}

/// The arguments as a JSON object.
pub(crate) fn arguments_object(text: &str) -> Box<RawValue> {
    let trimmed = text.trim();
    let object = match trimmed {
        "" => RawValue::from_string("{}".to_owned()).ok(),
        text if text.starts_with('{') => RawValue::from_string(text.to_owned()).ok(),
        _ => None,
    };
    object.unwrap_or_else(|| {
        let wrapped = to_raw_value(&Invalid { invalid_json: text });
        wrapped.unwrap_or_else(|_| RawValue::NULL.to_owned())
    })
}

/// Google's place for what it wants back with a call.
pub(super) fn signature<'a>(call: &Object<'a>) -> Option<Cow<'a, str>> {
    let google = call.object("extra_content")?.object("google")?;
    google.str("thought_signature")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_always_an_object() {
        for (text, object) in [
            ("", "{}"),
            (" {\"a\":1} ", "{\"a\":1}"),
            ("{\"a\":", r#"{"invalid_json":"{\"a\":"}"#),
            ("[1]", r#"{"invalid_json":"[1]"}"#),
        ] {
            assert_eq!(arguments_object(text).get(), object);
        }
    }
}
