//! What a request asks for, told from its method and path alone.

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// `POST …/v1/chat/completions`
    ChatCompletions,
    /// `POST …/v1/embeddings`
    Embeddings,
    /// `GET …/v1/models`
    Models,
    /// `GET …/v1/models/{id}`
    Model {
        /// The model asked about, percent-decoded; may contain slashes.
        id: String,
    },
    /// `GET …/v1/realtime`, to be upgraded to a WebSocket
    Realtime,
}

impl Operation {
    /// The operation's name in logs, metrics and messages.
    pub fn as_str(&self) -> &'static str {
        match self {
            Operation::ChatCompletions => "ChatCompletions",
            Operation::Embeddings => "Embeddings",
            Operation::Models => "Models",
            Operation::Model { .. } => "Model",
            Operation::Realtime => "Realtime",
        }
    }

    /// The protocol that a client speaks when it asks for this.
    pub fn client_protocol(&self) -> ClientProtocol {
        ClientProtocol::OpenAI
    }

    fn method(&self) -> &'static str {
        match self {
            Operation::ChatCompletions | Operation::Embeddings => "POST",
            Operation::Models | Operation::Model { .. } | Operation::Realtime => "GET",
        }
    }
}

/// The protocol of a caller; it chooses the shape of answers, streams and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientProtocol {
    /// OpenAI's chat completions, embeddings and models.
    OpenAI,
}

/// Why a request is no known operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownOperation {
    /// The path ends in no known operation: 404.
    #[error("no operation of this gateway ends the request's path")]
    Path,
    /// The path is known but not with this method: 405.
    #[error("this path takes {allowed} only")]
    Method {
        /// The value of the `allow` header.
        allowed: &'static str,
    },
}

const MODEL_PREFIX: &str = "/v1/models/";

/// Recognises an operation by the longest known suffix of the path, under any prefix.
///
/// A query is ignored, so is one trailing slash. `HEAD` counts as `GET`.
pub fn recognise(method: &str, path: &str) -> Result<Operation, UnknownOperation> {
    let path = path.split('?').next().unwrap_or(path);
    let operation = by_path(path).ok_or(UnknownOperation::Path)?;
    let allowed = operation.method();
    let asked = if method == "HEAD" { "GET" } else { method };
    if asked == allowed {
        Ok(operation)
    } else {
        Err(UnknownOperation::Method { allowed })
    }
}

fn by_path(path: &str) -> Option<Operation> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if let Some(at) = path.find(MODEL_PREFIX) {
        let id = percent_decode(&path[at + MODEL_PREFIX.len()..]);
        return Some(Operation::Model { id });
    }
    if path.ends_with("/v1/chat/completions") {
        Some(Operation::ChatCompletions)
    } else if path.ends_with("/v1/embeddings") {
        Some(Operation::Embeddings)
    } else if path.ends_with("/v1/models") {
        Some(Operation::Models)
    } else if path.ends_with("/v1/realtime") {
        Some(Operation::Realtime)
    } else {
        None
    }
}

/// Decodes `%41`; what is no valid escape, or no UTF-8 once decoded, is kept as it came.
fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_known_suffix_counts_under_any_prefix() {
        for path in [
            "/v1/chat/completions",
            "/team/a/v1/chat/completions",
            "/v1/chat/completions/",
        ] {
            assert_eq!(
                recognise("POST", path),
                Ok(Operation::ChatCompletions),
                "{path}"
            );
        }
        assert_eq!(
            recognise("POST", "/x/v1/embeddings?a=b"),
            Ok(Operation::Embeddings)
        );
        assert_eq!(recognise("GET", "/v1/models"), Ok(Operation::Models));
        assert_eq!(recognise("HEAD", "/v1/models/"), Ok(Operation::Models));
        assert_eq!(
            recognise("GET", "/team/v1/realtime?model=m"),
            Ok(Operation::Realtime)
        );
    }

    #[test]
    fn model_ids_keep_slashes_and_are_decoded() {
        let id = |path| match recognise("GET", path) {
            Ok(Operation::Model { id }) => id,
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(id("/v1/models/a/b-2"), "a/b-2");
        assert_eq!(id("/v1/models/a%2Fb%zz%4"), "a/b%zz%4");
        assert_eq!(id("/v1/models/%ff"), "%ff");
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        assert_eq!(
            recognise("POST", "/chat/completions"),
            Err(UnknownOperation::Path)
        );
        assert_eq!(recognise("POST", "/"), Err(UnknownOperation::Path));
        assert_eq!(
            recognise("GET", "/v1/embeddings"),
            Err(UnknownOperation::Method { allowed: "POST" })
        );
    }
}
