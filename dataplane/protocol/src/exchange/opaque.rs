//! Bodies that pass without being looked at: sound, transcripts, pictures as they are drawn.

use bytes::Bytes;

use super::pass::{Pass, Seen};
use crate::fault::StreamFault;

/// Passes a body of any kind. Whether it is whole, its connection alone can tell.
#[derive(Debug, Default)]
pub(crate) struct Opaque {
    seen: Seen,
}

impl Pass for Opaque {
    fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        if !chunk.is_empty() {
            self.seen.is_committed = true;
            self.seen.output_bytes += chunk.len() as u64;
            out.push(chunk);
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        Ok(())
    }

    fn is_complete(&self) -> bool {
        false
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Nothing of ours may come between.
    fn is_mid_event(&self) -> bool {
        true
    }
}
