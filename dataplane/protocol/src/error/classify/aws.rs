//! Names of exceptions by which AWS says what is wrong.

/// Takes the name out of `com.amazon.coral.service#ThrottlingException:http://…`.
pub(super) fn short_name(name: &str) -> &str {
    let name = name.rsplit_once('#').map_or(name, |(_, name)| name);
    name.split(':').next().unwrap_or(name)
}

/// The status that goes with an exception, which counts more than the one that came with it: a
/// `400` may carry a `ThrottlingException`, and a `200` any of them, in its stream.
///
/// In: the name; those in streams begin with a small letter.
/// Source: docs.aws.amazon.com, Bedrock API reference, "ConverseStream", "Common errors" (2026-11).
pub(super) fn status(name: &str) -> Option<u16> {
    const NAMES: &[(&str, u16)] = &[
        ("ThrottlingException", 429),
        ("TooManyRequestsException", 429),
        ("ModelNotReadyException", 429),
        // Sent as 400, but it is the account's quota that is used up, not the request that is wrong.
        ("ServiceQuotaExceededException", 429),
        ("ValidationException", 400),
        ("AccessDeniedException", 403),
        ("ExpiredTokenException", 403),
        ("ExpiredToken", 403),
        ("UnrecognizedClientException", 403),
        ("InvalidClientTokenId", 403),
        ("InvalidSignatureException", 403),
        ("IncompleteSignatureException", 403),
        ("IncompleteSignature", 403),
        ("MissingAuthenticationTokenException", 403),
        ("MissingAuthenticationToken", 403),
        ("NotAuthorized", 403),
        ("OptInRequired", 403),
        ("ResourceNotFoundException", 404),
        ("ModelTimeoutException", 408),
        ("ModelErrorException", 424),
        ("ModelStreamErrorException", 424),
        ("InternalServerException", 500),
        ("InternalFailure", 500),
        ("ServiceUnavailableException", 503),
        ("ServiceUnavailable", 503),
    ];
    let mut known = NAMES.iter();
    known
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, status)| *status)
}

/// How Bedrock says in a `ValidationException` that there is no such model, or none to be called so.
pub(super) const NO_SUCH_MODEL: &[&str] = &[
    "model identifier is invalid",
    // "… isn’t supported", "… doesn't support …": to be called by an inference profile.
    "on-demand throughput",
    "doesn't support the model that you provided",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_dress() {
        for name in [
            "throttlingException",
            "ThrottlingException",
            "com.amazon.coral.service#ThrottlingException",
            "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/",
        ] {
            assert_eq!(status(short_name(name)), Some(429), "{name}");
        }
        assert_eq!(status(short_name("#")), None);
    }
}
