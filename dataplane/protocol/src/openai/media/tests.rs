//! Rules of image events.

use super::*;
use crate::exchange::pass::{Pass, PassThrough};

fn pass(stream: &'static str) -> (Result<(), StreamFault>, Vec<u8>, PassThrough<MediaEvents>) {
    let mut pass = PassThrough::new(MediaEvents, None);
    let mut out = Vec::new();
    let end = pass
        .push(Bytes::from_static(stream.as_bytes()), &mut out)
        .and_then(|()| pass.finish(&mut out));
    (end, out.concat(), pass)
}

#[test]
fn images_need_no_end_mark_and_tell_their_usage() {
    let stream = "event: image_generation.partial_image\n\
        data: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"AA==\"}\n\n\
        event: image_generation.completed\n\
        data: {\"type\":\"image_generation.completed\",\"b64_json\":\"AB==\",\"usage\":{\"input_tokens\":5,\
        \"output_tokens\":7,\"input_tokens_details\":{\"text_tokens\":2,\"image_tokens\":3}}}\n\n";
    let (end, client, pass) = pass(stream);
    assert_eq!((end, client.as_slice()), (Ok(()), stream.as_bytes()));
    let usage = pass.seen().usage.unwrap();
    assert_eq!(
        (usage.input, usage.image_input, usage.output),
        (Some(5), Some(3), Some(7))
    );
    assert!(pass.seen().is_committed);
}

#[test]
fn a_torn_event_is_a_cut_and_an_error_an_error() {
    assert_eq!(pass("data: {\"b64_json\":\"AA").0, Err(StreamFault::Cut));
    assert!(matches!(
        pass("data: {\"error\":{\"message\":\"no\"}}\n\n").0,
        Err(StreamFault::Provider(_))
    ));
    assert_eq!(pass("data: {\"a\":1}\n\ndata: [DONE]\n\nrest").0, Ok(()));
}

#[test]
fn whole_images_tell_their_usage() {
    let body = Bytes::from_static(br#"{"data":[],"usage":{"output_tokens":9}}"#);
    let decoded = whole(WireProtocol::OpenAI, body.clone()).unwrap();
    assert_eq!(decoded.body.as_ptr(), body.as_ptr());
    assert_eq!(decoded.usage.and_then(|usage| usage.output), Some(9));
    let page = Bytes::from_static(b"<html>");
    assert!(whole(WireProtocol::OpenAI, page).is_err());
}
