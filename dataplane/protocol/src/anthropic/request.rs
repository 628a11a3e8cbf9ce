//! stub
use crate::exchange::Unsupported;
use crate::message::Conversation;
use bytes::Bytes;
pub(crate) struct Written {
    pub(crate) body: Bytes,
    pub(crate) dropped: Vec<String>,
}
pub(crate) fn write(_c: &Conversation<'_>, _model: &str) -> Result<Written, Unsupported> {
    Ok(Written {
        body: Bytes::new(),
        dropped: vec![],
    })
}
