//! Rules of bodies that pass.

use futures::{StreamExt, stream};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};

use super::*;
use crate::budget::Budget;
use crate::request::body_rules::Form;

const CHAT: &Operation = &Operation::Of(turnpike_protocol::Endpoint::ChatCompletions);

/// A body in these pieces.
fn source(pieces: &[&str], budget: &Budget) -> Source {
    let pieces: Vec<_> = pieces
        .iter()
        .map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::from((*piece).to_owned()))))
        .collect();
    let body = StreamBody::new(stream::iter(pieces));
    Source::new(
        body,
        None,
        Bytes::new(),
        Form::JSON,
        64 << 20,
        budget.charge(),
    )
    .unwrap()
}

async fn all(body: PiecesBody) -> Option<String> {
    let bytes = body.collect().await.ok()?.to_bytes();
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

fn code(result: Result<()>) -> Option<String> {
    result.err().map(|error| error.code().to_owned())
}

#[tokio::test]
async fn what_has_passed_is_sent_again_as_the_next_provider_takes_it() {
    let budget = Budget::default();
    let mut source = source(&[r#"{"a":1,"mod"#, r#"el":"#, r#""m","x":"#, "2}"], &budget);
    source.read_head(1 << 20).await.unwrap();
    let upload = Upload::new(source);
    let first = all(upload.flow(CHAT, Some("m"), true)).await.unwrap();
    assert_eq!(first, r#"{"a":1,"model":"m","x":2}"#);
    upload.sent().await;
    assert!(upload.is_replayable() && upload.is_read());
    let second = all(upload.flow(CHAT, Some("up"), true)).await.unwrap();
    assert_eq!(second, r#"{"a":1,"model":"up","x":2}"#);
    drop(upload);
    assert_eq!(budget.held(), 0);
}

#[tokio::test]
async fn what_waits_for_the_model_is_on_disk_beyond_its_bound() {
    let budget = Budget::default();
    let long = "x".repeat(600_000);
    let (begin, rest) = (format!(r#"{{"a":"{long}"#), format!(r#"{long}","b":""#));
    let pieces = [&*begin, &rest, &long, r#"","model":"m"}"#];
    let mut source = source(&pieces, &budget);
    source.read_head(1 << 20).await.unwrap();
    assert!(budget.held() < 1 << 20, "{}", budget.held());
    let upload = Upload::new(source);
    for _ in 0..2 {
        let body = upload.flow(CHAT, Some("m"), true);
        assert_eq!(all(body).await.unwrap(), pieces.concat());
        assert!(upload.is_replayable());
    }
}

#[tokio::test]
async fn a_body_on_disk_can_still_be_held_as_a_whole() {
    let budget = Budget::default();
    let long = "x".repeat(600_000);
    let pieces = [r#"{"a":""#, &*long, &*long, r#"","model":"m","b":"#, "1}"];
    let mut source = source(&pieces, &budget);
    source.read_head(300_000).await.unwrap();
    let (bytes, head, charge) = source.read_whole().await.unwrap();
    assert_eq!(bytes, pieces.concat());
    assert_eq!(head.model.unwrap().value, "m");
    assert_eq!(budget.held(), bytes.len() as u64);
    drop(charge);
    assert_eq!(budget.held(), 0);
}

#[tokio::test]
async fn more_than_is_kept_cannot_be_sent_again() {
    let budget = Budget::default();
    let long = "x".repeat(200_000);
    let pieces = [r#"{"model":"m","a":""#, &*long, &*long, r#""}"#];
    let upload = Upload::new(source(&pieces, &budget));
    assert!(upload.is_replayable());
    let mut body = upload.flow(CHAT, None, true);
    let taken = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(taken.len() < 1000 && upload.is_replayable());
    assert_eq!(
        all(body).await.unwrap().len() + taken.len(),
        pieces.concat().len()
    );
    assert!(!upload.is_replayable());
    assert_eq!(budget.held(), 0);
}

#[tokio::test]
async fn an_attempt_stops_where_the_next_one_begins() {
    let budget = Budget::default();
    let begun = stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(
        br#"{"model":"m","#,
    )))]);
    let body = StreamBody::new(begun.chain(stream::pending()));
    let source = Source::new(body, None, Bytes::new(), Form::JSON, 1000, budget.charge()).unwrap();
    let upload = Upload::new(source);
    let mut first = upload.flow(CHAT, None, true);
    assert!(futures::poll!(first.frame()).is_pending());
    let mut second = upload.flow(CHAT, None, true);
    assert!(first.frame().await.unwrap().is_err());
    assert!(futures::poll!(second.frame()).is_pending());
    drop(upload);
    assert!(second.frame().await.unwrap().is_err());
}

#[tokio::test]
async fn a_body_that_is_wrong_has_no_end_and_says_why() {
    let budget = Budget::default();
    for (pieces, expected) in [
        (&[r#"{"a":1"#, "}"][..], "missing_model"),
        (&[r#"{"model":"m""#, r#","model":"n"}"#], "duplicate_member"),
        (&[r#"{"model":"m""#], "invalid_json"),
        (&[r#"{"model":"m"}"#, " 1"], "invalid_json"),
    ] {
        let upload = Upload::new(source(pieces, &budget));
        assert_eq!(all(upload.flow(CHAT, None, true)).await, None, "{pieces:?}");
        upload.sent().await;
        let fault = upload.take_fault().unwrap();
        assert_eq!(fault.code(), expected, "{pieces:?}");
    }
}

#[tokio::test]
async fn who_is_over_the_bound_is_refused_as_soon_as_it_shows() {
    let mut long = source(
        &[r#"{"a":"#, r#"11111111"#, r#","model":"m"}"#],
        &Budget::default(),
    );
    long.limit(10).unwrap();
    assert_eq!(
        code(long.read_head(100).await).unwrap(),
        "request_too_large"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_stops_sending_is_told_so() {
    let body = StreamBody::new(stream::pending::<std::result::Result<_, std::io::Error>>());
    assert!(!body.is_end_stream());
    let mut source = Source::new(
        body,
        None,
        Bytes::new(),
        Form::JSON,
        9,
        Budget::default().charge(),
    )
    .unwrap();
    let stalled = source.read_head(100).await;
    assert_eq!(code(stalled).unwrap(), "request_body_timeout");
}

#[tokio::test]
async fn a_body_that_bursts_the_budget_is_refused() {
    let budget = Budget::new(crate::budget::Bounds {
        held: Some(1000),
        resident: None,
    });
    let long = "x".repeat(2000);
    let mut source = source(&[r#"{"a":""#, &*long, r#"","model":"m"}"#], &budget);
    assert_eq!(code(source.read_head(1 << 20).await).unwrap(), "overloaded");
    drop(source);
    assert_eq!(budget.held(), 0);
}
