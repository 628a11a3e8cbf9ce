//! What is said to those who connect without TLS, so that they learn why it does not
//! work, and nothing else. Pure.

/// In TLS's place. It names no secret and is the same for everybody.
const WORDS: &str = "this port speaks TLS: give the controller's address as https://";

/// As much of a connection's beginning as tells what it speaks.
pub const ENOUGH: usize = 4;

/// HTTP/2's INADEQUATE_SECURITY. Source: RFC 9113, section 7.
const INADEQUATE_SECURITY: u32 = 0xc;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// What the first bytes of a connection are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preface {
    /// A TLS handshake.
    Tls,
    /// HTTP/2 in the clear.
    Http2,
    /// HTTP/1 in the clear.
    Http1,
    /// None of these.
    Other,
}

/// Recognises the first [`ENOUGH`] bytes, or fewer where no more came.
pub fn recognise(bytes: &[u8]) -> Preface {
    match bytes {
        // Source: RFC 8446, section 5.1, ContentType handshake.
        [22, ..] => Preface::Tls,
        // Source: RFC 9113, section 3.4.
        [b'P', b'R', b'I', ..] => Preface::Http2,
        [first, ..] if first.is_ascii_uppercase() => Preface::Http1,
        _ => Preface::Other,
    }
}

impl Preface {
    /// What its speaker understands.
    pub fn answer(self) -> Vec<u8> {
        match self {
            Self::Tls | Self::Other => Vec::new(),
            Self::Http1 => format!(
                "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{WORDS}\n",
                WORDS.len() + 1
            )
            .into_bytes(),
            Self::Http2 => {
                let mut told = frame(SETTINGS, &[]);
                let mut parting = 0_u32.to_be_bytes().to_vec();
                parting.extend(INADEQUATE_SECURITY.to_be_bytes());
                parting.extend(WORDS.as_bytes());
                told.extend(frame(GOAWAY, &parting));
                told
            }
        }
    }
}

/// A frame of the connection itself. Source: RFC 9113, section 4.1.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default();
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_recognised() {
        for (bytes, preface) in [
            (&[22, 3, 1, 2][..], Preface::Tls),
            (b"PRI ", Preface::Http2),
            (b"GET ", Preface::Http1),
            (b"POST", Preface::Http1),
            (b"\0\0\0\0", Preface::Other),
            (b"", Preface::Other),
        ] {
            assert_eq!(recognise(bytes), preface, "{bytes:?}");
        }
    }

    #[test]
    fn each_is_told_in_its_own_language() {
        let told = Preface::Http2.answer();
        assert_eq!(&told[..9], [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]);
        assert_eq!(told[11], u8::try_from(8 + WORDS.len()).unwrap());
        assert_eq!(told[12], GOAWAY);
        assert!(told.ends_with(WORDS.as_bytes()));
        let told = String::from_utf8(Preface::Http1.answer()).unwrap();
        assert!(told.starts_with("HTTP/1.1 400 ") && told.contains(WORDS));
        assert!(Preface::Other.answer().is_empty());
    }
}
