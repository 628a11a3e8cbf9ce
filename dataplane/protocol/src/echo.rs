//! stub
use crate::operation::Operation;
use bytes::Bytes;
/// The echo model's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoReply {
    /// The HTTP status.
    pub status: u16,
    /// The value of the header `content-type`.
    pub content_type: &'static str,
    /// What is sent, in order.
    pub steps: Vec<EchoStep>,
    /// How it ends.
    pub end: EchoEnd,
}
/// Some bytes, and how long the model waits before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoStep {
    /// Milliseconds to wait before sending.
    pub delay_ms: u64,
    /// What to send.
    pub bytes: Bytes,
}
/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EchoEnd {
    /// As it should.
    Clean,
    /// The connection breaks.
    Cut,
    /// Nothing more comes, and the connection stays open.
    Hang,
}
/// Answers a request as a model would.
pub fn echo(_operation: &Operation, _body: &[u8]) -> EchoReply {
    EchoReply {
        status: 200,
        content_type: "application/json",
        steps: Vec::new(),
        end: EchoEnd::Clean,
    }
}
