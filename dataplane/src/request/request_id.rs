//! The id that a request is known by, in answers and in the log.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use super::error::REQUEST_ID;

/// Longest id taken over from a caller.
const MAX_LENGTH: usize = 128;

/// An id, as text and as the header that carries it.
#[derive(Clone, Debug)]
pub struct RequestId {
    pub text: Arc<str>,
    pub header: HeaderValue,
}

impl RequestId {
    /// Keeps the caller's own id if it is a plain word, else makes one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(REQUEST_ID).iter();
        match (given.next(), given.next()) {
            (Some(one), None) => Self::parse(one).unwrap_or_else(Self::random),
            _ => Self::random(),
        }
    }

    fn parse(given: &HeaderValue) -> Option<Self> {
        let text = given.to_str().ok()?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        let is_sane = (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(is_plain);
        is_sane.then(|| Self {
            text: text.into(),
            header: given.clone(),
        })
    }

    fn random() -> Self {
        let text = Uuid::now_v7().to_string();
        let header = HeaderValue::try_from(&text).expect("a UUID is ASCII");
        Self {
            text: text.into(),
            header,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(values: &[&'static str]) -> RequestId {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(REQUEST_ID, HeaderValue::from_static(value));
        }
        RequestId::of(&headers)
    }

    #[test]
    fn a_plain_id_is_kept_and_anything_else_replaced() {
        assert_eq!(&*id_for(&["trace-7:a.b_c"]).text, "trace-7:a.b_c");
        for values in [&[][..], &[""], &["a b"], &["{\"x\":1}"], &["a", "b"]] {
            let id = id_for(values);
            assert_eq!(id.text.len(), 36, "{values:?}");
            assert_eq!(id.header, *id.text);
        }
    }
}
