//! Finds the deciding parts of a form (`multipart/form-data`) that comes in chunks of any size.
//!
//! Source: RFC 7578, RFC 2046 section 5.1.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use super::{Head, HeadError, Member};

/// Longest head of a part: a disposition and a type take some hundred bytes.
const MAX_PART_HEAD: usize = 8 << 10;
/// Longest value that is read: a model's name.
const MAX_VALUE: usize = 16 << 10;
/// Longest boundary.
const MAX_BOUNDARY: usize = 70;

/// Reads the head of a form as it comes.
///
/// In: chunks of any size, cut anywhere. Out: the deciding members, each as soon as the part after it
/// has begun, with their places in the whole body. Bounds: keeps one part's head, or one value of
/// 16 KiB, or a boundary's length of a file. Errors: see [`HeadError`].
#[derive(Debug)]
pub struct FormScanner {
    /// `CRLF--boundary`.
    delimiter: memmem::Finder<'static>,
    /// Bytes of the chunks before.
    fed: usize,
    head: Head,
    state: State,
    /// What of a delimiter, of a line or of a value came before.
    carry: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// In a part's content, or before the first part.
    Content {
        part: Option<Name>,
        /// Where the content begins in the body.
        began: usize,
    },
    /// After a delimiter, up to the end of its line.
    Delimiter { began: usize },
    /// In a part's head.
    PartHead,
    /// After the last delimiter; whatever comes is no part.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Model,
    Stream,
    N,
}

impl Name {
    const ALL: [Name; 3] = [Name::Model, Name::Stream, Name::N];

    fn key(self) -> &'static str {
        match self {
            Name::Model => "model",
            Name::Stream => "stream",
            Name::N => "n",
        }
    }
}

/// The boundary that a content type names. Errors: it is no form, or names none that is valid.
pub fn boundary(content_type: &str) -> Result<Cow<'_, str>, HeadError> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(not_form("the content-type must be multipart/form-data"));
    }
    parameter(parameters, "boundary")
        .filter(|boundary| (1..=MAX_BOUNDARY).contains(&boundary.len()))
        .ok_or_else(|| not_form("the content-type names no boundary"))
}

fn not_form(reason: &'static str) -> HeadError {
    HeadError::NotForm { reason }
}

impl FormScanner {
    /// A scanner of a form of which nothing has come.
    pub fn new(boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}");
        Self {
            delimiter: memmem::Finder::new(delimiter.as_bytes()).into_owned(),
            fed: 0,
            head: Head::default(),
            state: State::Content {
                part: None,
                began: 0,
            },
            // The first delimiter has no line end before it.
            carry: b"\r\n".to_vec(),
        }
    }

    /// Reads the next chunk.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), HeadError> {
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state.clone() {
                State::Content { part, began } => self.content(chunk, at, part, began)?,
                State::Delimiter { began } => self.delimiter_line(chunk, at, began)?,
                State::PartHead => self.part_head(chunk, at)?,
                State::Over => chunk.len(),
            };
        }
        self.fed += chunk.len();
        Ok(())
    }

    /// What has been found so far.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The offset up to which all deciding members are known.
    pub fn settled(&self) -> usize {
        match self.state {
            State::Content {
                part: Some(_),
                began,
            } => began,
            _ => self.fed,
        }
    }

    /// Gives the whole head: nothing more comes.
    pub fn finish(self) -> Result<Head, HeadError> {
        self.check_end()?;
        Ok(self.head)
    }

    /// The error that an end of the body here would be.
    pub fn check_end(&self) -> Result<(), HeadError> {
        match self.state {
            State::Over => Ok(()),
            _ => Err(not_form("it ends before its last boundary")),
        }
    }

    /// Reads content up to the delimiter after it.
    fn content(
        &mut self,
        chunk: &[u8],
        at: usize,
        part: Option<Name>,
        began: usize,
    ) -> Result<usize, HeadError> {
        let needle = self.delimiter.needle().len();
        let carried = self.carry.len();
        let keeps_all = part.is_some();
        // What was carried may hold the delimiter's beginning.
        let overlap = carried.min(needle - 1);
        let rest = &chunk[at..];
        let seam = [
            &self.carry[carried - overlap..],
            &rest[..rest.len().min(needle - 1)],
        ]
        .concat();
        let found = match self.delimiter.find(&seam) {
            // Relative to `at`; before it where it began in what was carried.
            Some(place) => Some((place as isize) - (overlap as isize)),
            None => self.delimiter.find(rest).map(|place| place as isize),
        };
        let Some(place) = found else {
            self.carry.extend_from_slice(rest);
            if keeps_all && self.carry.len() > MAX_VALUE + needle {
                return Err(HeadError::ModelTooLong { max: MAX_VALUE });
            }
            if !keeps_all {
                let surplus = self.carry.len().saturating_sub(needle - 1);
                self.carry.drain(..surplus);
            }
            return Ok(chunk.len());
        };
        let here = (self.fed + at) as isize + place;
        let end = usize::try_from(here).unwrap_or(0);
        if let Some(name) = part {
            let length = end.saturating_sub(began);
            if length > MAX_VALUE {
                return Err(HeadError::ModelTooLong { max: MAX_VALUE });
            }
            let mut value = std::mem::take(&mut self.carry);
            value.extend_from_slice(rest);
            value.truncate(length);
            self.take(name, &value, began..end)?;
        }
        self.carry.clear();
        self.state = State::Delimiter { began: end };
        Ok(at.saturating_add_signed(place + needle as isize))
    }

    /// Reads the end of a delimiter's line: nothing, or `--` after the last part.
    fn delimiter_line(
        &mut self,
        chunk: &[u8],
        at: usize,
        began: usize,
    ) -> Result<usize, HeadError> {
        let Some(end) = self.line(chunk, at)? else {
            if self.carry.starts_with(b"--") {
                self.close(began);
            }
            return Ok(chunk.len());
        };
        let line = std::mem::take(&mut self.carry);
        if line.starts_with(b"--") {
            self.close(began);
        } else if line.trim_ascii().is_empty() {
            self.state = State::PartHead;
        } else {
            return Err(not_form("a boundary is followed by something else"));
        }
        Ok(end)
    }

    fn close(&mut self, began: usize) {
        self.carry.clear();
        self.head.close = Some(began);
        self.state = State::Over;
    }

    /// Gathers a line in `carry`; gives the offset after it once it is whole.
    fn line(&mut self, chunk: &[u8], at: usize) -> Result<Option<usize>, HeadError> {
        let rest = &chunk[at..];
        let end = memchr::memchr(b'\n', rest).map(|place| at + place + 1);
        self.carry
            .extend_from_slice(&chunk[at..end.unwrap_or(chunk.len())]);
        if self.carry.len() > MAX_PART_HEAD {
            return Err(not_form("a part's head is too long"));
        }
        Ok(end)
    }

    /// Reads a part's head, whose lines are gathered one after the other.
    fn part_head(&mut self, chunk: &[u8], at: usize) -> Result<usize, HeadError> {
        let Some(end) = self.line(chunk, at)? else {
            return Ok(chunk.len());
        };
        let is_over = self.carry == b"\r\n" || self.carry.ends_with(b"\n\r\n");
        if is_over {
            let lines = std::mem::take(&mut self.carry);
            self.state = State::Content {
                part: self.named(&lines)?,
                began: self.fed + end,
            };
        }
        Ok(end)
    }

    /// The deciding member that a part is. Files have a name of their own and are none.
    fn named(&self, lines: &[u8]) -> Result<Option<Name>, HeadError> {
        let text = String::from_utf8_lossy(lines);
        let disposition = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_it = name.trim().eq_ignore_ascii_case("content-disposition");
            is_it.then_some(value)
        });
        let Some((_, parameters)) = disposition.and_then(|value| value.split_once(';')) else {
            return Ok(None);
        };
        if parameter(parameters, "filename").is_some() {
            return Ok(None);
        }
        let Some(name) = parameter(parameters, "name") else {
            return Ok(None);
        };
        let known = Name::ALL.into_iter().find(|known| known.key() == name);
        match known {
            Some(name) if self.has(name) => Err(HeadError::Duplicate { name: name.key() }),
            known => Ok(known),
        }
    }

    fn has(&self, name: Name) -> bool {
        match name {
            Name::Model => self.head.model.is_some(),
            Name::Stream => self.head.stream.is_some(),
            Name::N => self.head.n.is_some(),
        }
    }

    fn take(&mut self, name: Name, value: &[u8], span: Range<usize>) -> Result<(), HeadError> {
        let wrong = |expected| HeadError::WrongType {
            name: name.key(),
            expected,
        };
        let text = std::str::from_utf8(value).map_err(|_| wrong("text in UTF-8"))?;
        match name {
            Name::Model => {
                self.head.model = Some(Member {
                    value: text.to_owned(),
                    span,
                });
            }
            Name::Stream => {
                let value = match text.trim() {
                    "true" | "True" | "1" => true,
                    "false" | "False" | "0" | "" => false,
                    _ => return Err(wrong("true or false")),
                };
                self.head.stream = Some(Member { value, span });
            }
            Name::N => {
                let count = text.trim().parse();
                let wrong = |_| wrong("a whole number that is not negative");
                self.head.n = Some(count.map_err(wrong)?);
            }
        }
        Ok(())
    }
}

/// Finds a parameter of a header's value, quoted or not.
fn parameter<'a>(parameters: &'a str, wanted: &str) -> Option<Cow<'a, str>> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (name, after) = rest.split_once('=')?;
        let is_wanted = name.trim().eq_ignore_ascii_case(wanted);
        let (value, left) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find([';', '\r', '\n']).unwrap_or(after.len());
                (Cow::Borrowed(after[..end].trim()), &after[end..])
            }
        };
        if is_wanted {
            return Some(value);
        }
        rest = left;
    }
}

/// Reads a quoted text behind its first quote, and gives what follows it.
fn unquote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '"' if value.len() == place => {
                return Some((Cow::Borrowed(&text[..place]), &text[place + 1..]));
            }
            '"' => return Some((Cow::Owned(value), &text[place + 1..])),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "preamble\r\n--b0\r\nContent-Disposition: form-data; name=\"file\"; \
        filename=\"model\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--b\r\n\r\n--b0x-not\r\r\n--b0 \r\n\
        content-disposition: form-data; name=model\r\n\r\nwhisper-1\r\n--b0\r\n\
        Content-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n--b0--\r\nepilogue";

    fn read(form: &str, size: usize) -> Result<Head, HeadError> {
        let mut scanner = FormScanner::new("b0");
        for chunk in form.as_bytes().chunks(size) {
            scanner.feed(chunk)?;
            assert!(scanner.settled() <= form.len());
        }
        scanner.finish()
    }

    #[test]
    fn parts_are_found_however_the_form_is_cut() {
        let form = FORM.replace("--b0x-not", "--b1");
        let whole = read(&form, form.len()).unwrap();
        let model = whole.model.clone().unwrap();
        assert_eq!(
            (model.value.as_str(), &form[model.span]),
            ("whisper-1", "whisper-1")
        );
        assert!(whole.is_streaming() && whole.is_whole());
        assert!(form[whole.close.unwrap()..].starts_with("\r\n--b0--"));
        for size in 1..form.len() {
            assert_eq!(read(&form, size), Ok(whole.clone()), "{size}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let part = |name: &str, value: &str| {
            format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let twice = [part("model", "a"), part("model", "b"), "--b0--".into()].concat();
        assert_eq!(read(&twice, 7), Err(HeadError::Duplicate { name: "model" }));
        assert!(read(&part("model", "a"), 5).is_err(), "no end");
        assert!(read(&[part("n", "x"), "--b0--".into()].concat(), 9).is_err());
        assert!(read(FORM, 11).is_err(), "a boundary with a tail");
        let long = [part("model", &"m".repeat(MAX_VALUE + 100)), "--b0--".into()].concat();
        assert!(matches!(
            read(&long, 512),
            Err(HeadError::ModelTooLong { .. })
        ));
        let head = format!("--b0\r\nX: {}\r\n\r\n--b0--", "x".repeat(MAX_PART_HEAD));
        assert!(read(&head, 100).is_err());
    }

    #[test]
    fn boundaries_are_read_from_content_types() {
        assert_eq!(boundary("multipart/form-data; boundary=a").unwrap(), "a");
        assert_eq!(
            boundary("Multipart/Form-Data;charset=x; Boundary=\"a\\\"b;\"").unwrap(),
            "a\"b;"
        );
        for wrong in [
            "application/json",
            "multipart/form-data",
            "multipart/form-data; boundary=",
        ] {
            assert!(boundary(wrong).is_err(), "{wrong}");
        }
    }
}
