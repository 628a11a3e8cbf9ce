//! The members of a request body that decide what happens to it, found in one pass over the bytes.
//!
//! No tree is built: the other members are skipped, at any depth, without recursion. What is found
//! comes with its place in the bytes, so that it can be spliced.

mod form;
pub(crate) mod lexer;
mod scanner;

use std::ops::Range;

pub use form::{FormScanner, boundary};
pub use scanner::Scanner;

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
    /// The offset of the object's `}`, once it has come.
    pub(crate) close: Option<usize>,
    /// Whether the object has no member.
    pub(crate) is_empty: bool,
}

/// The deciding members of a request body. A member that is null is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The model asked for.
    pub model: Option<Member<String>>,
    /// Whether the answer shall be streamed.
    pub stream: Option<Member<bool>>,
    /// What is asked of the stream.
    pub stream_options: Option<StreamOptions>,
    /// The output allowance: the largest of `max_completion_tokens`, `max_tokens` and the Responses
    /// API's `max_output_tokens`, since providers differ in which of them they heed.
    pub max_tokens: Option<u64>,
    /// How many answers are asked for.
    pub n: Option<u64>,
    /// The offset of the body's `}`, once it has come.
    pub(crate) close: Option<usize>,
    /// Whether the body has no member.
    pub(crate) is_empty: bool,
    /// Where a null stands for a deciding member, so that it can be replaced: model, stream_options.
    pub(crate) null_model: Option<Range<usize>>,
    pub(crate) null_stream_options: Option<Range<usize>>,
}

impl Head {
    /// Whether the whole body has come, so that what is absent is known to be.
    pub fn is_whole(&self) -> bool {
        self.close.is_some()
    }

    /// Whether the caller wants a stream.
    pub fn is_streaming(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.value)
    }

    /// Whether the caller wants the stream to tell the usage.
    pub fn wants_usage(&self) -> bool {
        let options = self.stream_options.as_ref();
        let asked = options.and_then(|options| options.include_usage.as_ref());
        asked.is_some_and(|asked| asked.value == Some(true))
    }
}

/// Why a body has no head. The messages are meant for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The body is not JSON, or goes on after its end.
    #[error("the request body is not valid JSON: {reason} at byte {offset}")]
    NotJson {
        /// The byte where it went wrong.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The body is no form, where one is asked for.
    #[error("the request body is not a valid form: {reason}")]
    NotForm {
        /// What is wrong.
        reason: &'static str,
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
    /// The model's name is longer than any could be.
    #[error("the name of the model is over {max} bytes")]
    ModelTooLong {
        /// Bytes, as written.
        max: usize,
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
            HeadError::ModelTooLong { .. } => Some("model"),
            HeadError::NotJson { .. } | HeadError::NotForm { .. } | HeadError::NotObject => None,
        }
    }
}

/// Reads the head of a body as it comes, whichever it is written in.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "JSON, which nearly every request is, is scanned without an allocation"
)]
pub enum BodyScanner {
    /// A JSON object.
    Json(Scanner),
    /// `multipart/form-data`.
    Form(Box<FormScanner>),
}

impl BodyScanner {
    /// Reads the next chunk.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), HeadError> {
        match self {
            Self::Json(scanner) => scanner.feed(chunk),
            Self::Form(scanner) => scanner.feed(chunk),
        }
    }

    /// What has been found so far.
    pub fn head(&self) -> &Head {
        match self {
            Self::Json(scanner) => scanner.head(),
            Self::Form(scanner) => scanner.head(),
        }
    }

    /// The offset up to which all deciding members are known.
    pub fn settled(&self) -> usize {
        match self {
            Self::Json(scanner) => scanner.settled(),
            Self::Form(scanner) => scanner.settled(),
        }
    }

    /// The error that an end of the body here would be.
    pub fn check_end(&self) -> Result<(), HeadError> {
        match self {
            Self::Json(scanner) => scanner.check_end(),
            Self::Form(scanner) => scanner.check_end(),
        }
    }

    /// Gives the whole head: nothing more comes.
    pub fn finish(self) -> Result<Head, HeadError> {
        match self {
            Self::Json(scanner) => scanner.finish(),
            Self::Form(scanner) => scanner.finish(),
        }
    }
}

/// Reads the head of a request body, which must be one whole JSON object.
///
/// In: the body. Out: its deciding members with their places. Costs one pass; allocates for the model
/// name only. Errors: see [`HeadError`].
pub fn scan(body: &[u8]) -> Result<Head, HeadError> {
    let mut scanner = Scanner::new();
    scanner.feed(body)?;
    scanner.finish()
}

#[cfg(test)]
mod tests;
