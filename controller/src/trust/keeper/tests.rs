//! The keeper against an API server that others write to as well.

use serde_json::{Value, json};

use super::*;
use crate::trust::moment::Life;
use crate::trust::rotation::{Authority, Certificate, GRACE, LIFETIME, Next};
use crate::trust::scripted::{Server, failure};

const SECRET: &str = "/api/v1/namespaces/platform/secrets/turnpike-snapshot-ca";
const BUNDLE: &str = "/api/v1/namespaces/platform/configmaps/turnpike-snapshot-ca";

async fn open(server: &Server) -> anyhow::Result<Keeper> {
    let names = vec!["turnpike-controller".to_owned()];
    Keeper::open(server.client(), "platform", "turnpike-snapshot-ca", names).await
}

fn bundle(server: &Server) -> String {
    let object = server.object(BUNDLE).unwrap();
    object["data"]["ca.crt"].as_str().unwrap().to_owned()
}

fn held(server: &Server) -> Held<Ca> {
    let object: Secret = serde_json::from_value(server.object(SECRET).unwrap()).unwrap();
    secret::read(&object.data.unwrap()).unwrap().unwrap()
}

/// Puts this into the Secret, as somebody would by hand.
fn edit(server: &Server, held: &Held<Ca>) {
    let mut secret = Secret::default();
    secret.metadata.name = Some("turnpike-snapshot-ca".into());
    secret::write(held, secret.data.get_or_insert_default());
    server.put(SECRET, serde_json::to_value(secret).unwrap());
}

/// With two thirds of its life over, and months left.
fn aged() -> Held<Ca> {
    let until = Moment::now().plus(LIFETIME / 4);
    let life = Life {
        from: until.minus(LIFETIME),
        until,
    };
    Held {
        signing: Ca::make_for(life).unwrap(),
        next: None,
        previous: None,
    }
}

#[tokio::test]
async fn the_first_replica_makes_a_ca_and_publishes_no_key() {
    let server = Server::default();
    let keeper = open(&server).await.unwrap();
    assert_eq!(bundle(&server), keeper.held.bundle());
    assert!(
        !server
            .object(BUNDLE)
            .unwrap()
            .to_string()
            .contains("PRIVATE")
    );
    let secret = server.object(SECRET).unwrap();
    assert_eq!(secret["type"], "turnpike.dev/snapshot-ca");

    // The next one finds all as it should be.
    server.asked();
    let other = open(&server).await.unwrap();
    assert_eq!(other.held.bundle(), keeper.held.bundle());
    let asked = server.asked();
    assert!(
        asked.iter().all(|asked| asked.starts_with("GET ")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_replica_that_comes_second_takes_the_ca_of_the_first() {
    let server = Server::default();
    let other = Server::default();
    let first = open(&other).await.unwrap();
    let mut object = other.object(SECRET);
    // The other's write comes between this one's read and its own write.
    server.hook(move |state, method, _| {
        if method == "POST"
            && let Some(object) = object.take()
        {
            state.put(SECRET.into(), object);
        }
        None
    });
    let second = open(&server).await.unwrap();
    assert_eq!(second.held.bundle(), first.held.bundle());
    assert_eq!(bundle(&server), first.held.bundle());
}

#[tokio::test]
async fn an_old_ca_gets_a_successor_that_is_published_first_and_signs_later() {
    let server = Server::default();
    let old = aged();
    edit(&server, &old);
    let mut keeper = open(&server).await.unwrap();
    let announced = held(&server);
    assert_eq!(announced.signing.certificate(), old.signing.certificate());
    let next = announced.next.clone().unwrap();
    assert!(next.published.is_some());
    assert!(bundle(&server).contains(next.authority.certificate().pem()));

    let expiry = keeper.identity.expiry();
    assert_eq!(expiry.ca, old.signing.certificate().life().until);
    let noted = Next {
        published: Some(Moment::now().minus(GRACE)),
        ..next.clone()
    };
    let edited = Held {
        next: Some(noted),
        ..announced
    };
    edit(&server, &edited);
    keeper.renew().await;
    let promoted = held(&server);
    let signing = promoted.signing.certificate();
    assert_eq!(signing, next.authority.certificate());
    assert_eq!(promoted.previous.as_ref(), Some(old.signing.certificate()));
    assert!(bundle(&server).contains(old.signing.certificate().pem()));
    assert_eq!(keeper.identity.expiry().ca, signing.life().until);
}

#[tokio::test]
async fn without_the_api_server_the_known_ca_stays() {
    let server = Server::default();
    let mut keeper = open(&server).await.unwrap();
    let known = keeper.held.bundle();
    server.hook(|_, _, _| Some(failure(503, "ServiceUnavailable")));
    keeper.renew().await;
    assert_eq!(keeper.held.bundle(), known);
}

#[tokio::test]
async fn a_deleted_secret_is_made_anew() {
    let server = Server::default();
    let mut keeper = open(&server).await.unwrap();
    let known = keeper.held.bundle();
    server.remove(SECRET);
    keeper.renew().await;
    assert_ne!(keeper.held.bundle(), known);
    assert_eq!(bundle(&server), keeper.held.bundle());
}

#[tokio::test]
async fn a_secret_that_is_none_of_ours_is_named_with_the_mend() {
    let server = Server::default();
    server.hook(|_, _, path| {
        let data = json!({"ca.crt": "Y2FuYXJ5", "ca.key": "Y2FuYXJ5"});
        let object: Value = json!({"metadata": {"name": "x"}, "data": data});
        (path == SECRET).then_some((200, object))
    });
    let error = format!("{:#}", open(&server).await.err().unwrap());
    let told = "Secret platform/turnpike-snapshot-ca; delete it to have a new CA made: ca.crt";
    assert!(error.starts_with(told), "{error}");
    assert!(!error.contains("canary"), "{error}");
}
