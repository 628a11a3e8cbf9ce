//! Rankings that pass, in Cohere's shape and in that of Jina and its like.

use bytes::Bytes;

use crate::exchange::Decoded;
use crate::fault::BadReply;
use crate::json;
use crate::openai;
use crate::openai::pass::refuse_error;
use crate::usage::Usage;
use crate::vendor::WireProtocol;

/// Looks at a whole answer.
///
/// Sources: docs.cohere.com, "Rerank API (v2)" (`meta.tokens`, `meta.billed_units`, whose
/// `search_units` are no tokens and are left to the provider's bill); jina.ai, "Reranker API"
/// (`usage.total_tokens`, all of which is input).
pub(crate) fn whole(protocol: WireProtocol, body: Bytes) -> Result<Decoded, BadReply> {
    const LOOKED_AT: [&str; 6] = ["usage", "meta", "model", "error", "type", "object"];
    let looked_at = json::pick(&body, &LOOKED_AT).map_err(BadReply::NotJson)?;
    let [usage, meta, model, error, kind, object] = looked_at;
    refuse_error(protocol, &body, error, [kind, object])?;
    let mut known = meta.map(of_meta).unwrap_or_default();
    known.merge(usage.map(of_usage).unwrap_or_default());
    Ok(Decoded {
        usage: Some(known).filter(|usage| !usage.is_empty()),
        response_model: model.and_then(json::text),
        body,
    })
}

fn of_usage(usage: &[u8]) -> Usage {
    let mut read = openai::usage::read(usage);
    if read.input.is_none()
        && let Ok([total]) = json::pick(usage, &["total_tokens"])
    {
        read.input = total.and_then(json::count);
    }
    read
}

fn of_meta(meta: &[u8]) -> Usage {
    let picked = json::pick(meta, &["billed_units", "tokens"]).unwrap_or_default();
    let mut usage = Usage::default();
    // What was billed first; what was counted says more where both are told.
    for part in picked.into_iter().flatten() {
        let counts = json::pick(part, &["input_tokens", "output_tokens"]).unwrap_or_default();
        let [input, output] = counts.map(|value| value.and_then(json::count));
        usage.merge(Usage {
            input,
            output,
            ..Usage::default()
        });
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(body: &'static str) -> Option<Usage> {
        let decoded = whole(WireProtocol::Cohere, Bytes::from_static(body.as_bytes())).unwrap();
        assert_eq!(decoded.body.as_ref(), body.as_bytes());
        decoded.usage
    }

    #[test]
    fn each_shape_tells_its_tokens() {
        let input = |input| {
            Some(Usage {
                input: Some(input),
                ..Usage::default()
            })
        };
        assert_eq!(
            usage(r#"{"results":[],"usage":{"total_tokens":15}}"#),
            input(15)
        );
        let both = r#"{"meta":{"tokens":{"input_tokens":9},"billed_units":{"input_tokens":8}}}"#;
        assert_eq!(usage(both), input(9));
        assert_eq!(
            usage(r#"{"meta":{"billed_units":{"search_units":1}}}"#),
            None
        );
        assert_eq!(usage(r#"{"results":[]}"#), None);
    }

    #[test]
    fn an_error_is_none() {
        let body = Bytes::from_static(br#"{"error":{"message":"no"}}"#);
        let refused = whole(WireProtocol::OpenAI, body);
        assert!(matches!(refused, Err(BadReply::Provider(_))));
    }
}
