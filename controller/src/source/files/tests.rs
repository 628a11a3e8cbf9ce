//! Rules of single files.

use std::sync::LazyLock;

use super::*;
use crate::source::Kind;

static ADMISSION: LazyLock<Admission> = LazyLock::new(|| Admission::new().unwrap());

const PROVIDER: &str = "apiVersion: turnpike.dev/v1alpha1\nkind: AIProvider\nmetadata: {name: p}\nspec: {vendor: Echo}\n";

fn read(text: &str) -> Parsed {
    parse(&ADMISSION, "f.yaml", text)
}

fn objects(parsed: &Parsed) -> Vec<(String, String)> {
    let objects = parsed.objects.iter();
    objects
        .map(|(place, object)| (place.clone(), object.key().to_string()))
        .collect()
}

fn fault(file: &str, object: &str, path: &str, message: &str) -> Fault {
    Fault {
        file: file.into(),
        object: object.into(),
        path: path.into(),
        message: message.into(),
    }
}

#[test]
fn each_document_is_an_object_in_the_default_namespace() {
    let text = format!("# comment\n---\n{PROVIDER}---\n\n--- # more\n{PROVIDER}");
    assert_eq!(
        objects(&read(&text)),
        [
            ("f.yaml:2".into(), "AIProvider default/p".into()),
            ("f.yaml:9".into(), "AIProvider default/p".into()),
        ]
    );
}

#[test]
fn json_is_read_too() {
    let text = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}"#;
    assert_eq!(
        objects(&read(text)),
        [("f.yaml:1".into(), "Namespace a".into())]
    );
}

#[test]
fn a_document_that_does_not_parse_leaves_the_others_be() {
    let parsed = read(&format!("a: [\n---\n{PROVIDER}---\nb: 'x\n"));
    assert_eq!(
        objects(&parsed),
        [("f.yaml:2".into(), "AIProvider default/p".into())]
    );
    let places: Vec<&str> = parsed
        .faults
        .iter()
        .map(|fault| fault.file.as_str())
        .collect();
    assert_eq!(places, ["f.yaml:1", "f.yaml:7"]);
    assert!(parsed.is_broken);
}

#[test]
fn a_fault_of_the_text_names_the_line_in_the_file() {
    let parsed = read(&format!("{PROVIDER}---\na: 1\nb: [\n  - }}\n"));
    let message = &parsed.faults[0].message;
    assert!(message.contains("line 8"), "{message}");
}

#[test]
fn faults_never_show_the_text() {
    let parsed = read("kind: Secret\nstringData: {key: canary\n");
    assert!(
        !parsed.faults[0].message.contains("canary"),
        "{}",
        parsed.faults[0]
    );
}

#[test]
fn an_unknown_field_is_refused_with_its_path() {
    let parsed = read(&PROVIDER.replace("vendor: Echo", "vendor: Echo, colour: red"));
    assert_eq!(
        parsed.faults,
        [fault(
            "f.yaml:1",
            "AIProvider default/p",
            "spec.colour",
            "unknown field; correct or remove it"
        )]
    );
    assert_eq!(
        parsed.refused,
        [ObjectKey::new(Kind::AIProvider, "default", "p")]
    );
    assert!(!parsed.is_broken);
}

#[test]
fn other_kinds_are_refused_by_name() {
    let parsed = read("apiVersion: v1\nkind: Pod\nmetadata: {name: c}\n");
    let fault = &parsed.faults[0];
    assert_eq!(fault.object, "Pod default/c");
    assert!(fault.message.contains("\"Pod\""), "{fault}");
}

#[test]
fn secrets_are_taken_in_both_forms() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: a}\ndata: {one: aGk=}\nstringData: {two: ho}\n";
    let parsed = read(text);
    let Some((_, Object::Secret(secret))) = parsed.objects.first() else {
        panic!("a Secret: {:?}", parsed.faults);
    };
    let values: Vec<_> = secret
        .data
        .iter()
        .map(|(key, value)| (key.as_str(), value.trimmed()))
        .collect();
    assert_eq!(values, [("one", &b"hi"[..]), ("two", &b"ho"[..])]);
}

#[test]
fn what_only_a_server_may_say_is_left_out() {
    let text = PROVIDER.replace(
        "{name: p}",
        "{name: p, uid: x, generation: 7, creationTimestamp: 2020-01-01T00:00:00Z, resourceVersion: '1'}",
    );
    let parsed = read(&text);
    let Some((_, Object::Provider(provider))) = parsed.objects.first() else {
        panic!("an AIProvider: {:?}", parsed.faults);
    };
    let meta = &provider.metadata;
    assert_eq!(
        (
            &meta.uid,
            meta.generation,
            &meta.creation_timestamp,
            &meta.resource_version
        ),
        (&None, None, &None, &None)
    );
}

#[test]
fn a_fault_reads_as_one_line() {
    assert_eq!(
        fault(
            "a.yaml:3",
            "AIRoute a/r",
            "spec.rules",
            "required, but missing"
        )
        .to_string(),
        "a.yaml:3: AIRoute a/r: spec.rules: required, but missing"
    );
    assert_eq!(
        fault("a.yaml:3", "", "", "not YAML").to_string(),
        "a.yaml:3: not YAML"
    );
}
