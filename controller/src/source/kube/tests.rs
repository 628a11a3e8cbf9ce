//! Rules of what a watch's events are told as. Time is paused.

mod pages;

use futures::StreamExt;
use kube::core::Status;

use super::*;
use crate::testing::{self, Tell};

fn route(name: &str) -> Parsed {
    Ok(testing::route("a", name).object())
}

fn expired() -> watcher::Error {
    let status = Status {
        code: 410,
        ..Status::default()
    };
    watcher::Error::WatchError(Box::new(status))
}

/// What is told of these events, in words.
async fn told(watch: Vec<watcher::Result<watcher::Event<Parsed>>>) -> Vec<String> {
    told_of([watch]).await
}

/// What is told of the events of several watches of a kind, one watch after the other.
async fn told_of(
    watches: impl IntoIterator<Item = Vec<watcher::Result<watcher::Event<Parsed>>>>,
) -> Vec<String> {
    let (events, mut heard) = mpsc::channel(64);
    let watches: Vec<_> = watches.into_iter().collect();
    let unlisted = Unlisted::new(watches.len());
    for watch in watches {
        let follower = Follower {
            kind: Kind::AIRoute,
            events: events.clone(),
            relist: Relist::default(),
            failures: 0,
            unlisted: unlisted.clone(),
            is_listed: false,
        };
        follower.follow(futures::stream::iter(watch).boxed()).await;
    }
    drop(events);
    let mut told = Vec::new();
    while let Some(event) = heard.recv().await {
        told.push(match event {
            Event::Apply(object) => format!("+ {}", object.key().name),
            Event::Delete(key) => format!("- {}", key.name),
            Event::Synced(kind) => format!("synced {kind}"),
        });
    }
    told
}

#[tokio::test(start_paused = true)]
async fn a_kind_is_synced_after_its_first_complete_list() {
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
    let watch = vec![
        Ok(Init),
        Ok(InitApply(route("r"))),
        Ok(InitDone),
        Ok(Apply(route("s"))),
        Ok(Delete(route("r"))),
        Ok(Delete(route("never-told"))),
    ];
    let expected = ["+ a/r", "synced AIRoute", "+ a/s", "- a/r"];
    assert_eq!(told(watch).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_kind_is_synced_when_each_of_its_namespaces_was_listed() {
    use watcher::Event::{Init, InitApply, InitDone};
    let first = vec![
        Ok(Init),
        Ok(InitApply(route("r"))),
        Ok(InitDone),
        Err(expired()),
        Ok(Init),
        Ok(InitDone),
    ];
    let second = vec![Ok(Init), Ok(InitApply(route("s"))), Ok(InitDone)];
    let expected = ["+ a/r", "- a/r", "+ a/s", "synced AIRoute"];
    assert_eq!(told_of([first, second]).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_and_lists_that_break_off_remove_nothing() {
    use watcher::Event::{Init, InitApply, InitDone};
    let first = [
        Ok(Init),
        Ok(InitApply(route("r"))),
        Ok(InitApply(route("s"))),
        Ok(InitDone),
    ];
    let broken = || [Err(expired()), Ok(Init), Ok(InitApply(route("r")))];
    let last = [
        Err(expired()),
        Ok(Init),
        Ok(InitApply(route("s"))),
        Ok(InitDone),
    ];
    let watch = first
        .into_iter()
        .chain(broken())
        .chain(broken())
        .chain(last);
    let expected = [
        "+ a/r",
        "+ a/s",
        "synced AIRoute",
        "+ a/r",
        "+ a/r",
        "+ a/s",
        "- a/r",
        "synced AIRoute",
    ];
    assert_eq!(told(watch.collect()).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_harms_no_other_and_stays_as_told() {
    use watcher::Event::{Apply, Init, InitApply, InitDone};
    let unreadable = || {
        Err(Unreadable {
            name: testing::name("a", "r"),
            message: "unknown field".into(),
        })
    };
    let watch = vec![
        Ok(Init),
        Ok(InitApply(route("r"))),
        Ok(InitDone),
        Ok(Apply(unreadable())),
        Ok(Init),
        Ok(InitApply(unreadable())),
        Ok(InitApply(route("s"))),
        Ok(InitDone),
    ];
    let expected = ["+ a/r", "synced AIRoute", "+ a/s", "synced AIRoute"];
    assert_eq!(told(watch).await, expected);
}
