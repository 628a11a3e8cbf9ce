//! Whose model a Bedrock model id names: what Converse takes differs from family to family.

/// What is known of a model by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Claude,
    Nova,
    TitanTextEmbeddings {
        version: u8,
    },
    CohereEmbed {
        version: u8,
    },
    /// Everybody else's.
    Other,
    /// The id is the operator's own (an application inference profile, a provisioned model, a
    /// prompt): it may be any model's.
    Unknown,
}

/// Ids that name no vendor begin so behind the account of an ARN.
const OPAQUE: &[&str] = &[
    "application-inference-profile/",
    "provisioned-model/",
    "custom-model-deployment/",
    "imported-model/",
    "prompt/",
    "prompt-router/",
    "default-prompt-router/",
];

impl Family {
    /// Tells the family of a model id, of a cross-region profile's (`us.anthropic.claude-…`) or of an
    /// ARN of either.
    /// Source: docs.aws.amazon.com, "Supported foundation models in Amazon Bedrock", "Supported
    /// Regions and models for inference profiles" (2026-11).
    pub(super) fn of(model: &str) -> Self {
        if model.starts_with("arn:") && OPAQUE.iter().any(|kind| model.contains(kind)) {
            return Family::Unknown;
        }
        let name = model.rsplit('/').next().unwrap_or(model);
        Self::by_prefix(name)
            .or_else(|| Self::by_prefix(name.split_once('.')?.1))
            .unwrap_or(Family::Other)
    }

    fn by_prefix(name: &str) -> Option<Self> {
        const PREFIXES: &[(&str, Family)] = &[
            ("anthropic.claude", Family::Claude),
            ("amazon.nova", Family::Nova),
            (
                "amazon.titan-embed-text-v1",
                Family::TitanTextEmbeddings { version: 1 },
            ),
            // Its name before it was called v1.
            (
                "amazon.titan-embed-g1-text",
                Family::TitanTextEmbeddings { version: 1 },
            ),
            (
                "amazon.titan-embed-text-v2",
                Family::TitanTextEmbeddings { version: 2 },
            ),
            ("cohere.embed-v4", Family::CohereEmbed { version: 4 }),
            ("cohere.embed-", Family::CohereEmbed { version: 3 }),
        ];
        let mut known = PREFIXES.iter();
        known
            .find(|(prefix, _)| name.starts_with(prefix))
            .map(|(_, family)| *family)
    }

    /// Whether cache points may stand in the system texts and messages.
    /// Source: docs.aws.amazon.com, "Prompt caching for faster model inference" (2026-11).
    pub(super) fn caches(self) -> bool {
        matches!(self, Family::Claude | Family::Nova)
    }

    /// Whether cache points may stand among the tools, and say how long to keep what they mark.
    pub(super) fn caches_tools(self) -> bool {
        self == Family::Claude
    }
}

/// Whether a Claude knows no thinking budget, and finds by itself how much to think: from 4.7 on, and
/// all that are called Mythos.
/// Source: docs.aws.amazon.com, Bedrock user guide, "Adaptive thinking" (2026-11).
pub(super) fn has_adaptive_thinking_only(claude: &str) -> bool {
    let name = claude.rsplit_once("claude-").map_or("", |(_, name)| name);
    name.starts_with("mythos") || version(name).is_some_and(|version| version >= (4, 7))
}

/// The version in `opus-4-7`, `3-7-sonnet-20250219-v1:0`, `sonnet-4-20250514-v1:0`: the first number
/// and, if it is none of a date, the one behind it.
fn version(name: &str) -> Option<(u8, u8)> {
    let mut words = name
        .split('-')
        .skip_while(|word| word.parse::<u8>().is_err());
    let major = words.next()?.parse().ok()?;
    let minor = words.next().and_then(|word| word.parse().ok());
    Some((major, minor.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claudes_without_a_budget_are_told_by_version() {
        for (model, is_adaptive) in [
            ("us.anthropic.claude-opus-4-7", true),
            ("anthropic.claude-opus-4-8-v1:0", true),
            ("anthropic.claude-opus-5", true),
            ("anthropic.claude-sonnet-5-20261001-v1:0", true),
            ("anthropic.claude-mythos-preview", true),
            ("anthropic.claude-opus-4-6-v1", false),
            ("anthropic.claude-sonnet-4-5-20250929-v1:0", false),
            ("anthropic.claude-sonnet-4-20250514-v1:0", false),
            ("anthropic.claude-3-7-sonnet-20250219-v1:0", false),
            ("anthropic.claude-v2:1", false),
            ("anthropic.claude", false),
        ] {
            assert_eq!(has_adaptive_thinking_only(model), is_adaptive, "{model}");
        }
    }

    #[test]
    fn families_are_told_by_id_profile_and_arn() {
        use Family::*;
        for (model, family) in [
            ("anthropic.claude-3-haiku-20240307-v1:0", Claude),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Claude),
            ("global.anthropic.claude-opus-4-8", Claude),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-6",
                Claude,
            ),
            (
                "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.amazon.nova-pro-v1:0",
                Nova,
            ),
            (
                "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2c3",
                Unknown,
            ),
            (
                "amazon.titan-embed-text-v1",
                TitanTextEmbeddings { version: 1 },
            ),
            (
                "amazon.titan-embed-text-v2:0",
                TitanTextEmbeddings { version: 2 },
            ),
            ("cohere.embed-multilingual-v3", CohereEmbed { version: 3 }),
            ("us.cohere.embed-v4:0", CohereEmbed { version: 4 }),
            ("meta.llama3-70b-instruct-v1:0", Other),
            ("not-anthropic.claude", Other),
            ("", Other),
        ] {
            assert_eq!(Family::of(model), family, "{model}");
        }
    }
}
