//! The models that a caller may use, in OpenAI's shapes.

use bytes::Bytes;
use serde::Serialize;

use crate::json;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

fn model(id: &str) -> Model<'_> {
    // When a model was made is not known here; SDKs want a number.
    Model {
        id,
        object: "model",
        created: 0,
        owned_by: "turnpike",
    }
}

/// The answer to `GET /v1/models`, in the order given.
pub fn models_list(ids: &[&str]) -> Bytes {
    let mut out = Vec::new();
    json::write(
        &mut out,
        &List {
            object: "list",
            data: ids.iter().map(|id| model(id)).collect(),
        },
    );
    Bytes::from(out)
}

/// The answer to `GET /v1/models/{id}`.
pub fn model_object(id: &str) -> Bytes {
    let mut out = Vec::new();
    json::write(&mut out, &model(id));
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_model_objects() {
        let one = r#"{"id":"a\"b","object":"model","created":0,"owned_by":"turnpike"}"#;
        assert_eq!(model_object("a\"b"), one);
        assert_eq!(
            models_list(&["a\"b"]),
            format!(r#"{{"object":"list","data":[{one}]}}"#)
        );
        assert_eq!(models_list(&[]), r#"{"object":"list","data":[]}"#);
    }
}
