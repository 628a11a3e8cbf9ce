//! Step 0: a request's head is of a size that somebody may have meant.
//!
//! hyper takes somewhat more than this, so that who is over it is told in JSON; beyond that it
//! answers 431 by itself, without a body.

use http::{HeaderMap, StatusCode};

use super::error::{RequestError, Result};

/// More than any SDK or proxy chain sends.
pub(super) const MAX_HEADERS: usize = 96;
/// Of names and values together.
pub(super) const MAX_HEADER_BYTES: usize = 48 * 1024;

/// Refuses a head with too much in it.
pub(super) fn check(headers: &HeaderMap) -> Result<()> {
    if headers.len() > MAX_HEADERS {
        return Err(too_large(format!(
            "the request has over {MAX_HEADERS} headers"
        )));
    }
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    if sizes.sum::<usize>() > MAX_HEADER_BYTES {
        return Err(too_large(format!(
            "the request's headers are over {MAX_HEADER_BYTES} bytes"
        )));
    }
    Ok(())
}

fn too_large(message: String) -> RequestError {
    RequestError::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "request_headers_too_large",
        message,
    )
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(count: usize, bytes: usize) -> HeaderMap {
        let name = |number| HeaderName::try_from(format!("x-{number:04}")).unwrap();
        let value = HeaderValue::try_from("v".repeat(bytes)).unwrap();
        (0..count)
            .map(|number| (name(number), value.clone()))
            .collect()
    }

    #[test]
    fn a_head_over_a_bound_is_told_which() {
        assert!(check(&headers(MAX_HEADERS, 100)).is_ok());
        let error = check(&headers(MAX_HEADERS + 1, 1)).unwrap_err();
        assert_eq!(error.status(), 431);
        assert!(
            error.message().contains("96 headers"),
            "{}",
            error.message()
        );
        assert!(check(&headers(1, MAX_HEADER_BYTES - 6)).is_ok());
        let error = check(&headers(1, MAX_HEADER_BYTES - 5)).unwrap_err();
        assert!(
            error.message().contains("49152 bytes"),
            "{}",
            error.message()
        );
    }
}
