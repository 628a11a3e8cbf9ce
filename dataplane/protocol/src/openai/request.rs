//! stub
use crate::exchange::Unsupported;
use crate::message::Conversation;
pub(crate) fn parse(_b: &[u8]) -> Result<Conversation<'_>, Unsupported> {
    Ok(Conversation::default())
}
