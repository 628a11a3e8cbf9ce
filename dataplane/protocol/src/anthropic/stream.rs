//! stub
use crate::exchange::StreamFault;
use crate::openai::emit::ChunkEmitter;
use crate::usage::Usage;
#[derive(Debug, Default)]
pub(crate) struct Decoder;
impl Decoder {
    pub(crate) fn push(&mut self, _c: &[u8], _e: &mut ChunkEmitter) -> Result<(), StreamFault> {
        Ok(())
    }
    pub(crate) fn finish(&mut self, _e: &mut ChunkEmitter) -> Result<(), StreamFault> {
        Ok(())
    }
    pub(crate) fn is_complete(&self) -> bool {
        false
    }
    pub(crate) fn usage(&self) -> Option<Usage> {
        None
    }
    pub(crate) fn response_model(&self) -> Option<&str> {
        None
    }
}
