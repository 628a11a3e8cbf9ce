//! A few members of a large object, in one pass over its bytes.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Object, Text};
use crate::lexer::{Bracket, Event, Fault, Kind, Lexer};

const NO_OBJECT: &str = "it is not an object";

/// Reads the members of these names of an object; of all others only that they are JSON.
///
/// Errors: what is wrong with the text.
pub(crate) fn pick<'a>(bytes: &'a [u8], names: &[&str]) -> Result<Object<'a>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut lexer = Lexer::new();
    let mut members = Vec::with_capacity(names.len());
    let mut name: Option<Cow<'a, str>> = None;
    let mut began = 0;
    let mut at = 0;
    while let Some(event) = lexer.next(bytes, &mut at, 1).map_err(tell)? {
        match event {
            Event::Open(Bracket::Object) if lexer.depth() == 1 => {}
            Event::Open(_) if lexer.depth() == 1 => return Err(NO_OBJECT.to_owned()),
            Event::Begin(_) if lexer.depth() == 0 => return Err(NO_OBJECT.to_owned()),
            Event::Begin(Kind::Key) => began = at - 1,
            Event::End(Kind::Key) => name = named(&text[began..at], names)?,
            Event::Begin(_) | Event::Open(_) => began = at - 1,
            Event::End(_) | Event::Close(_) if lexer.depth() == 1 => {
                if let Some(name) = name.take() {
                    members.push((name, raw(&text[began..at])?));
                }
            }
            Event::End(_) | Event::Close(_) => {}
        }
    }
    match lexer.is_over() {
        true => Ok(Object { members }),
        false => Err("it ends too early".to_owned()),
    }
}

/// The name, if it is one of these.
fn named<'a>(quoted: &'a str, names: &[&str]) -> Result<Option<Cow<'a, str>>, String> {
    let inner = &quoted[1..quoted.len() - 1];
    let name = match inner.contains('\\') {
        true => {
            serde_json::from_str::<Text<'a>>(quoted)
                .map_err(|error| error.to_string())?
                .0
        }
        false => Cow::Borrowed(inner),
    };
    Ok(names.contains(&&*name).then_some(name))
}

fn raw(text: &str) -> Result<&RawValue, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn tell(fault: Fault) -> String {
    format!("at byte {}: {}", fault.at, fault.reason)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const NAMES: [&str; 2] = ["a", "usage"];

    fn picked(text: &str) -> Result<Vec<(String, String)>, String> {
        let object = pick(text.as_bytes(), &NAMES)?;
        let members = object.members.into_iter();
        Ok(members
            .map(|(name, raw)| (name.into_owned(), raw.get().to_owned()))
            .collect())
    }

    #[test]
    fn only_members_of_the_object_itself_are_picked() {
        let text = r#" {"b":{"a":1,"usage":[{}]},"a":"x\"y","c":[["a"]],"us\u0061ge":{"a":[2]}, "a":null} "#;
        let expected = [("a", r#""x\"y""#), ("usage", r#"{"a":[2]}"#), ("a", "null")];
        let expected = expected.map(|(name, raw)| (name.to_owned(), raw.to_owned()));
        assert_eq!(picked(text).unwrap(), expected);
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
            "{\"b\":01}",
            "{\"a\" 1}",
            "{\"\\x\":1}",
            "null",
        ] {
            assert!(picked(text).is_err(), "{text}");
        }
        assert!(pick(b"{\"b\":\"\xff\"}", &NAMES).is_err());
        let deep = format!(r#"{{"b":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(picked(&deep), Ok(Vec::new()));
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
            for (name, raw) in picked.into_iter().flatten() {
                prop_assert!(parsed.as_ref().is_some_and(|it| it.get(&name).is_some()));
                prop_assert!(serde_json::from_str::<Value>(&raw).is_ok());
            }
        }
    }
}
