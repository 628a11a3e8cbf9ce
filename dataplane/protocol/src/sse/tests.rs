//! Rules of the framer: the same events however the bytes are cut.

use super::*;

type Read = (Option<Vec<u8>>, Option<Vec<u8>>);

/// All events of a stream that is fed in pieces; also checks that the offsets cover every byte.
fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>, max: usize) -> (Vec<Option<Read>>, Vec<u8>) {
    let mut framer = Framer::new(max);
    let mut events = Vec::new();
    for piece in pieces {
        let mut at = 0;
        loop {
            match framer.next(piece, at) {
                Step::Event { bytes, end } => {
                    assert!(end > at && end <= piece.len());
                    at = end;
                    events.push(bytes.map(|bytes| {
                        let fields = fields(bytes);
                        (
                            fields.event.map(<[u8]>::to_vec),
                            fields.data.map(Cow::into_owned),
                        )
                    }));
                }
                Step::Rest { end } => at = end,
                Step::Partial { .. } => break,
            }
        }
    }
    (events, framer.unfinished().to_vec())
}

fn data(text: &str) -> Option<Read> {
    Some((None, Some(text.as_bytes().to_vec())))
}

fn cut_everywhere(stream: &[u8], expected: &[Option<Read>], unfinished: &[u8]) {
    let expected = (expected.to_vec(), unfinished.to_vec());
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(
            events([head, tail].into_iter(), 1 << 20),
            expected,
            "cut at {at}"
        );
    }
    for size in 1..5 {
        assert_eq!(
            events(stream.chunks(size), 1 << 20),
            expected,
            "pieces of {size}"
        );
    }
}

#[test]
fn all_line_ends_mean_the_same() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = format!("event: x{end}data: a{end}{end}data:b{end}data: c{end}{end}");
        let first = Some((Some(b"x".to_vec()), Some(b"a".to_vec())));
        cut_everywhere(stream.as_bytes(), &[first, data("b\nc")], b"");
    }
}

#[test]
fn comments_unknown_fields_and_marks_are_skipped() {
    let stream =
        "\u{feff}data: 你好🙂\n\n: ping\n\nid: 1\nretry: 5\nwhat\nno: pe\n\ndata\n\ndata: x";
    let nothing = Some((None, None));
    cut_everywhere(
        stream.as_bytes(),
        &[data("你好🙂"), nothing.clone(), nothing, data("")],
        b"data: x",
    );
}

#[test]
fn extra_blank_lines_are_empty_events() {
    cut_everywhere(
        b"\n\r\ndata: a\n\n",
        &[Some((None, None)), Some((None, None)), data("a")],
        b"",
    );
}

#[test]
fn an_event_over_the_bound_is_told_and_not_held() {
    let long = format!("data: {}\n\ndata: b\n\n", "x".repeat(100));
    for size in [1, 7, 200] {
        let (read, _) = events(long.as_bytes().chunks(size), 64);
        assert_eq!(read, [None, data("b")], "pieces of {size}");
    }
    let mut framer = Framer::new(8);
    assert_eq!(
        framer.next(b"data: 123", 0),
        Step::Partial { is_overlong: true }
    );
    assert!(framer.carry.capacity() == 0 && framer.is_mid_event());
}
