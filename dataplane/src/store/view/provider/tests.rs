//! What a provider's snapshot becomes, and which are refused.

use super::*;

fn upstream(kind: ProviderKind, url: Option<&str>) -> Upstream {
    Upstream {
        kind,
        url: url.map(Into::into),
        service: None,
        tls: None,
        egress_proxy: None,
        manner: None,
        cloud: None,
        keys: Vec::new(),
        models: Vec::new(),
        timeouts: Timeouts {
            connect: Duration::from_secs(3),
            first_token: Duration::ZERO,
            idle: Duration::ZERO,
            total: Duration::ZERO,
        },
    }
}

fn compiled(upstream: &Upstream) -> Result<UpstreamView, CompileError> {
    UpstreamView::compile(upstream, &Tables::default())
}

fn vendor_named(name: &str) -> ProviderKind {
    ProviderKind::Vendor(name.into())
}

fn with_key(kind: ProviderKind, secret: &str) -> Result<UpstreamView, CompileError> {
    let mut upstream = upstream(kind, Some("http://p.test"));
    upstream.keys.push(ProviderKey {
        name: "main".into(),
        secret: secret.into(),
    });
    compiled(&upstream)
}

#[test]
fn a_vendor_knows_its_own_address() {
    let view = compiled(&upstream(vendor_named("DeepSeek"), None)).unwrap();
    let url = view.base_url.unwrap().join("/chat/completions").unwrap();
    assert_eq!(url, "https://api.deepseek.com/v1/chat/completions");
}

#[test]
fn a_url_of_the_users_goes_before_the_vendors() {
    let view = compiled(&upstream(
        vendor_named("OpenAI"),
        Some("http://10.0.0.1:8000/x/"),
    ));
    let url = view.unwrap().base_url.unwrap().join("/y").unwrap();
    assert_eq!(url, "http://10.0.0.1:8000/x/y");
}

#[test]
fn the_echo_vendor_has_no_address() {
    let view = compiled(&upstream(vendor_named("Echo"), None)).unwrap();
    assert_eq!((view.base_url, view.transport), (None, Transport::Echo));
}

#[test]
fn unknown_vendors_and_protocols_are_refused() {
    for kind in [vendor_named("Nope"), ProviderKind::Protocol("Nope".into())] {
        let refused = compiled(&upstream(kind, Some("http://p.test")));
        assert!(refused.unwrap_err().to_string().contains("\"Nope\""));
    }
}

#[test]
fn a_protocol_needs_a_url() {
    let refused = compiled(&upstream(ProviderKind::Protocol("OpenAI".into()), None));
    assert_eq!(refused.unwrap_err(), CompileError::MissingUrl);
}

fn behind_a_service(kind: ProviderKind, path: Option<&str>) -> Upstream {
    Upstream {
        service: Some(Box::new(Service {
            port: "models/vllm/8000".parse().unwrap(),
            path: path.map(Into::into),
        })),
        ..upstream(kind, None)
    }
}

#[test]
fn a_service_has_the_path_that_its_protocol_usually_has_or_another() {
    let protocol = |name: &str| ProviderKind::Protocol(name.into());
    let cases = [
        (protocol("OpenAI"), None, "/v1"),
        (vendor_named("DeepSeek"), None, "/v1"),
        (protocol("Anthropic"), None, ""),
        (protocol("OpenAI"), Some("/"), ""),
        (protocol("OpenAI"), Some("/openai/v1/"), "/openai/v1"),
    ];
    for (kind, path, expected) in cases {
        let view = compiled(&behind_a_service(kind, path)).unwrap();
        let url = view.base_url.unwrap().join("/x").unwrap();
        let expected = format!("http://vllm.models.svc:8000{expected}/x");
        assert_eq!(url.to_string(), expected);
        assert_eq!(view.service.unwrap().host, "vllm.models.svc:8000");
    }
}

#[test]
fn providers_of_one_service_share_its_endpoints() {
    let tables = Tables::default();
    let compile = || {
        let upstream = behind_a_service(vendor_named("OpenAI"), None);
        let view = UpstreamView::compile(&upstream, &tables).unwrap();
        view.service.unwrap().endpoints
    };
    assert!(Arc::ptr_eq(&compile(), &compile()));
    assert!(compile().is_empty());
}

#[test]
fn odd_urls_are_refused_without_showing_passwords() {
    for url in [
        "ftp://a",
        "a.test/v1",
        "http://",
        "http://u:pass@a",
        "http://a/?k=pass",
        "::",
    ] {
        let message = BaseUrl::parse(url).unwrap_err().to_string();
        assert!(url.contains('?') || !message.contains("pass@"), "{message}");
    }
}

#[test]
fn keys_become_sensitive_headers_as_the_protocol_wants_them() {
    let view = with_key(vendor_named("OpenAI"), "sk-1").unwrap();
    let (name, value) = view.keys[0].header.clone().unwrap();
    assert_eq!(
        (name.as_str(), value.to_str().unwrap()),
        ("authorization", "Bearer sk-1")
    );
    assert!(value.is_sensitive());
    let view = with_key(vendor_named("Anthropic"), "sk-2").unwrap();
    let (name, value) = view.keys[0].header.clone().unwrap();
    assert_eq!(
        (name.as_str(), value.to_str().unwrap()),
        ("x-api-key", "sk-2")
    );
}

#[test]
fn a_key_that_no_header_can_carry_is_refused_by_name_alone() {
    let refused = with_key(vendor_named("OpenAI"), "sk\n1").unwrap_err();
    assert_eq!(refused, CompileError::Key("main".into()));
}

#[test]
fn a_zero_timeout_is_no_bound() {
    let view = compiled(&upstream(vendor_named("Echo"), None)).unwrap();
    assert_eq!(view.timeouts.connect, Some(Duration::from_secs(3)));
    assert_eq!(view.timeouts.idle, None);
}

fn in_cloud(kind: ProviderKind, cloud: Cloud, secret: KeySecret) -> Upstream {
    Upstream {
        cloud: Some(Box::new(cloud)),
        keys: vec![ProviderKey {
            name: "main".into(),
            secret,
        }],
        ..upstream(kind, Some("https://p.test"))
    }
}

fn gcp(project: Option<&str>, location: &str) -> Cloud {
    Cloud::Gcp {
        project: project.map(str::to_owned),
        location: location.into(),
    }
}

fn aws(region: &str) -> Cloud {
    let region = region.into();
    Cloud::Aws { region }
}

#[test]
fn a_key_of_express_mode_is_shown_as_google_wants_it_and_a_bearer_key_as_amazon_does() {
    let protocol = || ProviderKind::Protocol("OpenAI".into());
    for (cloud, name, value) in [
        (gcp(None, "global"), "x-goog-api-key", "k"),
        (aws("us-east-1"), "authorization", "Bearer k"),
    ] {
        let view = compiled(&in_cloud(protocol(), cloud, "k".into())).unwrap();
        let (held, shown) = view.keys[0].header.as_ref().unwrap();
        assert_eq!((held.as_str(), shown.to_str().unwrap()), (name, value));
        assert!(view.keys[0].signer.is_none());
    }
}

#[test]
fn a_key_that_signs_needs_a_region() {
    let key = || {
        KeySecret::Aws(turnpike_snapshot::provider::AwsKey {
            access_key: "canary".into(),
            secret_key: "canary".into(),
            session_token: None,
        })
    };
    let protocol = || ProviderKind::Protocol("OpenAI".into());
    let refused = compiled(&in_cloud(protocol(), gcp(None, "global"), key())).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "credential main: a key of AWS needs aws.region"
    );
    let view = compiled(&in_cloud(protocol(), aws("us-east-1"), key())).unwrap();
    assert!(view.keys[0].header.is_none());
    assert!(view.keys[0].signer.as_ref().unwrap().needs_whole_body());
    assert!(!format!("{view:?}").contains("canary"));
}

#[test]
fn a_vendor_in_a_cloud_is_reached_where_it_is() {
    for (vendor, cloud, expected) in [
        (
            "Bedrock",
            aws("eu-west-1"),
            Some("https://bedrock-runtime.eu-west-1.amazonaws.com"),
        ),
        (
            "Bedrock",
            aws("cn-north-1"),
            Some("https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ),
        (
            "VertexAI",
            gcp(Some("p"), "us-central1"),
            Some("https://us-central1-aiplatform.googleapis.com"),
        ),
        (
            "VertexAI",
            gcp(None, "us-central1"),
            Some("https://aiplatform.googleapis.com"),
        ),
        ("OpenAI", aws("eu-west-1"), None),
        ("Bedrock", gcp(None, "global"), None),
    ] {
        let upstream = in_cloud(vendor_named(vendor), cloud, "k".into());
        assert_eq!(cloud_url(&upstream).as_deref(), expected);
    }
}

#[test]
fn on_vertex_ai_the_model_says_what_is_spoken() {
    let gcp = gcp(Some("p"), "us-central1");
    let mut view = compiled(&in_cloud(vendor_named("OpenAI"), gcp, "k".into())).unwrap();
    assert_eq!(view.vertex(), None);
    view.vendor = VERTEX;
    for (model, protocol, version) in [
        (
            "claude-x",
            WireProtocol::Anthropic,
            Some("vertex-2023-10-16"),
        ),
        ("meta/llama", WireProtocol::OpenAI, None),
        ("gemini-x", WireProtocol::Gemini, None),
    ] {
        let target = view.target(model, 0);
        assert_eq!(
            (target.protocol, target.anthropic_version),
            (protocol, version)
        );
    }
}
