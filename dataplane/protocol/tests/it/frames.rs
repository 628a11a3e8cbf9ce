//! Writes AWS's binary event streams from text, with a checksum of its own making.

/// Encodes one event a line: `TYPE PAYLOAD`. What a line begins with says more: `!` an exception; `!!`
/// an error without a body (`!!CODE MESSAGE`); `^` a bit of the payload is flipped on its way; `<` only
/// half of the frame comes.
pub(crate) fn encode(text: &str) -> Vec<u8> {
    text.lines()
        .filter(|line| !line.is_empty())
        .flat_map(line)
        .collect()
}

fn line(line: &str) -> Vec<u8> {
    let (mark, rest) = match line.strip_prefix(['^', '<']) {
        Some(rest) => (line.as_bytes()[0], rest),
        None => (b' ', line),
    };
    let (kind, said) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut frame = if let Some(code) = kind.strip_prefix("!!") {
        let headers = [
            (":message-type", "error"),
            (":error-code", code),
            (":error-message", said),
        ];
        self::frame(&headers, b"")
    } else if let Some(exception) = kind.strip_prefix('!') {
        frame_of("exception", ":exception-type", exception, said)
    } else {
        frame_of("event", ":event-type", kind, said)
    };
    match mark {
        b'^' => {
            let at = frame.len() - 6;
            frame[at] ^= 1;
        }
        b'<' => frame.truncate(frame.len() / 2),
        _ => {}
    }
    frame
}

fn frame_of(message_type: &str, name: &str, kind: &str, payload: &str) -> Vec<u8> {
    let headers = [
        (name, kind),
        (":content-type", "application/json"),
        (":message-type", message_type),
    ];
    frame(&headers, payload.as_bytes())
}

/// One message: lengths, headers of text, payload, and both checksums.
fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(name.len() as u8);
        encoded.extend(name.as_bytes());
        encoded.push(7);
        encoded.extend((value.len() as u16).to_be_bytes());
        encoded.extend(value.as_bytes());
    }
    let total = 16 + encoded.len() + payload.len();
    let mut frame = (total as u32).to_be_bytes().to_vec();
    frame.extend((encoded.len() as u32).to_be_bytes());
    frame.extend(crc32(&frame).to_be_bytes());
    frame.extend(encoded);
    frame.extend(payload);
    frame.extend(crc32(&frame).to_be_bytes());
    frame
}

/// Bit by bit, as the definition has it (ISO 3309), so that nothing is checked against itself.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 * (crc & 1))
        })
    })
}

#[test]
fn the_checksum_is_the_common_one() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
}
