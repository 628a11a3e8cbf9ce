//! Providers of a Service: what they compile to, and what is said where the Service is none.

use turnpike_snapshot::endpoints::Endpoints;
use turnpike_snapshot::name::ServicePort;
use turnpike_snapshot::provider::Service;

use super::*;

fn port(number: u16) -> ServicePort {
    ServicePort {
        service: name("a", "vllm"),
        port: number,
    }
}

fn compiled(index: &Index) -> Option<Snapshot> {
    snapshot(index, &Name::Provider(name("a", "p")))
}

fn issues_of(index: &Index) -> Vec<String> {
    told(index, Kind::AIProvider, "a", "p")
}

#[test]
fn a_provider_of_a_service_refers_to_the_endpoints_of_its_port_by_number() {
    for wanted in ["http", "80"] {
        let index = index_of([
            provider("a", "p").service("vllm", wanted).event(),
            service("a", "vllm", true, &[("http", 80)]),
        ]);
        let Some(Snapshot::Provider(Provider::Upstream(upstream))) = compiled(&index) else {
            panic!("{:?}", compiled(&index));
        };
        let expected = Box::new(Service {
            port: port(80),
            path: None,
        });
        assert_eq!((upstream.url, upstream.service), (None, Some(expected)));
        // That nobody is ready is no mistake.
        assert_eq!(issues_of(&index), [""; 0]);
        let endpoints = snapshot(&index, &Name::Endpoints(port(80)));
        assert_eq!(endpoints, Some(Snapshot::Endpoints(Endpoints::default())));
    }
}

#[test]
fn a_service_that_is_none_makes_the_provider_faulty_and_says_what_to_do() {
    let of_provider = |wanted| provider("a", "p").service("vllm", wanted).event();
    let cases = [
        (
            vec![of_provider("http")],
            "ServiceNotFound spec.serviceRef.name: Service a/vllm does not exist; create it or \
             correct the name",
        ),
        (
            vec![
                of_provider("http"),
                service("b", "vllm", true, &[("http", 80)]),
                service("a", "vllm", false, &[("http", 80)]),
            ],
            "ServiceWithoutSelector spec.serviceRef.name: Service a/vllm has no selector, and only \
             pods that its selector finds are asked; give it one, or set url",
        ),
        (
            vec![
                of_provider("http"),
                service("a", "vllm", true, &[("web", 80), ("", 81)]),
            ],
            "ServicePortNotFound spec.serviceRef.port: Service a/vllm has no TCP port http; it has \
             80 (web), 81",
        ),
        (
            vec![of_provider("8000"), service("a", "vllm", true, &[])],
            "ServicePortNotFound spec.serviceRef.port: Service a/vllm has no TCP port 8000; it has \
             none",
        ),
    ];
    for (events, expected) in cases {
        let index = index_of(events);
        assert_eq!(issues_of(&index), [expected]);
        let Some(Snapshot::Provider(Provider::Faulty { reason, .. })) = compiled(&index) else {
            panic!("{expected}: {:?}", compiled(&index));
        };
        let (_, words) = expected.split_once(' ').unwrap();
        assert_eq!(reason, format!("AIProvider a/p: {words}"));
    }
}

#[test]
fn files_know_no_services() {
    let mut index = index().of_files();
    index.apply(provider("a", "p").service("vllm", "http").event());
    assert_eq!(
        issues_of(&index),
        ["NeedsCluster spec.serviceRef: serviceRef needs a cluster; set url"]
    );
}

#[test]
fn a_port_says_that_its_pods_speak_http2_and_may_change_its_mind() {
    let mut index = index_of([
        provider("a", "p").service("vllm", "http").event(),
        slice(("a", "vllm-1"), "vllm", &[("http", 8000)], &["10.0.0.1"]),
        http2_service("a", "vllm", ("http", 80)),
    ]);
    let endpoints = |index: &Index| match snapshot(index, &Name::Endpoints(port(80))) {
        Some(Snapshot::Endpoints(endpoints)) => (endpoints.addresses.len(), endpoints.is_http2),
        other => panic!("{other:?}"),
    };
    assert_eq!(endpoints(&index), (1, true));
    let touched = index.apply(service("a", "vllm", true, &[("http", 80)]));
    assert!(touched.names.contains(&Name::Endpoints(port(80))));
    assert_eq!(endpoints(&index), (1, false));
}
