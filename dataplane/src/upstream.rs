//! The way to providers: connections over HTTP, or the model that lives in this process.
//!
//! `pool` keeps connections, to such `addresses` as providers may have; `echo` answers without any; `balance` and `keys`
//! say which provider and which of its keys is next. Nothing here knows
//! routes, consumers or quotas.

pub mod addresses;
pub mod balance;
pub mod echo;
pub mod keys;
pub mod pool;

mod body;

pub use addresses::Addresses;
pub use body::{AnswerBody, AnswerError, PiecesBody};
pub use pool::{Pool, SendError};
