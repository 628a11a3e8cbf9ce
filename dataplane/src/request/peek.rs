//! Step 3: the body, read up to its bound, and the few members of it that decide.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use turnpike_protocol::{Head, HeadError};

use super::error::{RequestError, Result};
use crate::access_log::End;

/// Longest silence of a client that is still sending: slower than any line that works.
const STALL: Duration = Duration::from_secs(30);
/// Room made before the first byte came, whatever length was announced.
const FIRST_ROOM: u64 = 64 << 10;
/// Longest name of a model, in bytes; it stands in the log and in what is learned of models.
/// Source: Bedrock's `modelId`, the longest of any vendor.
pub(super) const MAX_MODEL: usize = 2048;

/// Reads the whole body, of `max_bytes` at most.
///
/// Nothing is read of a body that announces itself as too long, so a client that waits for
/// `100 Continue` never sends it. A body in one piece is not copied.
pub async fn read<B>(body: B, headers: &HeaderMap, max_bytes: u64) -> Result<Bytes>
where
    B: Body<Data = Bytes>,
{
    refuse_encoded(headers)?;
    let announced = body.size_hint().lower();
    check_size(announced, max_bytes)?;
    let mut body = pin!(body);
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    check_size(first.len() as u64, max_bytes)?;
    let Some(second) = next(&mut body).await? else {
        return Ok(first);
    };
    let mut whole = BytesMut::with_capacity(announced.min(max_bytes).min(FIRST_ROOM) as usize);
    whole.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        check_size((whole.len() + bytes.len()) as u64, max_bytes)?;
        whole.extend_from_slice(&bytes);
        piece = next(&mut body).await?;
    }
    Ok(whole.freeze())
}

/// Finds the members that decide; the body is one whole JSON object with a model.
pub fn scan(body: &[u8]) -> Result<Head> {
    let head = turnpike_protocol::scan(body)?;
    match &head.model {
        Some(model) if model.value.len() > MAX_MODEL => Err(RequestError::bad_request(
            "invalid_model",
            format!("the name of the model is over {MAX_MODEL} bytes"),
        )
        .param("model")),
        Some(model) if !model.value.is_empty() => Ok(head),
        _ => Err(RequestError::bad_request(
            "missing_model",
            "the request names no model; set \"model\"",
        )
        .param("model")),
    }
}

/// Refuses what is longer than a route takes.
pub fn check_size(bytes: u64, max_bytes: u64) -> Result<()> {
    if bytes <= max_bytes {
        return Ok(());
    }
    Err(RequestError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "request_too_large",
        format!("the request body is over {max_bytes} bytes, the maxBodyBytes of this route"),
    ))
}

fn refuse_encoded(headers: &HeaderMap) -> Result<()> {
    let plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        return Ok(());
    }
    Err(RequestError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_content_encoding",
        "compressed request bodies are not taken; send the body without content-encoding",
    ))
}

async fn next<B>(body: &mut std::pin::Pin<&mut B>) -> Result<Option<Bytes>>
where
    B: Body<Data = Bytes>,
{
    loop {
        let frame = tokio::time::timeout(STALL, body.frame()).await;
        match frame.map_err(|_| stalled())? {
            None => return Ok(None),
            Some(Err(_)) => return Err(broken()),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                // Trailers carry nothing for us; identity in them is no identity.
                Err(_) => {}
            },
        }
    }
}

fn stalled() -> RequestError {
    RequestError::new(
        StatusCode::REQUEST_TIMEOUT,
        "request_body_timeout",
        format!("the request body made no progress for {STALL:?}"),
    )
}

fn broken() -> RequestError {
    RequestError::bad_request(
        "incomplete_body",
        "the request body broke off before its end",
    )
    .ended(End::ClientGone)
}

impl From<HeadError> for RequestError {
    fn from(fault: HeadError) -> Self {
        let code = match fault {
            HeadError::NotJson { .. } | HeadError::NotObject => "invalid_json",
            HeadError::Duplicate { .. } => "duplicate_member",
            HeadError::ModelTooLong { .. } => "invalid_model",
            HeadError::WrongType { .. } => "invalid_type",
        };
        let error = Self::bad_request(code, fault.to_string());
        match fault.param() {
            Some(param) => error.param(param),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn pieces(parts: &[&'static str]) -> impl Body<Data = Bytes, Error = std::io::Error> {
        let frames: Vec<_> = parts
            .iter()
            .map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))))
            .collect();
        StreamBody::new(stream::iter(frames))
    }

    async fn code_of<B: Body<Data = Bytes>>(body: B, max: u64) -> String {
        let error = read(body, &HeaderMap::new(), max).await.unwrap_err();
        error.code().to_owned()
    }

    #[tokio::test]
    async fn pieces_are_joined_and_one_piece_is_not_copied() {
        let whole = read(pieces(&["ab", "", "c", "de"]), &HeaderMap::new(), 5).await;
        assert_eq!(whole.unwrap(), "abcde");
        let piece = Bytes::from(vec![b'x'; 9]);
        let read = read(Full::new(piece.clone()), &HeaderMap::new(), 9).await;
        assert_eq!(read.unwrap().as_ptr(), piece.as_ptr());
    }

    #[tokio::test]
    async fn a_body_over_the_bound_is_refused_announced_or_not() {
        assert_eq!(
            code_of(Full::new(Bytes::from_static(b"abc")), 2).await,
            "request_too_large"
        );
        assert_eq!(
            code_of(pieces(&["a", "b", "c"]), 2).await,
            "request_too_large"
        );
        assert_eq!(code_of(pieces(&["abc"]), 2).await, "request_too_large");
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused() {
        let headers =
            HeaderMap::from_iter([(CONTENT_ENCODING, http::HeaderValue::from_static("gzip"))]);
        let error = read(pieces(&["x"]), &headers, 9).await.unwrap_err();
        assert_eq!(error.status().as_u16(), 415);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_sending_is_told_so() {
        let body = StreamBody::new(
            stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(
                b"{",
            )))])
            .chain(stream::pending()),
        );
        assert_eq!(code_of(body, 9).await, "request_body_timeout");
    }

    #[test]
    fn what_decides_must_be_there_once() {
        for (body, code, param) in [
            ("", "invalid_json", None),
            ("[]", "invalid_json", None),
            ("{", "invalid_json", None),
            ("{}", "missing_model", Some("model")),
            (r#"{"model":""}"#, "missing_model", Some("model")),
            (r#"{"model":null}"#, "missing_model", Some("model")),
            (r#"{"model":1}"#, "invalid_type", Some("model")),
            (
                r#"{"model":"a","model":"b"}"#,
                "duplicate_member",
                Some("model"),
            ),
        ] {
            let error = scan(body.as_bytes()).unwrap_err();
            assert_eq!(error.code(), code, "{body}");
            assert_eq!(error.body("r").param.as_deref(), param, "{body}");
        }
        assert!(scan(br#"{"model":"m"}"#).is_ok());
        let named = |bytes: usize| format!(r#"{{"model":"{}"}}"#, "m".repeat(bytes));
        assert!(scan(named(MAX_MODEL).as_bytes()).is_ok());
        let error = scan(named(MAX_MODEL + 1).as_bytes()).unwrap_err();
        assert_eq!(error.code(), "invalid_model");
    }
}
