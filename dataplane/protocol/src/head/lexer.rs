//! The tokens of one JSON text that comes in chunks of any size, cut anywhere.
//!
//! Checks the grammar (RFC 8259) and nothing more: strings that nobody asks for are not decoded, nor
//! is their UTF-8 looked at. Holds one bit a level of nesting, and nothing of the text.

use memchr::memchr2;

/// More than any request needs, so that brackets alone cannot make a state of any size: 128 KiB.
const MAX_DEPTH: usize = 1 << 20;
/// Words of eight bytes that are looked at one by one, since most strings are short; a long one is left
/// to vectors.
const WORDS: usize = 8;

/// What comes next in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A `{` or `[` was read.
    Open(Bracket),
    /// A `}` or `]` was read.
    Close(Bracket),
    /// The first byte of a member's name or of a value was read.
    Begin(Kind),
    /// All bytes of it were read.
    End(Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bracket {
    Object,
    Array,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The name of a member.
    Key,
    /// A string.
    Text,
    /// A number, `true`, `false` or `null`.
    Bare,
}

/// The byte of the chunk that may not stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) reason: &'static str,
}

#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    nesting: Nesting,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Value,
    /// After `[`.
    FirstValue,
    /// After `,` in an object.
    Key,
    /// After `{`.
    FirstKey,
    Colon,
    /// After a value, within something.
    After,
    Text(Kind, Escape),
    Number(Digits),
    /// So many letters of it were read.
    Literal(Literal, u8),
    Over,
}

#[derive(Debug, Clone, Copy)]
enum Literal {
    True,
    False,
    Null,
}

#[derive(Debug, Clone, Copy)]
enum Escape {
    None,
    /// After a backslash.
    Begun,
    /// So many hexadecimal digits are missing.
    Hex(u8),
}

/// What was last read of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digits {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Lexer {
    pub(super) fn new() -> Self {
        Self {
            state: State::Value,
            nesting: Nesting::default(),
        }
    }

    /// How many brackets are open.
    pub(super) fn depth(&self) -> usize {
        self.nesting.depth
    }

    /// Whether the text is complete.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Reads on at `at`, which is moved, up to the next event that is within `depth` brackets at the
    /// most; `None`: the chunk is used up.
    ///
    /// After `Open`, `Close` and `Begin` the byte before `at` is the one meant; after `End` the
    /// token ends before `at`.
    pub(super) fn next(
        &mut self,
        chunk: &[u8],
        at: &mut usize,
        depth: usize,
    ) -> Result<Option<Event>, Fault> {
        loop {
            let event = self.read(chunk, at)?;
            // A bracket is not within itself.
            let within = match event {
                Some(Event::Open(_)) => self.nesting.depth - 1,
                Some(_) => self.nesting.depth,
                None => return Ok(None),
            };
            if within <= depth {
                return Ok(event);
            }
        }
    }

    #[inline]
    fn read(&mut self, chunk: &[u8], at: &mut usize) -> Result<Option<Event>, Fault> {
        loop {
            match self.state {
                State::Text(kind, escape) => return self.text(chunk, at, kind, escape),
                State::Number(digits) => return self.number(chunk, at, digits),
                State::Literal(literal, read) => return self.literal(chunk, at, literal, read),
                _ => {}
            }
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            while chunk.get(*at).is_some_and(blank) {
                *at += 1;
            }
            let Some(&byte) = chunk.get(*at) else {
                return Ok(None);
            };
            *at += 1;
            match (self.state, byte) {
                (State::Key | State::FirstKey, b'"') => return Ok(Some(self.begin(Kind::Key))),
                (State::Colon, b':') => self.state = State::Value,
                (State::After, b',') if self.nesting.is_object() => self.state = State::Key,
                (State::After, b',') => self.state = State::Value,
                (State::FirstKey, b'}') => return Ok(Some(self.close(Bracket::Object))),
                (State::FirstValue, b']') => return Ok(Some(self.close(Bracket::Array))),
                (State::After, b'}') if self.nesting.is_object() => {
                    return Ok(Some(self.close(Bracket::Object)));
                }
                (State::After, b']') if !self.nesting.is_object() => {
                    return Ok(Some(self.close(Bracket::Array)));
                }
                (State::Value | State::FirstValue, byte) => {
                    return self.value(byte, *at - 1).map(Some);
                }
                (state, _) => {
                    let reason = state.expected(self.nesting.is_object());
                    return Err(Fault {
                        at: *at - 1,
                        reason,
                    });
                }
            }
        }
    }

    fn value(&mut self, byte: u8, at: usize) -> Result<Event, Fault> {
        self.state = match byte {
            b'"' => return Ok(self.begin(Kind::Text)),
            b'{' => return self.open(Bracket::Object, at),
            b'[' => return self.open(Bracket::Array, at),
            b'-' => State::Number(Digits::Minus),
            b'0' => State::Number(Digits::Zero),
            b'1'..=b'9' => State::Number(Digits::Whole),
            b't' => State::Literal(Literal::True, 1),
            b'f' => State::Literal(Literal::False, 1),
            b'n' => State::Literal(Literal::Null, 1),
            _ => {
                let reason = State::Value.expected(false);
                return Err(Fault { at, reason });
            }
        };
        Ok(Event::Begin(Kind::Bare))
    }

    fn begin(&mut self, kind: Kind) -> Event {
        self.state = State::Text(kind, Escape::None);
        Event::Begin(kind)
    }

    fn end(&mut self, kind: Kind) -> Event {
        self.state = match kind {
            Kind::Key => State::Colon,
            Kind::Text | Kind::Bare if self.nesting.depth == 0 => State::Over,
            Kind::Text | Kind::Bare => State::After,
        };
        Event::End(kind)
    }

    fn open(&mut self, bracket: Bracket, at: usize) -> Result<Event, Fault> {
        if self.nesting.depth == MAX_DEPTH {
            let reason = "it is nested too deeply";
            return Err(Fault { at, reason });
        }
        self.nesting.push(bracket == Bracket::Object);
        self.state = match bracket {
            Bracket::Object => State::FirstKey,
            Bracket::Array => State::FirstValue,
        };
        Ok(Event::Open(bracket))
    }

    fn close(&mut self, bracket: Bracket) -> Event {
        self.nesting.pop();
        self.state = match self.nesting.depth {
            0 => State::Over,
            _ => State::After,
        };
        Event::Close(bracket)
    }

    fn text(
        &mut self,
        chunk: &[u8],
        at: &mut usize,
        kind: Kind,
        mut escape: Escape,
    ) -> Result<Option<Event>, Fault> {
        loop {
            match escape {
                Escape::None => {
                    *at += plain(&chunk[*at..]);
                    match chunk.get(*at) {
                        None => break,
                        Some(b'"') => {
                            *at += 1;
                            return Ok(Some(self.end(kind)));
                        }
                        Some(b'\\') => match whole_escapes(&chunk[*at..]) {
                            0 => {
                                *at += 1;
                                escape = Escape::Begun;
                            }
                            length => *at += length,
                        },
                        Some(_) => {
                            let reason = "a control character in a string must be escaped";
                            return Err(Fault { at: *at, reason });
                        }
                    }
                }
                Escape::Begun => {
                    escape = match chunk.get(*at) {
                        None => break,
                        Some(b'u') => Escape::Hex(4),
                        Some(byte) if is_short_escape(*byte) => Escape::None,
                        Some(_) => return Err(bad_escape(*at)),
                    };
                    *at += 1;
                }
                Escape::Hex(missing) => {
                    escape = match chunk.get(*at) {
                        None => break,
                        Some(byte) if !byte.is_ascii_hexdigit() => return Err(bad_escape(*at)),
                        Some(_) if missing == 1 => Escape::None,
                        Some(_) => Escape::Hex(missing - 1),
                    };
                    *at += 1;
                }
            }
        }
        self.state = State::Text(kind, escape);
        Ok(None)
    }

    fn number(
        &mut self,
        chunk: &[u8],
        at: &mut usize,
        mut digits: Digits,
    ) -> Result<Option<Event>, Fault> {
        while let Some(&byte) = chunk.get(*at) {
            digits = match (digits, byte) {
                (Digits::Minus, b'0') => Digits::Zero,
                (Digits::Minus | Digits::Whole, b'0'..=b'9') => Digits::Whole,
                (Digits::Zero | Digits::Whole, b'.') => Digits::Point,
                (Digits::Point | Digits::Fraction, b'0'..=b'9') => Digits::Fraction,
                (Digits::Zero | Digits::Whole | Digits::Fraction, b'e' | b'E') => Digits::E,
                (Digits::E, b'+' | b'-') => Digits::Sign,
                (Digits::E | Digits::Sign | Digits::Exponent, b'0'..=b'9') => Digits::Exponent,
                (Digits::Zero, b'0'..=b'9') => {
                    let reason = "a number begins with a zero";
                    return Err(Fault { at: *at, reason });
                }
                (Digits::Zero | Digits::Whole | Digits::Fraction | Digits::Exponent, _) => {
                    return Ok(Some(self.end(Kind::Bare)));
                }
                _ => {
                    let reason = "a digit is expected";
                    return Err(Fault { at: *at, reason });
                }
            };
            *at += 1;
        }
        self.state = State::Number(digits);
        Ok(None)
    }

    fn literal(
        &mut self,
        chunk: &[u8],
        at: &mut usize,
        literal: Literal,
        mut read: u8,
    ) -> Result<Option<Event>, Fault> {
        let letters = literal.letters();
        while let Some(expected) = letters.get(usize::from(read)) {
            match chunk.get(*at) {
                None => {
                    self.state = State::Literal(literal, read);
                    return Ok(None);
                }
                Some(byte) if byte == expected => *at += 1,
                Some(_) => {
                    let reason = State::Value.expected(false);
                    return Err(Fault { at: *at, reason });
                }
            }
            read += 1;
        }
        Ok(Some(self.end(Kind::Bare)))
    }
}

impl Literal {
    fn letters(self) -> &'static [u8] {
        match self {
            Literal::True => b"true",
            Literal::False => b"false",
            Literal::Null => b"null",
        }
    }
}

impl State {
    fn expected(self, is_in_object: bool) -> &'static str {
        match self {
            State::Key | State::FirstKey => "a member's name is expected",
            State::Colon => "a colon is expected",
            State::After if is_in_object => "a comma or } is expected",
            State::After => "a comma or ] is expected",
            State::Over => "it goes on after its end",
            _ => "a value is expected",
        }
    }
}

fn bad_escape(at: usize) -> Fault {
    let reason = "there is no such escape";
    Fault { at, reason }
}

fn is_short_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
}

const HEX_DIGITS: [bool; 256] = {
    let mut digits = [false; 256];
    let mut byte = 0;
    while byte < digits.len() {
        digits[byte] = (byte as u8).is_ascii_hexdigit();
        byte += 1;
    }
    digits
};

/// The length of the escapes at the beginning, as far as they are whole and right.
fn whole_escapes(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match bytes.get(at..) {
            Some([b'\\', b'u', a, b, c, d, ..]) => {
                let is_digit = |byte: &u8| HEX_DIGITS[usize::from(*byte)];
                if !(is_digit(a) & is_digit(b) & is_digit(c) & is_digit(d)) {
                    return at;
                }
                at += 6;
            }
            Some([b'\\', byte, ..]) if is_short_escape(*byte) => at += 2,
            _ => return at,
        }
    }
}

/// The length of what goes before the first quote, backslash or control character.
#[inline]
pub(crate) fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    for word in bytes.as_chunks().0.iter().take(WORDS) {
        match specials(u64::from_le_bytes(*word)) {
            0 => at += 8,
            found => return at + found.trailing_zeros() as usize / 8,
        }
    }
    let rest = &bytes[at..];
    let rest = match memchr2(b'"', b'\\', rest) {
        Some(end) => &rest[..end],
        None => rest,
    };
    // First without a branch, so that the compiler makes vectors of it.
    match rest
        .iter()
        .fold(false, |found, byte| found | (*byte < 0x20))
    {
        true => at + rest.iter().position(|byte| *byte < 0x20).unwrap_or(0),
        false => at + rest.len(),
    }
}

/// Sets the high bit of the first byte that is a quote, backslash or control character.
/// Source: "Bit Twiddling Hacks", "Determine if a word has a byte less than n".
#[inline]
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    let less = |word: u64, than: u64| word.wrapping_sub(ONES * than) & !word;
    let quote = less(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = less(word ^ (ONES * u64::from(b'\\')), 1);
    (less(word, 0x20) | quote | backslash) & (ONES << 7)
}

/// Which brackets are open: one bit each, set for an object.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    /// Of the innermost levels, up to 64.
    top: u64,
    below: Vec<u64>,
}

impl Nesting {
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.below.push(self.top);
            self.top = 0;
        }
        self.top = self.top << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.top >>= 1;
        self.depth -= 1;
        if self.depth.is_multiple_of(64)
            && let Some(top) = self.below.pop()
        {
            self.top = top;
        }
    }

    fn is_object(&self) -> bool {
        self.top & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_remembered_at_any_depth() {
        let mut nesting = Nesting::default();
        let is_object = |level: usize| level.is_multiple_of(3);
        (0..1000).for_each(|level| nesting.push(is_object(level)));
        for level in (0..1000).rev() {
            assert_eq!(nesting.is_object(), is_object(level), "{level}");
            nesting.pop();
        }
        assert_eq!(nesting.depth, 0);
    }
}
