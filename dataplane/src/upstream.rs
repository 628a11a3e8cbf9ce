//! The way to providers: connections over HTTP, or the model that lives in this process.
//!
//! `pool` starts a request by such a `way` as its provider wants; `sending` brings it over the `lanes` of each
//! origin, by what is known of the `peer` there: `http1` is driven by its request and goes to the `idle` in
//! between, `http2` runs by itself; `turn` polls what wakes itself. Each connection is made by `connect`: to one of
//! the addresses that `dns` knows of a name, as fast as `dial` can, if it is among the `addresses` that providers
//! may have; through a `proxy` or not; `kept` is what it remembers, and `chunks` hands on together what came
//! together, `patient` hears an answer that comes before the request was read. `endpoint` is a server behind a
//! Service; `echo` answers without any; `balance` and `keys` say which provider or endpoint and which key is next.
//! `credentials` sign requests and have tokens given for them. Nothing here knows routes, consumers or quotas.

pub mod addresses;
pub mod balance;
pub mod credentials;
pub mod echo;
pub mod endpoint;
pub mod keys;
pub mod pool;
pub mod way;

mod body;
mod chunks;
mod connect;
mod dial;
mod dns;
mod http1;
mod http2;
mod idle;
mod kept;
mod lanes;
mod patient;
mod peer;
mod proxy;
mod sending;
mod turn;

pub use addresses::Addresses;
pub use body::{AnswerBody, AnswerError, Arrived, BodyStopped, PiecesBody};
pub use dns::Names;
pub use endpoint::{Endpoint, Load, Plain};
pub use pool::Pool;
pub use sending::{SendError, Sending};
pub use way::{Way, Ways};
