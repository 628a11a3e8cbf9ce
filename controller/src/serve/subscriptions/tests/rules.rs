//! One rule a test.

use turnpike_snapshot::certificate::{Certificate, FleetCertificates, KeyedCertificate};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::provider::Provider;
use turnpike_snapshot::{Name, Snapshot};

use super::model::{Line, domain, host, provider, provider_name};
use crate::serve::hub::Standing;
use crate::serve::unit::{Change, Unit};

fn loaded() -> Line {
    let mut line = Line::new();
    line.set(host("a.test"), Some(domain(1, &["p"])));
    line.set(provider_name("p"), Some(provider(1, "Echo")));
    line.subscribe(host("a.test"));
    line.settle();
    line
}

fn names(unit: &Unit) -> Vec<String> {
    let of = |change: &Change| match change {
        Change::Upsert(..) => "+",
        Change::Absent => "0",
        Change::Drop => "-",
    };
    let changes = unit.changes.iter();
    changes
        .map(|(name, change)| format!("{}{name}", of(change)))
        .collect()
}

fn sent_since(line: &Line, before: usize) -> Vec<Vec<String>> {
    line.sent[before..].iter().map(names).collect()
}

fn standings(line: &Line, name: &Name) -> Vec<Standing> {
    let holders = line.hub.delivery(name).holders;
    holders.into_iter().map(|holder| holder.standing).collect()
}

#[test]
fn a_domain_comes_in_one_unit_with_what_it_refers_to_first() {
    let line = loaded();
    assert_eq!(
        sent_since(&line, 0),
        [["+provider/t/p", "0tenant/t", "0fleet", "+domain/a.test"]]
    );
}

#[test]
fn an_unchanged_name_sends_nothing() {
    let mut line = loaded();
    let before = line.sent.len();
    line.set(host("a.test"), Some(domain(1, &["p"])));
    line.settle();
    assert_eq!(line.sent.len(), before);
}

#[test]
fn a_changed_provider_is_sent_alone() {
    let mut line = loaded();
    let before = line.sent.len();
    line.set(provider_name("p"), Some(provider(2, "Echo")));
    line.settle();
    assert_eq!(sent_since(&line, before), [["+provider/t/p"]]);
}

#[test]
fn an_outdated_dependency_comes_along_with_what_refers_to_it() {
    let mut line = loaded();
    let before = line.sent.len();
    line.set(host("a.test"), Some(domain(2, &["p"])));
    line.set(provider_name("p"), Some(provider(2, "Echo")));
    line.settle();
    assert_eq!(
        sent_since(&line, before),
        [["+provider/t/p", "+domain/a.test"]]
    );
}

#[test]
fn a_miss_is_answered_and_a_later_creation_is_pushed() {
    let mut line = Line::new();
    line.subscribe(host("a.test"));
    line.settle();
    assert_eq!(line.client.held[&host("a.test")], None);
    line.set(host("a.test"), Some(domain(1, &[])));
    line.settle();
    assert_eq!(line.client.held[&host("a.test")], Some(domain(1, &[])));
}

#[test]
fn a_creation_between_question_and_answer_is_not_missed() {
    let mut line = Line::new();
    line.subscribe(host("a.test"));
    line.hear();
    line.send();
    line.set(host("a.test"), Some(domain(1, &[])));
    line.publish();
    line.settle();
    assert_eq!(line.client.held[&host("a.test")], Some(domain(1, &[])));
}

#[test]
fn a_host_under_a_wildcard_is_an_alias_until_an_exact_one_exists() {
    let mut line = Line::new();
    line.set(host("*.test"), Some(domain(1, &[])));
    line.subscribe(host("x.a.test"));
    line.settle();
    let alias = |wildcard: &str| Some(Snapshot::Alias(wildcard.into()));
    assert_eq!(line.client.held[&host("x.a.test")], alias("*.test"));
    line.set(host("*.a.test"), Some(domain(2, &[])));
    line.settle();
    assert_eq!(line.client.held[&host("x.a.test")], alias("*.a.test"));
    assert!(!line.client.held.contains_key(&host("*.test")));
    line.set(host("x.a.test"), Some(domain(3, &[])));
    line.settle();
    assert_eq!(line.client.held[&host("x.a.test")], Some(domain(3, &[])));
    assert!(!line.client.held.contains_key(&host("*.a.test")));
}

#[test]
fn a_deleted_wildcard_gives_its_hosts_to_the_next() {
    let mut line = Line::new();
    line.set(host("*"), Some(domain(1, &[])));
    line.set(host("*.a.test"), Some(domain(2, &[])));
    line.subscribe(host("x.a.test"));
    line.settle();
    line.set(host("*.a.test"), None);
    line.settle();
    assert_eq!(
        line.client.held[&host("x.a.test")],
        Some(Snapshot::Alias("*".into()))
    );
}

#[test]
fn a_changed_wildcard_is_sent_once_and_its_aliases_not_at_all() {
    let mut line = Line::new();
    line.set(host("*.test"), Some(domain(1, &[])));
    for name in ["a.test", "b.test", "c.test"] {
        line.subscribe(host(name));
    }
    line.settle();
    let before = line.sent.len();
    line.set(host("*.test"), Some(domain(2, &[])));
    line.settle();
    assert_eq!(sent_since(&line, before), [["+domain/*.test"]]);
}

#[test]
fn unsubscribing_drops_what_only_that_name_needed() {
    let mut line = loaded();
    line.set(host("b.test"), Some(domain(1, &["q"])));
    line.set(provider_name("q"), Some(provider(1, "Echo")));
    line.subscribe(host("b.test"));
    line.settle();
    let before = line.sent.len();
    line.unsubscribe(host("a.test"));
    line.settle();
    assert_eq!(
        sent_since(&line, before),
        [["-domain/a.test", "-provider/t/p"]]
    );
}

#[test]
fn reconnecting_with_everything_receives_nothing() {
    let mut line = loaded();
    let before = line.sent.len();
    line.reconnect();
    line.settle();
    assert_eq!(line.sent.len(), before);
}

#[test]
fn reconnecting_receives_what_changed_meanwhile_and_what_is_gone() {
    let mut line = loaded();
    let before = line.sent.len();
    line.set(host("a.test"), None);
    line.reconnect();
    line.settle();
    let sent = sent_since(&line, before).concat();
    assert_eq!(
        line.client.held,
        line.world.closure(&line.client.subscribed)
    );
    assert!(sent.contains(&"0domain/a.test".to_owned()), "{sent:?}");
    assert!(sent.contains(&"-provider/t/p".to_owned()), "{sent:?}");
}

#[test]
fn a_refusal_keeps_what_was_held_and_is_told_until_the_mend() {
    let mut line = loaded();
    line.set(host("a.test"), Some(domain(13, &["q"])));
    line.settle();
    assert_eq!(line.client.held[&host("a.test")], Some(domain(1, &["p"])));
    assert_eq!(
        standings(&line, &host("a.test")),
        [Standing::Refused("poison".into())]
    );
    let before = line.sent.len();
    line.set(host("a.test"), Some(domain(13, &["q"])));
    line.settle();
    assert_eq!(
        line.sent.len(),
        before,
        "the same again would be refused again"
    );
    line.set(host("a.test"), Some(domain(2, &["p"])));
    line.settle();
    assert_eq!(line.client.held[&host("a.test")], Some(domain(2, &["p"])));
    assert_eq!(standings(&line, &host("a.test")), [Standing::Current]);
}

#[test]
fn what_an_old_data_plane_cannot_obey_is_not_sent_and_the_old_stays() {
    let mut line = loaded();
    line.set(provider_name("p"), Some(provider(2, "Future")));
    line.settle();
    assert_eq!(
        line.client.held[&provider_name("p")],
        Some(provider(1, "Echo"))
    );
    assert_eq!(
        standings(&line, &provider_name("p")),
        [Standing::TooOld(vec!["vendor/Future".into()])]
    );
}

#[test]
fn a_name_lags_until_its_unit_is_acknowledged() {
    let mut line = loaded();
    line.set(host("a.test"), Some(domain(2, &["p"])));
    line.publish();
    assert_eq!(standings(&line, &host("a.test")), [Standing::Lagging]);
    line.send();
    line.deliver();
    assert_eq!(standings(&line, &host("a.test")), [Standing::Lagging]);
    line.hear();
    assert_eq!(standings(&line, &host("a.test")), [Standing::Current]);
}

#[test]
fn a_client_that_never_acknowledges_is_told_no_more_after_a_while() {
    let mut line = Line::new();
    for number in 0..1000 {
        line.subscribe(host(&format!("{number}.test")));
        line.hear();
        line.send();
    }
    assert_eq!(line.sent.len(), super::super::UNACKNOWLEDGED_UNITS);
    assert!(!line.server.has_work());
}

#[test]
fn a_client_that_comes_back_to_an_emptied_world_keeps_what_it_has() {
    let mut line = loaded();
    line.set(host("b.test"), Some(domain(1, &["p"])));
    line.subscribe(host("b.test"));
    line.settle();
    let held = line.client.held.clone();
    for name in [host("a.test"), host("b.test"), provider_name("p")] {
        line.set(name, None);
    }
    line.reconnect();
    line.settle();
    assert_eq!(line.client.held, held);
    assert_eq!(line.server.withheld(), 3);

    // The rest goes on: what is asked for, and what comes back.
    line.subscribe(host("c.test"));
    line.set(host("a.test"), Some(domain(2, &[])));
    line.settle();
    assert_eq!(line.client.held[&host("c.test")], None);
    assert_eq!(line.client.held[&host("a.test")], Some(domain(2, &[])));
    assert_eq!(line.server.withheld(), 2);

    line.accept();
    line.settle();
    assert_eq!(line.client.held[&host("b.test")], None);
    assert!(!line.client.held.contains_key(&provider_name("p")));
    assert_eq!(line.server.withheld(), 0);
}

#[test]
fn what_is_refused_is_mended_by_the_next_version() {
    let mut line = loaded();
    for (version, standing) in [
        (13, Standing::Refused("poison".into())),
        (2, Standing::Current),
    ] {
        line.set(host("a.test"), Some(domain(version, &["p"])));
        line.settle();
        assert_eq!(standings(&line, &host("a.test")), [standing]);
    }
    assert_eq!(line.client.held[&host("a.test")], Some(domain(2, &["p"])));
}

/// One that names something which is there and cannot be used.
fn broken(reason: &str) -> Option<Snapshot> {
    Some(Snapshot::Provider(Provider::Faulty {
        reason: reason.into(),
        keeps_previous: true,
    }))
}

#[test]
fn a_provider_keeps_its_last_good_form_and_who_has_none_is_told_why() {
    let mut line = Line::new();
    line.set(host("a.test"), Some(domain(1, &["p"])));
    line.set(provider_name("p"), broken("first"));
    line.subscribe(host("a.test"));
    line.settle();
    assert_eq!(sent_since(&line, 0)[0][0], "+provider/t/p");
    for (now, expected) in [
        (Some(provider(1, "Echo")), Some("+provider/t/p")),
        (broken("second"), None),
        (Some(provider(2, "Echo")), Some("+provider/t/p")),
        (None, Some("0provider/t/p")),
        (broken("third"), Some("+provider/t/p")),
    ] {
        let before = line.sent.len();
        line.set(provider_name("p"), now.clone());
        line.settle();
        let sent: Vec<String> = sent_since(&line, before).concat();
        assert_eq!(sent, expected.as_slice(), "{now:?}");
    }
}

/// `None`: one that cannot be used.
fn certificate(end: Option<i64>) -> Option<Snapshot> {
    Some(Snapshot::Certificate(match end {
        Some(not_after) => Certificate::Usable(KeyedCertificate {
            names: Vec::new(),
            chain: Vec::new(),
            key: Vec::new(),
            not_after,
        }),
        None => Certificate::Faulty {
            reason: "broken".into(),
        },
    }))
}

#[test]
fn what_keeps_the_one_before_is_not_sent_and_who_has_none_is_told_so() {
    let own = Name::Certificate(ObjectName::new("t", "own"));
    let fleet = Snapshot::FleetCertificates(FleetCertificates {
        certificates: vec![ObjectName::new("t", "own")],
    });
    let mut line = Line::new();
    line.set(Name::FleetCertificates, Some(fleet));
    line.set(own.clone(), certificate(None));
    line.subscribe(Name::FleetCertificates);
    line.settle();
    assert_eq!(
        sent_since(&line, 0),
        [["0certificate/t/own", "+fleet-certificates"]]
    );
    for (now, expected) in [
        (certificate(Some(1)), Some("+certificate/t/own")),
        (certificate(None), None),
        (certificate(Some(1)), None),
        (certificate(Some(2)), Some("+certificate/t/own")),
        (certificate(None), None),
        (None, Some("0certificate/t/own")),
        (certificate(None), None),
    ] {
        let before = line.sent.len();
        line.set(own.clone(), now.clone());
        line.settle();
        let sent: Vec<String> = sent_since(&line, before).concat();
        assert_eq!(sent, expected.as_slice(), "{now:?}");
    }
    assert_eq!(standings(&line, &own), []);
    line.set(own.clone(), certificate(Some(3)));
    line.settle();
    line.set(own.clone(), certificate(None));
    line.settle();
    assert_eq!(standings(&line, &own), [Standing::Current]);
    assert_eq!(line.client.held[&own], certificate(Some(3)));

    // Whoever comes back with it keeps it, and still hears of the next.
    let before = line.sent.len();
    line.reconnect();
    line.settle();
    assert!(sent_since(&line, before).concat().is_empty());
    assert_eq!(standings(&line, &own), [Standing::Current]);
    line.set(own.clone(), certificate(Some(4)));
    line.settle();
    assert_eq!(line.client.held[&own], certificate(Some(4)));
}
