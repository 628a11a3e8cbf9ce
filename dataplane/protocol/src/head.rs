//! The members of a request body that decide what happens to it, found in one pass over the bytes.
//!
//! No tree is built: the other members are skipped, at any depth, without recursion. What is found
//! comes with its place in the bytes, so that it can be spliced.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json;

/// A value and where its bytes stand in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<T> {
    /// What it says.
    pub value: T,
    /// The bytes of the value, without its name.
    pub span: Range<usize>,
}

/// What a caller asked of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// Whether the stream shall end with a chunk that tells the usage; `None` where the value is null.
    pub include_usage: Option<Member<Option<bool>>>,
    /// The offset just after the object's `{`.
    pub object_open: usize,
    /// Whether the object has no member.
    pub is_empty: bool,
}

/// The deciding members of a request body. A member that is null is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The model asked for.
    pub model: Option<Member<String>>,
    /// Whether the answer shall be streamed.
    pub stream: Option<Member<bool>>,
    /// What is asked of the stream.
    pub stream_options: Option<Member<StreamOptions>>,
    /// The output allowance: the larger of `max_completion_tokens` and `max_tokens`, since providers
    /// differ in which of the two they heed.
    pub max_tokens: Option<u64>,
    /// How many answers are asked for.
    pub n: Option<u64>,
    /// The offset just after the body's `{`.
    pub object_open: usize,
    /// Whether the body has no member.
    pub is_empty: bool,
    /// Where a null stands for a deciding member, so that it can be replaced: model, stream_options.
    pub(crate) null_model: Option<Range<usize>>,
    pub(crate) null_stream_options: Option<Range<usize>>,
}

impl Head {
    /// Whether the caller wants a stream.
    pub fn is_streaming(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.value)
    }

    /// Whether the caller wants the stream to tell the usage.
    pub fn wants_usage(&self) -> bool {
        let options = self.stream_options.as_ref();
        let asked = options.and_then(|options| options.value.include_usage.as_ref());
        asked.is_some_and(|asked| asked.value == Some(true))
    }
}

/// Why a body has no head. The messages are meant for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The body is not JSON, or goes on after its end.
    #[error("the request body is not valid JSON: {reason}")]
    NotJson {
        /// The byte where it went wrong.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The body is JSON, but no object.
    #[error("the request body must be a JSON object")]
    NotObject,
    /// A deciding member comes twice; what we read might not be what the provider reads.
    #[error("the request body has the member {name:?} twice")]
    Duplicate {
        /// The member.
        name: &'static str,
    },
    /// A deciding member has the wrong type.
    #[error("{name:?} must be {expected}")]
    WrongType {
        /// The member.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl HeadError {
    /// The member at fault, for an error's `param`.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            HeadError::Duplicate { name } | HeadError::WrongType { name, .. } => Some(name),
            HeadError::NotJson { .. } | HeadError::NotObject => None,
        }
    }
}

const MODEL: usize = 0;
const STREAM: usize = 1;
const STREAM_OPTIONS: usize = 2;
const MAX_COMPLETION_TOKENS: usize = 3;
const MAX_TOKENS: usize = 4;
const N: usize = 5;
const NAMES: [&str; 6] = [
    "model",
    "stream",
    "stream_options",
    "max_completion_tokens",
    "max_tokens",
    "n",
];

/// Reads the head of a request body, which must be one whole JSON object.
///
/// In: the body. Out: its deciding members with their places. Costs one pass; allocates for the model
/// name only. Errors: see [`HeadError`].
pub fn scan(body: &[u8]) -> Result<Head, HeadError> {
    let mut found = Found::new(&NAMES);
    read(body, &mut found)?;
    let Some(object_open) = open(body, b'{') else {
        return Err(HeadError::NotObject);
    };
    if let Some(name) = found.duplicate {
        return Err(HeadError::Duplicate { name });
    }
    let [model, stream, stream_options, max_completion, max, n] = [
        MODEL,
        STREAM,
        STREAM_OPTIONS,
        MAX_COMPLETION_TOKENS,
        MAX_TOKENS,
        N,
    ]
    .map(|i| found.values[i]);
    let max_completion = typed(max_completion, NAMES[MAX_COMPLETION_TOKENS], COUNT)?;
    let max = typed(max, NAMES[MAX_TOKENS], COUNT)?;
    Ok(Head {
        model: model_member(body, model)?,
        stream: member(body, stream, typed(stream, NAMES[STREAM], "true or false")?),
        stream_options: stream_options_member(body, stream_options)?,
        max_tokens: max_completion.max(max),
        n: typed(n, NAMES[N], COUNT)?,
        object_open,
        is_empty: found.members == 0,
        null_model: null_span(body, model),
        null_stream_options: null_span(body, stream_options),
    })
}

const COUNT: &str = "a whole number that is not negative";

fn read<'a>(body: &'a [u8], found: &mut Found<'a>) -> Result<(), HeadError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let outcome = match open(body, b'{') {
        Some(_) => found.deserialize(&mut deserializer),
        None => IgnoredAny::deserialize(&mut deserializer).map(drop),
    };
    outcome
        .and_then(|()| deserializer.end())
        .map_err(|error| HeadError::NotJson {
            offset: offset_of(body, error.line(), error.column()),
            reason: error.to_string(),
        })
}

/// The offset just after the bracket, if that is the first byte that is not white space.
fn open(bytes: &[u8], bracket: u8) -> Option<usize> {
    let at = bytes
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
    (bytes[at] == bracket).then_some(at + 1)
}

fn offset_of(body: &[u8], line: usize, column: usize) -> usize {
    let line_start = match line.checked_sub(2) {
        Some(breaks) => memchr::memchr_iter(b'\n', body)
            .nth(breaks)
            .map_or(0, |at| at + 1),
        None => 0,
    };
    (line_start + column.saturating_sub(1)).min(body.len())
}

fn is_null(raw: Option<&RawValue>) -> bool {
    raw.is_none_or(|raw| raw.get() == "null")
}

fn typed<'a, T: Deserialize<'a>>(
    raw: Option<&'a RawValue>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, HeadError> {
    match raw {
        Some(raw) if !is_null(Some(raw)) => serde_json::from_str(raw.get())
            .map(Some)
            .map_err(|_| HeadError::WrongType { name, expected }),
        _ => Ok(None),
    }
}

/// Where a value that borrows from `body` stands in it.
fn span(body: &[u8], raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr() as usize - body.as_ptr() as usize;
    start..start + raw.get().len()
}

fn null_span(body: &[u8], raw: Option<&RawValue>) -> Option<Range<usize>> {
    raw.filter(|raw| is_null(Some(raw)))
        .map(|raw| span(body, raw))
}

fn member<T>(body: &[u8], raw: Option<&RawValue>, value: Option<T>) -> Option<Member<T>> {
    Some(Member {
        value: value?,
        span: span(body, raw?),
    })
}

fn model_member(body: &[u8], raw: Option<&RawValue>) -> Result<Option<Member<String>>, HeadError> {
    let wrong = HeadError::WrongType {
        name: NAMES[MODEL],
        expected: "a string",
    };
    match raw {
        Some(raw) if !is_null(Some(raw)) => {
            let name = json::string(raw).ok_or(wrong)?.into_owned();
            Ok(Some(Member {
                value: name,
                span: span(body, raw),
            }))
        }
        _ => Ok(None),
    }
}

fn stream_options_member(
    body: &[u8],
    raw: Option<&RawValue>,
) -> Result<Option<Member<StreamOptions>>, HeadError> {
    const INCLUDE_USAGE: &str = "stream_options.include_usage";
    let Some(raw) = raw.filter(|raw| !is_null(Some(raw))) else {
        return Ok(None);
    };
    let whole = span(body, raw);
    let wrong = HeadError::WrongType {
        name: NAMES[STREAM_OPTIONS],
        expected: "an object",
    };
    let open = open(raw.get().as_bytes(), b'{').ok_or(wrong)?;
    let mut found = Found::new(&["include_usage"]);
    read(raw.get().as_bytes(), &mut found)?;
    if found.duplicate.is_some() {
        return Err(HeadError::Duplicate {
            name: INCLUDE_USAGE,
        });
    }
    let include_usage = match found.values[0] {
        Some(raw) => {
            let value = typed(Some(raw), INCLUDE_USAGE, "true or false")?;
            Some(Member {
                value,
                span: span(body, raw),
            })
        }
        None => None,
    };
    let object_open = whole.start + open;
    let options = StreamOptions {
        include_usage,
        object_open,
        is_empty: found.members == 0,
    };
    Ok(Some(Member {
        value: options,
        span: whole,
    }))
}

/// What a pass over one object looks for, and what it found.
struct Found<'a> {
    names: &'static [&'static str],
    values: [Option<&'a RawValue>; NAMES.len()],
    duplicate: Option<&'static str>,
    members: usize,
}

impl Found<'_> {
    fn new(names: &'static [&'static str]) -> Self {
        Found {
            names,
            values: [None; NAMES.len()],
            duplicate: None,
            members: 0,
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Found<'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Found<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(place) = map.next_key_seed(Place(self.names))? {
            self.members += 1;
            let Some(place) = place else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value()?;
            if self.values[place].replace(value).is_some() {
                self.duplicate = Some(self.names[place]);
            }
        }
        Ok(())
    }
}

/// Reads a member's name (escapes decoded) and tells its place among those looked for.
struct Place(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Place {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Place {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

#[cfg(test)]
mod tests;
