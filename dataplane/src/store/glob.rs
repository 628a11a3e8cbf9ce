//! Patterns over model names, compiled once.
//!
//! `*` runs across `/`, since model names hold slashes (`meta/llama-3`). What
//! has no meta character is compared as text; `prefix*`, by far the most
//! frequent, costs no regular expression.

use std::fmt;
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

/// One pattern.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Text without a meta character.
    Exact(Arc<str>),
    /// Text and a final `*`; empty for `*` alone.
    Prefix(Arc<str>),
    /// Anything else.
    Glob(Box<GlobMatcher>),
}

/// Alternatives; none at all is no condition.
#[derive(Clone, Debug, Default)]
pub struct Globs(Vec<Pattern>);

/// A pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GlobError(String);

impl Pattern {
    /// Compiles a pattern.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        let is_meta = |c| matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\');
        if !text.contains(is_meta) {
            return Ok(Pattern::Exact(text.into()));
        }
        if let Some(prefix) = text.strip_suffix('*')
            && !prefix.contains(is_meta)
        {
            return Ok(Pattern::Prefix(prefix.into()));
        }
        let glob = GlobBuilder::new(text)
            .literal_separator(false)
            .backslash_escape(true)
            .build()
            .map_err(|error| GlobError(error.to_string()))?;
        Ok(Pattern::Glob(Box::new(glob.compile_matcher())))
    }

    /// Whether a name fits.
    pub fn is_match(&self, name: &str) -> bool {
        match self {
            Pattern::Exact(text) => **text == *name,
            Pattern::Prefix(prefix) => name.starts_with(&**prefix),
            Pattern::Glob(glob) => glob.is_match(name),
        }
    }

    /// The one name that fits, if the pattern is a plain name.
    pub fn as_exact(&self) -> Option<&str> {
        match self {
            Pattern::Exact(text) => Some(text),
            _ => None,
        }
    }
}

impl Globs {
    /// Compiles all patterns.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<Self, GlobError> {
        patterns
            .iter()
            .map(|pattern| Pattern::parse(pattern.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether a name fits one of them, or there is no condition.
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.is_match(name))
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives the patterns that are plain names.
    pub fn exact_names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Pattern::as_exact)
    }
}

impl fmt::Display for Pattern {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Exact(text) => f.write_str(text),
            Pattern::Prefix(prefix) => write!(f, "{prefix}*"),
            Pattern::Glob(glob) => f.write_str(glob.glob().glob()),
        }
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pattern) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{pattern}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_their_readers_expect() {
        for (pattern, fits, differs) in [
            ("gpt-4o", "gpt-4o", "gpt-4o-mini"),
            ("gpt-4*", "gpt-4o", "gpt-3.5"),
            ("*", "meta/llama-3", "\u{0}"),
            ("*coder*", "qwen/qwen3-coder-30b", "qwen3"),
            ("meta/*-3", "meta/llama/x-3", "meta/llama-4"),
            ("gpt-?", "gpt-5", "gpt-55"),
            ("{a,b}-[0-9]", "b-7", "c-7"),
            (r"a\*", "a*", "ab"),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert!(pattern.is_match(fits), "{pattern:?} {fits}");
            assert!(
                differs == "\u{0}" || !pattern.is_match(differs),
                "{pattern:?} {differs}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(Pattern::parse("gpt-[4").is_err());
        assert!(Globs::parse(&["a", "{b"]).is_err());
    }

    #[test]
    fn no_pattern_is_no_condition() {
        let none = Globs::parse::<&str>(&[]).unwrap();
        assert!(none.is_empty() && none.is_match("anything"));
    }

    #[test]
    fn patterns_are_shown_as_they_were_written() {
        let globs = Globs::parse(&["gpt-4o", "gpt-4*", "*coder*"]).unwrap();
        assert_eq!(globs.to_string(), "gpt-4o, gpt-4*, *coder*");
    }

    #[test]
    fn only_plain_names_are_listed() {
        let globs = Globs::parse(&["a", "b*", "c?", "d"]).unwrap();
        assert_eq!(globs.exact_names().collect::<Vec<_>>(), ["a", "d"]);
    }
}
