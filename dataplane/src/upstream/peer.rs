//! What is known of the other end of a connection: which HTTP it speaks, and how many streams it
//! takes at once, read out of what it sends.
//!
//! Hyper's pool keeps that number to itself, and lets requests above it wait on the one connection
//! that it has. Frames are skipped by their length; nothing is copied or kept.
//!
//! Source: RFC 9113, sections 4.1 "Frame Format" and 6.5 "SETTINGS".

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What connections tell of their other end.
#[derive(Default)]
pub(super) struct Peer {
    spoken: Mutex<Option<Spoken>>,
    /// Woken at every change.
    pub(super) told: Notify,
}

/// What is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    /// With so many streams on a connection.
    Http2(u32),
}

impl Peer {
    /// Takes down what a connection has heard.
    pub(super) fn note(&self, spoken: Spoken) {
        let before = self.spoken.lock().replace(spoken);
        if before != Some(spoken) {
            self.told.notify_waiters();
        }
    }

    /// The connection that told it has ended, and the next may tell another thing.
    pub(super) fn forget(&self) {
        *self.spoken.lock() = None;
    }

    /// `None`: nothing is known yet.
    pub(super) fn spoken(&self) -> Option<Spoken> {
        *self.spoken.lock()
    }
}

const HEADER: usize = 9;
const ENTRY: usize = 6;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// Follows the frames of a connection from its first byte.
#[derive(Debug, Default)]
pub(super) struct SettingsReader {
    /// A frame's header or an entry of settings, as far as it has come.
    part: [u8; HEADER],
    len: usize,
    /// What is left of the frame.
    left: usize,
    is_settings: bool,
    is_first_told: bool,
    streams: Option<u32>,
}

impl SettingsReader {
    /// Takes the next bytes. Gives the number if they end settings that name one, or the first
    /// settings, which need not: then any number is welcome.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Option<u32> {
        let mut told = None;
        while !bytes.is_empty() {
            if self.left == 0 {
                if let Some(header) = self.collect(&mut bytes, HEADER) {
                    told = self.begin(header).or(told);
                }
            } else if self.is_settings {
                let before = bytes.len();
                let entry = self.collect(&mut bytes, ENTRY);
                self.left = self.left.saturating_sub(before - bytes.len());
                if let Some(entry) = entry {
                    self.note(entry);
                }
                if self.left == 0 {
                    told = self.end().or(told);
                }
            } else {
                let skipped = bytes.len().min(self.left);
                self.left -= skipped;
                bytes = &bytes[skipped..];
            }
        }
        told
    }

    /// Completes a part of this length.
    fn collect(&mut self, bytes: &mut &[u8], whole: usize) -> Option<[u8; HEADER]> {
        let taken = bytes.len().min(whole - self.len);
        let (part, rest) = bytes.split_at(taken);
        self.part[self.len..self.len + taken].copy_from_slice(part);
        self.len += taken;
        *bytes = rest;
        if self.len < whole {
            return None;
        }
        self.len = 0;
        Some(self.part)
    }

    fn begin(&mut self, header: [u8; HEADER]) -> Option<u32> {
        let [a, b, c, kind, flags, ..] = header;
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        self.is_settings = kind == SETTINGS && flags & ACK == 0;
        // Settings of nothing have an end too.
        (self.is_settings && self.left == 0)
            .then(|| self.end())
            .flatten()
    }

    fn note(&mut self, entry: [u8; HEADER]) {
        let [a, b, c, d, e, f, ..] = entry;
        if u16::from_be_bytes([a, b]) == MAX_CONCURRENT_STREAMS {
            self.streams = Some(u32::from_be_bytes([c, d, e, f]));
        }
    }

    fn end(&mut self) -> Option<u32> {
        self.len = 0;
        let is_first = !std::mem::replace(&mut self.is_first_told, true);
        self.streams.take().or(is_first.then_some(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, content: &[u8]) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 0], content].concat()
    }

    fn setting(id: u16, value: u32) -> Vec<u8> {
        [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
    }

    /// What is told of these bytes, cut anywhere.
    fn told(bytes: &[u8]) -> Vec<u32> {
        let mut expected = None;
        for cut in 1..=bytes.len() {
            let mut reader = SettingsReader::default();
            let told: Vec<u32> = bytes
                .chunks(cut)
                .filter_map(|part| reader.feed(part))
                .collect();
            if cut == 1 {
                expected = Some(told);
            } else {
                assert_eq!(
                    told.last(),
                    expected.as_ref().and_then(|it| it.last()),
                    "{cut}"
                );
            }
        }
        expected.unwrap_or_default()
    }

    #[test]
    fn the_number_is_found_among_other_settings_and_frames() {
        let settings = [setting(4, 65_535), setting(3, 7), setting(5, 16_384)].concat();
        let bytes = [
            frame(SETTINGS, 0, &settings),
            frame(SETTINGS, ACK, b""),
            frame(0, 0, &setting(3, 1)),
            frame(SETTINGS, 0, &setting(4, 1)),
            frame(SETTINGS, 0, &setting(3, 9)),
        ];
        assert_eq!(told(&bytes.concat()), [7, 9]);
    }

    #[test]
    fn first_settings_without_a_number_take_any() {
        assert_eq!(told(&frame(SETTINGS, 0, b"")), [u32::MAX]);
        assert_eq!(told(&frame(SETTINGS, 0, &setting(4, 1))), [u32::MAX]);
        let again = frame(SETTINGS, 0, b"").repeat(2);
        assert_eq!(told(&again), [u32::MAX]);
    }

    #[test]
    fn what_is_no_http_2_tells_nothing_much_and_harms_nobody() {
        told(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        told(&frame(SETTINGS, 0, b"odd"));
        told(&[0xff; 64]);
    }
}
