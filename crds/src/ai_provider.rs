//! AIProvider: where models are served, and with which keys.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ai_route::CertificateRef;
use crate::common::{BasePath, BaseUrl, Duration, ProxyUrl, SecretRef, ServerName, ServicePort};
use crate::namespaces::GrantedNamespaces;
use crate::status::{Status, conditions_of_object};

/// A place that serves models: a vendor, or a server of your own.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "turnpike.dev",
    version = "v1alpha1",
    kind = "AIProvider",
    plural = "aiproviders",
    shortname = "aip",
    category = "turnpike",
    derive = "PartialEq",
    doc = "A place that serves models: a vendor, or a server of your own.",
    namespaced,
    status = "AIProviderStatus",
    printcolumn = r#"{"name": "Vendor", "type": "string", "jsonPath": ".spec.vendor"}"#,
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".spec.state"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Routes", "type": "integer", "jsonPath": ".status.routes"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Protocol", "type": "string", "jsonPath": ".spec.protocol", "priority": 1}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Resolved", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"ResolvedRefs\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Programmed", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Programmed\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message", "priority": 1}"#
)]
#[x_kube(
    validation = Rule::new("has(self.vendor) != has(self.protocol)").message("set exactly one of vendor and protocol"),
    validation = Rule::new("!has(self.vendor) || self.vendor != 'Echo' || (!has(self.url) && !has(self.serviceRef) && !has(self.credentials) && !has(self.tls) && !has(self.egressProxy))").message("Echo is built into the gateway and calls nobody; remove url, serviceRef, credentials, tls and egressProxy"),
    validation = Rule::new("!has(self.vendor) || has(self.url) || has(self.serviceRef) || !(self.vendor in ['AzureOpenAI', 'Cloudflare', 'Ollama', 'VLLM', 'SGLang', 'Triton', 'LMStudio', 'Generic'])").message("this vendor has no address of its own; set url, the base URL that its own clients use, or serviceRef"),
    validation = Rule::new("!has(self.azure) || (has(self.vendor) && self.vendor == 'AzureOpenAI')").message("azure is for vendor AzureOpenAI; remove it"),
    validation = Rule::new("!has(self.vendor) || self.vendor != 'Bedrock' || has(self.aws)").message("vendor Bedrock needs aws.region"),
    validation = Rule::new("!has(self.vendor) || self.vendor != 'VertexAI' || has(self.gcp)").message("vendor VertexAI needs gcp"),
    validation = Rule::new("!has(self.aws) || !has(self.gcp)").message("set aws or gcp, not both: a provider is in one cloud"),
    validation = Rule::new("!has(self.url) || !has(self.serviceRef)").message("set url or serviceRef, not both"),
    validation = Rule::new("!has(self.serviceRef) || (!has(self.tls) && !has(self.egressProxy))").message("pods behind a serviceRef are reached directly over plain HTTP; remove tls and egressProxy"),
    validation = Rule::new("!has(self.protocol) || self.protocol == 'Bedrock' || has(self.url) || has(self.serviceRef)").message("protocol needs url, the address that your server's own clients use as base URL, or serviceRef, a Service of this namespace")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AIProviderSpec {
    /// A known vendor: its address, wire format and way of authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Vendor>,
    /// The wire format of a server that is no known vendor's; needs `url` or `serviceRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The base URL as the vendor's own SDK takes it, such as `https://api.openai.com/v1`;
    /// optional where the vendor has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BaseUrl>")]
    pub url: Option<String>,
    /// Models served in this cluster, in place of `url`: requests are balanced over the ready pods
    /// behind a Service, over plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_ref: Option<ServiceRef>,
    /// What becomes of what a request says and the provider has no word for.
    #[serde(default)]
    pub on_unsupported: OnUnsupported,
    /// How keys are shown; default: as usual for the vendor or the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_header: Option<KeyHeader>,
    /// Where endpoints are that are not where the vendor or the protocol has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["endpoint".into()]))]
    pub paths: Vec<EndpointPath>,
    /// What sets the server apart from others that speak OpenAI's protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quirks: Option<Quirks>,
    /// For vendor AzureOpenAI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<Azure>,
    /// How connections over https are made; default: the certificates of public CAs are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ProviderTls>,
    /// A forward proxy that connections to the provider go through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_proxy: Option<EgressProxy>,
    /// Where in Amazon's cloud; requests are signed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<Aws>,
    /// Where in Google's cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcp: Option<Gcp>,
    /// Keys, used in turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub credentials: Vec<ProviderCredential>,
    /// The models on offer; empty: every name is passed on as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub models: Vec<ProviderModel>,
    /// How long each part of an attempt may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Who else may refer to it; empty: routes of its own namespace alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub grants: Vec<ProviderGrant>,
    /// Whether requests are sent to it. `Drain`: no new ones, and those under way go on; `Blocked`:
    /// those under way end at once as well. Rules choose among their other backends meanwhile.
    #[serde(default)]
    pub state: ProviderState,
}

/// Whether requests are sent to a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProviderState {
    /// They are.
    #[default]
    Active,
    /// New ones are not; those under way go on to their end.
    Drain,
    /// New ones are not, and those under way end at once with an error.
    Blocked,
}

/// Lets routes of other namespaces send requests to the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderGrant {
    /// Which namespaces.
    pub namespaces: GrantedNamespaces,
    /// Only for these models, as the provider's `models` call them; globs are allowed. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub models: Vec<String>,
}

/// A Service of the provider's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRef {
    /// The Service's name. It must have a selector: only pods of this namespace are asked.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The number or the name of one of the Service's ports, as `spec.ports` of the Service says.
    pub port: ServicePort,
    /// The path that the server's own clients have in their base URL; default: `/v1` where OpenAI's
    /// format is spoken, none for Anthropic's. `/`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BasePath>")]
    pub path: Option<String>,
}

/// How connections over https are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.caCertificateRef) || has(self.clientCertificateRef) || has(self.serverName)").message("tls needs caCertificateRef, clientCertificateRef or serverName; leave tls out to trust public CAs")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderTls {
    /// The CAs that the provider's certificate must be signed by; no other is trusted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate_ref: Option<CaCertificateRef>,
    /// The certificate that is shown to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<CertificateRef>,
    /// The name that is asked for in the handshake and that the provider's certificate must be for;
    /// default: the host of the address. The `host` header stays the address's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ServerName>")]
    pub server_name: Option<String>,
}

/// Names CAs of the provider's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaCertificateRef {
    /// What holds them.
    #[serde(default)]
    pub kind: CaCertificateKind,
    /// A ConfigMap or a Secret with the label `turnpike.dev/credential: "true"`: certificates in
    /// PEM under `ca.crt`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What may hold CAs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaCertificateKind {
    /// A ConfigMap.
    #[default]
    ConfigMap,
    /// A Secret.
    Secret,
}

/// A forward proxy that is asked to CONNECT, for https and http alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressProxy {
    /// Where it is, such as `http://proxy.example.com:3128`. It finds the provider's address.
    #[schemars(with = "ProxyUrl")]
    pub url: String,
    /// Who the gateway is to the proxy; default: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<ProxyCredentialRef>,
}

/// Names a user of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyCredentialRef {
    /// A Secret of type `kubernetes.io/basic-auth` with the label `turnpike.dev/credential: "true"`:
    /// `username` and `password`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A place in Amazon's cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aws {
    /// The region, such as `us-east-1`.
    #[schemars(length(min = 1, max = 32), pattern(r"^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub region: String,
}

/// A place in Google's cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gcp {
    /// The project, by its id or number; needed for service accounts, and left out with an `apiKey`
    /// of Vertex AI's express mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), pattern(r"^[a-z0-9.:-]+$"))]
    pub project: Option<String>,
    /// The location, such as `us-central1`.
    #[serde(default = "Gcp::default_location")]
    #[schemars(length(min = 1, max = 32), pattern(r"^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub location: String,
}

impl Gcp {
    fn default_location() -> String {
        "global".to_owned()
    }
}

/// A vendor that Turnpike knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Vendor {
    /// OpenAI.
    OpenAI,
    /// OpenAI's models on Azure; needs `url`.
    AzureOpenAI,
    /// Anthropic.
    Anthropic,
    /// Gemini.
    Gemini,
    /// Vertex AI: Gemini, Claude and others on Google Cloud; needs `gcp`.
    VertexAI,
    /// Amazon Bedrock, by Converse; needs `aws`.
    Bedrock,
    /// Cohere.
    Cohere,
    /// Mistral.
    Mistral,
    /// DeepSeek.
    DeepSeek,
    /// Alibaba's Qwen, in DashScope's compatible mode.
    Qwen,
    /// Moonshot.
    Moonshot,
    /// Zhipu, GLM.
    Zhipu,
    /// MiniMax.
    MiniMax,
    /// ByteDance's Doubao, on Ark.
    Doubao,
    /// Baidu Qianfan.
    Baidu,
    /// Tencent Hunyuan.
    Hunyuan,
    /// iFlytek Spark.
    Spark,
    /// Baichuan.
    Baichuan,
    /// 01.AI.
    Yi,
    /// StepFun.
    StepFun,
    /// 360.
    AI360,
    /// SiliconFlow.
    SiliconFlow,
    /// LongCat.
    LongCat,
    /// Groq.
    Groq,
    /// xAI.
    XAI,
    /// Together AI.
    Together,
    /// Fireworks AI.
    Fireworks,
    /// OpenRouter.
    OpenRouter,
    /// Perplexity.
    Perplexity,
    /// Cloudflare Workers AI; needs `url`, which names the account.
    Cloudflare,
    /// GitHub Models.
    GitHub,
    /// NVIDIA NIM.
    NVIDIA,
    /// An Ollama server of your own; needs `url` or `serviceRef`.
    Ollama,
    /// A vLLM server of your own; needs `url` or `serviceRef`.
    VLLM,
    /// An SGLang server of your own; needs `url` or `serviceRef`.
    SGLang,
    /// Triton's OpenAI frontend; needs `url` or `serviceRef`.
    Triton,
    /// LM Studio; needs `url` or `serviceRef`.
    LMStudio,
    /// Any server that speaks OpenAI's protocol; needs `url` or `serviceRef`.
    Generic,
    /// A deterministic model inside the gateway, for trials and tests; needs no network and no key.
    Echo,
}

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// OpenAI's, as most servers speak it: chat completions, embeddings, images, audio.
    OpenAI,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini's generateContent.
    Gemini,
    /// Amazon Bedrock's Converse; needs `aws`.
    Bedrock,
    /// Cohere's v2.
    Cohere,
}

/// What becomes of a member of a request that the provider's protocol has no word for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnUnsupported {
    /// The request is refused with 400, and the member named.
    #[default]
    Reject,
    /// The member is left out, and named in the answer's `x-turnpike-dropped`.
    Drop,
}

/// How the provider is shown a key, where that is not as usual for what it speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyHeader {
    /// The header that carries it, such as `x-api-key`.
    #[schemars(length(min = 1, max = 64), pattern(r"^[A-Za-z0-9-]+$"))]
    pub header: String,
    /// Stands before the key with a space, such as `Bearer`; default: the key stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), pattern(r"^[A-Za-z0-9-]+$"))]
    pub scheme: Option<String>,
}

/// Where the provider has an endpoint, where that is not as usual for what it speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointPath {
    /// The endpoint. One that the protocol does not have is taken as clients send it from then on.
    pub endpoint: EndpointName,
    /// Appended to the base URL's path; `{model}` stands for the model's name.
    #[schemars(length(min = 1, max = 256), pattern(r"^/[!-~]*$"))]
    pub path: String,
}

/// An endpoint that clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "each is named as the vendor names it")]
pub enum EndpointName {
    ChatCompletions,
    Completions,
    Embeddings,
    Responses,
    ImageGenerations,
    ImageEdits,
    ImageVariations,
    Speech,
    Transcriptions,
    Translations,
    Moderations,
    Rerank,
    Messages,
    CountTokens,
}

/// What sets a server apart from others that speak OpenAI's protocol; what is not said is as usual
/// for the vendor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quirks {
    /// Knows the role `developer`; else it is sent as `system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub developer_role: Option<bool>,
    /// Takes `stream_options`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<bool>,
    /// Takes `response_format` of type `json_schema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<bool>,
    /// Takes `parallel_tool_calls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// Takes `max_completion_tokens`; else it is sent as `max_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<bool>,
    /// Where it is told how much to think.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ReasoningField>,
}

/// Where a server is told how much to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReasoningField {
    /// `reasoning_effort`.
    Effort,
    /// `reasoning: {effort | max_tokens | enabled}`, as OpenRouter has it.
    Object,
    /// `thinking: {type: enabled | disabled}`, as Zhipu has it.
    ThinkingType,
    /// `enable_thinking` and `thinking_budget`, as Qwen has it.
    EnableThinking,
    /// Nowhere.
    None,
}

/// What Azure needs to know besides a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Azure {
    /// The version of the API, such as `2024-10-21`: the model is a deployment, and its name is in the
    /// path. Without it the API without versions is asked, at `/openai/v1`.
    #[schemars(length(min = 1, max = 32), pattern(r"^[0-9a-z-]+$"))]
    pub api_version: String,
}

/// One or more keys for the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderCredential {
    /// Names the credential in logs and metrics.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The Secret that holds the key; without `key`, every value of the Secret is one key. Where
    /// `aws` or `gcp` is set, the Secret is one key: `accessKey`, `secretKey` and, if it has one,
    /// `sessionToken`, or else `apiKey` (AWS); `serviceAccount`, the JSON that Google gives out, or
    /// else `apiKey` (Google).
    pub secret_ref: SecretRef,
}

/// A model on offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderModel {
    /// What clients and routes say; a glob such as `gpt-4*` is allowed.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// What the provider is asked for; default: the name that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub upstream_model: Option<String>,
}

/// How long each part of an attempt may take; `0s`: no bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// To connect, TLS included.
    #[serde(default = "Timeouts::default_connect")]
    pub connect: Duration,
    /// From the request sent to the first content of a streamed answer.
    #[serde(default = "Timeouts::default_first_token")]
    pub first_token: Duration,
    /// Between two pieces of an answer.
    #[serde(default = "Timeouts::default_idle")]
    pub idle: Duration,
    /// The whole attempt.
    #[serde(default = "Timeouts::default_total")]
    pub total: Duration,
}

impl Timeouts {
    fn default_connect() -> Duration {
        seconds(3)
    }

    fn default_first_token() -> Duration {
        seconds(60)
    }

    fn default_idle() -> Duration {
        seconds(60)
    }

    fn default_total() -> Duration {
        seconds(30 * 60)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Self::default_connect(),
            first_token: Self::default_first_token(),
            idle: Self::default_idle(),
            total: Self::default_total(),
        }
    }
}

impl Vendor {
    /// All of them.
    pub const ALL: &[Vendor] = &[
        Vendor::OpenAI,
        Vendor::AzureOpenAI,
        Vendor::Anthropic,
        Vendor::Gemini,
        Vendor::VertexAI,
        Vendor::Bedrock,
        Vendor::Cohere,
        Vendor::Mistral,
        Vendor::DeepSeek,
        Vendor::Qwen,
        Vendor::Moonshot,
        Vendor::Zhipu,
        Vendor::MiniMax,
        Vendor::Doubao,
        Vendor::Baidu,
        Vendor::Hunyuan,
        Vendor::Spark,
        Vendor::Baichuan,
        Vendor::Yi,
        Vendor::StepFun,
        Vendor::AI360,
        Vendor::SiliconFlow,
        Vendor::LongCat,
        Vendor::Groq,
        Vendor::XAI,
        Vendor::Together,
        Vendor::Fireworks,
        Vendor::OpenRouter,
        Vendor::Perplexity,
        Vendor::Cloudflare,
        Vendor::GitHub,
        Vendor::NVIDIA,
        Vendor::Ollama,
        Vendor::VLLM,
        Vendor::SGLang,
        Vendor::Triton,
        Vendor::LMStudio,
        Vendor::Generic,
        Vendor::Echo,
    ];

    /// The name as written in resources.
    pub fn as_str(self) -> &'static str {
        match self {
            Vendor::OpenAI => "OpenAI",
            Vendor::AzureOpenAI => "AzureOpenAI",
            Vendor::Anthropic => "Anthropic",
            Vendor::Gemini => "Gemini",
            Vendor::VertexAI => "VertexAI",
            Vendor::Bedrock => "Bedrock",
            Vendor::Cohere => "Cohere",
            Vendor::Mistral => "Mistral",
            Vendor::DeepSeek => "DeepSeek",
            Vendor::Qwen => "Qwen",
            Vendor::Moonshot => "Moonshot",
            Vendor::Zhipu => "Zhipu",
            Vendor::MiniMax => "MiniMax",
            Vendor::Doubao => "Doubao",
            Vendor::Baidu => "Baidu",
            Vendor::Hunyuan => "Hunyuan",
            Vendor::Spark => "Spark",
            Vendor::Baichuan => "Baichuan",
            Vendor::Yi => "Yi",
            Vendor::StepFun => "StepFun",
            Vendor::AI360 => "AI360",
            Vendor::SiliconFlow => "SiliconFlow",
            Vendor::LongCat => "LongCat",
            Vendor::Groq => "Groq",
            Vendor::XAI => "XAI",
            Vendor::Together => "Together",
            Vendor::Fireworks => "Fireworks",
            Vendor::OpenRouter => "OpenRouter",
            Vendor::Perplexity => "Perplexity",
            Vendor::Cloudflare => "Cloudflare",
            Vendor::GitHub => "GitHub",
            Vendor::NVIDIA => "NVIDIA",
            Vendor::Ollama => "Ollama",
            Vendor::VLLM => "VLLM",
            Vendor::SGLang => "SGLang",
            Vendor::Triton => "Triton",
            Vendor::LMStudio => "LMStudio",
            Vendor::Generic => "Generic",
            Vendor::Echo => "Echo",
        }
    }
}

impl Protocol {
    /// All of them.
    pub const ALL: &[Protocol] = &[
        Protocol::OpenAI,
        Protocol::Anthropic,
        Protocol::Gemini,
        Protocol::Bedrock,
        Protocol::Cohere,
    ];

    /// The name as written in resources.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::OpenAI => "OpenAI",
            Protocol::Anthropic => "Anthropic",
            Protocol::Gemini => "Gemini",
            Protocol::Bedrock => "Bedrock",
            Protocol::Cohere => "Cohere",
        }
    }
}

impl EndpointName {
    /// The name as written in resources.
    pub fn as_str(self) -> &'static str {
        match self {
            EndpointName::ChatCompletions => "ChatCompletions",
            EndpointName::Completions => "Completions",
            EndpointName::Embeddings => "Embeddings",
            EndpointName::Responses => "Responses",
            EndpointName::ImageGenerations => "ImageGenerations",
            EndpointName::ImageEdits => "ImageEdits",
            EndpointName::ImageVariations => "ImageVariations",
            EndpointName::Speech => "Speech",
            EndpointName::Transcriptions => "Transcriptions",
            EndpointName::Translations => "Translations",
            EndpointName::Moderations => "Moderations",
            EndpointName::Rerank => "Rerank",
            EndpointName::Messages => "Messages",
            EndpointName::CountTokens => "CountTokens",
        }
    }
}

impl ReasoningField {
    /// The name as written in resources.
    pub fn as_str(self) -> &'static str {
        match self {
            ReasoningField::Effort => "Effort",
            ReasoningField::Object => "Object",
            ReasoningField::ThinkingType => "ThinkingType",
            ReasoningField::EnableThinking => "EnableThinking",
            ReasoningField::None => "None",
        }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration(std::time::Duration::from_secs(seconds))
}

/// What the controller observed of the provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {}))]
pub struct AIProviderStatus {
    /// The generation of the resource that this status tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and what it sums up: `Accepted`, `ResolvedRefs` and `Programmed`; where a certificate
    /// is shown, `CertificatesValid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_of_object")]
    pub conditions: Vec<Condition>,
    /// How many AIRoutes name it in their rules, in all namespaces; a template counts as one.
    /// Told with a few seconds' delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<i64>,
}

impl From<AIProviderStatus> for Status {
    fn from(status: AIProviderStatus) -> Self {
        Self {
            observed_generation: status.observed_generation,
            conditions: status.conditions,
            routes: status.routes,
            ..Self::default()
        }
    }
}
