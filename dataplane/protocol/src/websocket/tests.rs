//! Frames as a server and as a client send them, cut anywhere.

use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Wants what begins with `w`.
fn judge(text: &[u8]) -> Verdict {
    match text.first() {
        None => Verdict::Undecided,
        Some(b'w') => Verdict::Wanted,
        Some(_) => Verdict::Unwanted,
    }
}

fn frame(opcode: u8, is_final: bool, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut frame = text_frame(payload);
    frame[0] = opcode | if is_final { 0x80 } else { 0 };
    if let Some(mask) = mask {
        let start = frame.len() - payload.len();
        frame[1] |= 0x80;
        unmask(&mut frame[start..], mask, 0);
        frame.splice(start..start, mask);
    }
    frame
}

/// What is given of pieces, and where they leave off.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Place, bool) {
    let mut scanner = Scanner::new(judge);
    let mut given = Vec::new();
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() {
            let step = scanner.next(rest);
            assert!((1..=rest.len()).contains(&step.length));
            given.extend(step.message.map(<[u8]>::to_vec));
            rest = &rest[step.length..];
        }
        assert!(scanner.text.len() <= MAX_TEXT);
    }
    (given, scanner.place(), scanner.is_closed())
}

fn whole(bytes: &[u8]) -> (Vec<Vec<u8>>, Place, bool) {
    read([bytes])
}

fn bytewise(bytes: &[u8]) -> (Vec<Vec<u8>>, Place, bool) {
    read(bytes.chunks(1))
}

#[test]
fn wanted_texts_are_given_masked_or_not_whatever_stands_between_their_frames() {
    for mask in [None, Some(MASK)] {
        let mut stream = Vec::new();
        stream.extend(frame(TEXT, true, mask, b"no"));
        stream.extend(frame(TEXT, true, mask, b"w1"));
        stream.extend(frame(TEXT, false, mask, b"w2 in"));
        stream.extend(frame(PING, true, mask, b"wake"));
        stream.extend(frame(CONTINUATION, false, mask, b""));
        stream.extend(frame(CONTINUATION, false, mask, b" three"));
        stream.extend(frame(PONG, true, mask, b""));
        stream.extend(frame(CONTINUATION, true, mask, b" parts"));
        stream.extend(frame(BINARY, true, mask, b"w"));
        stream.extend(frame(TEXT, false, mask, b"w3"));
        stream.extend(frame(CONTINUATION, true, mask, b""));
        let expected: Vec<Vec<u8>> = [&b"w1"[..], b"w2 in three parts", b"w3"]
            .map(<[u8]>::to_vec)
            .into();
        let outcome = (expected, Place::BetweenMessages, false);
        assert_eq!(whole(&stream), outcome);
        assert_eq!(bytewise(&stream), outcome);
    }
}

#[test]
fn a_message_ends_with_its_step() {
    let mut stream = frame(TEXT, true, None, b"w1");
    stream.extend(frame(TEXT, true, None, b"no"));
    let mut scanner = Scanner::new(judge);
    let step = scanner.next(&stream);
    assert_eq!((step.length, step.message), (4, Some(&b"w1"[..])));
    assert_eq!(scanner.place(), Place::BetweenMessages);
}

#[test]
fn long_lengths_are_read_and_too_long_texts_are_not_kept() {
    for length in [125, 126, 65_535, 65_536, MAX_TEXT, MAX_TEXT + 1] {
        let text = vec![b'w'; length];
        let expected = usize::from(length <= MAX_TEXT);
        for mask in [None, Some(MASK)] {
            let stream = frame(TEXT, true, mask, &text);
            let (given, place, _) = read(stream.chunks(5000));
            assert_eq!((given.len(), place), (expected, Place::BetweenMessages));
            assert!(given.iter().all(|given| *given == text));
        }
    }
    // A frame of 2^62 bytes has begun; nothing of it is kept beyond the bound.
    let mut endless = vec![0x81, 127];
    endless.extend((1u64 << 62).to_be_bytes());
    endless.extend(vec![b'w'; 2 * MAX_TEXT]);
    assert_eq!(
        read(endless.chunks(5000)),
        (Vec::new(), Place::Closed, false)
    );
}

#[test]
fn places_between_frames_are_known() {
    let at = |bytes: &[u8]| bytewise(bytes).1;
    assert_eq!(at(&frame(TEXT, false, None, b"x")), Place::BetweenFrames);
    assert_eq!(at(&frame(PING, true, None, b"x")), Place::BetweenMessages);
    assert_eq!(at(&frame(TEXT, true, None, b"x")[..1]), Place::Closed);
    assert_eq!(at(&frame(TEXT, true, None, b"xy")[..3]), Place::Closed);
    let close = close_frame(1000, "bye", None);
    assert_eq!(bytewise(&close), (Vec::new(), Place::Closed, true));
}

#[test]
fn what_is_no_websocket_passes_unread() {
    let wanted = frame(TEXT, true, None, b"w1");
    for broken in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        &frame(CONTINUATION, true, None, b"x"),
        &frame(0x3, true, None, b"x"),
        &frame(PING, false, None, b"x"),
        &frame(PING, true, None, &[b'x'; 126]),
        &[
            frame(TEXT, false, None, b"x"),
            frame(TEXT, true, None, b"x"),
        ]
        .concat(),
        &[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
        &close_frame(1000, "", None),
    ] {
        let stream = [broken, &wanted].concat();
        let (given, place, _) = bytewise(&stream);
        assert_eq!((given.len(), place), (0, Place::Closed), "{broken:?}");
    }
    // Of an extension nobody asked for: its frames are frames, its text is none.
    let mut extended = wanted.clone();
    extended[0] |= 0x40;
    let stream = [&extended[..], &wanted].concat();
    assert_eq!(whole(&stream).0.len(), 1);
}

#[test]
fn frames_that_are_written_are_read() {
    for length in [0, 125, 126, 65_535, 65_536] {
        let text = vec![b'w'; length];
        let (given, place, _) = whole(&text_frame(&text));
        assert_eq!(place, Place::BetweenMessages);
        assert!(given.iter().all(|given| *given == text));
    }
    let long = "ü".repeat(100);
    let close = close_frame(1008, &long, None);
    assert_eq!((close[1], close.len()), (124, 126));
    let masked = close_frame(1001, "x", Some(MASK));
    assert_eq!(masked[..2], [0x88, 0x83]);
    assert!(whole(&masked).2);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_cuts_change_nothing(
        frames in prop::collection::vec((0u8..16, any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..12),
        noise in prop::collection::vec(any::<u8>(), 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut stream = Vec::new();
        for (opcode, is_final, is_masked, payload) in frames {
            let opcode = [TEXT, TEXT, CONTINUATION, CONTINUATION, PING, BINARY][usize::from(opcode) % 6];
            stream.extend(frame(opcode, is_final, is_masked.then_some(MASK), &payload));
        }
        stream.extend(noise);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();
        let mut start = 0;
        let pieces = ends.into_iter().map(|end| {
            let piece = &stream[start..end];
            start = end;
            piece
        });
        prop_assert_eq!(read(pieces), whole(&stream));
        prop_assert_eq!(bytewise(&stream), whole(&stream));
    }
}
