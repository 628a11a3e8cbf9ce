//! Services and slices: who is behind a port, and what a change of it touches.

use turnpike_snapshot::name::ServicePort;

use super::*;

const HTTP: &[(&str, u16)] = &[("http", 8000)];

fn endpoints(index: &Index, port: u16) -> Option<Vec<String>> {
    let service = name("a", "vllm");
    let found = index.services.endpoints(&ServicePort { service, port })?;
    Some(found.iter().map(ToString::to_string).collect())
}

#[test]
fn endpoints_are_those_of_all_slices_under_the_port_of_the_same_name() {
    let index = index_of([
        service("a", "vllm", true, &[("http", 80), ("metrics", 9090)]),
        slice(("a", "vllm-1"), "vllm", HTTP, &["10.0.0.2", "10.0.0.1"]),
        slice(
            ("a", "vllm-2"),
            "vllm",
            &[("metrics", 9000), ("http", 8001)],
            &["10.0.0.3"],
        ),
        slice(("a", "vllm-six"), "vllm", HTTP, &["fd00::1"]),
        slice(("a", "vllm-empty"), "vllm", HTTP, &[]),
        slice(("a", "other-1"), "other", HTTP, &["10.9.9.9"]),
        slice(("b", "vllm-1"), "vllm", HTTP, &["10.8.8.8"]),
    ]);
    let of = |port| endpoints(&index, port).unwrap();
    assert_eq!(of(80), ["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8001"]);
    assert_eq!(of(9090), ["10.0.0.3:9000"]);
    assert_eq!(
        endpoints(&index, 8000),
        None,
        "a pod's number is no Service's"
    );
}

#[test]
fn a_service_of_the_sixth_version_alone_has_endpoints() {
    let index = index_of([
        service("a", "vllm", true, &[("", 80)]),
        slice(("a", "s"), "vllm", &[("", 8000)], &["fd00::2", "fd00::1"]),
    ]);
    let expected = ["[fd00::1]:8000", "[fd00::2]:8000"];
    assert_eq!(endpoints(&index, 80).unwrap(), expected);
}

#[test]
fn without_a_selector_slices_count_for_nothing() {
    let mut index = index_of([
        slice(("a", "s"), "vllm", HTTP, &["10.0.0.1"]),
        service("a", "vllm", false, &[("http", 80)]),
    ]);
    assert_eq!(endpoints(&index, 80), None);
    index.apply(service("a", "vllm", true, &[("http", 80)]));
    assert_eq!(endpoints(&index, 80).unwrap(), ["10.0.0.1:8000"]);
    index.apply(delete(Kind::Service, "a", "vllm"));
    assert_eq!(endpoints(&index, 80), None);
}

#[test]
fn a_slice_touches_endpoints_and_neither_provider_nor_domain() {
    let index = &mut index_of([
        route("a", "r").host("x.test").rule(&[], "p").event(),
        provider("a", "p").service("vllm", "http").event(),
        service("a", "vllm", true, &[("http", 80)]),
    ]);
    let at = |addresses| slice(("a", "s"), "vllm", HTTP, addresses);
    touches(index, at(&["10.0.0.1"]), &["endpoints/a/vllm/80"]);
    touches(index, at(&["10.0.0.1"]), &[]);
    touches(index, at(&[]), &["endpoints/a/vllm/80"]);
    touches(
        index,
        at(&["10.0.0.2", "10.0.0.1"]),
        &["endpoints/a/vllm/80"],
    );
    touches(index, at(&["10.0.0.1", "10.0.0.2"]), &[]);
    touches(
        index,
        delete(Kind::EndpointSlice, "a", "s"),
        &["endpoints/a/vllm/80"],
    );
    let of_nobody = slice(("a", "t"), "elsewhere", HTTP, &["10.0.0.1"]);
    touches(index, of_nobody, &[]);
}

#[test]
fn a_slice_that_changes_hands_touches_both_services() {
    for name in ["s", "old-x", "new-x"] {
        let index = &mut index_of([
            service("a", "old", true, &[("http", 80)]),
            service("a", "new", true, &[("http", 81)]),
            slice(("a", name), "old", HTTP, &["10.0.0.1"]),
        ]);
        touches(
            index,
            slice(("a", name), "new", HTTP, &["10.0.0.1"]),
            &["endpoints/a/old/80", "endpoints/a/new/81"],
        );
        assert_eq!(index.services.count_slices(), 1);
        let gone = delete(Kind::EndpointSlice, "a", name);
        touches(index, gone, &["endpoints/a/new/81"]);
        assert_eq!(index.services.count_slices(), 0);
    }
}

#[test]
fn a_service_touches_the_providers_that_name_it() {
    let index = &mut index_of([
        provider("a", "p").service("vllm", "http").event(),
        provider("a", "q").service("other", "http").event(),
        provider("b", "p").service("vllm", "http").event(),
    ]);
    let at = |ports| service("a", "vllm", true, ports);
    touches(
        index,
        at(&[("http", 80)]),
        &["endpoints/a/vllm/80", "provider/a/p", "AIProvider a/p"],
    );
    touches(index, at(&[("http", 80)]), &[]);
    touches(
        index,
        at(&[("web", 81)]),
        &[
            "endpoints/a/vllm/80",
            "endpoints/a/vllm/81",
            "provider/a/p",
            "AIProvider a/p",
        ],
    );
    touches(
        index,
        delete(Kind::Service, "a", "vllm"),
        &["endpoints/a/vllm/81", "provider/a/p", "AIProvider a/p"],
    );
    assert_eq!(index.services.count(), 0);
}
