//! Rules of the byte searches.

use super::*;

fn finds(name: &Finder<'_>, event: &str) -> bool {
    has_value(name, event.as_bytes())
}

#[test]
fn a_name_counts_only_as_a_member_with_a_value() {
    assert!(finds(&USAGE, r#"data: {"usage" : {"a":1}}"#));
    assert!(finds(&USAGE, r#"{"x":"usage","usage":0}"#));
    assert!(!finds(&USAGE, r#"{"usage":null}"#));
    assert!(!finds(&USAGE, r#"{"content":"\"usage\":{}"}"#));
    assert!(!finds(&USAGE, r#"{"a":["usage"]}"#));
    assert!(!finds(&ERROR, r#"{"usage":{}}"#));
}

#[test]
fn strings_are_measured_up_to_their_end() {
    let bytes = |event: &str| {
        OUTPUT
            .iter()
            .map(|name| string_bytes(name, event.as_bytes()))
            .sum::<u64>()
    };
    assert_eq!(
        bytes(r#"{"content":"abc","reasoning_content": "de","role":"assistant"}"#),
        5
    );
    assert_eq!(bytes(r#"{"content":"a\"b\\","x":"y"}"#), 6);
    assert_eq!(
        bytes(r#"{"content":null,"arguments":"{}","refusal":""}"#),
        2
    );
    assert_eq!(bytes(r#"{"content":"torn\"#), 5);
}

#[test]
fn content_is_told_from_lifecycle() {
    let bears = |choice: &str| bears_content(&Object::parse(choice.as_bytes()).unwrap());
    for empty in [
        r#"{}"#,
        r#"{"delta":{"role":"assistant","content":"","refusal":null,"tool_calls":[]},"finish_reason":null}"#,
        r#"{"delta":{"content":null,"reasoning_content":""}}"#,
        r#"{"delta":{"tool_calls":[{"index":0,"function":{"arguments":""}}]}}"#,
        r#"{"delta":7}"#,
    ] {
        assert!(!bears(empty), "{empty}");
    }
    for full in [
        r#"{"delta":{"content":" "}}"#,
        r#"{"delta":{"reasoning_content":"a"}}"#,
        r#"{"delta":{"reasoning":"a"}}"#,
        r#"{"delta":{"refusal":"no"}}"#,
        r#"{"delta":{"audio":{"id":"a"}}}"#,
        r#"{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}}"#,
        r#"{"delta":{"function_call":{"name":"f"}}}"#,
        r#"{"delta":{},"finish_reason":"stop"}"#,
        r#"{"finish_reason":"stop"}"#,
    ] {
        assert!(bears(full), "{full}");
    }
}
