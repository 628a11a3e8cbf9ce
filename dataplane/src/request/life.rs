//! Strings the steps of a request together.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;

use crate::arrival::Arrival;
use crate::gateway::Gateway;

/// Why a body ended uncleanly.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What callers are answered with.
pub type BoxBody = UnsyncBoxBody<Bytes, BodyError>;

/// Answers one request.
pub async fn serve(
    _gateway: &Arc<Gateway>,
    _arrival: Arrival,
    _request: Request<Incoming>,
) -> Response<BoxBody> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
