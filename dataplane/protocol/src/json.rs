//! Readers of foreign JSON that cannot be made to recurse: an object is a flat list of names and raw
//! values, opened one level at a time. Nesting of any depth is skipped iteratively by `serde_json`.
//!
//! Two manners: [`Object`] is lenient (the last of two equal names counts, a wrong type is absent),
//! for what providers say; [`Members`](crate::openai) builds strictness for callers on top of it.

mod pick;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(crate) use pick::pick;

/// One JSON object, its members in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object<'a> {
    pub(crate) members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Parses bytes that hold exactly one object.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Finds a member that is not null.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.members.iter().rev().find(|(key, _)| key == name)?.1;
        (found.get() != "null").then_some(found)
    }

    pub(crate) fn object(&self, name: &str) -> Option<Object<'a>> {
        object(self.raw(name)?)
    }

    pub(crate) fn array(&self, name: &str) -> Option<Vec<&'a RawValue>> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    pub(crate) fn str(&self, name: &str) -> Option<Cow<'a, str>> {
        string(self.raw(name)?)
    }

    /// A count; a whole number written as a float counts too, anything else is absent.
    pub(crate) fn u64(&self, name: &str) -> Option<u64> {
        count(self.raw(name)?.get().as_bytes())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(ObjectVisitor)
            .map(|members| Object { members })
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // What most have: growing would move them several times.
        let mut members = Vec::with_capacity(12);
        while let Some(Text(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// A string that borrows where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Opens a value as an object; `None` if it is something else.
pub(crate) fn object(raw: &RawValue) -> Option<Object<'_>> {
    serde_json::from_str(raw.get()).ok()
}

/// Opens a value as a string; `None` if it is something else.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get())
        .ok()
        .map(|text| text.0)
}

/// Reads bytes as a count; a whole number written as a float counts too, anything else is absent.
pub(crate) fn count(value: &[u8]) -> Option<u64> {
    let text = str::from_utf8(value).ok()?;
    text.parse().ok().or_else(|| {
        let float: f64 = text.parse().ok()?;
        (float >= 0.0 && float.fract() == 0.0 && float < 9e15).then_some(float as u64)
    })
}

/// Reads bytes as a string; `None` if they are something else.
pub(crate) fn text(value: &[u8]) -> Option<String> {
    let text = serde_json::from_slice::<Text<'_>>(value);
    text.ok().map(|text| text.0.into_owned())
}

/// The bytes of a JSON string.
pub(crate) fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write(&mut out, text);
    out
}

/// Appends a value as JSON.
pub(crate) fn write<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing to memory does not fail, and none of our types has a map key that is no string.
    let written = serde_json::to_writer(&mut *out, value);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrows_what_has_no_escapes_and_takes_the_last_of_two() {
        let object =
            Object::parse(br#"{"a":"x","a":"y\n","n":3,"f":4.0,"neg":-1,"z":null}"#).unwrap();
        assert_eq!(object.str("a").as_deref(), Some("y\n"));
        assert_eq!(
            (object.u64("n"), object.u64("f"), object.u64("neg")),
            (Some(3), Some(4), None)
        );
        assert!(object.raw("z").is_none() && object.raw("absent").is_none());
    }

    #[test]
    fn depth_is_harmless() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let object = Object::parse(deep.as_bytes()).unwrap();
        assert_eq!(object.array("a").unwrap().len(), 1);
        assert!(object.object("a").is_none());
        assert!(Object::parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
