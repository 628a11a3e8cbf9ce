//! Bounds of the decoder.

use super::*;

/// A frame of an event, as AWS writes it.
fn event(kind: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [(":event-type", kind), (":message-type", "event")] {
        headers.push(name.len() as u8);
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let total = (16 + headers.len() + payload.len()) as u32;
    let mut frame = [total.to_be_bytes(), (headers.len() as u32).to_be_bytes()].concat();
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend([&headers, payload.as_bytes()].concat());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

fn decode(frames: &[Vec<u8>]) -> Result<(), StreamFault> {
    let mut emitter = crate::openai::emit::ChunkEmitter::new("m", 1, true);
    Decoder::default().push(&frames.concat(), &mut emitter)
}

#[test]
fn open_blocks_are_bounded() {
    let open = |count: usize| {
        let delta = |index| {
            let payload = format!(r#"{{"contentBlockIndex":{index},"delta":{{"text":"x"}}}}"#);
            event("contentBlockDelta", &payload)
        };
        decode(&(0..count).map(delta).collect::<Vec<_>>())
    };
    assert_eq!(open(MAX_OPEN_BLOCKS), Ok(()));
    assert!(matches!(
        open(MAX_OPEN_BLOCKS + 1),
        Err(StreamFault::Malformed(_))
    ));
}

#[test]
fn a_body_that_is_no_frames_is_told_apart() {
    let end = |body: &str| {
        let mut emitter = crate::openai::emit::ChunkEmitter::new("m", 1, true);
        let mut decoder = Decoder::default();
        let pushed = body
            .as_bytes()
            .chunks(3)
            .try_for_each(|chunk| decoder.push(chunk, &mut emitter));
        pushed.and_then(|()| decoder.finish(&mut emitter))
    };
    assert_eq!(end(""), Err(StreamFault::Cut));
    for page in ["<html>", "data: {}\n\n", "{}", "[1]", "\u{1}\0\0\0"] {
        assert_eq!(end(page), Err(StreamFault::NotAnEventStream), "{page}");
    }
    let error =
        r#"{"__type":"com.amazon.coral.service#ThrottlingException","message":"slow down"}"#;
    let Err(StreamFault::Provider(error)) = end(error) else {
        panic!("an error in JSON");
    };
    assert_eq!(error.class, crate::FaultClass::Capacity);
}

#[test]
fn what_is_held_is_told_and_let_go() {
    let frame = event("messageStart", r#"{"role":"assistant"}"#);
    let mut emitter = crate::openai::emit::ChunkEmitter::new("m", 1, true);
    let mut decoder = Decoder::default();
    decoder.push(&frame[..20], &mut emitter).unwrap();
    assert_eq!(decoder.held_bytes(), 20);
    decoder.push(&frame[20..], &mut emitter).unwrap();
    assert_eq!(decoder.held_bytes(), 0);
}
