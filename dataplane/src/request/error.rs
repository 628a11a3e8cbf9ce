//! Why a request was not answered as asked, and the one place where that becomes an HTTP answer.
//!
//! An error says whose fault it is, whether another attempt may help, and what
//! the client sees. Messages say what to do; they never hold keys, addresses
//! or content.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use turnpike_protocol::{ClientProtocol, ErrorBody, ErrorKind, FaultClass, ProviderError};

use crate::access_log::End;
use crate::budget::Exhausted;
use crate::metrics::UpstreamFault;
use crate::store::view::Halt;

/// Tells every answer apart, ours and the provider's.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Who made the error: `gateway` or `provider`.
pub const ERROR_SOURCE: HeaderName = HeaderName::from_static("x-turnpike-error-source");
/// Why no other attempt followed one that failed.
pub const RETRY: HeaderName = HeaderName::from_static("x-turnpike-retry");
/// Read by OpenAI's SDKs: whether the same request may succeed later.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A step's outcome.
pub type Result<T> = std::result::Result<T, RequestError>;

/// Why a request was not answered as asked.
pub struct RequestError(Box<Facts>);

struct Facts {
    source: Source,
    class: Option<FaultClass>,
    fault: Option<UpstreamFault>,
    end: End,
    status: StatusCode,
    kind: ErrorKind,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    param: Option<String>,
    headers: HeaderMap,
}

/// Who made the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The gateway: the caller's request, a policy, or the gateway's own state.
    Gateway,
    /// The provider that was asked, or the way to it.
    Provider,
}

impl RequestError {
    /// An error of the gateway's own.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Facts {
            source: Source::Gateway,
            class: None,
            fault: None,
            end: End::Error,
            status,
            kind: ErrorKind::of_status(status.as_u16()),
            code: code.into(),
            message: message.into(),
            param: None,
            headers: HeaderMap::new(),
        }))
    }

    /// An error on the way to a provider or back, which another attempt might not meet.
    pub fn upstream(
        fault: UpstreamFault,
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut error = Self::new(status, code, message);
        error.0.source = Source::Provider;
        error.0.class = Some(FaultClass::Transient);
        error.0.fault = Some(fault);
        error.0.end = match fault {
            UpstreamFault::Cut => End::ProviderCut,
            UpstreamFault::Garbage => End::ProviderFault,
            _ => End::Error,
        };
        error
    }

    /// The provider cannot be asked at all, for this reason.
    pub fn provider_unavailable(reason: &str) -> Self {
        let message = format!("the provider of this model cannot be used: {reason}");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut error = Self::new(status, "provider_unavailable", message);
        error.0.fault = Some(UpstreamFault::Unavailable);
        error
    }

    /// The provider is taken out of use by whoever runs it: no new request is sent to it, or, where
    /// it is blocked, one under way is ended.
    pub fn provider_halted(halt: Halt) -> Self {
        let (code, message) = match halt {
            Halt::Drain => (
                "provider_draining",
                "the provider of this model is being drained and takes no new requests; try another \
                 model, or try again later",
            ),
            Halt::Blocked => (
                "provider_blocked",
                "the provider of this model is blocked by whoever runs the gateway; try another \
                 model, or try again later",
            ),
        };
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
        error.0.fault = Some(UpstreamFault::Unavailable);
        error
    }

    /// Nobody behind the provider's Service (`namespace/name`) is ready; that may pass any moment.
    pub fn no_ready_endpoint(service: &str) -> Self {
        let message = format!("no endpoint of Service {service} is ready; try again");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut error = Self::new(status, "no_ready_endpoint", message);
        error.0.fault = Some(UpstreamFault::Unavailable);
        error.retry_after(Duration::from_secs(1))
    }

    /// The rule that would decide, or who may use it, cannot be had; in words for whoever wrote the route.
    pub fn route_unavailable(reason: &str) -> Self {
        let message = format!("a route of this host cannot be used: {reason}");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "route_unavailable",
            message,
        )
    }

    /// The tenant is suspended, with what its callers shall be told.
    pub fn suspended(message: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "tenant_suspended",
            message.to_owned(),
        )
    }

    /// A 400 of the gateway's own.
    pub fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A 401 of the gateway's own.
    pub fn unauthenticated(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
            .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// The provider did not answer within a timeout of this name.
    pub fn timeout(name: &'static str, after: Duration) -> Self {
        let message = format!("the provider did not answer in time: {name} timeout {after:?}");
        let (fault, status) = (UpstreamFault::Timeout, StatusCode::GATEWAY_TIMEOUT);
        let mut error = Self::upstream(fault, status, "provider_timeout", message);
        error.0.end = End::Timeout(name);
        error
    }

    /// Names the member of the request at fault.
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    /// Adds a header to the answer.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds headers to the answer.
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// Says when it is worth trying again, in whole seconds, rounded up.
    pub fn retry_after(self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.header(RETRY_AFTER, seconds.into())
    }

    /// How long whoever refused asks to be left alone.
    pub fn asked_pause(&self) -> Option<Duration> {
        let seconds = self.0.headers.get(RETRY_AFTER)?.to_str().ok()?;
        Some(Duration::from_secs(seconds.parse().ok()?))
    }

    /// Says that trying the same again is in vain.
    pub fn never_retry(self) -> Self {
        self.header(SHOULD_RETRY, HeaderValue::from_static("false"))
    }

    /// Says which methods the path takes.
    pub fn allow(self, methods: &'static str) -> Self {
        self.header(ALLOW, HeaderValue::from_static(methods))
    }

    /// Says in the access log how the exchange with the provider ended.
    pub fn ended(mut self, end: End) -> Self {
        self.0.end = end;
        self
    }

    /// How the request ends by this error.
    pub fn end(&self) -> End {
        self.0.end
    }

    /// The stable name that programs rely on.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What the client sees.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What the client is told.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What may be done about it; `None`: nothing, it is the gateway's own answer.
    pub fn class(&self) -> Option<FaultClass> {
        self.0.class
    }

    /// What is counted of it; `None`: no provider was at fault.
    pub fn upstream_fault(&self) -> Option<UpstreamFault> {
        self.0.fault
    }

    /// Whether a provider said so itself instead of an answer, so that it charges nothing for one.
    pub fn is_refusal(&self) -> bool {
        let Some(fault) = self.0.fault else {
            return false;
        };
        !matches!(
            fault,
            UpstreamFault::Unreachable
                | UpstreamFault::Timeout
                | UpstreamFault::Cut
                | UpstreamFault::Garbage
                | UpstreamFault::Unavailable
        )
    }

    /// Writes the error as a client's protocol has it.
    pub fn body(&self, request_id: &str) -> ErrorBody {
        ErrorBody {
            status: self.0.status.as_u16(),
            kind: self.0.kind,
            code: self.0.code.clone(),
            message: self.0.message.to_string(),
            param: self.0.param.clone(),
            request_id: request_id.to_owned(),
        }
    }

    /// Becomes the HTTP answer.
    pub fn into_response(self, client: ClientProtocol, request_id: &str) -> Response<Bytes> {
        let body = turnpike_protocol::encode_error(client, &self.body(request_id));
        let mut response = Response::new(body);
        *response.status_mut() = self.0.status;
        *response.headers_mut() = self.0.headers;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            ERROR_SOURCE,
            HeaderValue::from_static(self.0.source.as_str()),
        );
        response
    }
}

/// The controllers cannot be asked just now, and what is needed is not loaded.
pub(super) fn unavailable() -> RequestError {
    RequestError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "snapshot_unavailable",
        "the gateway cannot load the configuration of this host just now; try again",
    )
    .retry_after(Duration::from_secs(1))
}

/// The caller has asked for too much that does not exist, and this would have to be looked up.
pub(super) fn too_many_lookups(after: Duration) -> RequestError {
    RequestError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_lookups",
        "too many unknown hosts or API keys came from this address; what is not loaded already \
         is not looked up for it until retry-after has passed",
    )
    .retry_after(after)
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Source::Gateway => "gateway",
            Source::Provider => "provider",
        }
    }
}

/// The gateway is full.
impl From<Exhausted> for RequestError {
    fn from(_: Exhausted) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "the gateway has no memory left for this request just now; try again",
        )
        .retry_after(Duration::from_secs(1))
    }
}

/// What a provider said, classified.
impl From<ProviderError> for RequestError {
    fn from(said: ProviderError) -> Self {
        Self(Box::new(Facts {
            source: Source::Provider,
            class: Some(said.class),
            fault: Some(said.class.into()),
            end: End::Error,
            status: StatusCode::from_u16(said.client_status).unwrap_or(StatusCode::BAD_GATEWAY),
            kind: said.kind,
            code: said.code,
            message: said.message.into(),
            param: said.param,
            headers: HeaderMap::new(),
        }))
    }
}

impl fmt::Debug for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.0.status.as_u16(),
            self.0.code,
            self.0.message
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(error: RequestError) -> (u16, HeaderMap, serde_json::Value) {
        let response = error.into_response(ClientProtocol::OpenAI, "r-1");
        let (parts, body) = response.into_parts();
        let body = serde_json::from_slice(&body).unwrap();
        (parts.status.as_u16(), parts.headers, body)
    }

    #[test]
    fn an_error_has_the_shape_of_openai() {
        let error = RequestError::bad_request("missing_model", "say which").param("model");
        let (status, headers, body) = answer(error);
        assert_eq!(status, 400);
        assert_eq!(headers["x-turnpike-error-source"], "gateway");
        assert_eq!(
            body,
            serde_json::json!({
                "error": {
                    "message": "say which",
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": "missing_model",
                },
                "request_id": "r-1",
            })
        );
    }

    #[test]
    fn a_401_names_the_scheme() {
        let (status, headers, _) = answer(RequestError::unauthenticated("missing_api_key", "x"));
        assert_eq!(
            (status, &headers["www-authenticate"]),
            (401, &HeaderValue::from_static("Bearer"))
        );
    }

    #[test]
    fn retry_after_is_whole_seconds_rounded_up() {
        let error = RequestError::new(StatusCode::TOO_MANY_REQUESTS, "x", "x");
        let (_, headers, _) = answer(error.retry_after(Duration::from_millis(1001)));
        assert_eq!(headers["retry-after"], "2");
    }

    #[test]
    fn a_timeout_tells_its_name_and_length() {
        let error = RequestError::timeout("firstToken", Duration::from_secs(60));
        assert_eq!(error.end(), End::Timeout("firstToken"));
        let (status, headers, body) = answer(error);
        assert_eq!(status, 504);
        assert_eq!(headers["x-turnpike-error-source"], "provider");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.ends_with("firstToken timeout 60s"), "{message}");
    }
}
