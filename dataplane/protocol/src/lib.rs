//! Wire formats of AI providers and their clients: bytes in, bytes out.
//!
//! Pure: no I/O, no clock, no async, no randomness. A caller reads a request's head
//! ([`head::scan`]), turns it into what a provider understands ([`encode`]) and feeds the answer
//! through the [`ReplyPlan`] that came with it, whole or as a stream. Where client and provider speak
//! the same protocol the bytes pass untouched but for what must change; otherwise they are translated
//! through one internal message model.
#![warn(missing_docs)]

mod anthropic;
mod bedrock;
mod cohere;
pub mod echo;
pub mod error;
pub mod exchange;
pub mod fault;
mod gate;
mod gemini;
mod hash;
pub mod head;
mod json;
mod listing;
mod message;
mod openai;
pub mod operation;
pub mod realtime;
mod responses;
pub mod splice;
pub mod sse;
mod strict;
pub mod usage;
pub mod vendor;
pub mod vertex;
pub mod websocket;

pub use echo::{EchoEnd, EchoReply, EchoStep, echo};
pub use error::{
    ErrorBody, ErrorKind, FaultClass, ProviderError, classify, classify_named, encode_error,
    error_event,
};
pub use exchange::{Decoded, Edits, Outgoing, ReplyPlan, ReplyStream, Target, edits, encode, plan};
pub use fault::{BadReply, OnUnsupported, StreamFault, Unsupported};
pub use head::{BodyScanner, FormScanner, Head, HeadError, Member, Scanner, boundary, scan};
pub use listing::{model_object, models_list};
pub use operation::{ClientProtocol, Endpoint, Endpoints, Operation, UnknownOperation, recognise};
pub use usage::Usage;
pub use vendor::{
    Auth, PRESETS, PROTOCOLS, Preset, Quirks, ReasoningField, Transport, WireProtocol, preset,
};
