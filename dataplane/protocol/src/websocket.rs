//! WebSocket frames, read as they pass (RFC 6455): where frames and messages begin and end, and the
//! text messages that somebody wants to read. Nothing is changed; what passes may be cut anywhere.

/// Longest text message that is read; longer ones pass unread.
pub const MAX_TEXT: usize = 1 << 20;
/// So much of a message decides whether it is read to its end.
const MAX_BEGINNING: usize = 4 << 10;
/// Longest head of a frame: two bytes, a length of eight, a mask of four (§5.2).
const MAX_HEAD: usize = 14;
/// Longest payload of a control frame (§5.5).
const MAX_CONTROL: usize = 125;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Where the bytes that were read so far leave off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Between two messages: any frame may be put in here.
    BetweenMessages,
    /// Between two frames of one message: only a control frame may.
    BetweenFrames,
    /// Amid a frame, behind the last one, or in what is no WebSocket: nothing may.
    Closed,
}

/// Whether a text message is worth reading, judged by its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its text is given at its end.
    Wanted,
    /// The rest of it passes unread.
    Unwanted,
    /// Its beginning is too short to say.
    Undecided,
}

/// What was found at the beginning of a piece.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes read; where there is a message, its last one is the last of them.
    pub length: usize,
    /// A wanted text message, unmasked.
    pub message: Option<&'a [u8]>,
}

/// Reads one direction of a WebSocket.
///
/// In: pieces of any size, cut anywhere, masked or not.
/// Out: where frames end, and the text messages that `judge` wants.
/// Bounds: keeps at most [`MAX_TEXT`] bytes of a message that is wanted or may be, else none. A
/// message in one piece is not copied.
/// Errors: none. From the first violation of the protocol on everything passes unread.
#[derive(Debug)]
pub struct Scanner {
    judge: fn(&[u8]) -> Verdict,
    head: [u8; MAX_HEAD],
    /// Bytes of the head that are there.
    head_length: usize,
    /// The frame under way; `None`: between frames, or amid a head.
    frame: Option<Frame>,
    /// A message has begun whose last frame has not.
    is_in_message: bool,
    /// Of the text message under way.
    verdict: Verdict,
    text: Vec<u8>,
    /// `text` was given away, and goes with the next step.
    is_text_given: bool,
    is_closed: bool,
    is_broken: bool,
}

/// A frame whose head was read.
#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: u8,
    is_final: bool,
    mask: Option<[u8; 4]>,
    length: u64,
    /// Payload that has not come yet.
    left: u64,
}

impl Scanner {
    /// Reads the text messages that `judge` wants. It is given their beginning, again and again as
    /// more of it comes, up to 4 KiB; who stays undecided gets the whole.
    pub fn new(judge: fn(&[u8]) -> Verdict) -> Self {
        Self {
            judge,
            head: [0; MAX_HEAD],
            head_length: 0,
            frame: None,
            is_in_message: false,
            verdict: Verdict::Unwanted,
            text: Vec::new(),
            is_text_given: false,
            is_closed: false,
            is_broken: false,
        }
    }

    /// Reads frames and no message.
    pub fn of_frames() -> Self {
        Self::new(|_| Verdict::Unwanted)
    }

    /// Reads on, to the end of a wanted message or of the piece.
    pub fn next<'a>(&'a mut self, piece: &'a [u8]) -> Step<'a> {
        self.forget();
        let mut at = 0;
        while at < piece.len() && !self.is_broken {
            let (payload, is_wanted) = match self.frame {
                None => {
                    let (taken, is_wanted) = self.read_head(&piece[at..]);
                    at += taken;
                    (&piece[..0], is_wanted)
                }
                Some(frame) => {
                    let left = usize::try_from(frame.left).unwrap_or(usize::MAX);
                    let payload = &piece[at..][..left.min(piece.len() - at)];
                    at += payload.len();
                    (payload, self.read_payload(frame, payload))
                }
            };
            if is_wanted {
                return self.give(payload, at);
            }
        }
        Step {
            length: piece.len(),
            message: None,
        }
    }

    /// Lets go of the message that was given last.
    pub fn forget(&mut self) {
        if std::mem::take(&mut self.is_text_given) {
            self.text = Vec::new();
        }
    }

    /// Where the bytes so far leave off.
    pub fn place(&self) -> Place {
        if self.is_broken || self.is_closed || self.frame.is_some() || self.head_length > 0 {
            return Place::Closed;
        }
        match self.is_in_message {
            true => Place::BetweenFrames,
            false => Place::BetweenMessages,
        }
    }

    /// Whether the last frame of all, the one that closes, has passed.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn give<'a>(&'a mut self, payload: &'a [u8], length: usize) -> Step<'a> {
        self.is_text_given = true;
        let text = match self.text.is_empty() {
            true => payload,
            false => &self.text,
        };
        Step {
            length,
            message: Some(text),
        }
    }

    /// Returns how many bytes belong to the head, and whether a wanted message ends by it: its last
    /// frame may be empty.
    fn read_head(&mut self, piece: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        while self.head_length < needed(&self.head[..self.head_length]) {
            let Some(byte) = piece.get(taken) else {
                return (taken, false);
            };
            self.head[self.head_length] = *byte;
            self.head_length += 1;
            taken += 1;
        }
        let frame = Frame::parse(&self.head[..self.head_length]);
        self.head_length = 0;
        match frame {
            Some(frame) if self.fits(frame) => {
                let is_extended = self.head[0] & 0x70 != 0;
                (taken, self.begin(frame, is_extended))
            }
            _ => {
                self.is_broken = true;
                self.text = Vec::new();
                (taken, false)
            }
        }
    }

    /// Whether a frame may come here.
    fn fits(&self, frame: Frame) -> bool {
        !self.is_closed
            && match frame.opcode {
                CONTINUATION => self.is_in_message,
                TEXT | BINARY => !self.is_in_message,
                CLOSE | PING | PONG => frame.is_final && frame.length <= MAX_CONTROL as u64,
                _ => false,
            }
    }

    /// `is_extended`: an extension has changed the payload, so that nobody can read it. Returns
    /// whether a wanted message ends here.
    fn begin(&mut self, frame: Frame, is_extended: bool) -> bool {
        if !frame.is_control() {
            self.is_in_message = true;
        }
        if frame.opcode == TEXT {
            self.verdict = Verdict::Undecided;
        }
        if frame.opcode == BINARY || is_extended && !frame.is_control() {
            self.verdict = Verdict::Unwanted;
            self.text = Vec::new();
        }
        if frame.left > 0 {
            self.frame = Some(frame);
            return false;
        }
        self.end(frame)
    }

    /// Returns whether a wanted message ends by this payload.
    fn read_payload(&mut self, mut frame: Frame, payload: &[u8]) -> bool {
        let at = frame.length - frame.left;
        frame.left -= payload.len() as u64;
        self.frame = (frame.left > 0).then_some(frame);
        let is_last = frame.left == 0 && frame.is_final;
        if !frame.is_control() && self.verdict != Verdict::Unwanted {
            let is_whole = is_last && at == 0 && self.text.is_empty() && frame.mask.is_none();
            self.keep(frame, at, payload, is_whole);
        }
        frame.left == 0 && self.end(frame)
    }

    /// Returns whether a wanted message ends by this frame.
    fn end(&mut self, frame: Frame) -> bool {
        self.is_closed |= frame.opcode == CLOSE;
        if frame.is_control() || !frame.is_final {
            return false;
        }
        self.is_in_message = false;
        std::mem::replace(&mut self.verdict, Verdict::Unwanted) != Verdict::Unwanted
    }

    /// Keeps a part of a text, `at` bytes into its frame. One that `is_whole` is judged and not kept.
    fn keep(&mut self, frame: Frame, at: u64, payload: &[u8], is_whole: bool) {
        let is_plain = frame.mask.is_none() && self.text.is_empty();
        if is_plain && self.verdict == Verdict::Undecided {
            // Most messages are of no interest: they are not copied to find that out.
            self.verdict = (self.judge)(beginning(payload));
        }
        if self.text.len() + payload.len() > MAX_TEXT {
            self.verdict = Verdict::Unwanted;
        }
        if is_whole || self.verdict == Verdict::Unwanted {
            self.drop_unwanted();
            return;
        }
        let start = self.text.len();
        self.text.extend_from_slice(payload);
        if let Some(mask) = frame.mask {
            unmask(&mut self.text[start..], mask, at);
        }
        if !is_plain && self.verdict == Verdict::Undecided && start < MAX_BEGINNING {
            self.verdict = (self.judge)(beginning(&self.text));
            self.drop_unwanted();
        }
    }

    fn drop_unwanted(&mut self) {
        if self.verdict == Verdict::Unwanted {
            self.text = Vec::new();
        }
    }
}

impl Frame {
    /// Reads a whole head; `None`: a length that nobody can have (§5.2: its first bit is 0).
    fn parse(head: &[u8]) -> Option<Self> {
        let ([first, second], rest) = head.split_first_chunk::<2>()?;
        let (length, mask) = match second & 0x7F {
            126 => {
                let (length, mask) = rest.split_first_chunk::<2>()?;
                (u64::from(u16::from_be_bytes(*length)), mask)
            }
            127 => {
                let (length, mask) = rest.split_first_chunk::<8>()?;
                (u64::from_be_bytes(*length), mask)
            }
            short => (u64::from(short), rest),
        };
        (length >> 63 == 0).then_some(Self {
            opcode: first & 0x0F,
            is_final: first & 0x80 != 0,
            mask: mask.first_chunk().copied(),
            length,
            left: length,
        })
    }

    fn is_control(self) -> bool {
        self.opcode & 0x08 != 0
    }
}

/// How long a head is, as far as its beginning tells.
fn needed(head: &[u8]) -> usize {
    let Some(second) = head.get(1) else { return 2 };
    let length = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    2 + length + mask
}

fn beginning(text: &[u8]) -> &[u8] {
    &text[..text.len().min(MAX_BEGINNING)]
}

/// Unmasks bytes that lie `at` bytes into their frame's payload (§5.3).
fn unmask(bytes: &mut [u8], mask: [u8; 4], at: u64) {
    let start = (at % 4) as usize;
    for (byte, key) in bytes.iter_mut().zip(mask.iter().cycle().skip(start)) {
        *byte ^= key;
    }
}

/// Writes a text message in one frame, as a server sends it.
pub fn text_frame(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | TEXT];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(short @ ..126), _) => frame.push(short),
        (_, Ok(long)) => {
            frame.push(126);
            frame.extend_from_slice(&long.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(text);
    frame
}

/// Writes the frame that closes, with a reason of up to 123 bytes; a client's has a mask, a server's
/// has none.
pub fn close_frame(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
    let length = 2 + reason.len() as u8;
    let mut frame = vec![0x80 | CLOSE, length];
    if let Some(mask) = mask {
        frame[1] |= 0x80;
        frame.extend_from_slice(&mask);
    }
    let start = frame.len();
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    if let Some(mask) = mask {
        unmask(&mut frame[start..], mask, 0);
    }
    frame
}

#[cfg(test)]
mod tests;
