use proptest::prelude::*;

use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fn merged(merger: &mut ChunkMerger, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let length = merger.merge(&mut bytes);
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

fn after_chunked_head() -> ChunkMerger {
    let mut merger = ChunkMerger::new();
    assert_eq!(merged(&mut merger, HEAD), HEAD);
    merger
}

#[test]
fn neighbours_in_one_read_become_one_chunk() {
    for (read, expected) in [
        ("1\r\na\r\n", "1\r\na\r\n"),
        ("1\r\na\r\n1\r\nb\r\n", "2\r\nab\r\n"),
        ("1\r\na\r\n2\r\nbc\r\n1\r\nd\r\n", "4\r\nabcd\r\n"),
        // The last one is not whole yet, or is the end.
        ("1\r\na\r\n1\r\nb\r\n5\r\ncd", "2\r\nab\r\n5\r\ncd"),
        ("1\r\na\r\n1\r\nb\r\n0\r\n\r\n", "2\r\nab\r\n0\r\n\r\n"),
        ("1\r\na\r\n1;x=1\r\nb\r\n", "1\r\na\r\n1;x=1\r\nb\r\n"),
    ] {
        assert_eq!(
            merged(&mut after_chunked_head(), read),
            expected,
            "{read:?}"
        );
    }
}

#[test]
fn many_small_ones_leave_room_for_the_longer_size() {
    let read: String = (0..5000).map(|n| format!("1\r\n{}\r\n", n % 10)).collect();
    let data: String = (0..5000).map(|n| (n % 10).to_string()).collect();
    let expected = format!("1388\r\n{data}\r\n");
    assert_eq!(merged(&mut after_chunked_head(), &read), expected);
}

#[test]
fn the_head_and_the_next_answer_are_left_alone() {
    let mut merger = ChunkMerger::new();
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n1\r\na\r\n1\r\nb\r\n";
    let chunked = format!("{HEAD}1\r\na\r\n1\r\nb\r\n0\r\nx: y\r\n\r\n");
    let none = "HTTP/1.1 204 No Content\r\n\r\n";
    let early = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
    let all = format!("{sized}{early}{chunked}{none}{chunked}");
    let expected = all.replace("\r\n\r\n1\r\na\r\n1\r\nb\r\n0", "\r\n\r\n2\r\nab\r\n0");
    assert_eq!(merged(&mut merger, &all), expected);
}

#[test]
fn what_is_not_understood_passes() {
    for head in [
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let all = format!("{head}1\r\na\r\n1\r\nb\r\n");
        assert_eq!(merged(&mut ChunkMerger::new(), &all), all);
    }
    let mut merger = after_chunked_head();
    for read in ["zz\r\n1\r\na\r\n1\r\nb\r\n", "1\r\na\r\n1\r\nb\r\n"] {
        assert_eq!(merged(&mut merger, read), read);
    }
    let all = "1\r\na\r\n1\r\nb\r\n";
    assert_eq!(merged(&mut ChunkMerger::opaque(), all), all);
}

/// The data of a body in chunks, and what follows it.
fn data_of(mut body: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut data = Vec::new();
    loop {
        let line = memchr::memmem::find(body, b"\r\n").unwrap();
        let digits = std::str::from_utf8(&body[..line]).unwrap();
        let size = usize::from_str_radix(digits, 16).unwrap();
        let start = line + 2;
        data.extend_from_slice(&body[start..start + size]);
        assert_eq!(&body[start + size..start + size + 2], b"\r\n");
        body = &body[start + size + 2..];
        if size == 0 {
            return (data, body);
        }
    }
}

proptest! {
    #[test]
    fn however_it_is_cut_the_data_stays(
        bodies in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20),
            1..4,
        ),
        cuts in prop::collection::vec(1usize..700, 1..30),
    ) {
        let mut all = Vec::new();
        for body in &bodies {
            all.extend_from_slice(HEAD.as_bytes());
            for chunk in body {
                all.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                all.extend_from_slice(chunk);
                all.extend_from_slice(b"\r\n");
            }
            all.extend_from_slice(b"0\r\n\r\n");
        }
        let (mut merger, mut out) = (ChunkMerger::new(), Vec::new());
        let (mut rest, mut cuts) = (&all[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let cut = rest.len().min(*cuts.next().unwrap());
            let mut read = rest[..cut].to_vec();
            let length = merger.merge(&mut read);
            prop_assert!(length > 0 && length <= cut);
            out.extend_from_slice(&read[..length]);
            rest = &rest[cut..];
        }
        let mut rest = &out[..];
        for body in &bodies {
            rest = rest.strip_prefix(HEAD.as_bytes()).unwrap();
            let (data, after) = data_of(rest);
            prop_assert_eq!(data, body.concat());
            rest = after;
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn foreign_bytes_are_never_lost_before_the_body(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut read = bytes.clone();
        let length = ChunkMerger::new().merge(&mut read);
        prop_assert!(length > 0);
        if memchr::memmem::find(&bytes, b"\r\n\r\n").is_none() {
            prop_assert_eq!(&read[..length], &bytes[..]);
        }
        let mut line = bytes.clone();
        let _ = after_chunked_head().merge(&mut line);
    }
}
