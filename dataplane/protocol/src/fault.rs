//! What can go wrong in an exchange: a request that cannot be carried, an answer that is none, a stream
//! that breaks off.

use crate::error::{FaultClass, ProviderError};

/// A request that cannot be carried to this provider: 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unsupported {
    /// The member at fault, as a path: `messages[2].content[0].input_audio`.
    pub field: String,
    /// What is wrong with it and what to do.
    pub message: String,
}

/// What becomes of a member that the provider's protocol has no word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnsupported {
    /// The request is refused, and the member named.
    #[default]
    Reject,
    /// The member is left out, and the caller told so.
    Drop,
}

/// What a translation leaves out.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    pub(crate) on_unsupported: OnUnsupported,
    /// Paths of what was left out.
    pub(crate) dropped: Vec<String>,
}

impl Losses {
    pub(crate) fn new(on_unsupported: OnUnsupported) -> Self {
        Self {
            on_unsupported,
            dropped: Vec::new(),
        }
    }

    /// Leaves out what cannot be carried, or refuses the request for it. Only for what the request
    /// still makes sense without; what is simply wrong is refused in any case.
    pub(crate) fn give_up(&mut self, what: Unsupported) -> Result<(), Unsupported> {
        match self.on_unsupported {
            OnUnsupported::Reject => Err(what),
            OnUnsupported::Drop => {
                self.dropped.push(what.field);
                Ok(())
            }
        }
    }

    /// Leaves out a hint that changes no answer's meaning.
    pub(crate) fn hint(&mut self, path: impl std::fmt::Display) {
        self.dropped.push(path.to_string());
    }
}

/// A success status with a body that is no answer: 502.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// Not JSON, or not an object: say, a page of a proxy in between.
    #[error("the provider's answer is not a JSON object: {0}")]
    NotJson(String),
    /// JSON, but not an answer of the protocol.
    #[error("the provider's answer lacks {0:?}")]
    Missing(&'static str),
    /// An error that came with a success status.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// Why a stream cannot go on. What was emitted before it stays valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// An event is larger than a translation may hold.
    #[error("the provider sent an event of more than {limit} bytes")]
    EventTooLong {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The body is no event stream: say, a page of a proxy in between.
    #[error("the provider answered a request for a stream with something else")]
    NotAnEventStream,
    /// An event that makes no sense where it stands.
    #[error("the provider's stream is malformed: {0}")]
    Malformed(&'static str),
    /// The provider closed before the protocol's end mark came.
    #[error("the provider closed the stream before its end")]
    Cut,
    /// The provider said in the stream that it failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl BadReply {
    /// What may be done about it: an answer that is none may be whole the next time.
    pub fn class(&self) -> FaultClass {
        match self {
            BadReply::Provider(error) => error.class,
            BadReply::NotJson(_) | BadReply::Missing(_) => FaultClass::Transient,
        }
    }
}

impl StreamFault {
    /// What may be done about it, as long as the stream is not committed.
    pub fn class(&self) -> FaultClass {
        match self {
            StreamFault::Provider(error) => error.class,
            StreamFault::EventTooLong { .. }
            | StreamFault::NotAnEventStream
            | StreamFault::Malformed(_)
            | StreamFault::Cut => FaultClass::Transient,
        }
    }
}
