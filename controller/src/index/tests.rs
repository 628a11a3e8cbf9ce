//! What each event touches, and nothing besides.

mod counts;
mod order;
mod services;

use std::collections::BTreeSet;

use turnpike_crds::ai_provider::ProviderState;
use turnpike_snapshot::Name;

use crate::index::{Index, Touched};
use crate::source::{Event, Kind, ObjectKey};
use crate::testing::*;

/// What is touched, in words: names as on the wire, objects as `Kind namespace/name`.
fn told(touched: &Touched) -> BTreeSet<String> {
    let names = touched.names.iter().map(Name::to_string);
    names
        .chain(touched.objects.iter().map(ObjectKey::to_string))
        .collect()
}

fn touches(index: &mut Index, event: Event, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|&text| text.to_owned()).collect();
    assert_eq!(told(&index.apply(event)), expected);
}

fn credential(realm: &str, api_key: &str) -> String {
    let id = credential_id(api_key);
    Name::Credential {
        realm: realm.into(),
        id,
    }
    .to_string()
}

#[test]
fn a_route_touches_the_domains_that_it_had_and_has() {
    let index = &mut index();
    let at = |hosts: [&str; 2]| route("a", "r").host(hosts[0]).host(hosts[1]);
    touches(
        index,
        at(["x.test", "y.test"]).event(),
        &["domain/x.test", "domain/y.test", "AIRoute a/r"],
    );
    touches(
        index,
        at(["y.test", "z.test"]).generation(2).event(),
        &[
            "domain/x.test",
            "domain/y.test",
            "domain/z.test",
            "AIRoute a/r",
        ],
    );
    touches(
        index,
        delete(Kind::AIRoute, "a", "r"),
        &["domain/y.test", "domain/z.test"],
    );
}

#[test]
fn what_is_told_again_touches_nothing() {
    let events = || {
        [
            provider("a", "p").event(),
            route("a", "r").host("x.test").rule(&[], "p").event(),
            consumer("a", "c").key(LONG_KEY).event(),
            quota("a", "q").event(),
            secret("a", "s", &[("k", "v")]),
            namespace("a", "uid", &[]),
            service("a", "vllm", true, &[("http", 80)]),
            slice(("a", "s"), "vllm", &[("http", 80)], &["10.0.0.1"]),
        ]
    };
    let mut index = index_of(events());
    assert_eq!(apply(&mut index, events()), Touched::default());
}

#[test]
fn a_new_status_alone_touches_nothing_and_is_kept() {
    let mut index = index_of([provider("a", "p").event()]);
    let mut with_status = provider("a", "p");
    let status = turnpike_crds::AIProviderStatus {
        observed_generation: Some(1),
        routes: Some(2),
        ..Default::default()
    };
    with_status.0.status = Some(status.clone());
    touches(&mut index, with_status.event(), &[]);
    let key = ObjectKey::new(Kind::AIProvider, "a", "p");
    let (_, kept) = index.find_status(&key).unwrap();
    assert_eq!(kept, Some(status.into()));
}

#[test]
fn the_deletion_of_what_is_not_there_touches_nothing() {
    for kind in Kind::ALL {
        touches(&mut index(), delete(kind, "a", "x"), &[]);
    }
}

#[test]
fn a_later_namespace_gets_no_part_of_a_host_until_the_owner_goes() {
    let index = &mut index();
    touches(
        index,
        route("old", "r").created(1).host("x.test").event(),
        &["domain/x.test", "AIRoute old/r"],
    );
    touches(
        index,
        route("new", "r").created(2).host("x.test").event(),
        &["AIRoute new/r"],
    );
    touches(
        index,
        delete(Kind::AIRoute, "old", "r"),
        &["domain/x.test", "AIRoute new/r"],
    );
}

#[test]
fn an_older_route_that_comes_later_takes_the_host_and_everyone_hears_of_it() {
    let mut index = index_of([route("b", "r").created(2).host("x.test").event()]);
    touches(
        &mut index,
        route("a", "r").created(1).host("x.test").event(),
        &["domain/x.test", "AIRoute a/r", "AIRoute b/r"],
    );
}

#[test]
fn a_route_of_another_class_is_as_if_it_were_not_there() {
    let route = |class: &str| route("a", "r").class(class).host("x.test").rule(&[], "p");
    let index = &mut index();
    touches(index, route("blue").event(), &[]);
    assert_eq!(index.hosts.owner("x.test"), None);
    assert_eq!(index.keys_with_status().count(), 0);
    touches(index, delete(Kind::AIRoute, "a", "r"), &[]);
    // Deleted and made anew while nobody watched.
    touches(
        index,
        route("turnpike").event(),
        &["domain/x.test", "AIRoute a/r"],
    );
    touches(index, route("blue").event(), &["domain/x.test"]);

    let mut blue = self::index().with_class("blue");
    touches(&mut blue, route("turnpike").event(), &[]);
    touches(
        &mut blue,
        route("blue").event(),
        &["domain/x.test", "AIRoute a/r"],
    );
}

#[test]
fn a_provider_touches_no_domain_and_its_routes_only_when_it_comes_or_goes() {
    let routes = [
        route("a", "uses").host("x.test").rule(&[], "p").event(),
        route("a", "other").host("y.test").rule(&[], "q").event(),
        route("b", "far").host("z.test").rule(&[], "p").event(),
    ];
    let index = &mut index_of(routes);
    touches(
        index,
        provider("a", "p").event(),
        &["provider/a/p", "AIProvider a/p", "AIRoute a/uses"],
    );
    touches(
        index,
        provider("a", "p").model("m", None).generation(2).event(),
        &["provider/a/p", "AIProvider a/p"],
    );
    touches(
        index,
        provider("a", "p")
            .state(ProviderState::Blocked)
            .generation(3)
            .event(),
        &["provider/a/p", "AIProvider a/p"],
    );
    touches(
        index,
        delete(Kind::AIProvider, "a", "p"),
        &["provider/a/p", "AIRoute a/uses"],
    );
}

#[test]
fn a_secret_touches_whoever_takes_keys_from_it() {
    let resources = [
        provider("a", "p").credential("main", "s", None).event(),
        provider("b", "p").credential("main", "s", None).event(),
        consumer("a", "c").secret_key("s", "k").event(),
    ];
    let index = &mut index_of(resources);
    let credential = credential("a", LONG_KEY);
    touches(
        index,
        secret("a", "s", &[("k", LONG_KEY)]),
        &[
            "provider/a/p",
            "AIProvider a/p",
            "Consumer a/c",
            &credential,
        ],
    );
    touches(
        index,
        delete(Kind::Secret, "a", "s"),
        &[
            "provider/a/p",
            "AIProvider a/p",
            "Consumer a/c",
            &credential,
        ],
    );
}

#[test]
fn a_secret_that_nobody_names_any_more_touches_nobody() {
    let mut index = index_of([
        provider("a", "p").credential("main", "s", None).event(),
        provider("a", "p")
            .credential("main", "t", None)
            .generation(2)
            .event(),
    ]);
    touches(&mut index, secret("a", "s", &[("k", "v")]), &[]);
}

#[test]
fn a_consumer_touches_the_keys_that_it_gains_and_loses() {
    let index = &mut index();
    let (one, two) = (credential("a", "one"), credential("a", "two"));
    touches(
        index,
        consumer("a", "c").key("one").event(),
        &["consumer/a/c", "Consumer a/c", &one],
    );
    touches(
        index,
        consumer("a", "c")
            .key("one")
            .key("two")
            .generation(2)
            .event(),
        &["consumer/a/c", "Consumer a/c", &two],
    );
    touches(
        index,
        consumer("a", "c")
            .key("one")
            .not_after(9)
            .key("two")
            .generation(3)
            .event(),
        &["consumer/a/c", "Consumer a/c", &one],
    );
    touches(
        index,
        delete(Kind::Consumer, "a", "c"),
        &["consumer/a/c", &one, &two],
    );
}

#[test]
fn a_key_that_two_hold_passes_on_when_the_older_goes() {
    let index = &mut index();
    let key = credential("a", "shared");
    apply(
        index,
        [consumer("a", "old").created(1).key("shared").event()],
    );
    touches(
        index,
        consumer("a", "new").created(2).key("shared").event(),
        &["consumer/a/new", "Consumer a/new"],
    );
    touches(
        index,
        delete(Kind::Consumer, "a", "old"),
        &["consumer/a/old", "Consumer a/new", &key],
    );
}

#[test]
fn the_same_key_in_two_namespaces_is_two_keys() {
    let mut index = index_of([consumer("a", "c").key("shared").event()]);
    touches(
        &mut index,
        consumer("b", "c").key("shared").event(),
        &["consumer/b/c", "Consumer b/c", &credential("b", "shared")],
    );
}

#[test]
fn a_consumer_that_stands_for_callers_without_a_key_touches_the_route_when_it_comes() {
    let mut index = index_of([route("a", "r").host("x.test").anonymous("guest").event()]);
    touches(
        &mut index,
        consumer("a", "guest").event(),
        &["consumer/a/guest", "Consumer a/guest", "AIRoute a/r"],
    );
}

#[test]
fn a_quota_touches_its_list_only_when_it_joins_or_leaves() {
    let index = &mut index();
    touches(
        index,
        quota("a", "q").event(),
        &["quota/a/q", "tenant/a", "TokenQuota a/q"],
    );
    touches(
        index,
        quota("a", "q").tokens(5).generation(2).event(),
        &["quota/a/q", "TokenQuota a/q"],
    );
    touches(
        index,
        quota("a", "q").models(&["["]).generation(3).event(),
        &["quota/a/q", "tenant/a", "TokenQuota a/q"],
    );
    touches(index, delete(Kind::TokenQuota, "a", "q"), &["quota/a/q"]);
}

#[test]
fn a_quota_over_namespaces_touches_the_fleet_and_no_domain() {
    let index = &mut index();
    touches(
        index,
        quota(PLATFORM, "q").namespaces("plan", "gold").event(),
        &[
            "quota/turnpike-system/q",
            "fleet",
            "TokenQuota turnpike-system/q",
        ],
    );
    touches(
        index,
        quota(PLATFORM, "q")
            .namespaces("plan", "free")
            .generation(2)
            .event(),
        &[
            "quota/turnpike-system/q",
            "fleet",
            "TokenQuota turnpike-system/q",
        ],
    );
    touches(
        index,
        quota(PLATFORM, "q").generation(3).event(),
        &[
            "quota/turnpike-system/q",
            "fleet",
            "tenant/turnpike-system",
            "TokenQuota turnpike-system/q",
        ],
    );
    touches(
        index,
        quota("a", "q").namespaces("plan", "gold").event(),
        &["quota/a/q", "TokenQuota a/q"],
    );
}

#[test]
fn a_namespace_touches_its_tenant() {
    let index = &mut index();
    touches(index, namespace("a", "1", &[]), &["tenant/a"]);
    touches(index, namespace("a", "2", &[]), &["tenant/a"]);
    touches(index, delete(Kind::Namespace, "", "a"), &["tenant/a"]);
}

#[test]
fn an_object_made_anew_is_another_even_if_it_says_the_same() {
    let made = |uid: &str| {
        let mut provider = provider("a", "p");
        provider.0.metadata.uid = Some(uid.into());
        provider.event()
    };
    let mut index = index_of([made("1")]);
    touches(&mut index, made("2"), &["provider/a/p", "AIProvider a/p"]);
}

#[test]
fn the_index_is_synced_once_every_kind_is() {
    let mut index = index();
    for kind in Kind::ALL {
        assert!(!index.is_synced());
        index.apply(Event::Synced(kind));
    }
    assert!(index.is_synced());
}

#[test]
fn a_template_touches_its_rules_and_no_domain_that_takes_them() {
    let plan = |backend: &str| route(PLATFORM, "plan").rule(&[], backend);
    let grant = Some(("plan", "gold"));
    let index = &mut index_of([
        namespace("t", "1", &[("plan", "gold")]),
        namespace("u", "2", &[]),
        plan("p").grant(grant).event(),
        route("t", "main")
            .host("x.test")
            .rules_from(PLATFORM, "plan")
            .event(),
        route("u", "main")
            .host("y.test")
            .rules_from(PLATFORM, "plan")
            .event(),
    ]);
    let own = ["rules/turnpike-system/plan", "AIRoute turnpike-system/plan"];
    touches(index, plan("q").grant(grant).generation(2).event(), &own);
    let withdrawn = [&own[..], &["domain/x.test", "AIRoute t/main"]].concat();
    touches(index, plan("q").generation(3).event(), &withdrawn);
    touches(
        index,
        plan("q")
            .grant(Some(("plan", "free")))
            .generation(4)
            .event(),
        &own,
    );
    touches(
        index,
        namespace("u", "2", &[("plan", "free")]),
        &["tenant/u", "domain/y.test", "AIRoute u/main"],
    );
}

#[test]
fn a_grant_touches_the_domains_whose_namespace_it_admits_or_no_longer() {
    let index = &mut index_of([
        namespace("t", "1", &[("plan", "gold")]),
        provider("o", "q").event(),
        route("t", "r").host("x.test").rule(&[], "o/q").event(),
        route("o", "r").host("y.test").rule(&[], "q").event(),
    ]);
    let own = ["provider/o/q", "AIProvider o/q"];
    let free = provider("o", "q").grant(Some(("plan", "free")), &[]);
    touches(index, free.generation(2).event(), &own);
    let admitted = [&own[..], &["domain/x.test", "AIRoute t/r"]].concat();
    let gold = || provider("o", "q").grant(Some(("plan", "gold")), &[]);
    touches(index, gold().generation(3).event(), &admitted);
    touches(
        index,
        gold().generation(4).url("http://q.test").event(),
        &own,
    );
    let gone = [
        "provider/o/q",
        "AIRoute o/r",
        "domain/x.test",
        "AIRoute t/r",
    ];
    touches(index, delete(Kind::AIProvider, "o", "q"), &gone);
}
