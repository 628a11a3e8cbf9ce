//! Requests and answers of both families.

use serde_json::{Value, json};

use super::*;
use crate::{OnUnsupported, WireProtocol};

fn request<'a>(texts: &[&'a str]) -> EmbeddingRequest<'a> {
    let text = |text: &&'a str| EmbeddingInput::Text((*text).into());
    EmbeddingRequest {
        inputs: texts.iter().map(text).collect(),
        ..EmbeddingRequest::default()
    }
}

fn sent(model: &str, request: &EmbeddingRequest<'_>) -> Result<Value, Unsupported> {
    let target = Target::new(WireProtocol::Bedrock, model, 1);
    let written = write(request, &target, &mut Losses::default())?;
    Ok(serde_json::from_slice(&written).unwrap())
}

#[test]
fn titan_is_asked_for_one_text() {
    let mut one = request(&["hi"]);
    let v1 = "amazon.titan-embed-text-v1";
    let v2 = "amazon.titan-embed-text-v2:0";
    assert_eq!(sent(v1, &one).unwrap(), json!({"inputText": "hi"}));
    one.dimensions = Some(256);
    let expected = json!({"inputText": "hi", "dimensions": 256});
    assert_eq!(sent(v2, &one).unwrap(), expected);
    assert_eq!(sent(v1, &one).unwrap_err().field, "dimensions");
    let two = sent(v2, &request(&["a", "b"])).unwrap_err();
    assert_eq!(two.field, "input");
    assert!(two.message.contains("one at a time"), "{two}");
    assert_eq!(sent(v2, &request(&[])).unwrap_err().field, "input");
}

#[test]
fn cohere_is_told_what_the_vectors_are_for() {
    let mut two = request(&["a", "b"]);
    let v3 = "cohere.embed-english-v3";
    let v4 = "us.cohere.embed-v4:0";
    let expected = json!({"texts": ["a", "b"], "input_type": "search_document"});
    assert_eq!(sent(v3, &two).unwrap(), expected);
    two.dimensions = Some(512);
    two.task = Some("RETRIEVAL_QUERY".into());
    let expected =
        json!({"texts": ["a", "b"], "input_type": "search_query", "output_dimension": 512});
    assert_eq!(sent(v4, &two).unwrap(), expected);
    assert_eq!(sent(v3, &two).unwrap_err().field, "dimensions");
    two.task = Some("SEMANTIC_SIMILARITY".into());
    assert_eq!(sent(v4, &two).unwrap_err().field, "task_type");
}

#[test]
fn what_is_given_up_is_told() {
    let mut one = request(&["hi"]);
    one.dimensions = Some(256);
    one.task = Some("CLUSTERING".into());
    one.user = Some("u".into());
    let target = Target::new(WireProtocol::Bedrock, "amazon.titan-embed-text-v1", 1);
    let mut losses = Losses::new(OnUnsupported::Drop);
    let written = write(&one, &target, &mut losses).unwrap();
    assert_eq!(written.as_ref(), br#"{"inputText":"hi"}"#);
    assert_eq!(losses.dropped, ["user", "task_type", "dimensions"]);
}

#[test]
fn tokens_and_other_models_are_refused() {
    let tokens = EmbeddingRequest {
        inputs: vec![EmbeddingInput::Tokens(vec![1])],
        ..EmbeddingRequest::default()
    };
    assert_eq!(
        sent("cohere.embed-v4:0", &tokens).unwrap_err().field,
        "input"
    );
    assert_eq!(
        sent("amazon.nova-pro-v1:0", &request(&["a"]))
            .unwrap_err()
            .field,
        "model"
    );
}

#[test]
fn answers_of_both_are_read() {
    let answer = |body: &str| read(&Object::parse(body.as_bytes()).unwrap());
    let titan = answer(r#"{"embedding":[0.5,-1],"inputTextTokenCount":3}"#).unwrap();
    assert_eq!(titan.vectors, [[0.5, -1.0]]);
    assert_eq!(titan.usage.unwrap().input, Some(3));
    for cohere in [
        r#"{"id":"x","texts":["a","b"],"embeddings":[[1],[2]],"response_type":"embeddings_floats"}"#,
        r#"{"embeddings":{"float":[[1],[2]]},"response_type":"embeddings_by_type"}"#,
    ] {
        let cohere = answer(cohere).unwrap();
        assert_eq!(cohere.vectors, [[1.0], [2.0]]);
        assert_eq!(cohere.usage, None);
    }
    for none in [
        "{}",
        r#"{"embedding":"x"}"#,
        r#"{"embedding":null}"#,
        r#"{"embeddings":{"int8":[[1]]}}"#,
        r#"{"embeddings":[["a"]]}"#,
    ] {
        assert!(matches!(answer(none), Err(BadReply::Missing(_))), "{none}");
    }
}
