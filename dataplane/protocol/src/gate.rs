//! Tells an event stream from the other bodies that come where a stream was asked for: a JSON error
//! with a success status, a page of a proxy in between.

use crate::error::{classify_in_stream, tells_error};
use crate::fault::StreamFault;
use crate::json::Object;
use crate::vendor::WireProtocol;

/// JSON is kept up to here, to find the error in it.
const MAX_JSON: usize = 64 << 10;

/// Judges a body by its first byte that is not white space; white space before it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Fresh,
    Events,
    Json(Vec<u8>),
}

impl Gate {
    /// The offset from which a chunk belongs to the event stream; `None` if none of it does.
    pub(crate) fn admit(&mut self, chunk: &[u8]) -> Result<Option<usize>, StreamFault> {
        if let State::Events = self.state {
            return Ok(Some(0));
        }
        let mut start = 0;
        if let State::Fresh = self.state {
            let Some(first) = chunk.iter().position(|byte| !byte.is_ascii_whitespace()) else {
                return Ok(None);
            };
            start = first;
            match chunk[first] {
                b'{' | b'[' | b'"' => self.state = State::Json(Vec::new()),
                // A field's name, a comment, a byte order mark.
                b'a'..=b'z' | b'A'..=b'Z' | b':' | 0xEF => self.state = State::Events,
                _ => return Err(StreamFault::NotAnEventStream),
            }
        }
        match &mut self.state {
            State::Json(body) if body.len() + chunk.len() - start > MAX_JSON => {
                Err(StreamFault::NotAnEventStream)
            }
            State::Json(body) => {
                body.extend_from_slice(&chunk[start..]);
                Ok(None)
            }
            State::Fresh | State::Events => Ok(Some(start)),
        }
    }

    /// What the end of the body means if it was no event stream.
    pub(crate) fn finish(&self, protocol: WireProtocol) -> Result<(), StreamFault> {
        match &self.state {
            State::Events => Ok(()),
            State::Fresh => Err(StreamFault::Cut),
            State::Json(body) => match Object::parse(body) {
                Ok(object) if tells_error(&object) => {
                    Err(StreamFault::Provider(classify_in_stream(protocol, body)))
                }
                _ => Err(StreamFault::NotAnEventStream),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_no_field_is_no_event_stream() {
        for body in ["<html>", "%&/ not json at all", " 7", "-"] {
            let refused = Gate::default().admit(body.as_bytes());
            assert!(
                matches!(refused, Err(StreamFault::NotAnEventStream)),
                "{body}"
            );
        }
        for body in ["data: x", "\n: ping", "Event: x", "\u{feff}data: x"] {
            assert!(
                matches!(Gate::default().admit(body.as_bytes()), Ok(Some(_))),
                "{body}"
            );
        }
    }
}
