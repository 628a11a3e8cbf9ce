//! What a request used, in tokens, as the provider counted it.

use std::fmt;

/// Tokens of one exchange. Absent is not zero: `None` means that the provider did not say.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input, whether fresh, read from a cache or written to one.
    pub input: Option<u64>,
    /// The part of `input` that was read from a cache.
    pub cached_input: Option<u64>,
    /// The part of `input` that was written to a cache.
    pub cache_write: Option<u64>,
    /// All output, reasoning included.
    pub output: Option<u64>,
    /// The part of `output` that was reasoning.
    pub reasoning: Option<u64>,
    /// The part of `input` that was sound, where a session tells it.
    pub audio_input: Option<u64>,
    /// The part of `output` that was sound, where a session tells it.
    pub audio_output: Option<u64>,
    /// The part of `input` that was pictures, where an image endpoint tells it.
    pub image_input: Option<u64>,
    /// The part of `output` that was pictures, where an image endpoint tells it.
    pub image_output: Option<u64>,
    /// Seconds of sound, rounded up, where those are what is paid for instead of tokens.
    pub audio_seconds: Option<u64>,
}

impl Usage {
    /// Input and output together; what is unknown counts as zero.
    pub fn total(&self) -> u64 {
        self.input
            .unwrap_or(0)
            .saturating_add(self.output.unwrap_or(0))
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets (never adds) what `newer` knows: figures in a stream are cumulative.
    pub fn merge(&mut self, newer: Usage) {
        self.input = newer.input.or(self.input);
        self.cached_input = newer.cached_input.or(self.cached_input);
        self.cache_write = newer.cache_write.or(self.cache_write);
        self.output = newer.output.or(self.output);
        self.reasoning = newer.reasoning.or(self.reasoning);
        self.audio_input = newer.audio_input.or(self.audio_input);
        self.audio_output = newer.audio_output.or(self.audio_output);
        self.image_input = newer.image_input.or(self.image_input);
        self.image_output = newer.image_output.or(self.image_output);
        self.audio_seconds = newer.audio_seconds.or(self.audio_seconds);
    }
}

/// What only a few endpoints tell is left out unless it was told.
impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Usage");
        shown
            .field("input", &self.input)
            .field("cached_input", &self.cached_input)
            .field("cache_write", &self.cache_write)
            .field("output", &self.output)
            .field("reasoning", &self.reasoning)
            .field("audio_input", &self.audio_input)
            .field("audio_output", &self.audio_output);
        let rare = [
            ("image_input", self.image_input),
            ("image_output", self.image_output),
            ("audio_seconds", self.audio_seconds),
        ];
        for (name, figure) in rare.iter().filter(|(_, figure)| figure.is_some()) {
            shown.field(name, figure);
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_figures_replace_and_zero_is_a_figure() {
        let mut usage = Usage {
            input: Some(7),
            output: Some(3),
            ..Usage::default()
        };
        usage.merge(Usage {
            output: Some(0),
            ..Usage::default()
        });
        assert_eq!(
            (usage.input, usage.output, usage.total()),
            (Some(7), Some(0), 7)
        );
    }
}
