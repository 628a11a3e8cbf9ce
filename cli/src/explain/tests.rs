//! What is said of small worlds.

use super::report::{Explanation, Standing};
use super::trial::{Identity, Question};
use super::*;

const WORLD: &str = "
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {name: echo}
spec: {vendor: Echo, models: [{name: m, upstreamModel: inner}]}
---
apiVersion: turnpike.dev/v1alpha1
kind: Consumer
metadata: {name: alice}
spec: {groups: [gold]}
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: main}
spec:
  hostnames: ['*.a.test']
  rules:
  - name: first
    matches: [{models: [x, 'y*']}, {path: {type: Exact, value: /z}}]
    backendRefs: [{name: echo}]
  - name: second
    backendRefs: [{name: echo, weight: 3}, {name: gone, weight: 1}]
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: closed}
spec:
  hostnames: [closed.test]
  tls: {clientCARef: {name: callers}}
  rules: [{backendRefs: [{name: echo}]}]
";

async fn explained(host: &str, identity: Identity) -> Explanation {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("all.yaml"), WORLD).unwrap();
    let choice = source::Choice::of_files(directory.path());
    let world = World::read(&choice).await.unwrap();
    let question = Question {
        host: host.into(),
        path: "/v1/chat/completions".into(),
        model: "m".into(),
        headers: HeaderMap::new(),
        identity,
    };
    trial::explain(&world, &question, 0).await.unwrap()
}

#[tokio::test]
async fn each_rule_is_told_up_to_the_one_that_matches() {
    let told = explained("b.a.test", Identity::Consumer("alice".into())).await;
    assert!(told.verdict.is_carried);
    let rules = &told.routes[0].rules;
    assert_eq!(rules[0].standing, Standing::DoesNotMatch);
    assert_eq!(rules[1].standing, Standing::Matches);
    let text = text::of(&told);
    for words in [
        "host b.a.test: served by *.a.test, of namespace default\n",
        "caller: Consumer default/alice (gold), as named\n",
        "rule first: does not match: the model is none of x, y*; or the path is not /z\n",
        "rule second: matches\n",
        "default/echo: weight 3, 75.0%, Echo, asked for inner\n",
        "default/gone: weight 1, 25.0%; faulty: ",
        "of the faulty backends: 503 provider_unavailable: ",
        "BackendNotFound AIRoute default/main: spec.rules[1].backendRefs[1]: ",
    ] {
        assert!(text.contains(words), "{words} is not said:\n{text}");
    }
}

#[tokio::test]
async fn a_host_that_asks_callers_for_a_certificate_is_said_to() {
    let told = explained("closed.test", Identity::Consumer("alice".into())).await;
    let text = text::of(&told);
    for words in [
        "over TLS alone, by callers who show a certificate that a CA in Secret default/callers",
        "InvalidCertificateRef AIRoute default/closed: spec.tls.clientCARef: ",
    ] {
        assert!(text.contains(words), "{words} is not said:\n{text}");
    }
}

#[tokio::test]
async fn without_a_key_no_rule_is_reached() {
    let told = explained("b.a.test", Identity::Nobody).await;
    let refusal = told.verdict.refusal.as_ref().unwrap();
    assert_eq!((refusal.status, &*refusal.code), (401, "missing_api_key"));
    let rules = &told.routes[0].rules;
    let is_unreached = |rule: &report::Rule| rule.standing == Standing::NotReached;
    assert!(rules.iter().all(is_unreached), "{rules:?}");
}

#[tokio::test]
async fn a_host_that_nobody_asks_for_is_said_to_be_so() {
    let told = explained("a.test", Identity::Nobody).await;
    let text = text::of(&told);
    assert!(
        text.contains("host a.test: no route asks for it\n"),
        "{text}"
    );
    assert!(text.contains("answer: 404 unknown_host: "), "{text}");
}
