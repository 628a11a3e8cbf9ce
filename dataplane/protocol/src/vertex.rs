//! Vertex AI: one place that speaks three protocols, each under paths of its own. Pure.
//!
//! ```text
//! claude-*      Anthropic   publishers/anthropic/models/MODEL:rawPredict | :streamRawPredict
//! meta/llama-*  OpenAI      endpoints/openapi/chat/completions
//! others        Gemini      publishers/google/models/MODEL:generateContent | :streamGenerateContent?alt=sse
//! ```
//! Source: cloud.google.com, Vertex AI, "REST reference" (v1), "Claude on Vertex AI", "Use OpenAI libraries
//! with Vertex AI", "Vertex AI in express mode"; the `vertex` client of Anthropic's SDK; November 2026.

use std::ops::Range;

use bytes::Bytes;

use crate::exchange::Target;
use crate::head::Head;
use crate::operation::Endpoint;
use crate::splice::Splice;
use crate::vendor::WireProtocol;

/// What a body for Claude says in place of a header; its `model` is in the path.
pub const ANTHROPIC_VERSION: &str = "vertex-2023-10-16";

/// The location without a region.
pub const GLOBAL: &str = "global";

/// Where in Google's cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// By its id or number; `None`: express mode, where the key stands for the project.
    pub project: Option<&'a str>,
    /// Such as `us-central1`, or [`GLOBAL`].
    pub location: &'a str,
}

/// What is spoken with a model, which is told by its name alone.
pub fn protocol(model: &str) -> WireProtocol {
    if model.starts_with("claude") {
        WireProtocol::Anthropic
    } else if model.contains('/') {
        WireProtocol::OpenAI
    } else {
        WireProtocol::Gemini
    }
}

/// What a request to a model there is encoded for.
pub fn target(model: &str, created: u64) -> Target<'_> {
    let protocol = protocol(model);
    let is_claude = protocol == WireProtocol::Anthropic;
    Target {
        anthropic_version: is_claude.then_some(ANTHROPIC_VERSION),
        ..Target::new(protocol, model, created)
    }
}

/// The host that serves a location.
pub fn host(place: &Place<'_>) -> String {
    match (place.project, place.location) {
        (None, _) | (_, GLOBAL) => "aiplatform.googleapis.com".to_owned(),
        (Some(_), location) => format!("{location}-aiplatform.googleapis.com"),
    }
}

/// The path of an endpoint of the protocol that is spoken with a model ([`protocol`]), with its query,
/// from the root.
///
/// `is_streaming`: whether a stream is asked for; Gemini's endpoints say that themselves.
/// Out: `None` where Vertex AI has no such endpoint.
pub fn path(
    place: &Place<'_>,
    model: &str,
    endpoint: Endpoint,
    is_streaming: bool,
) -> Option<String> {
    let root = root(place);
    Some(match (protocol(model), endpoint) {
        (WireProtocol::Anthropic, Endpoint::Messages) => {
            let verb = match is_streaming {
                true => "streamRawPredict",
                false => "rawPredict",
            };
            let model = segment(model);
            format!("{root}/publishers/anthropic/models/{model}:{verb}")
        }
        (WireProtocol::Anthropic, Endpoint::CountTokens) => {
            format!("{root}/publishers/anthropic/models/count-tokens:rawPredict")
        }
        // Express mode has Google's own models alone.
        (WireProtocol::OpenAI, Endpoint::ChatCompletions) if place.project.is_some() => {
            format!("{root}/endpoints/openapi/chat/completions")
        }
        (WireProtocol::Gemini, endpoint) => {
            let verb = gemini_verb(endpoint)?;
            let model = segment(model);
            format!("{root}/publishers/google/models/{model}:{verb}")
        }
        _ => return None,
    })
}

fn root(place: &Place<'_>) -> String {
    match place.project {
        None => "/v1".to_owned(),
        Some(project) => {
            let (project, location) = (segment(project), segment(place.location));
            format!("/v1/projects/{project}/locations/{location}")
        }
    }
}

/// Embeddings are another thing there: `:predict`, whose body is its own.
fn gemini_verb(endpoint: Endpoint) -> Option<&'static str> {
    match endpoint {
        Endpoint::GenerateContent => Some("generateContent"),
        Endpoint::StreamGenerateContent => Some("streamGenerateContent?alt=sse"),
        Endpoint::GeminiCountTokens => Some("countTokens"),
        _ => None,
    }
}

/// Writes a segment of a path: what has a meaning there stands percent-encoded (RFC 3986, section 3.3).
fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'@' => segment.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => segment.push(char::from(byte)),
            _ => {
                segment.push('%');
                for digit in [byte >> 4, byte & 15] {
                    let digit = char::from_digit(u32::from(digit), 16);
                    segment.extend(digit.map(|digit| digit.to_ascii_uppercase()));
                }
            }
        }
    }
    segment
}

/// What must change of a body of Anthropic's where the version stands in it: `model` gives way to
/// `anthropic_version`, or is joined by it where tokens are counted.
///
/// In: the whole body and its head. A version that the caller wrote itself would be said twice, of which
/// the last counts.
pub(crate) fn claude_edit(
    endpoint: Endpoint,
    head: &Head,
    body: &[u8],
    version: &str,
) -> Option<Splice> {
    let member = format!("\"anthropic_version\":\"{version}\"");
    let model = head.model.as_ref().map(|model| &model.span);
    let model = model.or(head.null_model.as_ref());
    if endpoint != Endpoint::CountTokens
        && let Some(span) = model.and_then(|value| whole_member(body, value))
    {
        return Some(Splice::replace(span, member));
    }
    let close = head.close?;
    // Where tokens are counted a model that is missing is added first.
    let is_first = head.is_empty && endpoint != Endpoint::CountTokens;
    let comma = if is_first { "" } else { "," };
    Some(Splice::insert(
        close,
        Bytes::from(format!("{comma}{member}")),
    ))
}

/// The span of a member from its name on, which holds no quotation mark, by that of its value.
fn whole_member(body: &[u8], value: &Range<usize>) -> Option<Range<usize>> {
    let before = body.get(..value.start)?;
    let name_end = before.iter().rposition(|byte| *byte == b'"')?;
    let name_start = before
        .get(..name_end)?
        .iter()
        .rposition(|byte| *byte == b'"')?;
    Some(name_start..value.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{scan, splice};

    const IN_PROJECT: Place<'_> = Place {
        project: Some("p-1"),
        location: "us-central1",
    };
    const EXPRESS: Place<'_> = Place {
        project: None,
        location: GLOBAL,
    };

    #[test]
    fn a_model_is_spoken_with_by_its_name() {
        for (model, expected) in [
            ("claude-sonnet-4-5@20250929", WireProtocol::Anthropic),
            (
                "meta/llama-4-maverick-17b-128e-instruct-maas",
                WireProtocol::OpenAI,
            ),
            ("google/gemini-2.5-flash", WireProtocol::OpenAI),
            ("gemini-2.5-pro", WireProtocol::Gemini),
        ] {
            assert_eq!(protocol(model), expected, "{model}");
        }
    }

    #[test]
    fn a_location_has_a_host_and_the_whole_world_one() {
        let global = Place {
            location: GLOBAL,
            ..IN_PROJECT
        };
        assert_eq!(host(&IN_PROJECT), "us-central1-aiplatform.googleapis.com");
        assert_eq!(host(&global), "aiplatform.googleapis.com");
        assert_eq!(host(&EXPRESS), "aiplatform.googleapis.com");
    }

    #[test]
    fn every_endpoint_has_its_path_or_none() {
        const ROOT: &str = "/v1/projects/p-1/locations/us-central1";
        let claude = "claude-sonnet-4-5@20250929";
        for (model, endpoint, is_streaming, expected) in [
            (
                claude,
                Endpoint::Messages,
                false,
                "/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
            ),
            (
                claude,
                Endpoint::Messages,
                true,
                "/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
            ),
            (
                claude,
                Endpoint::CountTokens,
                false,
                "/publishers/anthropic/models/count-tokens:rawPredict",
            ),
            (
                "meta/llama-4",
                Endpoint::ChatCompletions,
                true,
                "/endpoints/openapi/chat/completions",
            ),
            (
                "gemini-2.5-pro",
                Endpoint::GenerateContent,
                false,
                "/publishers/google/models/gemini-2.5-pro:generateContent",
            ),
            (
                "gemini-2.5-pro",
                Endpoint::StreamGenerateContent,
                true,
                "/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            ),
            (
                "gemini-2.5-pro",
                Endpoint::GeminiCountTokens,
                false,
                "/publishers/google/models/gemini-2.5-pro:countTokens",
            ),
            (
                "a?b#c:d e",
                Endpoint::GenerateContent,
                false,
                "/publishers/google/models/a%3Fb%23c%3Ad%20e:generateContent",
            ),
        ] {
            let path = path(&IN_PROJECT, model, endpoint, is_streaming);
            assert_eq!(path, Some(format!("{ROOT}{expected}")));
        }
        for (model, endpoint) in [
            (claude, Endpoint::ChatCompletions),
            ("meta/llama-4", Endpoint::Embeddings),
            ("gemini-2.5-pro", Endpoint::BatchEmbedContents),
        ] {
            assert_eq!(path(&IN_PROJECT, model, endpoint, false), None);
        }
    }

    #[test]
    fn express_mode_names_no_project_and_has_google_s_models() {
        let of = |model, endpoint| path(&EXPRESS, model, endpoint, false);
        let gemini = of("gemini-2.5-flash", Endpoint::GenerateContent);
        let expected = "/v1/publishers/google/models/gemini-2.5-flash:generateContent";
        assert_eq!(gemini.as_deref(), Some(expected));
        assert_eq!(of("meta/llama-4", Endpoint::ChatCompletions), None);
    }

    fn edited(endpoint: Endpoint, body: &str) -> String {
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let head = scan(&bytes).unwrap();
        let edit = claude_edit(endpoint, &head, &bytes, ANTHROPIC_VERSION);
        let pieces = splice::apply(&bytes, edit.as_slice());
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[test]
    fn the_model_gives_way_to_the_version_where_it_stands() {
        const VERSION: &str = r#""anthropic_version":"vertex-2023-10-16""#;
        for (body, expected) in [
            (
                r#"{"model":"claude-x","max_tokens":1}"#,
                r#"{V,"max_tokens":1}"#,
            ),
            (
                r#"{"max_tokens":1, "model" : "cl\"x" }"#,
                r#"{"max_tokens":1, V }"#,
            ),
            (
                r#"{"a":"\"","mod\u0065l":"claude-x","b":[]}"#,
                r#"{"a":"\"",V,"b":[]}"#,
            ),
            (r#"{"model":null,"b":1}"#, r#"{V,"b":1}"#),
            (r#"{"b":{"model":"x"}}"#, r#"{"b":{"model":"x"},V}"#),
            ("{}", "{V}"),
        ] {
            let expected = expected.replace('V', VERSION);
            assert_eq!(edited(Endpoint::Messages, body), expected);
        }
    }

    #[test]
    fn who_counts_tokens_names_the_model_in_the_body() {
        assert_eq!(
            edited(Endpoint::CountTokens, r#"{"model":"claude-x"}"#),
            r#"{"model":"claude-x","anthropic_version":"vertex-2023-10-16"}"#
        );
    }
}
