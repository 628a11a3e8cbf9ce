//! Certificates that come to their end while nothing else happens.

use super::*;

const DAY: i64 = 24 * 3600;

/// A route's certificate that ends so many days after the writer's beginning.
fn certificate(days: i64) -> Event {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["x.test".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let end = u64::try_from(DAWN + days * DAY).unwrap();
    parameters.not_after = epoch + Duration::from_secs(end);
    let chain = parameters.self_signed(&key).unwrap().pem();
    let values = [
        ("tls.crt", chain.as_str()),
        ("tls.key", &key.serialize_pem()),
    ];
    testing::secret("a", "own", &values)
}

impl Scene {
    /// Of the next status: `Ready`, then status, reason and time of what is said of certificates.
    async fn next_of_certificates(&mut self) -> (String, String, i64) {
        let (_, patch) = self.heard.recv().await.unwrap();
        let conditions = patch["status"]["conditions"].as_array().unwrap();
        let find = |type_: &str| {
            let mut found = conditions.iter();
            found.find(|condition| condition["type"] == type_).unwrap()
        };
        let text = |type_: &str, field: &str| find(type_)[field].as_str().unwrap().to_owned();
        let of = |type_: &str| format!("{} {}", text(type_, "status"), text(type_, "reason"));
        let since = text("CertificatesValid", "lastTransitionTime");
        let since: Timestamp = since.parse().unwrap();
        (
            of("Ready"),
            of("CertificatesValid"),
            since.as_second() - DAWN,
        )
    }
}

fn told(ready: &str, certificates: &str, since: i64) -> (String, String, i64) {
    (ready.to_owned(), certificates.to_owned(), since)
}

#[tokio::test(start_paused = true)]
async fn a_certificate_nears_its_end_and_meets_it_without_any_event() {
    let (mut scene, _seat) = Scene::new(&[], |hub| Some(hub.join("dp-1")));
    let route = testing::route("a", "r").host("x.test").rule(&[], "p");
    let provider = testing::provider("a", "p").generation(1).event();
    let route = route.certificate("own").event();
    scene.world.apply([provider, certificate(10), route]);
    scene.heard.recv().await.unwrap();
    let expected = told("True Ready", "True CertificatesValid", 0);
    assert_eq!(scene.next_of_certificates().await, expected);

    let soon = told("True Ready", "False CertificateExpiresSoon", 3 * DAY);
    assert_eq!(scene.next_of_certificates().await, soon);
    let event = scene.events.recv().await.unwrap();
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["reason"], "CertificateExpiresSoon");

    let over = told(
        "False CertificateExpired",
        "False CertificateExpired",
        3 * DAY,
    );
    assert_eq!(scene.next_of_certificates().await, over);
    assert_eq!(
        scene.events.recv().await.unwrap()["reason"],
        "CertificateExpired"
    );

    scene.world.apply([certificate(100)]);
    let expected = told("True Ready", "True CertificatesValid", 10 * DAY + 1);
    assert_eq!(scene.next_of_certificates().await, expected);
    assert_eq!(scene.events.recv().await.unwrap()["type"], "Normal");
}

#[tokio::test(start_paused = true)]
async fn a_route_that_shows_no_certificate_any_more_says_nothing_of_it() {
    let (mut scene, _seat) = Scene::new(&[], |hub| Some(hub.join("dp-1")));
    let route = || testing::route("a", "r").host("x.test").rule(&[], "p");
    let provider = testing::provider("a", "p").generation(1).event();
    scene.world.apply([
        provider,
        certificate(10),
        route().certificate("own").event(),
    ]);
    scene.heard.recv().await.unwrap();
    let (_, patch) = scene.heard.recv().await.unwrap();
    let mut bare = route();
    bare.0.status = serde_json::from_value(patch["status"].clone()).unwrap();
    scene.world.apply([bare.event()]);
    let (_, patch) = scene.heard.recv().await.unwrap();
    let conditions = patch["status"]["conditions"].as_array().unwrap();
    let mut types = conditions.iter().map(|condition| &condition["type"]);
    assert!(types.all(|type_| type_ != "CertificatesValid"), "{patch}");
}
