//! Finds the deciding members of a body that comes in chunks of any size.

use std::ops::Range;

use serde::Deserialize;

use super::lexer::{Bracket, Event, Kind, Lexer};
use super::{Head, HeadError, Member, StreamOptions};

/// Longest name that may be one of ours: each letter of the longest written as `\u0000`.
const MAX_KEY: usize = 6 * "max_completion_tokens".len() + 2;
/// Longest value that is read: a model's name, however it is escaped.
const MAX_VALUE: usize = 16 << 10;

/// Reads the head of a request body as the body comes.
///
/// In: chunks of any size, cut anywhere. Out: the deciding members, each as soon as it has come,
/// with their places in the whole body. Bounds: keeps at most one name or value that decides, of
/// 16 KiB, where a chunk ends within it, and a bit a level of nesting.
/// Errors: see [`HeadError`]; after one the scanner is of no use.
#[derive(Debug)]
pub struct Scanner {
    lexer: Lexer,
    /// Bytes of the chunks before.
    fed: usize,
    head: Head,
    /// One bit for each name.
    seen: u8,
    is_in_options: bool,
    /// The deciding member whose value comes next, or has begun.
    name: Option<Name>,
    /// Where the name or value that is being read begins.
    began: Option<usize>,
    /// What of it came in chunks before.
    carry: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Model,
    Stream,
    StreamOptions,
    MaxCompletionTokens,
    MaxTokens,
    MaxOutputTokens,
    N,
    IncludeUsage,
}

const COUNT: &str = "a whole number that is not negative";
const SWITCH: &str = "true or false";

impl Name {
    const OF_BODY: [Name; 7] = [
        Name::Model,
        Name::Stream,
        Name::StreamOptions,
        Name::MaxCompletionTokens,
        Name::MaxTokens,
        Name::MaxOutputTokens,
        Name::N,
    ];
    const OF_OPTIONS: [Name; 1] = [Name::IncludeUsage];

    /// As callers write it.
    fn key(self) -> &'static str {
        match self {
            Name::IncludeUsage => "include_usage",
            other => other.path(),
        }
    }

    /// As errors call it.
    fn path(self) -> &'static str {
        match self {
            Name::Model => "model",
            Name::Stream => "stream",
            Name::StreamOptions => "stream_options",
            Name::MaxCompletionTokens => "max_completion_tokens",
            Name::MaxTokens => "max_tokens",
            Name::MaxOutputTokens => "max_output_tokens",
            Name::N => "n",
            Name::IncludeUsage => "stream_options.include_usage",
        }
    }

    fn wrong_type(self) -> HeadError {
        let expected = match self {
            Name::Model => "a string",
            Name::Stream | Name::IncludeUsage => SWITCH,
            Name::StreamOptions => "an object",
            Name::MaxCompletionTokens | Name::MaxTokens | Name::MaxOutputTokens | Name::N => COUNT,
        };
        HeadError::WrongType {
            name: self.path(),
            expected,
        }
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner of a body of which nothing has come.
    pub fn new() -> Self {
        Self {
            lexer: Lexer::new(),
            fed: 0,
            head: Head {
                is_empty: true,
                ..Head::default()
            },
            seen: 0,
            is_in_options: false,
            name: None,
            began: None,
            carry: Vec::new(),
        }
    }

    /// Reads the next chunk.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), HeadError> {
        let mut at = 0;
        loop {
            let depth = if self.is_in_options { 2 } else { 1 };
            let event = self.lexer.next(chunk, &mut at, depth);
            match event.map_err(|fault| self.not_json(fault.at, fault.reason))? {
                Some(event) => self.take(event, chunk, at)?,
                None => break,
            }
        }
        self.carry_over(chunk)?;
        self.fed += chunk.len();
        Ok(())
    }

    /// What has been found so far.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The offset up to which all deciding members are known; it lies before what was fed where a
    /// value that decides has begun and not ended.
    pub fn settled(&self) -> usize {
        match (self.name, self.began) {
            (Some(_), Some(began)) => began,
            _ => self.fed,
        }
    }

    /// Gives the whole head: nothing more comes.
    pub fn finish(self) -> Result<Head, HeadError> {
        self.check_end()?;
        Ok(self.head)
    }

    /// The error that an end of the body here would be.
    pub fn check_end(&self) -> Result<(), HeadError> {
        match self.lexer.is_over() {
            true => Ok(()),
            false => Err(HeadError::NotJson {
                offset: self.fed,
                reason: "it ends too early",
            }),
        }
    }

    fn take(&mut self, event: Event, chunk: &[u8], at: usize) -> Result<(), HeadError> {
        let here = self.fed + at;
        match event {
            Event::Open(bracket) => self.open(bracket),
            Event::Close(_) => {
                self.close(here - 1);
                Ok(())
            }
            Event::Begin(Kind::Key) => {
                if self.is_looked_at() {
                    self.began = Some(here - 1);
                    self.note_member();
                }
                Ok(())
            }
            Event::Begin(_) if self.lexer.depth() == 0 => Err(HeadError::NotObject),
            Event::Begin(_) => {
                self.began = self.name.map(|_| here - 1);
                Ok(())
            }
            Event::End(kind) => match self.began.take() {
                Some(began) => self.read(kind, began..here, chunk),
                None => Ok(()),
            },
        }
    }

    /// Whether the innermost open object is one that has deciding members.
    fn is_looked_at(&self) -> bool {
        match self.lexer.depth() {
            1 => true,
            2 => self.is_in_options,
            _ => false,
        }
    }

    fn note_member(&mut self) {
        match &mut self.head.stream_options {
            Some(options) if self.is_in_options => options.is_empty = false,
            _ => self.head.is_empty = false,
        }
    }

    fn open(&mut self, bracket: Bracket) -> Result<(), HeadError> {
        match (self.name.take(), bracket) {
            (None, Bracket::Array) if self.lexer.depth() == 1 => Err(HeadError::NotObject),
            (None, _) => Ok(()),
            (Some(Name::StreamOptions), Bracket::Object) => {
                self.is_in_options = true;
                self.head.stream_options = Some(StreamOptions {
                    is_empty: true,
                    ..StreamOptions::default()
                });
                Ok(())
            }
            (Some(name), _) => Err(name.wrong_type()),
        }
    }

    fn close(&mut self, at: usize) {
        match (self.lexer.depth(), &mut self.head.stream_options) {
            (0, _) => self.head.close = Some(at),
            (1, Some(options)) if self.is_in_options => {
                options.close = Some(at);
                self.is_in_options = false;
            }
            _ => {}
        }
    }

    /// Reads a name or value that lies at `span`, the last bytes of it in `chunk`.
    fn read(&mut self, kind: Kind, span: Range<usize>, chunk: &[u8]) -> Result<(), HeadError> {
        let carry = std::mem::take(&mut self.carry);
        let tail = &chunk[span.start.saturating_sub(self.fed)..span.end - self.fed];
        let whole;
        let raw = match carry.is_empty() {
            true => tail,
            false => {
                whole = [&carry, tail].concat();
                &whole
            }
        };
        match (kind, self.name.take()) {
            (Kind::Key, _) if raw.len() > MAX_KEY => Ok(()),
            (Kind::Key, _) => self.read_key(raw, span.start),
            (_, Some(name)) if raw.len() > MAX_VALUE => Err(too_long(name)),
            (_, Some(name)) => self.read_value(name, raw, span),
            (_, None) => Ok(()),
        }
    }

    fn read_key(&mut self, raw: &[u8], at: usize) -> Result<(), HeadError> {
        let names: &[Name] = match self.is_in_options {
            true => &Name::OF_OPTIONS,
            false => &Name::OF_BODY,
        };
        let plain = &raw[1..raw.len() - 1];
        let found = match plain.contains(&b'\\') || !plain.is_ascii() {
            false => names.iter().find(|name| name.key().as_bytes() == plain),
            true => {
                let reason = "a member's name is not valid Unicode";
                let key: String = serde_json::from_slice(raw)
                    .map_err(|_| HeadError::NotJson { offset: at, reason })?;
                names.iter().find(|name| name.key() == key)
            }
        };
        let Some(&name) = found else {
            return Ok(());
        };
        let bit = 1 << name as u8;
        if self.seen & bit != 0 {
            return Err(HeadError::Duplicate { name: name.path() });
        }
        self.seen |= bit;
        self.name = Some(name);
        Ok(())
    }

    fn read_value(&mut self, name: Name, raw: &[u8], span: Range<usize>) -> Result<(), HeadError> {
        let is_null = raw == b"null";
        let head = &mut self.head;
        match name {
            Name::Model if is_null => head.null_model = Some(span),
            Name::Model => {
                if std::str::from_utf8(raw).is_err() {
                    return Err(HeadError::NotJson {
                        offset: span.start,
                        reason: "the name of the model is not valid UTF-8",
                    });
                }
                let value = typed(name, raw)?;
                head.model = Some(Member { value, span });
            }
            Name::StreamOptions if is_null => head.null_stream_options = Some(span),
            Name::StreamOptions => return Err(name.wrong_type()),
            Name::IncludeUsage => {
                let value = typed(name, raw)?;
                if let Some(options) = &mut head.stream_options {
                    options.include_usage = Some(Member { value, span });
                }
            }
            _ if is_null => {}
            Name::Stream => {
                let value = typed(name, raw)?;
                head.stream = Some(Member { value, span });
            }
            Name::MaxCompletionTokens | Name::MaxTokens | Name::MaxOutputTokens => {
                head.max_tokens = head.max_tokens.max(Some(typed(name, raw)?));
            }
            Name::N => head.n = Some(typed(name, raw)?),
        }
        Ok(())
    }

    /// Keeps what has begun and not ended with the chunk.
    fn carry_over(&mut self, chunk: &[u8]) -> Result<(), HeadError> {
        let Some(began) = self.began else {
            return Ok(());
        };
        let rest = &chunk[began.saturating_sub(self.fed)..];
        match self.name {
            Some(name) if self.carry.len() + rest.len() > MAX_VALUE => return Err(too_long(name)),
            None if self.carry.len() + rest.len() > MAX_KEY => {
                self.began = None;
                self.carry.clear();
            }
            _ => self.carry.extend_from_slice(rest),
        }
        Ok(())
    }

    fn not_json(&self, at: usize, reason: &'static str) -> HeadError {
        let offset = self.fed + at;
        HeadError::NotJson { offset, reason }
    }
}

fn too_long(name: Name) -> HeadError {
    match name {
        Name::Model => HeadError::ModelTooLong { max: MAX_VALUE },
        other => other.wrong_type(),
    }
}

fn typed<'a, T: Deserialize<'a>>(name: Name, raw: &'a [u8]) -> Result<T, HeadError> {
    serde_json::from_slice(raw).map_err(|_| name.wrong_type())
}
