//! A few members of a large object that passes, in one pass over its bytes.

use super::Text;
use crate::head::lexer::plain;

/// Finds the values of these members of an object, of equal names the last. Of all members only the
/// ends are looked for: they may be no JSON, as long as their strings and brackets end.
///
/// Errors: what is wrong with the text.
pub(crate) fn pick<'a, const N: usize>(
    bytes: &'a [u8],
    names: &[&str; N],
) -> Result<[Option<&'a [u8]>; N], String> {
    let mut walk = Walk { bytes, at: 0 };
    let mut values = [None; N];
    walk.expect(b'{', "an object")?;
    if walk.next_is(b'}') {
        walk.at += 1;
    } else {
        loop {
            let name = walk.value()?;
            if name.first() != Some(&b'"') {
                return Err(walk.wants("the name of a member"));
            }
            let place = place(name, names)?;
            walk.expect(b':', "a colon")?;
            let value = walk.value()?;
            if let Some(place) = place {
                values[place] = Some(value);
            }
            if walk.next_is(b'}') {
                walk.at += 1;
                break;
            }
            walk.expect(b',', "a comma or the object's end")?;
        }
    }
    walk.skip_blanks();
    match walk.at == bytes.len() {
        true => Ok(values),
        false => Err(walk.wants("nothing more")),
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn skip_blanks(&mut self) {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        while self.bytes.get(self.at).is_some_and(is_blank) {
            self.at += 1;
        }
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        self.bytes.get(self.at) == Some(&byte)
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), String> {
        if !self.next_is(byte) {
            return Err(self.wants(what));
        }
        self.at += 1;
        Ok(())
    }

    fn wants(&self, what: &str) -> String {
        format!("at byte {}: {what} is expected", self.at)
    }

    /// Takes the bytes of the value that comes next.
    fn value(&mut self) -> Result<&'a [u8], String> {
        self.skip_blanks();
        let begin = self.at;
        match self.bytes.get(begin) {
            Some(b'"') => self.skip_text()?,
            Some(b'{' | b'[') => self.skip_nested()?,
            _ => {
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                while self.bytes.get(self.at).is_some_and(is_part) {
                    self.at += 1;
                }
            }
        }
        match &self.bytes[begin..self.at] {
            [] => Err(self.wants("a value")),
            value => Ok(value),
        }
    }

    /// From a `"` past the one that ends the string.
    fn skip_text(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = plain(rest);
            match rest.get(plain) {
                Some(b'"') => {
                    self.at += plain + 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += plain + 2,
                // A control character, which may stand there as far as this is concerned.
                Some(_) => self.at += plain + 1,
                None => {
                    self.at = self.bytes.len();
                    return Err(self.wants("the end of a string"));
                }
            }
        }
    }

    /// From a bracket past the one that closes it.
    fn skip_nested(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.skip_text()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        Err(self.wants("a closing bracket"))
    }
}

/// Which of these the name is.
fn place(quoted: &[u8], names: &[&str]) -> Result<Option<usize>, String> {
    let inner = &quoted[1..quoted.len() - 1];
    if !inner.contains(&b'\\') {
        return Ok(names.iter().position(|name| name.as_bytes() == inner));
    }
    let Text(name) = serde_json::from_slice(quoted).map_err(|error| error.to_string())?;
    Ok(names.iter().position(|one| *one == name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const NAMES: [&str; 2] = ["a", "usage"];

    fn picked(text: &str) -> Result<[Option<&str>; 2], String> {
        let values = pick(text.as_bytes(), &NAMES)?;
        Ok(values.map(|value| value.map(|value| str::from_utf8(value).unwrap())))
    }

    #[test]
    fn only_members_of_the_object_itself_are_picked() {
        let text = r#" {"b":{"a":1,"usage":[{}]},"a":"x\"y","c":[["a"],"]\\"],"us\u0061ge":{"a":[2]}, "a":null} "#;
        assert_eq!(picked(text), Ok([Some("null"), Some(r#"{"a":[2]}"#)]));
        assert_eq!(picked("{ }"), Ok([None, None]));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in [
            "",
            " ",
            "[]",
            "1",
            "\"a\"",
            "{",
            "{\"a\":1",
            "{\"a\":1}x",
            "{\"a\":}",
            "{\"a\" 1}",
            "{\"\\x\":1}",
            "null",
            "{\"b\":\"x",
            "{\"b\":\"x\\",
            "{\"b\":1,}",
            "{a:1}",
            "<html></html>",
        ] {
            assert!(picked(text).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_and_length_are_harmless() {
        let deep = format!(r#"{{"b":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(picked(&deep), Ok([None, None]));
        let long = format!(r#"{{"b":"{}","a":7}}"#, "x\\\"".repeat(100_000));
        assert_eq!(picked(&long), Ok([Some("7"), None]));
    }

    proptest! {
        #[test]
        fn it_takes_what_the_parser_takes(
            text in r#"\{("(a|b|usage)":("x"|1|-0\.5e3|\[1,\{"a":2\}\]|null|true),?){0,4}\}?"#,
        ) {
            let parsed = serde_json::from_str::<Value>(&text).ok();
            let is_object = parsed.as_ref().is_some_and(Value::is_object);
            let picked = picked(&text);
            prop_assert_eq!(picked.is_ok(), is_object);
            for (name, value) in NAMES.iter().zip(picked.into_iter().flatten()) {
                let value = value.map(|value| serde_json::from_str::<Value>(value).unwrap());
                prop_assert_eq!(parsed.as_ref().and_then(|it| it.get(name)), value.as_ref());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = pick(&bytes, &NAMES);
            let _ = pick(&[b"{\"a\":".as_slice(), &bytes].concat(), &NAMES);
        }
    }
}
