//! One request's life: nine steps, one module each, strung together by `life`.
//!
//! ```text
//! host → domain
//!   1 operation   method, path → what is asked for
//!   2 authenticate   keys → who calls
//!   3 peek   body → model, stream, as far as is needed; the rest passes (`upload`)
//!   4 matching   → route, rule
//!   5 admit   authorization, reservation
//!   6 transform   head for the provider
//!   7 attempt   choose → encode → send → classify
//!   8 relay   answer → client; or socket   both ways, once upgraded
//!   9 settle   quota, figures, log line: once, however it ends
//! ```
//!
//! All of it is one future, and whoever asks waits for it as `answering`; what it tells them before it is
//! done goes by `wait`.
//!
//! Every step fails with an [`error::RequestError`], which becomes an HTTP
//! answer in one place.

pub mod admit;
pub mod answering;
pub mod attempt;
pub mod authenticate;
pub mod body_rules;
pub mod error;
mod head;
pub mod life;
pub mod matching;
pub mod models;
pub mod need;
pub mod operation;
pub mod peek;
mod reach;
pub mod relay;
pub mod request_id;
pub mod routes;
pub mod settle;
pub mod socket;
pub mod transform;
pub mod upload;
pub mod wait;
