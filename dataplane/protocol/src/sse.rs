//! Splits a byte stream into server-sent events: the one framer for all protocols.
//!
//! Finding where events end ([`Framer`]) is apart from reading their fields ([`fields`]), since most
//! events that pass through are never read.
//! Source: WHATWG HTML, "Server-sent events", section "Interpreting an event stream".

use std::borrow::Cow;

use memchr::memchr2;

/// Finds the ends of events in chunks of any size, cut anywhere, even between CR and LF.
///
/// Lines end with LF, CRLF or CR; an event ends with its blank line, which belongs to it.
/// Bounds: holds at most one unfinished event of at most `max_event` bytes; an event that lies within
/// one chunk is not copied. The buffer is kept from event to event.
#[derive(Debug)]
pub struct Framer {
    max_event: usize,
    /// The bytes so far of an event that began in an earlier chunk.
    carry: Vec<u8>,
    carry_is_done: bool,
    /// The bytes of the unfinished event exceeded the bound and are no longer kept.
    is_overlong: bool,
    line_is_empty: bool,
    /// The last byte was a CR: an LF right after it belongs to the same line end.
    after_cr: bool,
    /// The last event ended with that CR.
    ended_by_cr: bool,
    is_first: bool,
}

/// What [`Framer::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// An event is whole; `end` is the offset in the chunk just after it.
    Event {
        /// The event with its blank line, without a byte order mark; `None` if it was over the bound.
        bytes: Option<&'a [u8]>,
        /// The offset in the chunk just after the event.
        end: usize,
    },
    /// One LF that belongs to the event before (its CR ended the chunk before).
    Rest {
        /// The offset in the chunk just after it.
        end: usize,
    },
    /// The chunk is used up; what is left of it is the start of an event, or nothing.
    Partial {
        /// Whether the unfinished event has just gone, or had gone, over the bound.
        is_overlong: bool,
    },
}

impl Framer {
    /// A framer that keeps at most `max_event` bytes of an event.
    pub fn new(max_event: usize) -> Self {
        Self {
            max_event,
            carry: Vec::new(),
            carry_is_done: false,
            is_overlong: false,
            line_is_empty: true,
            after_cr: false,
            ended_by_cr: false,
            is_first: true,
        }
    }

    /// Finds the next event of `chunk`, reading on at `at`.
    ///
    /// Call it with `at` = 0, then with each `end`, until it says [`Step::Partial`].
    pub fn next<'a>(&'a mut self, chunk: &'a [u8], at: usize) -> Step<'a> {
        self.drop_done_carry();
        if self.ended_by_cr && at < chunk.len() {
            self.ended_by_cr = false;
            if chunk[at] == b'\n' {
                self.after_cr = false;
                return Step::Rest { end: at + 1 };
            }
        }
        match self.find_end(&chunk[at..]) {
            Some(length) => self.complete(&chunk[at..at + length], at + length),
            None => {
                self.keep(&chunk[at..]);
                Step::Partial {
                    is_overlong: self.is_overlong,
                }
            }
        }
    }

    /// The bytes of an event that the stream's end left unfinished; empty if there is none, or it was
    /// over the bound.
    pub fn unfinished(&mut self) -> &[u8] {
        self.drop_done_carry();
        let is_first = self.is_first;
        without_mark(&self.carry, is_first)
    }

    /// Bytes that are held of an unfinished event.
    pub fn held(&self) -> usize {
        if self.carry_is_done {
            0
        } else {
            self.carry.len()
        }
    }

    /// Whether an event has begun and not ended.
    pub fn is_mid_event(&self) -> bool {
        self.is_overlong || !(self.carry_is_done || self.carry.is_empty())
    }

    fn complete<'a>(&'a mut self, tail: &'a [u8], end: usize) -> Step<'a> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        if self.carry.is_empty() && !self.is_overlong && tail.len() <= self.max_event {
            return Step::Event {
                bytes: Some(without_mark(tail, is_first)),
                end,
            };
        }
        self.keep(tail);
        self.carry_is_done = true;
        if std::mem::replace(&mut self.is_overlong, false) {
            return Step::Event { bytes: None, end };
        }
        Step::Event {
            bytes: Some(without_mark(&self.carry, is_first)),
            end,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.is_overlong || self.carry.len() + bytes.len() > self.max_event {
            self.is_overlong = true;
            self.carry = Vec::new();
        } else {
            self.carry.extend_from_slice(bytes);
        }
    }

    fn drop_done_carry(&mut self) {
        if std::mem::replace(&mut self.carry_is_done, false) {
            self.carry.clear();
        }
    }

    /// The length up to and including the blank line that ends the event.
    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        if self.after_cr && bytes.first() == Some(&b'\n') {
            at = 1;
        }
        if !bytes.is_empty() {
            self.after_cr = false;
        }
        while let Some(length) = memchr2(b'\n', b'\r', &bytes[at..]) {
            let is_blank = self.line_is_empty && length == 0;
            let is_cr = bytes[at + length] == b'\r';
            at += length + 1;
            self.line_is_empty = true;
            if is_cr && bytes.get(at) == Some(&b'\n') {
                at += 1;
            } else if is_cr && at == bytes.len() {
                self.after_cr = true;
            }
            if is_blank {
                self.ended_by_cr = self.after_cr;
                return Some(at);
            }
        }
        self.line_is_empty &= at == bytes.len();
        None
    }
}

fn without_mark(bytes: &[u8], is_first: bool) -> &[u8] {
    if is_first {
        bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
    } else {
        bytes
    }
}

/// The fields of an event that protocols use.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// The last `event` field.
    pub event: Option<&'a [u8]>,
    /// The `data` fields joined by LF; borrowed where there is one. `None` if there is none.
    pub data: Option<Cow<'a, [u8]>>,
}

/// Reads the fields of an event. Comments, ids, retry times and unknown fields are skipped.
pub fn fields(event: &[u8]) -> Fields<'_> {
    let mut fields = Fields::default();
    let mut rest = event;
    while !rest.is_empty() {
        let length = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(length);
        rest = tail.strip_prefix(b"\r\n").or(tail.get(1..)).unwrap_or(&[]);
        let colon = memchr::memchr(b':', line);
        let (name, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &line[..0]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => fields.event = Some(value),
            b"data" => match &mut fields.data {
                None => fields.data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            _ => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests;
