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
    let (first, _) = book.ask(&host("a"), None, Asker::Nobody);
    let (second, _) = book.ask(&host("a"), None, Asker::Nobody);
    assert!(first.is_some() && second.is_some());
    assert_eq!(said(&mut book), (vec![], vec![host("a")]));
    assert_eq!(said(&mut book), (vec![], vec![]));
}

#[test]
fn an_answer_wakes_all_who_wait() {
    let mut book = small();
    let waiters = [
        book.ask(&host("a"), None, Asker::Nobody).0,
        book.ask(&host("a"), None, Asker::Nobody).0,
    ];
    book.settle(&host("a"), Settled::Absent, None);
    for waiter in waiters {
        assert!(waiter.unwrap().has_changed().is_err());
    }
    assert!(book.ask(&host("a"), None, Asker::Nobody).0.is_none());
}

#[test]
fn the_oldest_miss_makes_room_and_is_unsubscribed() {
    let mut book = small();
    for name in ["a", "b", "c"] {
        book.ask(&host(name), None, Asker::Nobody);
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
    book.ask(&host("a"), None, Asker::Nobody);
    said(&mut book);
    book.forget(&host("a"));
    book.ask(&host("a"), None, Asker::Nobody);
    assert_eq!(said(&mut book), (vec![host("a")], vec![host("a")]));
}

#[test]
fn what_is_held_never_makes_room() {
    let mut book = small();
    for name in ["a", "b", "c", "d"] {
        book.ask(&host(name), None, Asker::Nobody);
        assert_eq!(book.settle(&host(name), Settled::Held, Some(form())), None);
    }
    assert_eq!(book.census().domains, 4);
}

#[test]
fn the_oldest_open_question_makes_room_and_its_waiters_are_told() {
    let mut book = small();
    let (waiter, _) = book.ask(&host("a"), None, Asker::Nobody);
    book.ask(&host("b"), None, Asker::Nobody);
    let (_, evicted) = book.ask(&host("c"), None, Asker::Nobody);
    assert_eq!(evicted, Some(host("a")));
    assert!(waiter.unwrap().has_changed().is_err());
}

#[test]
fn a_miss_that_comes_into_being_leaves_the_bound() {
    let mut book = small();
    for name in ["a", "b"] {
        book.ask(&host(name), None, Asker::Nobody);
        book.settle(&host(name), Settled::Absent, None);
    }
    book.settle(&host("a"), Settled::Held, Some(form()));
    book.ask(&host("c"), None, Asker::Nobody);
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
    book.ask(&host("a"), None, Asker::Nobody);
    book.ask(&host("b"), None, Asker::Nobody);
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

fn asker(number: u32) -> Asker {
    Asker::V4(number.into())
}

#[test]
fn a_flood_of_questions_is_held_to_its_share() {
    let mut book = Book::new(Bounds {
        pending: 8,
        ..Bounds::default()
    });
    for number in 0..2 {
        let name = host(&number.to_string());
        assert_eq!(book.refusal(&name, asker(1)), None);
        book.ask(&name, None, asker(1));
    }
    assert!(book.refusal(&host("2"), asker(1)).is_some());
    assert_eq!(book.refusal(&host("1"), asker(1)), None, "it is open");
    assert_eq!(book.refusal(&host("2"), asker(2)), None);
    book.settle(&host("0"), Settled::Held, Some(form()));
    assert_eq!(book.refusal(&host("2"), asker(1)), None);
}

#[test]
fn the_misses_of_a_flood_push_out_its_own() {
    let mut book = Book::new(Bounds {
        domain_misses: 10,
        ..Bounds::default()
    });
    let mut miss = |name: &str, asker| {
        book.ask(&host(name), None, asker);
        book.settle(&host(name), Settled::Absent, None)
    };
    assert_eq!(miss("honest", asker(2)), None);
    for number in 0..100 {
        assert_ne!(miss(&number.to_string(), asker(1)), Some(host("honest")));
    }
    assert!(book.settled(&host("honest")).is_some());
    assert_eq!(book.census().misses, 10);
}

#[test]
fn only_what_is_not_there_costs_its_asker() {
    let mut book = Book::new(Bounds::default());
    for number in 0..1_000 {
        let name = host(&number.to_string());
        assert_eq!(book.refusal(&name, asker(1)), None, "{number}");
        book.ask(&name, None, asker(1));
        book.settle(&name, Settled::Held, Some(form()));
    }
    let mut refused_at = None;
    for number in 1_000..2_000 {
        let name = host(&number.to_string());
        if book.refusal(&name, asker(1)).is_some() {
            refused_at = Some(number);
            break;
        }
        book.ask(&name, None, asker(1));
        book.settle(&name, Settled::Absent, None);
    }
    assert_eq!(refused_at, Some(1_500));
    book.set_now(1);
    assert_eq!(book.refusal(&host("x"), asker(1)), None);
}

#[test]
fn many_references_to_what_is_missing_cost_a_unit_little() {
    let mut book = small();
    for number in 0..10_000 {
        book.refer(Name::Tenant(number.to_string()));
    }
    let looked_at = std::cell::Cell::new(0);
    book.sweep(|_| {
        looked_at.set(looked_at.get() + 1);
        false
    });
    assert_eq!(looked_at.get(), SWEPT);
    for _ in 0..=10_000 / SWEPT {
        book.sweep(|_| true);
    }
    book.sweep(|_| panic!("all are gone"));
}
