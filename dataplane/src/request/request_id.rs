//! The id that a request is known by, in answers and in the log.

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use super::error::REQUEST_ID;

/// Longest id taken over from a caller.
const MAX_LENGTH: usize = 128;

/// An id, as the header that carries it: visible ASCII.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

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
        is_sane.then(|| Self(given.clone()))
    }

    fn random() -> Self {
        let mut text = Uuid::encode_buffer();
        let text = Uuid::now_v7().hyphenated().encode_lower(&mut text);
        Self(HeaderValue::from_str(text).expect("a UUID is ASCII"))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// As the value of a header.
    pub fn header(&self) -> &HeaderValue {
        &self.0
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
        assert_eq!(id_for(&["trace-7:a.b_c"]).as_str(), "trace-7:a.b_c");
        for values in [&[][..], &[""], &["a b"], &["{\"x\":1}"], &["a", "b"]] {
            let id = id_for(values);
            assert_eq!(id.as_str().len(), 36, "{values:?}");
            assert_eq!(*id.header(), *id.as_str());
        }
    }
}
