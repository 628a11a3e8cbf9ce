//! The table of error classes, provider by provider.

use super::*;

fn openai(status: u16, body: &str) -> (FaultClass, u16, String) {
    let error = classify(WireProtocol::OpenAI, status, body.as_bytes());
    (error.class, error.client_status, error.code.into_owned())
}

fn anthropic(status: u16, kind: &str, message: &str) -> (FaultClass, u16, String) {
    let body = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}"#);
    let error = classify(WireProtocol::Anthropic, status, body.as_bytes());
    (error.class, error.client_status, error.code.into_owned())
}

#[test]
fn openai_errors_have_their_class() {
    use FaultClass::*;
    let coded = |code: &str, kind: &str| {
        format!(r#"{{"error":{{"message":"m","type":"{kind}","param":null,"code":{code}}}}}"#)
    };
    for (status, body, class, client, code) in [
        (
            400,
            coded("null", "invalid_request_error"),
            ClientFault,
            400,
            "invalid_request",
        ),
        (
            400,
            coded("\"unsupported_value\"", "x"),
            ClientFault,
            400,
            "unsupported_value",
        ),
        (422, coded("422", "x"), ClientFault, 422, "invalid_request"),
        (413, coded("null", "x"), ClientFault, 413, "invalid_request"),
        (
            400,
            coded("\"context_length_exceeded\"", "x"),
            ContextExceeded,
            400,
            "context_length_exceeded",
        ),
        (
            400,
            coded("\"content_filter\"", "x"),
            ContentPolicy,
            400,
            "content_filter",
        ),
        (
            403,
            coded("\"content_policy_violation\"", "x"),
            ContentPolicy,
            400,
            "content_filter",
        ),
        (
            401,
            coded("\"invalid_api_key\"", "x"),
            Credential,
            502,
            "provider_credential",
        ),
        (
            402,
            coded("null", "x"),
            Credential,
            502,
            "provider_credential",
        ),
        (
            403,
            coded("null", "x"),
            Credential,
            502,
            "provider_credential",
        ),
        (
            404,
            coded("\"model_not_found\"", "x"),
            ModelMissing,
            404,
            "model_not_found",
        ),
        (
            429,
            coded("\"rate_limit_exceeded\"", "tokens"),
            Capacity,
            429,
            "rate_limit_exceeded",
        ),
        (
            429,
            coded("\"insufficient_quota\"", "insufficient_quota"),
            Capacity,
            429,
            "insufficient_quota",
        ),
        (408, coded("null", "x"), Transient, 504, "provider_error"),
        (
            500,
            coded("null", "server_error"),
            Transient,
            502,
            "provider_error",
        ),
        (503, coded("null", "x"), Transient, 503, "provider_error"),
        (504, coded("null", "x"), Transient, 504, "provider_error"),
    ] {
        assert_eq!(
            openai(status, &body),
            (class, client, code.to_owned()),
            "{status} {body}"
        );
    }
}

#[test]
fn anthropic_errors_have_their_class() {
    use FaultClass::*;
    for (status, kind, message, class, client) in [
        (
            400,
            "invalid_request_error",
            "messages: wrong",
            ClientFault,
            400,
        ),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 9 tokens > 8 maximum",
            ContextExceeded,
            400,
        ),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low",
            Credential,
            502,
        ),
        (
            400,
            "invalid_request_error",
            "Output blocked by content filtering policy",
            ContentPolicy,
            400,
        ),
        (
            401,
            "authentication_error",
            "invalid x-api-key",
            Credential,
            502,
        ),
        (403, "permission_error", "no", Credential, 502),
        (404, "not_found_error", "model: claude-x", ModelMissing, 404),
        (413, "request_too_large", "too large", ClientFault, 413),
        (429, "rate_limit_error", "slow down", Capacity, 429),
        (500, "api_error", "oops", Transient, 502),
        (500, "overloaded_error", "full", Capacity, 429),
        (529, "overloaded_error", "full", Capacity, 429),
    ] {
        let (got, status_shown, _) = anthropic(status, kind, message);
        assert_eq!(
            (got, status_shown),
            (class, client),
            "{status} {kind} {message}"
        );
    }
}

#[test]
fn bedrock_errors_have_their_class() {
    use FaultClass::*;
    let long = "prompt is too long: 200049 tokens > 200000 maximum";
    let by_profile = "Invocation of model ID a.b with on-demand throughput isn’t supported.";
    let filtered = "Output blocked by content filtering policy";
    let expired = "The security token included in the request is expired";
    let busy = "Too many tokens, please wait before trying again.";
    for (status, message, class, client) in [
        (400, "Malformed input request", ClientFault, 400),
        (
            400,
            "Input is too long for requested model.",
            ContextExceeded,
            400,
        ),
        (400, long, ContextExceeded, 400),
        (
            400,
            "The provided model identifier is invalid.",
            ModelMissing,
            404,
        ),
        (400, by_profile, ModelMissing, 404),
        (400, filtered, ContentPolicy, 400),
        (403, expired, Credential, 502),
        (404, "Could not resolve the model", ModelMissing, 404),
        (408, "Model timed out", Transient, 504),
        (424, "The model failed", Transient, 502),
        (429, busy, Capacity, 429),
        (500, "oops", Transient, 502),
        (503, "Bedrock is unable to process", Transient, 503),
    ] {
        let body = format!(r#"{{"message":"{message}"}}"#);
        let error = classify(WireProtocol::Bedrock, status, body.as_bytes());
        let got = (error.class, error.client_status);
        assert_eq!(got, (class, client), "{status} {message}");
    }
}

#[test]
fn the_name_of_an_aws_exception_counts_more_than_the_status() {
    use FaultClass::*;
    for (name, class) in [
        ("com.amazon.coral.service#ThrottlingException", Capacity),
        ("ServiceQuotaExceededException", Capacity),
        ("com.amazon.coral.service#ExpiredTokenException", Credential),
        ("InternalServerException", Transient),
        ("ResourceNotFoundException", ModelMissing),
        ("SomethingNewException", ClientFault),
    ] {
        let body = format!(r#"{{"__type":"{name}","Message":"m"}}"#);
        let error = classify(WireProtocol::Bedrock, 400, body.as_bytes());
        assert_eq!(error.class, class, "{name}");
    }
    // Elsewhere the name means nothing.
    let body = br#"{"__type":"ThrottlingException","message":"m"}"#;
    let error = classify(WireProtocol::OpenAI, 400, body);
    assert_eq!(error.class, ClientFault);
}

#[test]
fn the_name_of_an_aws_exception_in_a_header_counts_as_well() {
    let class = |status, name| {
        let body = br#"{"message":"m"}"#;
        classify_named(WireProtocol::Bedrock, status, name, body).class
    };
    let quota = "ServiceQuotaExceededException:http://internal.amazon.com/coral/";
    assert_eq!(class(400, quota), FaultClass::Capacity);
    assert_eq!(class(400, "ValidationException"), FaultClass::ClientFault);
    assert_eq!(class(429, "BrandNewException"), FaultClass::Capacity);
    assert_eq!(class(503, ""), FaultClass::Transient);
}

#[test]
fn exceptions_of_aws_in_a_stream_are_judged_by_name() {
    use FaultClass::*;
    for (name, message, class) in [
        ("throttlingException", "Too many tokens", Capacity),
        ("validationException", "bad", ClientFault),
        ("validationException", "Input is too long", ContextExceeded),
        ("modelStreamErrorException", "oops", Transient),
        ("internalServerException", "oops", Transient),
        ("serviceUnavailableException", "oops", Transient),
        ("accessDeniedException", "no", Credential),
        ("brandNewException", "oops", Transient),
        ("", "", Transient),
    ] {
        let body = format!(r#"{{"message":"{message}"}}"#);
        let error = classify_aws(name, body.as_bytes());
        assert_eq!(error.class, class, "{name} {message}");
        assert_eq!(classify_aws_bare(name, message).class, class, "{name}");
    }
}

#[test]
fn bodies_of_no_known_shape_are_judged_by_status() {
    for body in [
        "",
        "<html>404</html>",
        "[",
        "null",
        "{\"error\":[]}",
        "\u{0}",
    ] {
        assert_eq!(openai(500, body).0, FaultClass::Transient);
        assert_eq!(openai(404, body).0, FaultClass::Transient, "{body}");
        assert_eq!(openai(429, body).0, FaultClass::Capacity);
        assert_eq!(openai(302, body).1, 502);
    }
    let plain = classify(WireProtocol::OpenAI, 400, br#"{"error":"no such thing"}"#);
    assert_eq!(plain.message, "no such thing");
    let top = classify(
        WireProtocol::OpenAI,
        400,
        br#"{"object":"error","message":"bad","code":400}"#,
    );
    assert_eq!(
        (top.message.as_str(), top.class),
        ("bad", FaultClass::ClientFault)
    );
    assert!(
        classify(WireProtocol::OpenAI, 503, b"")
            .message
            .contains("503")
    );
}

#[test]
fn errors_in_a_stream_are_judged_by_type_or_numeric_code() {
    let class = |body: &str| classify_in_stream(WireProtocol::OpenAI, body.as_bytes()).class;
    assert_eq!(
        class(r#"{"error":{"type":"overloaded_error","message":"x"}}"#),
        FaultClass::Capacity
    );
    assert_eq!(
        class(r#"{"error":{"code":502,"message":"x"}}"#),
        FaultClass::Transient
    );
    assert_eq!(
        class(r#"{"error":{"code":"429","message":"x"}}"#),
        FaultClass::Capacity
    );
    assert_eq!(class(r#"{"error":{"message":"x"}}"#), FaultClass::Transient);
}

#[test]
fn a_code_that_looks_like_a_key_is_not_repeated() {
    for key in ["sk_live_00aa11bb22cc", "0123456789abcdef0123456789abcdef"] {
        let body = format!(r#"{{"error":{{"message":"m","code":"{key}"}}}}"#);
        assert_eq!(openai(400, &body).2, "invalid_request", "{key}");
    }
}

#[test]
fn the_refused_key_is_never_quoted() {
    let body = br#"{"error":{"message":"Incorrect API key provided: sk-secret1","code":"invalid_api_key"}}"#;
    let error = classify(WireProtocol::OpenAI, 401, body);
    assert!(!error.message.contains("sk-"), "{}", error.message);
}
