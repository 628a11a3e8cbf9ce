//! A strict reader of one JSON object: what is taken is accounted for, what is left is refused.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use crate::fault::{Losses, Unsupported};
use crate::json::{self, Object};

/// Where a member stands in the request: `messages[2].content`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Path(String);

impl Path {
    pub(crate) fn top(name: &str) -> Self {
        Path(name.to_owned())
    }

    pub(crate) fn at(&self, name: &str) -> Self {
        if self.0.is_empty() {
            Self::top(name)
        } else {
            Path(format!("{}.{name}", self.0))
        }
    }

    pub(crate) fn nth(&self, index: usize) -> Self {
        Path(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "the request body"
        } else {
            &self.0
        })
    }
}

pub(crate) fn unsupported(path: Path, what: impl fmt::Display) -> Unsupported {
    Unsupported {
        message: format!("{path}: {what}"),
        field: path.0,
    }
}

/// The members of an object that nobody has taken yet. A null is as good as absent.
pub(crate) struct Members<'a> {
    pub(crate) path: Path,
    left: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Opens the request body.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Unsupported> {
        let path = Path::default();
        match Object::parse(body) {
            Ok(object) => Self::new(path, object),
            Err(error) => Err(unsupported(path, format_args!("is not valid: {error}"))),
        }
    }

    /// Opens a value that must be an object.
    pub(crate) fn open(path: Path, raw: &'a RawValue) -> Result<Self, Unsupported> {
        match json::object(raw) {
            Some(object) => Self::new(path, object),
            None => Err(unsupported(path, "must be an object")),
        }
    }

    fn new(path: Path, object: Object<'a>) -> Result<Self, Unsupported> {
        let left = object.members;
        // Bodies have a dozen members at each level; a set would cost more than it saves up to some 50.
        if left.len() > 256 {
            return Err(unsupported(path, "has more than 256 members"));
        }
        for (index, (name, _)) in left.iter().enumerate() {
            if left[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(unsupported(path.at(name), "comes twice"));
            }
        }
        Ok(Self { path, left })
    }

    /// Calls members in camel case, whatever case they came in: Google takes both.
    pub(crate) fn camel_case(mut self) -> Self {
        for (name, _) in &mut self.left {
            if name.contains('_') {
                *name = Cow::Owned(camel(name));
            }
        }
        self
    }

    /// Takes a member unless it is absent or null.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.left.iter().position(|(key, _)| key == name)?;
        let (_, raw) = self.left.swap_remove(at);
        (raw.get() != "null").then_some(raw)
    }

    pub(crate) fn skip(&mut self, names: &[&str]) {
        self.left
            .retain(|(name, _)| !names.contains(&name.as_ref()));
    }

    pub(crate) fn skip_if(&mut self, name: &str, is_neutral: impl Fn(&RawValue) -> bool) {
        self.left
            .retain(|(key, raw)| key != name || !is_neutral(raw));
    }

    pub(crate) fn required(&mut self, name: &str) -> Result<&'a RawValue, Unsupported> {
        self.take(name)
            .ok_or_else(|| unsupported(self.path.at(name), "is required"))
    }

    pub(crate) fn string(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Unsupported> {
        let Some(raw) = self.take(name) else {
            return Ok(None);
        };
        match json::string(raw) {
            Some(text) => Ok(Some(text)),
            None => Err(unsupported(self.path.at(name), "must be a string")),
        }
    }

    pub(crate) fn required_string(&mut self, name: &str) -> Result<Cow<'a, str>, Unsupported> {
        let path = self.path.at(name);
        self.string(name)?
            .ok_or_else(|| unsupported(path, "is required"))
    }

    pub(crate) fn bool(&mut self, name: &str) -> Result<Option<bool>, Unsupported> {
        match self.take(name).map(RawValue::get) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(unsupported(self.path.at(name), "must be true or false")),
        }
    }

    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, Unsupported> {
        let Some(raw) = self.take(name) else {
            return Ok(None);
        };
        match raw.get().parse() {
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(unsupported(
                self.path.at(name),
                "must be a whole number that is not negative",
            )),
        }
    }

    pub(crate) fn members(&mut self, name: &str) -> Result<Option<Members<'a>>, Unsupported> {
        let Some(raw) = self.take(name) else {
            return Ok(None);
        };
        Members::open(self.path.at(name), raw).map(Some)
    }

    pub(crate) fn required_members(&mut self, name: &str) -> Result<Members<'a>, Unsupported> {
        let raw = self.required(name)?;
        Members::open(self.path.at(name), raw)
    }

    /// The elements of an array with their paths.
    pub(crate) fn array(
        &mut self,
        name: &str,
    ) -> Result<Option<Vec<(Path, &'a RawValue)>>, Unsupported> {
        let Some(raw) = self.take(name) else {
            return Ok(None);
        };
        elements(&self.path.at(name), raw).map(Some)
    }

    /// Gives up what nobody took. Null, an empty array and an empty object say nothing.
    pub(crate) fn refuse_rest(self, losses: &mut Losses) -> Result<(), Unsupported> {
        let says_something = |raw: &RawValue| {
            let text = raw.get();
            let is_hollow = text.len() > 1 && text[1..text.len() - 1].trim().is_empty();
            !(text == "null" || (is_hollow && (text.starts_with('[') || text.starts_with('{'))))
        };
        for (name, _) in self.left.iter().filter(|(_, raw)| says_something(raw)) {
            let what = "cannot be carried to the provider of this model; leave it out or choose another model";
            losses.give_up(unsupported(self.path.at(name), what))?;
        }
        Ok(())
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// Opens a value that must be an array.
pub(crate) fn elements<'a>(
    path: &Path,
    raw: &'a RawValue,
) -> Result<Vec<(Path, &'a RawValue)>, Unsupported> {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return Err(unsupported(path.clone(), "must be an array"));
    };
    Ok(elements
        .into_iter()
        .enumerate()
        .map(|(index, raw)| (path.nth(index), raw))
        .collect())
}
