//! Floods, and what is none, cut in pieces of any size.

use super::*;

const PING: u8 = 6;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
    let [_, _, _, _, _, high, mid, low] = (length as u64).to_be_bytes();
    let mut frame = vec![high, mid, low, kind, flags, 0, 0, 0, 1];
    frame.resize(HEAD + length, 0xaa);
    frame
}

/// How many of these frames are taken, sent at this pace, in pieces of this size.
fn taken(frame: &[u8], count: usize, every: Duration, piece: usize) -> usize {
    let mut now = Instant::now();
    let mut watch = FrameWatch::new(256, now);
    assert!(watch.is_fair(PREFACE, now));
    for taken in 0..count {
        now += every;
        if !frame.chunks(piece).all(|piece| watch.is_fair(piece, now)) {
            return taken;
        }
    }
    count
}

#[test]
fn what_asks_for_nothing_has_a_bound() {
    let at_once = Duration::ZERO;
    for (kind, flags, length, expected) in [
        (PING, 0, 8, 1000),
        (SETTINGS, 0, 0, 1000),
        (SETTINGS, 0, 36, 1000),
        (CONTINUATION, 0, 10, 1000),
        (kind::DATA, 0, 0, 1000),
        (0xfe, 0, 100, 1000),
        (kind::RST_STREAM, 0, 4, 256),
        (kind::DATA, 0, 1, 5000),
        (kind::DATA, END_STREAM, 0, 5000),
        (kind::HEADERS, 0, 30, 5000),
        (kind::WINDOW_UPDATE, 0, 4, 5000),
    ] {
        for piece in [1, 3, 16, 1 << 16] {
            let taken = taken(&frame(kind, flags, length), 5000, at_once, piece);
            assert_eq!(
                taken, expected,
                "type {kind}, {length} bytes, in pieces of {piece}"
            );
        }
    }
}

#[test]
fn what_a_client_that_works_sends_goes_on_for_ever() {
    let ping = taken(&frame(PING, 0, 8), 50_000, Duration::from_millis(10), 64);
    assert_eq!(ping, 50_000);
    let reset = taken(
        &frame(kind::RST_STREAM, 0, 4),
        50_000,
        Duration::from_millis(20),
        64,
    );
    assert_eq!(reset, 50_000);
}

#[test]
fn a_flood_of_20_000_frames_a_second_is_found_within_a_tenth_of_one() {
    let every = Duration::from_micros(50);
    for kind in [PING, SETTINGS, kind::RST_STREAM] {
        let taken = taken(&frame(kind, 0, 8), 20_000, every, 64);
        assert!(taken < 2_000, "{taken} of type {kind}");
    }
}

#[test]
fn another_protocol_is_let_alone() {
    let now = Instant::now();
    for start in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PRI * HTTP/1.1",
        b"P",
        b"\x16\x03\x01",
    ] {
        let mut watch = FrameWatch::new(1, now);
        assert!(watch.is_fair(start, now));
        for _ in 0..10_000 {
            assert!(watch.is_fair(&frame(PING, 0, 8), now));
        }
    }
}

#[test]
fn a_payload_that_looks_like_frames_is_none() {
    let now = Instant::now();
    let mut watch = FrameWatch::new(256, now);
    assert!(watch.is_fair(PREFACE, now));
    let pings = frame(PING, 0, 8).repeat(900);
    for _ in 0..10 {
        let mut data = frame(kind::DATA, 0, 0);
        data.splice(
            0..3,
            (pings.len() as u32).to_be_bytes()[1..].iter().copied(),
        );
        assert!(watch.is_fair(&[data, pings.clone()].concat(), now));
    }
}
