//! Makes one chunk of the neighbouring chunks that one read brought. Pure.
//!
//! A provider that flushes each event sends it as a chunk of its own (RFC 9112 §7.1). hyper hands
//! each chunk over by itself, which costs a change of task and a write to the client; in a burst that
//! is several times what the bytes cost. Whatever is already here is handed over together instead;
//! nothing is ever waited for, and nothing held back.
//!
//! Follows the answers of a connection so far as to know where chunks begin. Bytes that make no sense
//! pass as they are from then on: it is hyper that judges them.

use memchr::memchr;

/// A head longer than that is hyper's to refuse.
const MAX_HEAD: usize = 64 << 10;
/// How every answer begins; nothing else is followed.
const START: &[u8] = b"HTTP/1.";

/// Follows the answers of one HTTP/1.1 connection.
#[derive(Debug)]
pub(super) struct ChunkMerger {
    state: State,
}

#[derive(Debug)]
enum State {
    /// In an answer's head; what of it came in earlier reads.
    Head(Vec<u8>),
    /// In a body whose length its head told; so much is to come.
    Sized(u64),
    /// In the line that tells a chunk's size.
    Size(SizeLine),
    /// In a chunk, its line end included; so much is to come.
    Data(u64),
    /// In the lines after the last chunk; the length of the line so far.
    Trailers(usize),
    /// Nothing is followed any more.
    Opaque,
}

/// The line before a chunk's data, as far as it came.
#[derive(Clone, Copy, Debug, Default)]
struct SizeLine {
    size: u64,
    digits: u8,
    /// Past the digits: an extension, or the CR.
    is_past: bool,
}

/// How a head says that its body ends.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    Sized(u64),
    /// By the end of the connection, or it is no answer any more.
    Other,
}

/// Chunks that lay whole in one read, side by side.
#[derive(Debug)]
struct Run {
    /// Where the data begins that was drawn together.
    start: usize,
    /// How much that is.
    data: usize,
    /// Where the last chunk ended.
    end: usize,
}

impl ChunkMerger {
    /// A connection on which nothing has come yet.
    pub(super) fn new() -> Self {
        Self {
            state: State::Head(Vec::new()),
        }
    }

    /// A connection that is not HTTP/1.1.
    pub(super) fn opaque() -> Self {
        Self {
            state: State::Opaque,
        }
    }

    /// Takes what a read brought; what is left for the reader, of the length that is returned, stands
    /// at the beginning. Never more than came, and never nothing of something.
    pub(super) fn merge(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut out) = (0, 0);
        while at < bytes.len() {
            if let State::Size(line) = &self.state
                && line.is_fresh()
                && let Some(run) = draw_together(bytes, at)
            {
                at = run.end;
                out = run.write(bytes, out);
                continue;
            }
            let end = at + self.pass(&bytes[at..]);
            bytes.copy_within(at..end, out);
            out += end - at;
            at = end;
        }
        out
    }

    /// Follows bytes that pass as they are, up to where chunks may begin; how many these are.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        match &mut self.state {
            State::Opaque => bytes.len(),
            State::Head(seen) => {
                let (length, next) = pass_head(seen, bytes);
                self.state = next.unwrap_or_else(|| State::Head(std::mem::take(seen)));
                length
            }
            State::Sized(left) => {
                let length = take(left, bytes.len());
                if *left == 0 {
                    self.state = State::Head(Vec::new());
                }
                length
            }
            State::Data(left) => {
                let length = take(left, bytes.len());
                if *left == 0 {
                    self.state = State::Size(SizeLine::default());
                }
                length
            }
            State::Size(line) => {
                let (length, told) = line.read(bytes);
                match told {
                    None => {}
                    Some(Ok(0)) => self.state = State::Trailers(0),
                    Some(Ok(size)) => self.state = State::Data(size.saturating_add(2)),
                    Some(Err(())) => self.state = State::Opaque,
                }
                length
            }
            State::Trailers(line) => {
                let Some(length) = memchr(b'\n', bytes) else {
                    *line += bytes.len();
                    return bytes.len();
                };
                let is_empty = *line + length == 0 || (*line + length == 1 && is_cr(bytes, length));
                *line = 0;
                if is_empty {
                    self.state = State::Head(Vec::new());
                }
                length + 1
            }
        }
    }
}

/// The CR of an empty line may have come before.
fn is_cr(bytes: &[u8], length: usize) -> bool {
    length == 0 || bytes[0] == b'\r'
}

fn take(left: &mut u64, available: usize) -> usize {
    let length = usize::try_from(*left).map_or(available, |left| left.min(available));
    *left -= length as u64;
    length
}

/// The length of what belongs to the head, and what follows it if it is whole.
fn pass_head(seen: &mut Vec<u8>, bytes: &[u8]) -> (usize, Option<State>) {
    let before = seen.len();
    let known = START.len().min(bytes.len());
    if before == 0 && bytes[..known] != START[..known] {
        return (bytes.len(), Some(State::Opaque));
    }
    // The usual head comes in one read and is looked at where it lies.
    if before == 0
        && let Some(length) = head_length(bytes)
    {
        return (length, Some(after_head(&bytes[..length])));
    }
    if before + bytes.len() > MAX_HEAD {
        return (bytes.len(), Some(State::Opaque));
    }
    seen.extend_from_slice(bytes);
    match head_length(seen) {
        None => (bytes.len(), None),
        Some(length) => (length - before, Some(after_head(&seen[..length]))),
    }
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    Some(end + 4)
}

fn after_head(head: &[u8]) -> State {
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| line.get(9..12));
    match status {
        Some(b"101") | None => State::Opaque,
        Some(b"204" | b"304" | [b'1', ..]) => State::Head(Vec::new()),
        Some(_) => match framing(lines) {
            Framing::Chunked => State::Size(SizeLine::default()),
            Framing::Sized(0) => State::Head(Vec::new()),
            Framing::Sized(length) => State::Sized(length),
            Framing::Other => State::Opaque,
        },
    }
}

/// Source: RFC 9112 §6.3. What comes twice, or both ways, is not followed.
fn framing<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Framing {
    let mut found = None;
    for line in lines {
        let Some(colon) = memchr(b':', line) else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let told = if name.eq_ignore_ascii_case(b"transfer-encoding") {
            match value.eq_ignore_ascii_case(b"chunked") {
                true => Framing::Chunked,
                false => Framing::Other,
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value)
                .ok()
                .and_then(|it| it.parse().ok());
            length.map_or(Framing::Other, Framing::Sized)
        } else {
            continue;
        };
        if found.replace(told).is_some() {
            return Framing::Other;
        }
    }
    found.unwrap_or(Framing::Other)
}

impl SizeLine {
    fn is_fresh(&self) -> bool {
        self.digits == 0 && !self.is_past
    }

    /// Reads on; how many bytes belong to the line, and the size once the line is whole.
    fn read(&mut self, bytes: &[u8]) -> (usize, Option<Result<u64, ()>>) {
        for (at, byte) in bytes.iter().enumerate() {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                b'A'..=b'F' => byte - b'A' + 10,
                b'\n' if self.is_past => return (at + 1, Some(Ok(self.size))),
                b'\r' | b';' | b' ' | b'\t' if self.digits > 0 => {
                    self.is_past = true;
                    continue;
                }
                _ if self.is_past => continue,
                _ => return (bytes.len(), Some(Err(()))),
            };
            if self.is_past {
                continue;
            }
            if self.digits == 16 {
                return (bytes.len(), Some(Err(())));
            }
            self.size = self.size << 4 | u64::from(digit);
            self.digits += 1;
        }
        (bytes.len(), None)
    }
}

/// Where the data of a whole chunk begins and ends, if it begins at `at` and has data.
fn whole_chunk(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let (line, told) = SizeLine::default().read(&bytes[at..]);
    let size = usize::try_from(told?.ok()?).ok().filter(|size| *size > 0)?;
    let data = at + line;
    let end = data.checked_add(size)?;
    (bytes.get(end..end.checked_add(2)?)? == b"\r\n").then_some((data, end))
}

/// Two or more whole chunks from `at` on, their data drawn together behind the first one's size. An
/// extension, which nobody uses, ends a run.
fn draw_together(bytes: &mut [u8], at: usize) -> Option<Run> {
    let (start, first_end) = plain_chunk(bytes, at)?;
    let mut run = Run {
        start,
        data: first_end - start,
        end: first_end + 2,
    };
    let (mut start, mut end) = plain_chunk(bytes, run.end)?;
    loop {
        bytes.copy_within(start..end, run.start + run.data);
        run.data += end - start;
        run.end = end + 2;
        match plain_chunk(bytes, run.end) {
            Some(next) => (start, end) = next,
            None => return Some(run),
        }
    }
}

fn plain_chunk(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let (start, end) = whole_chunk(bytes, at)?;
    memchr(b';', &bytes[at..start])
        .is_none()
        .then_some((start, end))
}

impl Run {
    /// Writes them as one chunk at `out`, which is not behind them; the offset after it.
    ///
    /// One chunk's frame is never longer than two: there is always room.
    fn write(&self, bytes: &mut [u8], out: usize) -> usize {
        let mut line = [0; 18];
        let line = size_line(self.data, &mut line);
        let data = out + line.len();
        let end = data + self.data;
        bytes.copy_within(self.start..self.start + self.data, data);
        bytes[out..data].copy_from_slice(line);
        bytes[end..end + 2].copy_from_slice(b"\r\n");
        end + 2
    }
}

fn size_line(size: usize, buffer: &mut [u8; 18]) -> &[u8] {
    let mut start = buffer.len() - 2;
    buffer[start..].copy_from_slice(b"\r\n");
    let mut left = size;
    while left > 0 {
        start -= 1;
        buffer[start] = b"0123456789abcdef"[left & 15];
        left >>= 4;
    }
    &buffer[start..]
}

#[cfg(test)]
mod tests;
