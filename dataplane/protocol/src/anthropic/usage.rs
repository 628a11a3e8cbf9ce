//! Reads Anthropic's `usage` member.

use crate::json::Object;
use crate::usage::Usage;

/// The parts as Anthropic counts them: `input` is only what no cache had a hand in.
///
/// A stream tells some at its start and corrects them at its end, so parts are set, never added, and
/// the total is made anew from them each time.
/// Source: docs.anthropic.com, "Prompt caching", section "Tracking cache performance".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    output: Option<u64>,
}

impl Parts {
    /// Sets what a usage object tells.
    pub(crate) fn set(&mut self, usage: &Object<'_>) {
        self.input = usage.u64("input_tokens").or(self.input);
        self.cache_read = usage.u64("cache_read_input_tokens").or(self.cache_read);
        self.cache_write = usage
            .u64("cache_creation_input_tokens")
            .or(self.cache_write);
        self.output = usage.u64("output_tokens").or(self.output);
    }

    /// The whole, in which input includes the caches; `None` if nothing was told.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let inputs = [self.input, self.cache_read, self.cache_write];
        let input = inputs
            .iter()
            .any(Option::is_some)
            .then(|| inputs.iter().flatten().sum());
        let usage = Usage {
            input,
            cached_input: self.cache_read,
            cache_write: self.cache_write,
            output: self.output,
            ..Usage::default()
        };
        (!usage.is_empty()).then_some(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(told: &[&str]) -> Option<Usage> {
        let mut parts = Parts::default();
        told.iter()
            .for_each(|text| parts.set(&Object::parse(text.as_bytes()).unwrap()));
        parts.usage()
    }

    #[test]
    fn input_is_the_sum_of_its_parts() {
        let usage = parts(&[
            r#"{"input_tokens":5,"cache_read_input_tokens":90,"cache_creation_input_tokens":5,
            "output_tokens":1}"#,
        ]);
        let expected = Usage {
            input: Some(100),
            cached_input: Some(90),
            cache_write: Some(5),
            output: Some(1),
            ..Usage::default()
        };
        assert_eq!(usage, Some(expected));
    }

    #[test]
    fn figures_told_again_replace_the_old_ones() {
        let start = r#"{"input_tokens":34824,"output_tokens":0}"#;
        let end = r#"{"input_tokens":3883,"output_tokens":49,"cache_read_input_tokens":30464}"#;
        let usage = parts(&[start, end, end]).unwrap();
        assert_eq!((usage.input, usage.output), (Some(34347), Some(49)));
        assert_eq!(parts(&["{}"]), None);
        assert_eq!(parts(&[r#"{"output_tokens":0}"#]).unwrap().input, None);
    }
}
