//! The member `type` of a JSON object, found in its beginning: most events are audio, and nobody
//! reads a hundred kilobytes of it to learn that. Nothing is checked; who wants the event parses it.

/// Finds the raw text of the first member `type`, if that is a string; `None`: it has not come yet,
/// or never will.
pub(super) fn find(text: &[u8]) -> Option<&[u8]> {
    let mut rest = Rest(text);
    rest.take(b'{')?;
    loop {
        let name = rest.string()?;
        rest.take(b':')?;
        if name == b"type" {
            return rest.string();
        }
        rest.skip_value()?;
        rest.take(b',')?;
    }
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Skips white space, then this byte.
    fn take(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.trim_ascii_start().strip_prefix(&[byte])?;
        Some(())
    }

    /// Takes a string and gives what is between its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let mut at = 0;
        loop {
            at += memchr::memchr2(b'"', b'\\', self.0.get(at..)?)?;
            if self.0[at] == b'"' {
                let (text, rest) = self.0.split_at(at);
                self.0 = &rest[1..];
                return Some(text);
            }
            at += 2;
        }
    }

    /// Skips a value up to the comma or brace behind it.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0u32;
        loop {
            self.0 = self.0.trim_ascii_start();
            match self.0.first()? {
                b'"' => {
                    self.string()?;
                }
                b',' | b'}' | b']' if depth == 0 => return Some(()),
                byte => {
                    match byte {
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    self.0 = &self.0[1..];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_type_is_found_wherever_it_stands_and_at_the_top_alone() {
        for (text, expected) in [
            (r#"{"type":"a","x"#, Some("a")),
            (" { \"event_id\" : \"e\\\"}\" , \"type\" : \"a\"", Some("a")),
            (
                r#"{"response":{"type":"no","l":[{},"}"]},"n":-1.5,"type":"a"}"#,
                Some("a"),
            ),
            (r#"{"response":{"type":"no"}}"#, None),
            (r#"{"type":7,"type":"a"}"#, None),
            (r#"{"type":"a"#, None),
            (r#"["type","a"]"#, None),
            ("", None),
        ] {
            let found = find(text.as_bytes()).map(|found| str::from_utf8(found).unwrap());
            assert_eq!(found, expected, "{text}");
            for end in 0..text.len() {
                // A shorter beginning says nothing, or the same.
                let found = find(&text.as_bytes()[..end]);
                assert!(found.is_none() || found == expected.map(str::as_bytes));
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_a_whole_object_is_found_as_a_parser_finds_it(
            text in r#"\{("(a|type|\\")":("[a-c\\"]{0,3}"|[0-9]|\{"type":"no"\}|\[[\]{}]{0,2}),?){0,4}\}?"#,
        ) {
            let found = find(text.as_bytes());
            if let Ok(object) = crate::json::Object::parse(text.as_bytes()) {
                let first = object.members.iter().find(|(name, _)| name == "type");
                let raw = first.and_then(|(_, value)| value.get().strip_prefix('"')?.strip_suffix('"'));
                prop_assert_eq!(found, raw.map(str::as_bytes));
            }
        }
    }

    #[test]
    fn no_text_panics() {
        for text in [
            "{\"a\\",
            "{\"a\":]",
            "{\"a\":}}}",
            "{\"\\",
            "{\"a\":[[[[",
            "}",
        ] {
            assert_eq!(find(text.as_bytes()), None, "{text}");
        }
    }
}
