//! What a provider's error means: who is at fault, what may be tried, what the client is told.

mod aws;

use std::borrow::Cow;

use crate::error::ErrorKind;
use crate::error::redact::redact;
use crate::json::{self, Object};
use crate::vendor::WireProtocol;

/// What may be done about an error.
///
/// | class | another key | another target | counts against health of | client sees |
/// |---|---|---|---|---|
/// | `ClientFault` | no | no | nothing | the same status |
/// | `ContextExceeded` | no | one with a larger window | nothing | 400 `context_length_exceeded` |
/// | `ContentPolicy` | no | if configured | nothing | 400 `content_filter` |
/// | `Credential` | yes | yes | the key | 502 `provider_credential` |
/// | `Capacity` | yes | yes | key or model, for `retry-after` | 429 |
/// | `Transient` | yes | yes | the target | 502, 503, 504 |
/// | `ModelMissing` | no | yes | target and model | 404 `model_not_found` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// The request itself is wrong.
    ClientFault,
    /// The prompt is longer than the model's window.
    ContextExceeded,
    /// The provider's filter refused the content.
    ContentPolicy,
    /// The gateway's own key was refused, or its account has no money.
    Credential,
    /// The provider is full, or the key's rate is used up.
    Capacity,
    /// It may work the next time.
    Transient,
    /// This provider does not have the model.
    ModelMissing,
}

/// A provider's error, read and made fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("provider error ({class:?}): {message}")]
pub struct ProviderError {
    /// What may be done about it.
    pub class: FaultClass,
    /// The status for the client if nothing else helps.
    pub client_status: u16,
    /// The kind for the client.
    pub kind: ErrorKind,
    /// The code for the client.
    pub code: Cow<'static, str>,
    /// The provider's message without keys and addresses, or one of ours where it sent none.
    pub message: String,
    /// The member of the request at fault, if the provider named one.
    pub param: Option<String>,
}

/// Reads a provider's error answer, of any status but 2xx.
///
/// In: the status and the body, which may be anything. Out: always a class; a body that is no known
/// error shape is judged by its status alone.
pub fn classify(protocol: WireProtocol, status: u16, body: &[u8]) -> ProviderError {
    let said = Said::read(body);
    judge(protocol, status, &said)
}

/// Reads an error answer of AWS, which names its exception in the header `x-amzn-ErrorType`.
///
/// In: as [`classify`] does, and the header's value. A name that is not known leaves the judgement to
/// status and body.
pub fn classify_named(
    protocol: WireProtocol,
    status: u16,
    name: &str,
    body: &[u8],
) -> ProviderError {
    let mut said = Said::read(body);
    let name = aws::short_name(name);
    if aws::status(name).is_some() {
        said.kind = Cow::Borrowed(name);
    }
    judge(protocol, status, &said)
}

/// Reads an error that came inside a stream or a 2xx body, where no status tells what it is.
pub(crate) fn classify_in_stream(protocol: WireProtocol, body: &[u8]) -> ProviderError {
    let said = Said::read(body);
    judge(protocol, said.status(), &said)
}

/// Reads an exception of AWS whose name stands outside its body.
pub(crate) fn classify_aws(name: &str, body: &[u8]) -> ProviderError {
    judge_aws(name, Said::read(body))
}

/// Reads an error of AWS that has no body: a name and a message.
pub(crate) fn classify_aws_bare(name: &str, message: &str) -> ProviderError {
    let said = Said {
        is_error: true,
        message: Cow::Borrowed(message),
        ..Said::default()
    };
    judge_aws(name, said)
}

fn judge_aws<'a>(name: &'a str, mut said: Said<'a>) -> ProviderError {
    said.kind = Cow::Borrowed(aws::short_name(name));
    judge(WireProtocol::Bedrock, said.status(), &said)
}

/// Whether a body with a success status says of itself that it is an error.
///
/// OpenAI and its like: a member `error`; Anthropic: `"type":"error"`; vLLM: `"object":"error"`; AWS:
/// `__type`.
pub(crate) fn tells_error(body: &Object<'_>) -> bool {
    let is_error = |name| body.str(name).as_deref() == Some("error");
    let has = |name| body.raw(name).is_some();
    has("error") || is_error("type") || is_error("object") || has("__type")
}

/// What an error body says, whichever shape it has.
#[derive(Default)]
struct Said<'a> {
    is_error: bool,
    kind: Cow<'a, str>,
    code: Cow<'a, str>,
    message: Cow<'a, str>,
    param: Option<Cow<'a, str>>,
}

impl<'a> Said<'a> {
    fn read(body: &'a [u8]) -> Self {
        let Ok(outer) = Object::parse(body) else {
            return Self::default();
        };
        // OpenAI and Anthropic: {"error":{…}}; some servers: {"error":"text"} or the members at the top.
        let inner = outer.object("error");
        let text = outer.str("error");
        let object = inner.unwrap_or(outer);
        let word = |name| object.raw(name).map(plain).unwrap_or_default();
        let message = ["message", "detail", "Message"]
            .into_iter()
            .find_map(|name| object.str(name))
            .or(text);
        Said {
            is_error: message.is_some() || object.raw("code").is_some(),
            kind: match object.str("__type") {
                Some(name) => Cow::Owned(aws::short_name(&name).to_owned()),
                None => kind(&object),
            },
            code: word("code"),
            message: message.unwrap_or_default(),
            param: object.str("param"),
        }
    }

    /// The HTTP status that an error without one would have had.
    fn status(&self) -> u16 {
        if let Some(status) = self
            .code
            .parse()
            .ok()
            .filter(|status| (400..600).contains(status))
        {
            return status;
        }
        if let Some(status) = aws::status(&self.kind) {
            return status;
        }
        let named = |name: &str| self.kind == name || self.code == name;
        match () {
            () if named("overloaded_error") => 529,
            () if named("rate_limit_error") || named("rate_limit_exceeded") => 429,
            () if named("insufficient_quota") => 429,
            () if named("authentication_error") || named("invalid_api_key") => 401,
            () if named("billing_error") => 402,
            () if named("permission_error") => 403,
            () if named("not_found_error") || named("model_not_found") => 404,
            () if named("request_too_large") => 413,
            () if named("timeout_error") => 504,
            () if named("invalid_request_error") => 400,
            () => 500,
        }
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        codes
            .iter()
            .any(|code| self.code == *code || self.kind == *code)
    }

    fn mentions(&self, phrases: &[&str]) -> bool {
        let message = self.message.to_ascii_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }
}

/// OpenAI and Anthropic: `type`; Google: `status`.
fn kind<'a>(object: &Object<'a>) -> Cow<'a, str> {
    let named = ["type", "status"]
        .into_iter()
        .find_map(|name| object.str(name));
    named.unwrap_or_default()
}

/// A code is a string with some vendors, a number with others.
fn plain(raw: &serde_json::value::RawValue) -> Cow<'_, str> {
    json::string(raw).unwrap_or(Cow::Borrowed(raw.get()))
}

fn judge(protocol: WireProtocol, status: u16, said: &Said<'_>) -> ProviderError {
    let named = aws::status(&said.kind).filter(|_| protocol == WireProtocol::Bedrock);
    let status = named.unwrap_or(status);
    let class = class_of(protocol, status, said);
    let (client_status, code) = match class {
        FaultClass::ClientFault => (status, own_code(said, "invalid_request")),
        FaultClass::ContextExceeded => (400, "context_length_exceeded".into()),
        FaultClass::ContentPolicy => (400, "content_filter".into()),
        FaultClass::Credential => (502, "provider_credential".into()),
        FaultClass::Capacity if said.has_code(&["insufficient_quota"]) => {
            (429, "insufficient_quota".into())
        }
        FaultClass::Capacity if status == 429 => (429, own_code(said, "rate_limit_exceeded")),
        FaultClass::Capacity => (429, "provider_overloaded".into()),
        FaultClass::Transient => (transient_status(status), "provider_error".into()),
        FaultClass::ModelMissing => (404, "model_not_found".into()),
    };
    ProviderError {
        class,
        client_status,
        kind: ErrorKind::of_status(client_status),
        code,
        message: message_for(class, status, said),
        param: said.param.as_deref().map(redact),
    }
}

fn class_of(protocol: WireProtocol, status: u16, said: &Said<'_>) -> FaultClass {
    match status {
        401..=403 if said.has_code(CONTENT_CODES) => FaultClass::ContentPolicy,
        401..=403 => FaultClass::Credential,
        404 if said.is_error => FaultClass::ModelMissing,
        // A page or nothing at all: the address is wrong, not the model.
        404 => FaultClass::Transient,
        429 | 529 => FaultClass::Capacity,
        408 => FaultClass::Transient,
        // The model behind Bedrock failed.
        424 if protocol == WireProtocol::Bedrock => FaultClass::Transient,
        400..=499 => class_of_refusal(protocol, said),
        _ if said.has_code(&["overloaded_error", "overloaded"]) => FaultClass::Capacity,
        _ => FaultClass::Transient,
    }
}

const CONTENT_CODES: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "content_policy",
    "data_inspection_failed",
];
const CONTEXT_CODES: &[&str] = &[
    "context_length_exceeded",
    "context_window_exceeded",
    "string_above_max_length",
];
/// OpenAI and vLLM; Anthropic; llama.cpp and others; Bedrock. Vendors put this into prose more often than not.
const CONTEXT_PHRASES: &[&str] = &[
    "maximum context length",
    "prompt is too long",
    "exceed context limit",
    "exceeds the context window",
    "exceeds the available context size",
    "context length exceeded",
    "input is too long",
    "input token count exceeds",
    "too many tokens",
    "too many input tokens",
    "input tokens exceeded",
];
/// Anthropic answers 400 when the account has no money; Gemini's OpenAI face when the key is wrong.
const CREDENTIAL_PHRASES: &[&str] = &[
    "credit balance is too low",
    "api key not valid",
    "api key expired",
];

fn class_of_refusal(protocol: WireProtocol, said: &Said<'_>) -> FaultClass {
    if said.has_code(CONTEXT_CODES) || said.mentions(CONTEXT_PHRASES) {
        FaultClass::ContextExceeded
    } else if said.has_code(CONTENT_CODES)
        || (matches!(protocol, WireProtocol::Anthropic | WireProtocol::Bedrock)
            && said.mentions(&["blocked by content filtering"]))
    {
        FaultClass::ContentPolicy
    } else if said.mentions(CREDENTIAL_PHRASES) {
        FaultClass::Credential
    } else if said.has_code(&["model_not_found"])
        || (protocol == WireProtocol::Bedrock && said.mentions(aws::NO_SUCH_MODEL))
    {
        FaultClass::ModelMissing
    } else {
        FaultClass::ClientFault
    }
}

fn transient_status(status: u16) -> u16 {
    match status {
        503 => 503,
        408 | 504 => 504,
        _ => 502,
    }
}

/// The provider's code, where it is a name that a program could know.
fn own_code(said: &Said<'_>, otherwise: &'static str) -> Cow<'static, str> {
    let known = !said.code.is_empty()
        && said.code.len() <= 64
        && said
            .code
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && said.code.bytes().any(|b| b.is_ascii_lowercase())
        && said.code != "null"
        && redact(&said.code) == said.code;
    if known {
        Cow::Owned(said.code.clone().into_owned())
    } else {
        Cow::Borrowed(otherwise)
    }
}

fn message_for(class: FaultClass, status: u16, said: &Said<'_>) -> String {
    if class == FaultClass::Credential {
        // Nothing of it concerns the caller, and it quotes the key.
        return "the provider refused the gateway's credential; tell the operator".to_owned();
    }
    let message = redact(&said.message);
    if message.is_empty() {
        format!("the provider answered with status {status}")
    } else {
        message
    }
}

#[cfg(test)]
mod tests;
