//! Rules of the head scanner.

use super::*;

fn at<'a, T>(body: &'a str, member: &Option<Member<T>>) -> &'a str {
    &body[member.as_ref().unwrap().span.clone()]
}

#[test]
fn deciding_members_come_with_their_places() {
    let body = r#" { "messages":[{"model":"no"}], "model" : "gpt\u002d4", "stream":true,
        "stream_options": {"x":1, "include_usage": false}, "max_tokens":5, "n":2} "#;
    let head = scan(body.as_bytes()).unwrap();
    assert_eq!(head.model.as_ref().unwrap().value, "gpt-4");
    assert_eq!(at(body, &head.model), r#""gpt\u002d4""#);
    assert_eq!(at(body, &head.stream), "true");
    assert_eq!(&body[head.close.unwrap()..], "} ");
    let options = head.stream_options.as_ref().unwrap();
    assert_eq!(&body[options.close.unwrap()..][..3], "}, ");
    assert_eq!(at(body, &options.include_usage), "false");
    assert!(head.is_streaming() && !head.wants_usage());
    assert_eq!((head.max_tokens, head.n), (Some(5), Some(2)));
}

#[test]
fn the_larger_allowance_counts_and_null_is_absent() {
    let head = scan(br#"{"max_tokens":1,"max_completion_tokens":2,"model":null}"#).unwrap();
    assert_eq!((head.max_tokens, head.model.is_none()), (Some(2), true));
    let head = scan(br#"{"max_tokens":9,"max_completion_tokens":2}"#).unwrap();
    assert_eq!(head.max_tokens, Some(9));
    let head = scan(br#"{"max_tokens":1,"max_completion_tokens":null}"#).unwrap();
    assert_eq!(head.max_tokens, Some(1));
    assert!(scan(b"{}").unwrap().is_empty);
}

#[test]
fn a_deciding_member_that_comes_twice_is_refused() {
    let twice = |body: &str| match scan(body.as_bytes()) {
        Err(HeadError::Duplicate { name }) => name,
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(twice(r#"{"model":"a","mod\u0065l":"b"}"#), "model");
    assert_eq!(twice(r#"{"n":1,"n":1}"#), "n");
    let inner = r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#;
    assert_eq!(twice(inner), "stream_options.include_usage");
    assert!(scan(br#"{"other":1,"other":2}"#).is_ok());
}

#[test]
fn wrong_types_name_the_member() {
    for (body, name) in [
        (r#"{"model":7}"#, "model"),
        (r#"{"stream":"true"}"#, "stream"),
        (r#"{"stream_options":[]}"#, "stream_options"),
        (
            r#"{"stream_options":{"include_usage":1}}"#,
            "stream_options.include_usage",
        ),
        (r#"{"n":-1}"#, "n"),
        (r#"{"max_tokens":1.5}"#, "max_tokens"),
    ] {
        let error = scan(body.as_bytes()).unwrap_err();
        assert_eq!(error.param(), Some(name), "{body}: {error}");
    }
}

#[test]
fn what_is_not_one_json_object_is_refused_with_its_place() {
    let offset = |body: &str| match scan(body.as_bytes()) {
        Err(HeadError::NotJson { offset, .. }) => offset,
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(offset(r#"{"a":1} x"#), 8);
    assert_eq!(offset("{\n\"a\": tru"), 10);
    assert_eq!(offset("<html>"), 0);
    offset("");
    offset(r#"{"model":"a"#);
    assert_eq!(scan(b"[1]"), Err(HeadError::NotObject));
    assert_eq!(scan(b"null"), Err(HeadError::NotObject));
    assert!(matches!(
        scan(b"{\"model\":\"\xff\"}"),
        Err(HeadError::NotJson { .. })
    ));
}

#[test]
fn a_hundred_thousand_levels_are_only_skipped() {
    let deep = format!(
        r#"{{"x":{}{},"stream_options":{{"y":{}{}}},"model":"m"}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000),
        "{\"a\":".repeat(100_000),
        format_args!("1{}", "}".repeat(100_000)),
    );
    assert_eq!(scan(deep.as_bytes()).unwrap().model.unwrap().value, "m");
    assert!(scan("{\"a\":[".repeat(100_000).as_bytes()).is_err());
    assert!(scan("[".repeat(100_000).as_bytes()).is_err());
}
