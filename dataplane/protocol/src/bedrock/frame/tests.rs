//! What frames may be, and what they may not.

use super::*;

fn seal(total: u32, headers_length: u32, content: &[u8]) -> Vec<u8> {
    let mut frame = [total.to_be_bytes(), headers_length.to_be_bytes()].concat();
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(content);
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

fn frame(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = (EMPTY + headers.len() + payload.len()) as u32;
    seal(total, headers.len() as u32, &[headers, payload].concat())
}

fn header(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
    let mut header = vec![name.len() as u8];
    header.extend(name.as_bytes());
    header.push(kind);
    header.extend(value);
    header
}

fn text(name: &str, value: &str) -> Vec<u8> {
    let sized = [&(value.len() as u16).to_be_bytes(), value.as_bytes()].concat();
    header(name, STRING, &sized)
}

/// The payloads of a body in pieces of `size`, and the fault that ended it.
fn payloads(body: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<StreamFault>) {
    let mut framer = Framer::default();
    let mut payloads = Vec::new();
    for chunk in body.chunks(size) {
        let mut at = 0;
        loop {
            match framer.next(chunk, at) {
                Ok(Some((message, end))) => {
                    payloads.push(message.payload.to_vec());
                    at = end;
                }
                Ok(None) => break,
                Err(fault) => return (payloads, Some(fault)),
            }
        }
    }
    let torn = (framer.held() > 0).then_some(StreamFault::Cut);
    (payloads, torn)
}

/// The same in pieces of every size.
fn payloads_however_cut(body: &[u8]) -> (Vec<Vec<u8>>, Option<StreamFault>) {
    let whole = payloads(body, body.len());
    for size in 1..body.len() {
        assert_eq!(payloads(body, size), whole, "in pieces of {size}");
    }
    whole
}

#[test]
fn published_example_is_read() {
    // Source: awslabs/aws-c-event-stream, "payload_no_headers" of the encoding's shared test vectors.
    let published = b"\0\0\0\x1d\0\0\0\0\xfd\x52\x8c\x5a{'foo':'bar'}\xc3\x65\x39\x36";
    assert_eq!(
        payloads_however_cut(published),
        (vec![b"{'foo':'bar'}".to_vec()], None)
    );
    assert_eq!(frame(b"", b"{'foo':'bar'}"), published);
}

#[test]
fn messages_are_the_same_however_they_are_cut() {
    let headers = text(":event-type", "messageStart");
    let body = [
        frame(&headers, b"{}"),
        frame(b"", b""),
        frame(&headers, b"{\"a\":1}"),
    ]
    .concat();
    let expected = vec![b"{}".to_vec(), b"".to_vec(), b"{\"a\":1}".to_vec()];
    assert_eq!(payloads_however_cut(&body), (expected.clone(), None));
    let torn = payloads_however_cut(&body[..body.len() - 1]);
    assert_eq!(torn, (expected[..2].to_vec(), Some(StreamFault::Cut)));
}

#[test]
fn every_flipped_bit_is_found() {
    let sound = frame(&text(":event-type", "metadata"), b"{\"usage\":{}}");
    for at in 0..sound.len() * 8 {
        let mut broken = sound.clone();
        broken[at / 8] ^= 1 << (at % 8);
        let (payloads, fault) = payloads(&broken, 5);
        assert!(payloads.is_empty(), "bit {at}");
        assert!(matches!(fault, Some(StreamFault::Malformed(_))), "bit {at}");
    }
}

#[test]
fn lengths_that_cannot_be_are_refused_before_anything_is_held() {
    let malformed = Some(StreamFault::Malformed("a frame's lengths cannot be"));
    assert_eq!(payloads_however_cut(&seal(15, 0, b"")).1, malformed);
    assert_eq!(payloads_however_cut(&seal(16, 1, b"")).1, malformed);
    assert_eq!(payloads_however_cut(&seal(16, u32::MAX, b"")).1, malformed);
    let too_long = Some(StreamFault::EventTooLong { limit: MAX_EVENT });
    let (over, most) = (MAX_EVENT as u32 + 1, MAX_EVENT as u32);
    assert_eq!(payloads_however_cut(&seal(over, 0, b"")).1, too_long);
    assert_eq!(payloads_however_cut(&seal(u32::MAX, 0, b"")).1, too_long);
    assert_eq!(
        payloads_however_cut(&seal(most, 0, b"")).1,
        Some(StreamFault::Cut)
    );
}

#[test]
fn headers_of_every_type_are_passed_over_and_texts_kept() {
    let headers = [
        header("t", 0, b""),
        header("f", 1, b""),
        header("i8", 2, b"1"),
        header("i16", 3, b"12"),
        header("i32", 4, b"1234"),
        header("i64", 5, b"12345678"),
        header("bytes", 6, b"\0\x02ab"),
        header("time", 8, b"12345678"),
        header("uuid", 9, b"0123456789abcdef"),
        header(":event-type", 0, b""),
        text(":message-type", "exception"),
        text(":exception-type", "throttlingException"),
        text("", ""),
    ]
    .concat();
    let bytes = frame(&headers, b"{}");
    let message = message(&bytes).unwrap();
    assert_eq!(message.headers.message_type, Some("exception"));
    assert_eq!(message.headers.exception_type, Some("throttlingException"));
    assert_eq!(message.headers.event_type, None);
}

#[test]
fn headers_that_cannot_be_are_refused() {
    let no_text = header(":event-type", STRING, b"\0\x01\xff");
    let unknown = header("x", 10, b"");
    let long = header("x", STRING, b"\xff\xffab");
    for headers in [
        no_text,
        unknown,
        long,
        b"\x05ab".to_vec(),
        b"\x01a".to_vec(),
    ] {
        assert_eq!(
            message(&frame(&headers, b"{}")),
            Err(StreamFault::Malformed("a frame's headers cannot be"))
        );
    }
}
