//! Rules of the book.

use super::*;

fn host(name: &str) -> Name {
    Name::Domain(name.into())
}

fn small() -> Book {
    Book::new(Bounds {
        pending: 2,
        domain_misses: 2,
        credential_misses: 2,
        aliases: 2,
    })
}

fn version() -> Version {
    Version::of_content(&turnpike_snapshot::proto::Content::default())
}

fn form() -> Form {
    Form {
        version: version(),
        bytes: 100,
    }
}

fn said(book: &mut Book) -> (Vec<Name>, Vec<Name>) {
    let outgoing = book.take_outgoing(100);
    (outgoing.unsubscribe, outgoing.subscribe)
}

#[test]
fn a_name_is_asked_for_once() {
    let mut book = small();
    let (first, _) = book.ask(&host("a"), None);
    let (second, _) = book.ask(&host("a"), None);
    assert!(first.is_some() && second.is_some());
    assert_eq!(said(&mut book), (vec![], vec![host("a")]));
    assert_eq!(said(&mut book), (vec![], vec![]));
}

#[test]
fn an_answer_wakes_all_who_wait() {
    let mut book = small();
    let waiters = [book.ask(&host("a"), None).0, book.ask(&host("a"), None).0];
    book.settle(&host("a"), Settled::Absent, None);
    for waiter in waiters {
        assert!(waiter.unwrap().has_changed().is_err());
    }
    assert!(book.ask(&host("a"), None).0.is_none());
}

#[test]
fn the_oldest_miss_makes_room_and_is_unsubscribed() {
    let mut book = small();
    for name in ["a", "b", "c"] {
        book.ask(&host(name), None);
        let evicted = book.settle(&host(name), Settled::Absent, None);
        assert_eq!(evicted, (name == "c").then(|| host("a")));
    }
    let all = ["a", "b", "c"].map(host).to_vec();
    assert_eq!(
        said(&mut book),
        (vec![], all[1..].to_vec()),
        "never said, never unsaid"
    );
    assert_eq!(book.census().misses, 2);
}

#[test]
fn what_was_said_is_unsaid_before_it_is_asked_anew() {
    let mut book = small();
    book.ask(&host("a"), None);
    said(&mut book);
    book.forget(&host("a"));
    book.ask(&host("a"), None);
    assert_eq!(said(&mut book), (vec![host("a")], vec![host("a")]));
}

#[test]
fn what_is_held_never_makes_room() {
    let mut book = small();
    for name in ["a", "b", "c", "d"] {
        book.ask(&host(name), None);
        assert_eq!(book.settle(&host(name), Settled::Held, Some(form())), None);
    }
    assert_eq!(book.census().domains, 4);
}

#[test]
fn the_oldest_open_question_makes_room_and_its_waiters_are_told() {
    let mut book = small();
    let (waiter, _) = book.ask(&host("a"), None);
    book.ask(&host("b"), None);
    let (_, evicted) = book.ask(&host("c"), None);
    assert_eq!(evicted, Some(host("a")));
    assert!(waiter.unwrap().has_changed().is_err());
}

#[test]
fn a_miss_that_comes_into_being_leaves_the_bound() {
    let mut book = small();
    for name in ["a", "b"] {
        book.ask(&host(name), None);
        book.settle(&host(name), Settled::Absent, None);
    }
    book.settle(&host("a"), Settled::Held, Some(form()));
    book.ask(&host("c"), None);
    assert_eq!(book.settle(&host("c"), Settled::Absent, None), None);
}

#[test]
fn an_answer_to_what_nobody_asked_changes_nothing() {
    let mut book = small();
    assert_eq!(book.settle(&host("a"), Settled::Held, Some(form())), None);
    assert_eq!(book.census(), Census::default());
}

#[test]
fn a_new_stream_is_told_everything_and_nothing_twice() {
    let mut book = small();
    book.ask(&host("a"), None);
    book.ask(&host("b"), None);
    book.settle(&host("a"), Settled::Held, Some(form()));
    book.hold(&Name::Fleet, form());
    let mut restated = book.restate();
    restated.names.sort_by_key(|(name, _)| name.to_string());
    assert_eq!(
        restated.names,
        [(host("a"), Some(version())), (host("b"), None)]
    );
    assert_eq!(restated.dependencies, [(Name::Fleet, version())]);
    assert_eq!(said(&mut book), (vec![], vec![]));
}

#[test]
fn what_nobody_refers_to_is_swept_once_it_is_not_held() {
    let mut book = small();
    let tenant = Name::Tenant("t".into());
    book.refer(tenant.clone());
    book.hold(&tenant, form());
    book.sweep(|_| panic!("it is held"));
    book.release(&tenant);
    book.sweep(|_| false);
    let swept = std::cell::RefCell::new(Vec::new());
    book.sweep(|name| {
        swept.borrow_mut().push(name.clone());
        true
    });
    assert_eq!(swept.into_inner(), [tenant]);
    book.sweep(|_| panic!("it is gone"));
}
