//! The serving floor: who holds what, and what is sent to whom.
//!
//! ```text
//! publish(names) → Hub ─ names ─→ Subscriptions (one a stream) ─ units ─→ stream → gRPC
//!                                      ↑ reads View when it sends
//! ```
//! Queues hold names, never messages. Nothing here knows where resources come from.

pub mod acceptance;
pub mod grpc;
pub mod hub;
pub mod pulse;
pub mod stream;
pub mod subscriptions;
pub mod unit;
pub mod view;

pub use acceptance::Acceptance;
pub use hub::{Delivery, Holder, Hub, News, Standing, Standpoint};
pub use stream::Context;
pub use view::View;
