//! Estimates a request's tokens before any tokenizer or provider has seen it: prompt bytes divided by
//! what a model's tokens were seen to weigh, plus an allowance for the output.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;
use parking_lot::RwLock;

/// Models remembered; beyond it the one not learned from for longest is forgotten.
const MAX_MODELS: usize = 1000;
/// Output allowance for one choice where the client gives no `max_tokens`.
const DEFAULT_OUTPUT_TOKENS: u64 = 1024;

/// What the answer may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Generates nothing: embeddings, lists of models.
    Nothing,
    /// Generates `choices` answers of up to `max_tokens` each.
    Text {
        max_tokens: Option<u64>,
        choices: u64,
    },
}

/// How many bytes of a prompt make a token: a moving average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BytesPerToken(f64);

impl Default for BytesPerToken {
    /// Four bytes a token: English prose with the common vocabularies.
    fn default() -> Self {
        Self(4.0)
    }
}

impl BytesPerToken {
    /// Weight of a new observation: about the last 20 requests count.
    const ALPHA: f64 = 0.1;
    const RANGE: (f64, f64) = (1.0, 16.0);

    /// Takes in one request's true figure; one without prompt or tokens teaches nothing.
    #[must_use]
    pub fn learn(self, prompt_bytes: u64, prompt_tokens: u64) -> Self {
        if prompt_bytes == 0 || prompt_tokens == 0 {
            return self;
        }
        let seen = (prompt_bytes as f64 / prompt_tokens as f64).clamp(Self::RANGE.0, Self::RANGE.1);
        Self(self.0 + Self::ALPHA * (seen - self.0))
    }

    /// Returns the tokens of a prompt, rounded up, plus the output's allowance.
    pub fn estimate(self, prompt_bytes: u64, output: Output) -> u64 {
        let prompt = (prompt_bytes as f64 / self.0).ceil() as u64;
        prompt.saturating_add(output.allowance())
    }
}

impl Output {
    fn allowance(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Text {
                max_tokens,
                choices,
            } => max_tokens
                .unwrap_or(DEFAULT_OUTPUT_TOKENS)
                .saturating_mul(choices.max(1)),
        }
    }
}

/// What was learned of each model. Cheap to clone; clones share.
#[derive(Clone, Default)]
pub struct Estimator {
    models: Arc<RwLock<Models>>,
}

#[derive(Default)]
struct Models {
    learned: HashMap<Box<str>, Learned, RandomState>,
    lessons: u64,
}

struct Learned {
    bytes_per_token: BytesPerToken,
    /// Number of the last lesson, to forget the oldest.
    lesson: u64,
}

impl Estimator {
    /// Estimates a request to `model`, from its own figure if there is one.
    pub fn estimate(&self, model: &str, prompt_bytes: u64, output: Output) -> u64 {
        let models = self.models.read();
        let known = models.learned.get(model).map(|m| m.bytes_per_token);
        known.unwrap_or_default().estimate(prompt_bytes, output)
    }

    /// Learns from a settled request: the bytes of its prompt, the provider's count of input tokens.
    pub fn learn(&self, model: &str, prompt_bytes: u64, prompt_tokens: u64) {
        self.models
            .write()
            .learn(model, prompt_bytes, prompt_tokens);
    }
}

impl Models {
    fn learn(&mut self, model: &str, prompt_bytes: u64, prompt_tokens: u64) {
        self.lessons += 1;
        if !self.learned.contains_key(model) {
            self.make_room();
        }
        let learned = self.learned.entry(model.into()).or_insert(Learned {
            bytes_per_token: BytesPerToken::default(),
            lesson: 0,
        });
        learned.bytes_per_token = learned.bytes_per_token.learn(prompt_bytes, prompt_tokens);
        learned.lesson = self.lessons;
    }

    fn make_room(&mut self) {
        if self.learned.len() < MAX_MODELS {
            return;
        }
        let oldest = self.learned.iter().min_by_key(|(_, m)| m.lesson);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            self.learned.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_CHOICE: Output = Output::Text {
        max_tokens: None,
        choices: 1,
    };

    #[test]
    fn an_unknown_model_counts_four_bytes_a_token_rounded_up() {
        let estimator = Estimator::default();
        assert_eq!(estimator.estimate("m", 9, Output::Nothing), 3);
        assert_eq!(estimator.estimate("m", 0, NO_CHOICE), 1024);
    }

    #[test]
    fn the_allowance_is_max_tokens_times_choices() {
        let output = |max_tokens, choices| Output::Text {
            max_tokens,
            choices,
        };
        let estimate = |output| BytesPerToken::default().estimate(4, output);
        assert_eq!(estimate(output(Some(100), 3)), 301);
        assert_eq!(estimate(output(None, 2)), 2049);
        assert_eq!(estimate(output(Some(0), 1)), 1);
        assert_eq!(estimate(output(Some(u64::MAX), 2)), u64::MAX);
    }

    #[test]
    fn a_model_is_learned_and_stays_in_range() {
        let estimator = Estimator::default();
        for _ in 0..200 {
            estimator.learn("dense", 1000, 1000);
            estimator.learn("sparse", 1_000_000, 1);
            estimator.learn("silent", 1000, 0);
        }
        assert_eq!(estimator.estimate("dense", 1000, Output::Nothing), 1000);
        assert_eq!(estimator.estimate("sparse", 1600, Output::Nothing), 101);
        assert_eq!(estimator.estimate("silent", 400, Output::Nothing), 100);
    }

    #[test]
    fn the_model_not_learned_from_for_longest_is_forgotten() {
        let estimator = Estimator::default();
        for _ in 0..200 {
            estimator.learn("old", 1000, 1000);
        }
        for i in 0..MAX_MODELS {
            estimator.learn(&format!("model-{i}"), 1000, 100);
        }
        assert_eq!(estimator.models.read().learned.len(), MAX_MODELS);
        assert_eq!(estimator.estimate("old", 1000, Output::Nothing), 250);
    }
}
