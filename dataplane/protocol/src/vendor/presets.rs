//! All vendors known, each a readable entry.
//!
//! Sources: each vendor's API reference and official SDK, November 2026. Where a vendor has several
//! regions, the address is that of the mainland where the vendor is from there; others set `url`.

use super::{At, Auth, Preset, Quirks, ReasoningField, Transport, WireProtocol};
use crate::operation::{Endpoint, Endpoints};

const NONE: Endpoints = Endpoints::of(&[]);
const RESPONSES: Endpoints = Endpoints::of(&[Endpoint::Responses]);
const MESSAGES: Endpoints = Endpoints::of(&[Endpoint::Messages]);

/// One that speaks OpenAI's protocol, as most do.
const fn compatible(name: &'static str, base_url: &'static str) -> Preset {
    Preset {
        name,
        protocol: WireProtocol::OpenAI,
        base_url: Some(base_url),
        auth: Auth::Bearer,
        transport: Transport::Http,
        more: NONE,
        paths: &[],
        quirks: Quirks::COMPATIBLE,
    }
}

/// A server of one's own that speaks OpenAI's protocol, at a `url` or behind a `serviceRef`.
const fn own(name: &'static str) -> Preset {
    Preset {
        base_url: None,
        ..compatible(name, "")
    }
}

const fn thinking(reasoning: ReasoningField) -> Quirks {
    Quirks {
        reasoning,
        ..Quirks::COMPATIBLE
    }
}

/// All vendors known.
pub const PRESETS: &[Preset] = &[
    Preset {
        more: RESPONSES,
        quirks: Quirks::OPENAI,
        ..compatible("OpenAI", "https://api.openai.com/v1")
    },
    // Everybody has a resource of one's own: https://NAME.openai.azure.com/openai/v1.
    Preset {
        auth: Auth::ApiKey,
        more: RESPONSES,
        quirks: Quirks::OPENAI,
        ..own("AzureOpenAI")
    },
    Preset {
        protocol: WireProtocol::Anthropic,
        auth: Auth::XApiKey,
        ..compatible("Anthropic", "https://api.anthropic.com")
    },
    Preset {
        protocol: WireProtocol::Gemini,
        auth: Auth::XGoogApiKey,
        ..compatible("Gemini", "https://generativelanguage.googleapis.com")
    },
    // The address depends on the location, and what is spoken on the model.
    Preset {
        protocol: WireProtocol::Gemini,
        auth: Auth::XGoogApiKey,
        ..own("VertexAI")
    },
    // The address depends on the region.
    Preset {
        protocol: WireProtocol::Bedrock,
        auth: Auth::Aws,
        ..own("Bedrock")
    },
    Preset {
        protocol: WireProtocol::Cohere,
        ..compatible("Cohere", "https://api.cohere.com")
    },
    Preset {
        quirks: Quirks {
            // Usage comes with the last chunk in any case, and unknown members are refused.
            stream_options: false,
            ..thinking(ReasoningField::None)
        },
        ..compatible("Mistral", "https://api.mistral.ai/v1")
    },
    Preset {
        more: MESSAGES,
        paths: &[(Endpoint::Messages, At::Host("/anthropic/v1/messages"))],
        quirks: Quirks {
            json_schema: false,
            ..thinking(ReasoningField::ThinkingType)
        },
        ..compatible("DeepSeek", "https://api.deepseek.com/v1")
    },
    Preset {
        quirks: thinking(ReasoningField::EnableThinking),
        ..compatible("Qwen", "https://dashscope.aliyuncs.com/compatible-mode/v1")
    },
    Preset {
        more: MESSAGES,
        paths: &[(Endpoint::Messages, At::Host("/anthropic/v1/messages"))],
        quirks: thinking(ReasoningField::ThinkingType),
        ..compatible("Moonshot", "https://api.moonshot.cn/v1")
    },
    Preset {
        more: MESSAGES,
        paths: &[(Endpoint::Messages, At::Host("/api/anthropic/v1/messages"))],
        quirks: thinking(ReasoningField::ThinkingType),
        ..compatible("Zhipu", "https://open.bigmodel.cn/api/paas/v4")
    },
    Preset {
        more: MESSAGES,
        paths: &[(Endpoint::Messages, At::Host("/anthropic/v1/messages"))],
        quirks: thinking(ReasoningField::None),
        ..compatible("MiniMax", "https://api.minimaxi.com/v1")
    },
    Preset {
        more: RESPONSES,
        quirks: thinking(ReasoningField::ThinkingType),
        ..compatible("Doubao", "https://ark.cn-beijing.volces.com/api/v3")
    },
    Preset {
        quirks: thinking(ReasoningField::EnableThinking),
        ..compatible("Baidu", "https://qianfan.baidubce.com/v2")
    },
    Preset {
        quirks: thinking(ReasoningField::None),
        ..compatible("Hunyuan", "https://api.hunyuan.cloud.tencent.com/v1")
    },
    Preset {
        quirks: thinking(ReasoningField::None),
        ..compatible("Spark", "https://spark-api-open.xf-yun.com/v1")
    },
    Preset {
        quirks: thinking(ReasoningField::None),
        ..compatible("Baichuan", "https://api.baichuan-ai.com/v1")
    },
    Preset {
        quirks: thinking(ReasoningField::None),
        ..compatible("Yi", "https://api.lingyiwanwu.com/v1")
    },
    compatible("StepFun", "https://api.stepfun.com/v1"),
    Preset {
        auth: Auth::Raw,
        quirks: thinking(ReasoningField::None),
        ..compatible("AI360", "https://api.360.cn/v1")
    },
    Preset {
        quirks: thinking(ReasoningField::EnableThinking),
        ..compatible("SiliconFlow", "https://api.siliconflow.cn/v1")
    },
    Preset {
        more: MESSAGES,
        paths: &[(Endpoint::Messages, At::Host("/anthropic/v1/messages"))],
        quirks: thinking(ReasoningField::EnableThinking),
        ..compatible("LongCat", "https://api.longcat.chat/openai/v1")
    },
    Preset {
        more: RESPONSES,
        ..compatible("Groq", "https://api.groq.com/openai/v1")
    },
    Preset {
        more: RESPONSES,
        ..compatible("XAI", "https://api.x.ai/v1")
    },
    compatible("Together", "https://api.together.xyz/v1"),
    Preset {
        more: RESPONSES,
        ..compatible("Fireworks", "https://api.fireworks.ai/inference/v1")
    },
    Preset {
        more: RESPONSES,
        quirks: thinking(ReasoningField::Object),
        ..compatible("OpenRouter", "https://openrouter.ai/api/v1")
    },
    compatible("Perplexity", "https://api.perplexity.ai"),
    // The account is in the path: https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai/v1.
    own("Cloudflare"),
    Preset {
        quirks: thinking(ReasoningField::None),
        ..compatible("GitHub", "https://models.github.ai/inference")
    },
    compatible("NVIDIA", "https://integrate.api.nvidia.com/v1"),
    own("Ollama"),
    Preset {
        more: RESPONSES,
        quirks: Quirks {
            developer_role: true,
            ..Quirks::COMPATIBLE
        },
        ..own("VLLM")
    },
    own("SGLang"),
    own("Triton"),
    own("LMStudio"),
    own("Generic"),
    Preset {
        auth: Auth::None,
        transport: Transport::Echo,
        quirks: Quirks::OPENAI,
        ..own("Echo")
    },
];

/// Finds a vendor by its exact name.
pub fn preset(vendor: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == vendor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendor::PROTOCOLS;

    #[test]
    fn every_entry_is_found_by_its_name_and_makes_sense() {
        for one in PRESETS {
            assert_eq!(preset(one.name), Some(one), "{}", one.name);
            let url = one.base_url.unwrap_or("https://a.test");
            assert!(
                url.starts_with("https://") && !url.ends_with('/'),
                "{}",
                one.name
            );
            for (endpoint, At::Base(path) | At::Host(path)) in one.paths {
                assert!(path.starts_with('/'), "{}", one.name);
                assert!(one.natives().contains(*endpoint), "{}", one.name);
            }
        }
        for protocol in PROTOCOLS {
            assert_eq!(protocol.as_str().parse(), Ok(protocol));
        }
        assert_eq!(preset("openai"), None);
    }
}
