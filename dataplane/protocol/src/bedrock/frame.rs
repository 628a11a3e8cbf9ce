//! Splits a body into the messages of AWS's binary event stream.
//!
//! ```text
//! total length u32 | headers length u32 | CRC-32 of these 8 bytes | headers | payload | CRC-32 of all before
//! ```
//! Source: docs.aws.amazon.com, "Event stream encoding" (Amazon Transcribe and Lex developer guides;
//! Smithy, "Amazon Event Stream Specification").

use crate::exchange::events::MAX_EVENT;
use crate::fault::StreamFault;

/// Both lengths and their checksum.
const PRELUDE: usize = 12;
/// A message without headers and payload: the prelude and the checksum of the message.
const EMPTY: usize = PRELUDE + 4;

/// Cuts messages out of chunks of any size.
///
/// In: chunks, cut anywhere. Out: one message at a time, both its checksums verified.
/// Bounds: holds at most one unfinished message of up to 16 MiB, and grows as bytes come, not as a
/// length promises; a message that lies whole in a chunk is not copied.
/// Errors: `Malformed` for a checksum that does not match, for lengths or headers that cannot be;
/// `EventTooLong`. None of them depends on where chunks are cut.
#[derive(Debug, Default)]
pub(super) struct Framer {
    held: Vec<u8>,
    /// What is held was handed out by the last call.
    is_given: bool,
}

/// One message, its checksums verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) headers: Headers<'a>,
    pub(super) payload: &'a [u8],
}

/// The headers that say what a message is; all of them strings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Headers<'a> {
    pub(super) message_type: Option<&'a str>,
    pub(super) event_type: Option<&'a str>,
    pub(super) exception_type: Option<&'a str>,
    pub(super) error_code: Option<&'a str>,
    pub(super) error_message: Option<&'a str>,
}

impl Framer {
    /// The next message of `chunk` from `at` on, and where it ends. `None`: the rest of the chunk is
    /// held until more comes.
    pub(super) fn next<'a>(
        &'a mut self,
        chunk: &'a [u8],
        at: usize,
    ) -> Result<Option<(Message<'a>, usize)>, StreamFault> {
        if std::mem::take(&mut self.is_given) {
            self.held.clear();
        }
        let rest = chunk.get(at..).unwrap_or_default();
        if self.held.is_empty() {
            if let Some(length) = message_length(rest)?
                && let Some(bytes) = rest.get(..length)
            {
                return Ok(Some((message(bytes)?, at + length)));
            }
            self.held.extend_from_slice(rest);
            return Ok(None);
        }
        let prelude = self.fill(rest, PRELUDE);
        let Some(length) = message_length(&self.held)? else {
            return Ok(None);
        };
        let taken = prelude + self.fill(rest.get(prelude..).unwrap_or_default(), length);
        if self.held.len() < length {
            return Ok(None);
        }
        self.is_given = true;
        Ok(Some((message(&self.held)?, at + taken)))
    }

    /// Bytes held of a message that has begun and not ended.
    pub(super) fn held(&self) -> usize {
        if self.is_given { 0 } else { self.held.len() }
    }

    /// Takes what is missing up to `length`; says how much that was.
    fn fill(&mut self, from: &[u8], length: usize) -> usize {
        let count = length.saturating_sub(self.held.len()).min(from.len());
        self.held
            .extend_from_slice(from.get(..count).unwrap_or_default());
        count
    }
}

/// The length of the message that begins here, once its prelude is there.
fn message_length(bytes: &[u8]) -> Result<Option<usize>, StreamFault> {
    let Some((prelude, _)) = bytes.split_first_chunk::<PRELUDE>() else {
        return Ok(None);
    };
    let (lengths, checksum) = prelude.split_at(8);
    verify(
        lengths,
        checksum,
        "a frame's prelude does not match its checksum",
    )?;
    let (total, headers) = lengths_of(prelude);
    if total > MAX_EVENT {
        return Err(StreamFault::EventTooLong { limit: MAX_EVENT });
    }
    if total < EMPTY || headers > total - EMPTY {
        return Err(StreamFault::Malformed("a frame's lengths cannot be"));
    }
    Ok(Some(total))
}

fn lengths_of(prelude: &[u8; PRELUDE]) -> (usize, usize) {
    let [t0, t1, t2, t3, h0, h1, h2, h3, ..] = *prelude;
    let length = |bytes| u32::from_be_bytes(bytes) as usize;
    (length([t0, t1, t2, t3]), length([h0, h1, h2, h3]))
}

fn verify(bytes: &[u8], checksum: &[u8], fault: &'static str) -> Result<(), StreamFault> {
    match crc32fast::hash(bytes).to_be_bytes() == checksum {
        true => Ok(()),
        false => Err(StreamFault::Malformed(fault)),
    }
}

/// Opens a whole message whose prelude is verified.
fn message(bytes: &[u8]) -> Result<Message<'_>, StreamFault> {
    const TORN: StreamFault = StreamFault::Malformed("a frame's lengths cannot be");
    let (checked, checksum) = bytes.split_last_chunk::<4>().ok_or(TORN)?;
    verify(checked, checksum, "a frame does not match its checksum")?;
    let (prelude, content) = checked.split_first_chunk::<PRELUDE>().ok_or(TORN)?;
    let (_, length) = lengths_of(prelude);
    let (headers, payload) = content.split_at_checked(length).ok_or(TORN)?;
    let headers =
        Headers::read(headers).ok_or(StreamFault::Malformed("a frame's headers cannot be"))?;
    Ok(Message { headers, payload })
}

impl<'a> Headers<'a> {
    /// Reads all headers: `name length u8 | name | type u8 | value`. `None`: they cannot be.
    fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut headers = Headers::default();
        while !bytes.is_empty() {
            let length = usize::from(take(&mut bytes, 1)?[0]);
            let name = take(&mut bytes, length)?;
            let kind = take(&mut bytes, 1)?[0];
            let value = value(&mut bytes, kind)?;
            if kind == STRING {
                headers.set(name, str::from_utf8(value).ok()?);
            }
        }
        Some(headers)
    }

    fn set(&mut self, name: &[u8], value: &'a str) {
        let slot = match name {
            b":message-type" => &mut self.message_type,
            b":event-type" => &mut self.event_type,
            b":exception-type" => &mut self.exception_type,
            b":error-code" => &mut self.error_code,
            b":error-message" => &mut self.error_message,
            _ => return,
        };
        *slot = Some(value);
    }
}

/// The type of a header whose value is text.
const STRING: u8 = 7;

fn value<'a>(bytes: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let length = match kind {
        // True and false.
        0 | 1 => 0,
        // Numbers of 8 to 64 bits.
        2 => 1,
        3 => 2,
        4 => 4,
        5 => 8,
        // Bytes and text.
        6 | STRING => usize::from(u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?)),
        // A time.
        8 => 8,
        // A UUID.
        9 => 16,
        _ => return None,
    };
    take(bytes, length)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests;
