//! Request heads: however a body is cut, the scanner finds what a parser of the whole finds, and what
//! passes in pieces is edited as the whole is.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use turnpike_protocol::splice::{Passage, Pieces, Splice};
use turnpike_protocol::{Endpoint, Head, HeadError, Operation, Scanner, edits, scan};

/// The members of an object, by a parser that is not ours.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// A member as it stands there, and what it says.
type Said<T> = Option<(String, T)>;

#[derive(Debug, PartialEq)]
struct Summary {
    model: Said<String>,
    stream: Said<bool>,
    include_usage: Said<Option<bool>>,
    max_tokens: Option<u64>,
    n: Option<u64>,
}

impl Summary {
    fn of(head: &Head, body: &[u8]) -> Self {
        let text =
            |span: &std::ops::Range<usize>| String::from_utf8(body[span.clone()].to_vec()).unwrap();
        let options = head.stream_options.as_ref();
        let include_usage = options.and_then(|options| options.include_usage.as_ref());
        Self {
            model: head
                .model
                .as_ref()
                .map(|it| (text(&it.span), it.value.clone())),
            stream: head.stream.as_ref().map(|it| (text(&it.span), it.value)),
            include_usage: include_usage.map(|it| (text(&it.span), it.value)),
            max_tokens: head.max_tokens,
            n: head.n,
        }
    }

    /// `None`: the body is to be refused.
    fn by_reference(body: &[u8]) -> Option<Self> {
        let Members(members) = serde_json::from_slice(body).ok()?;
        let options = match one(&members, "stream_options")? {
            Some(raw) if raw != "null" => {
                let Members(members) = serde_json::from_str(&raw).ok()?;
                one(&members, "include_usage")?
            }
            _ => None,
        };
        let include_usage = match options {
            Some(raw) => Some((raw.clone(), serde_json::from_str(&raw).ok()?)),
            None => None,
        };
        let max_tokens: Said<u64> = said(&members, "max_tokens")?;
        let max_completion: Said<u64> = said(&members, "max_completion_tokens")?;
        Some(Self {
            model: said(&members, "model")?,
            stream: said(&members, "stream")?,
            include_usage,
            max_tokens: max_tokens.map(|it| it.1).max(max_completion.map(|it| it.1)),
            n: said(&members, "n")?.map(|it| it.1),
        })
    }
}

/// The member of a name; the outer `None`: there are two.
fn one(members: &[(String, Box<RawValue>)], name: &str) -> Option<Option<String>> {
    let mut found = members.iter().filter(|(key, _)| key == name);
    let first = found.next().map(|(_, raw)| raw.get().to_owned());
    found.next().is_none().then_some(first)
}

/// The outer `None`: it is wrong.
fn said<T: serde::de::DeserializeOwned>(
    members: &[(String, Box<RawValue>)],
    name: &str,
) -> Option<Said<T>> {
    match one(members, name)? {
        Some(raw) if raw != "null" => {
            let value = serde_json::from_str(&raw).ok()?;
            Some(Some((raw, value)))
        }
        _ => Some(None),
    }
}

fn pieces<'a>(body: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for cut in cuts.into_iter().chain([body.len()]) {
        pieces.push(&body[start..cut]);
        start = cut;
    }
    pieces
}

fn scan_pieces(pieces: &[&[u8]]) -> Result<Head, HeadError> {
    let mut scanner = Scanner::new();
    let mut fed = 0;
    for piece in pieces {
        scanner.feed(piece)?;
        fed += piece.len();
        assert!(scanner.settled() <= fed);
    }
    scanner.finish()
}

/// Passes a body on as it comes: never further than its head is known.
fn pass_pieces(pieces: &[&[u8]], upstream_model: &str) -> Result<Vec<u8>, HeadError> {
    let operation = Operation::Of(Endpoint::ChatCompletions);
    let mut scanner = Scanner::new();
    let mut passage = Passage::default();
    let (mut withheld, mut out) = (Vec::new(), Pieces::new());
    let mut promised: Option<Vec<Splice>> = None;
    for piece in pieces {
        scanner.feed(piece)?;
        withheld.extend_from_slice(piece);
        let edits = edits(&operation, scanner.head(), Some(upstream_model), true);
        let splices = promised.clone().unwrap_or(edits.splices);
        if edits.are_all {
            promised = Some(splices.clone());
        }
        let ready = scanner.settled() - passage.passed();
        let rest = withheld.split_off(ready);
        passage.pass(Bytes::from(withheld), &splices, &mut out);
        withheld = rest;
    }
    scanner.finish()?;
    assert!(withheld.is_empty());
    Ok(out.concat())
}

fn name() -> impl Strategy<Value = String> {
    let names = vec![
        "model",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "a",
        "include_usage",
        "mod\\u0065l",
        "\\u0073tream",
        "messages",
        "model ",
        "",
        "\\n\\ud834\\udd1e",
        "模型",
        "\\u0073\\u0074\\u0072\\u0065\\u0061\\u006d\\u005f\\u006f\\u0070\\u0074\\u0069\\u006f\\u006e\\u0073",
    ];
    prop::sample::select(names).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "true",
        "false",
        "null",
        "0",
        "7",
        "-1",
        "1.5",
        "1e9",
        "-0",
        "18446744073709551616",
        "\"gpt-4\"",
        "\"\\u4e2d\\\\\\\"\"",
        "\"中文 🎉\"",
        "\"\"",
        "\"}]{[\"",
        "{}",
        "[]",
        "{ }",
        "01",
        "tru",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"a\nb\"",
        "1.",
        "-",
        "1e",
        "\"long enough to lie in several pieces of a body\"",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(4, 12, 3, |inner| {
            let members = prop::collection::vec((name(), inner.clone()), 0..3);
            prop_oneof![
                members.prop_map(object),
                prop::collection::vec(inner, 0..3)
                    .prop_map(|values| format!("[{}]", values.join(" , "))),
            ]
        })
}

fn object(members: Vec<(String, String)>) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\" :{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Mostly valid, mostly with members that decide.
fn body() -> impl Strategy<Value = String> {
    let good = prop::sample::select(vec![
        ("model", "\"gpt-4\""),
        ("model", "\"\\u4e2d\""),
        ("stream", "true"),
        ("stream", "false"),
        ("stream", "null"),
        ("stream_options", "{\"include_usage\": false}"),
        ("stream_options", "{\"a\":[{}],\"include_usage\":true}"),
        ("stream_options", "{\"a\":1}"),
        ("stream_options", "{ }"),
        ("stream_options", "null"),
        ("max_tokens", "5"),
        ("n", "2"),
        ("messages", "[{\"role\":\"user\",\"content\":\"model\\n\"}]"),
    ]);
    let good = good.prop_map(|(name, value)| (name.to_owned(), value.to_owned()));
    let member = prop_oneof![8 => good, 1 => (name(), value())];
    prop::collection::vec(member, 0..7).prop_map(object)
}

fn cases() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(11),
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_parser_of_the_whole_finds_the_same(body in body()) {
        let found = scan(body.as_bytes()).ok();
        let found = found.map(|head| Summary::of(&head, body.as_bytes()));
        prop_assert_eq!(found, Summary::by_reference(body.as_bytes()), "{}", body);
    }

    #[test]
    fn cuts_change_nothing(
        body in body(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole = scan(body.as_bytes());
        prop_assert_eq!(&scan_pieces(&pieces(body.as_bytes(), &cuts)), &whole, "{}", body);
        let bytes: Vec<_> = body.as_bytes().chunks(1).collect();
        prop_assert_eq!(scan_pieces(&bytes), whole, "{}", body);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        body in prop::collection::vec(
            prop::sample::select(b"{}[]\":,\\u0019ae.-+ nltrfmodel\x00\xff\n".to_vec()), 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        prop_assert_eq!(scan_pieces(&pieces(&body, &cuts)), scan(&body));
    }

    #[test]
    fn what_passes_in_pieces_is_sent_with_its_edits(
        body in body(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let Ok(head) = scan(body.as_bytes()) else { return Ok(()) };
        let sent = pass_pieces(&pieces(body.as_bytes(), &cuts), "up").unwrap();
        let text = String::from_utf8_lossy(&sent);
        let of_sent = scan(&sent).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        prop_assert_eq!(of_sent.model.as_ref().map(|model| &*model.value), Some("up"));
        prop_assert_eq!(of_sent.is_streaming(), head.is_streaming());
        let (options, stream) = (body.find("stream_options"), body.find("\"stream\""));
        let is_null_first = body.contains("\"stream_options\" :null") && options < stream;
        if head.is_streaming() && !is_null_first {
            prop_assert!(of_sent.wants_usage(), "{} {}", body, text);
        }
        // In one piece, or where nothing had to be guessed, it is what the whole becomes.
        let whole = edits(&Operation::Of(Endpoint::ChatCompletions), &head, Some("up"), true).splices;
        let whole = turnpike_protocol::splice::apply(&Bytes::from(body.clone()), &whole).concat();
        let is_told_first = head.stream.is_some() && stream < options;
        if cuts.is_empty() || options.is_none() || is_told_first {
            prop_assert_eq!(text, String::from_utf8_lossy(&whole));
        }
    }
}

#[test]
fn what_is_longer_than_any_name_is_not_held() {
    let body = format!("{{\"{}\":1,\"model\":\"m\"}}", "k".repeat(1 << 20));
    let pieces: Vec<_> = body.as_bytes().chunks(1000).collect();
    assert_eq!(scan_pieces(&pieces).unwrap().model.unwrap().value, "m");
    let body = format!("{{\"model\":\"{}\"}}", "m".repeat(1 << 20));
    let error = scan_pieces(&body.as_bytes().chunks(1000).collect::<Vec<_>>()).unwrap_err();
    assert_eq!(
        (error.param(), scan(body.as_bytes())),
        (Some("model"), Err(error))
    );
}

#[test]
fn what_is_still_to_come_may_matter_or_not() {
    let chat = Operation::Of(Endpoint::ChatCompletions);
    for (begin, operation, model, are_all) in [
        (r#"{"model":"m","#, &chat, Some("m"), false),
        (r#"{"model":"m","stream":false,"#, &chat, Some("up"), true),
        (r#"{"stream":false,"#, &chat, Some("up"), false),
        (r#"{"stream":false,"#, &chat, None, true),
        (r#"{"model":"m","stream":true,"#, &chat, Some("up"), false),
        (
            r#"{"model":"m","stream":true,"stream_options":null,"#,
            &chat,
            Some("up"),
            true,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":false"#,
            &chat,
            Some("up"),
            true,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}"#,
            &chat,
            Some("up"),
            true,
        ),
        (
            r#"{"model":"m","stream_options":{"include_usage":false}"#,
            &chat,
            Some("up"),
            false,
        ),
        (
            r#"{"model":"m","stream_options":{"include_usage":true}"#,
            &chat,
            Some("up"),
            true,
        ),
        (
            r#"{"model":"m","a":"#,
            &Operation::Of(Endpoint::Embeddings),
            Some("up"),
            true,
        ),
        (r#"{"a":"#, &Operation::Of(Endpoint::Embeddings), None, true),
        (r#"{"a":1}"#, &chat, Some("up"), true),
    ] {
        let mut scanner = Scanner::new();
        scanner.feed(begin.as_bytes()).unwrap();
        let edits = edits(operation, scanner.head(), model, true);
        assert_eq!(edits.are_all, are_all, "{begin}");
    }
}
