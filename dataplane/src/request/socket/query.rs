//! The query that a session is asked for with: its model, and what of the rest a provider sees. Pure.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::request::body_rules::MAX_MODEL;
use crate::request::error::{RequestError, Result};
use crate::request::matching::model_not_found;

/// What passes beside the model: a list, as of headers, since some clouds take keys in queries.
const PASSED: [&str; 1] = ["intent"];

/// All but what names are made of. Source: RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A query, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Query {
    /// As the caller calls it.
    pub model: Arc<str>,
    /// Pairs as they came.
    passed: Vec<Box<str>>,
}

impl Query {
    /// Errors: 400 for no model, or more than one.
    pub fn parse(query: &str) -> Result<Self> {
        let mut model = None;
        let mut passed = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name == "model" && model.replace(decode(value)?).is_some() {
                return Err(RequestError::bad_request(
                    "duplicate_member",
                    "the query names the model more than once",
                )
                .param("model"));
            }
            if PASSED.contains(&name) {
                passed.push(pair.into());
            }
        }
        match model {
            Some(model) if model.len() > MAX_MODEL => Err(RequestError::bad_request(
                "invalid_model",
                format!("the name of the model is over {MAX_MODEL} bytes"),
            )
            .param("model")),
            Some(model) if !model.is_empty() => Ok(Self { model, passed }),
            _ => Err(RequestError::bad_request(
                "missing_model",
                "the request names no model; set it in the query: ?model=NAME",
            )
            .param("model")),
        }
    }

    /// Writes the target for a provider, which calls the model so.
    pub fn target(&self, path: &str, upstream_model: &str) -> String {
        let model = utf8_percent_encode(upstream_model, RESERVED);
        let mut target = format!("{path}?model={model}");
        for pair in &self.passed {
            target.push('&');
            target.push_str(pair);
        }
        target
    }
}

/// As browsers write the values of forms: a plus is a space.
fn decode(value: &str) -> Result<Arc<str>> {
    let spaced = value.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map_or_else(|_| Err(model_not_found(value)), |text| Ok(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(query: &str) -> String {
        Query::parse(query).unwrap_err().code().to_owned()
    }

    #[test]
    fn the_model_is_named_once() {
        let model = |query| Query::parse(query).unwrap().model;
        assert_eq!(&*model("model=gpt-realtime"), "gpt-realtime");
        assert_eq!(&*model("a=b&model=org%2Fm+1&models=x"), "org/m 1");
        assert_eq!(code(""), "missing_model");
        assert_eq!(code("model="), "missing_model");
        assert_eq!(code("model"), "missing_model");
        assert_eq!(code("model=a&model=a"), "duplicate_member");
        assert_eq!(code("model=%ff"), "model_not_found");
        assert_eq!(
            code(&format!("model={}", "m".repeat(2049))),
            "invalid_model"
        );
    }

    #[test]
    fn a_provider_sees_its_own_name_of_the_model_and_what_is_listed() {
        let query = "api-key=secret&intent=transcription&model=m&call_id=x&Intent=y";
        let query = Query::parse(query).unwrap();
        let target = query.target("/realtime", "org/m&x=1");
        assert_eq!(
            target,
            "/realtime?model=org%2Fm%26x%3D1&intent=transcription"
        );
    }
}
