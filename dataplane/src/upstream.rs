//! The way to providers: connections over HTTP, or the model that lives in this process.
//!
//! `pool` keeps connections, to such `addresses` as providers may have; `endpoint` those to each server behind a
//! Service, `kept` what each of these remembers, `chunks` how events that came at once go on at once; `echo` answers without any; `balance` and `keys` say which provider or
//! endpoint and which key is next. Nothing here knows routes, consumers or quotas.

pub mod addresses;
pub mod balance;
pub mod echo;
pub mod endpoint;
pub mod keys;
pub mod pool;

mod body;
mod chunks;
mod kept;
mod merged;

pub use addresses::Addresses;
pub use body::{AnswerBody, AnswerError, PiecesBody};
pub use endpoint::{Endpoint, Load};
pub use pool::{Pool, SendError};
