//! Bounds of the decoder.

use super::*;
use crate::message::Decode;

fn decode(stream: &str) -> Result<(), StreamFault> {
    let mut emitter = crate::openai::emit::ChunkEmitter::new("m", 1, true);
    Decoder::default().push(stream.as_bytes(), &mut emitter)
}

#[test]
fn open_blocks_are_bounded() {
    let open = |count: usize| {
        let start = |index| {
            format!(
                "data: {{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{{\"type\":\"text\"}}}}\n\n"
            )
        };
        decode(&(0..count).map(start).collect::<String>())
    };
    assert_eq!(open(MAX_OPEN_BLOCKS), Ok(()));
    assert!(matches!(
        open(MAX_OPEN_BLOCKS + 1),
        Err(StreamFault::Malformed(_))
    ));
}
