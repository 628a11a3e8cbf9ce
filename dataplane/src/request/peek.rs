//! Step 3: the body, read up to its bound, and the few members of it that decide.
//!
//! A small body is held as a whole. Of a large one, only what the rule and its providers need is read
//! before it goes on; the rest passes.

use std::pin::{Pin, pin};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use turnpike_protocol::Head;

use super::body_rules::{Form, STALL, broken, check_size, stalled};
use super::error::{RequestError, Result};
use super::need::Need;
use super::upload::{REPLAY, Source};
use crate::budget::Charge;

/// Longest body that is read to its end before anything is sent: it could be sent again, its length is
/// known, and what is wrong with it is found before a provider sees any of it.
const SMALL: u64 = REPLAY;
/// Room made before the first byte came, whatever length was announced.
const FIRST_ROOM: u64 = 64 << 10;

/// A request's body, as far as it has been read.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is of almost every request, which shall not allocate for it"
)]
pub enum Received {
    /// All of it, and its head.
    Whole {
        bytes: Bytes,
        head: Head,
        charge: Charge,
    },
    /// A large one, whose rest is still to come.
    Begun(Box<Source>),
}

/// Reads a body of `max_bytes` at most: a small one to its end, of a large one the beginning.
///
/// Nothing is read of a body that announces itself as too long, so a client that waits for
/// `100 Continue` never sends it. A body in one piece is not copied. `note_end` is told of the end, as
/// soon as it was read, and the length.
pub async fn read<B>(
    mut body: B,
    headers: &HeaderMap,
    form: Form,
    max_bytes: u64,
    mut charge: Charge,
    note_end: impl FnOnce(u64),
) -> Result<Received>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    refuse_encoded(headers)?;
    let announced = body.size_hint().lower();
    check_size(announced, max_bytes)?;
    let exact = body.size_hint().exact();
    let (begin, is_all) = match announced > SMALL {
        true => (Bytes::new(), false),
        false => read_small(&mut body, announced, max_bytes).await?,
    };
    if is_all {
        note_end(begin.len() as u64);
    }
    charge.grow(begin.len() as u64)?;
    if !is_all {
        let source = Source::new(body, exact, begin, form, max_bytes, charge)?;
        return Ok(Received::Begun(Box::new(source)));
    }
    let head = scan(&begin, &form)?;
    Ok(Received::Whole {
        bytes: begin,
        head,
        charge,
    })
}

/// Reads to the end, or until the body is no small one, and says whether that was the end.
async fn read_small<B>(body: &mut B, announced: u64, max_bytes: u64) -> Result<(Bytes, bool)>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut body = pin!(body);
    let Some(first) = next(&mut body).await? else {
        return Ok((Bytes::new(), true));
    };
    check_size(first.len() as u64, max_bytes)?;
    if first.len() as u64 > SMALL {
        return Ok((first, false));
    }
    let Some(second) = next(&mut body).await? else {
        return Ok((first, true));
    };
    let mut whole = BytesMut::with_capacity(announced.min(max_bytes).min(FIRST_ROOM) as usize);
    whole.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        check_size((whole.len() + bytes.len()) as u64, max_bytes)?;
        whole.extend_from_slice(&bytes);
        if whole.len() as u64 > SMALL {
            return Ok((whole.freeze(), false));
        }
        piece = next(&mut body).await?;
    }
    Ok((whole.freeze(), true))
}

impl Received {
    /// What has come of the head.
    pub fn head(&self) -> &Head {
        match self {
            Received::Whole { head, .. } => head,
            Received::Begun(source) => source.head(),
        }
    }

    /// The body's length; of one that did not tell it, as far as it came.
    pub fn length(&self) -> u64 {
        match self {
            Received::Whole { bytes, .. } => bytes.len() as u64,
            Received::Begun(source) => source.least_length(),
        }
    }

    /// Refuses what is longer than its route takes.
    pub fn limit(&mut self, max_bytes: u64) -> Result<()> {
        match self {
            Received::Whole { bytes, .. } => check_size(bytes.len() as u64, max_bytes),
            Received::Begun(source) => source.limit(max_bytes),
        }
    }

    /// Reads on as far as is needed; up to `head_bytes` of what comes before the model are held.
    pub async fn read_on(self, need: Need, head_bytes: u64) -> Result<Self> {
        let Received::Begun(mut source) = self else {
            return Ok(self);
        };
        match need {
            Need::Nothing => {}
            Need::Head => source.read_head(head_bytes).await?,
            Need::Whole => {
                let (bytes, head, charge) = source.read_whole().await?;
                return Ok(Received::Whole {
                    bytes,
                    head,
                    charge,
                });
            }
        }
        Ok(Received::Begun(source))
    }
}

/// Finds the members that decide.
fn scan(body: &[u8], form: &Form) -> Result<Head> {
    let mut scanner = form.scanner();
    scanner.feed(body)?;
    let head = scanner.finish()?;
    form.check(&head)?;
    Ok(head)
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

async fn next<B>(body: &mut Pin<&mut B>) -> Result<Option<Bytes>>
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

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;
    use crate::budget::Budget;
    use crate::request::body_rules::MAX_MODEL;

    fn pieces(parts: &[&'static str]) -> impl Body<Data = Bytes, Error = std::io::Error> {
        let frames: Vec<_> = parts
            .iter()
            .map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))))
            .collect();
        StreamBody::new(stream::iter(frames))
    }

    async fn small<B: Body<Data = Bytes> + Unpin>(mut body: B, max: u64) -> Result<Bytes> {
        let (bytes, is_all) = read_small(&mut body, 0, max).await?;
        assert_eq!(is_all, bytes.len() as u64 <= SMALL);
        Ok(bytes)
    }

    async fn code_of<B: Body<Data = Bytes> + Unpin>(body: B, max: u64) -> String {
        small(body, max).await.unwrap_err().code().to_owned()
    }

    async fn read_all<B>(body: B, headers: &HeaderMap, max: u64) -> Result<Received>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        read(
            body,
            headers,
            Form::JSON,
            max,
            Budget::default().charge(),
            |_| {},
        )
        .await
    }

    #[tokio::test]
    async fn pieces_are_joined_and_one_piece_is_not_copied() {
        let whole = small(pieces(&["ab", "", "c", "de"]), 5).await;
        assert_eq!(whole.unwrap(), "abcde");
        let piece = Bytes::from(vec![b'x'; 9]);
        let read = small(Full::new(piece.clone()), 9).await;
        assert_eq!(read.unwrap().as_ptr(), piece.as_ptr());
    }

    #[tokio::test]
    async fn of_a_large_body_the_beginning_is_read_at_most() {
        let text = format!(r#"{{"model":"m","x":"{}"}}"#, "x".repeat(SMALL as usize));
        let body = Full::new(Bytes::from(text.clone()));
        let received = read_all(body, &HeaderMap::new(), 1 << 20).await.unwrap();
        let Received::Begun(source) = &received else {
            panic!("held as a whole");
        };
        assert_eq!(
            (source.received(), received.length()),
            (0, text.len() as u64)
        );
        let received = received.read_on(Need::Head, 1 << 20).await.unwrap();
        assert_eq!(received.head().model.as_ref().unwrap().value, "m");
        let received = received.read_on(Need::Whole, 1 << 20).await.unwrap();
        assert!(matches!(received, Received::Whole { bytes, .. } if bytes == text));
    }

    #[tokio::test]
    async fn a_body_that_announces_itself_as_too_long_is_not_read() {
        let body = Full::new(Bytes::from_static(b"not even JSON"));
        let refused = read_all(body, &HeaderMap::new(), 5).await;
        assert_eq!(refused.err().unwrap().code(), "request_too_large");
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
        let refused = read_all(pieces(&["x"]), &headers, 9).await;
        assert_eq!(refused.err().unwrap().status().as_u16(), 415);
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
            let error = scan(body.as_bytes(), &Form::JSON).unwrap_err();
            assert_eq!(error.code(), code, "{body}");
            assert_eq!(error.body("r").param.as_deref(), param, "{body}");
        }
        assert!(scan(br#"{"model":"m"}"#, &Form::JSON).is_ok());
        let named = |bytes: usize| format!(r#"{{"model":"{}"}}"#, "m".repeat(bytes));
        assert!(scan(named(MAX_MODEL).as_bytes(), &Form::JSON).is_ok());
        let error = scan(named(MAX_MODEL + 1).as_bytes(), &Form::JSON).unwrap_err();
        assert_eq!(error.code(), "invalid_model");
    }
}
