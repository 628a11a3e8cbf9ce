//! Rules of the fleet key, against an API server that answers as scripted.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, Response};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let key = random(moment(0));
    assert_eq!(key.id(), "19700101T000000Z");
    assert_eq!(parse(secret(&key).data.unwrap()).unwrap(), [key]);
}

#[test]
fn the_newest_key_comes_first() {
    let keys = [random(moment(0)), random(moment(1_800_000_000))];
    let data = keys
        .iter()
        .flat_map(|key| secret(key).data.unwrap())
        .collect();
    let ids: Vec<_> = parse(data).unwrap();
    assert_eq!(ids, [keys[1].clone(), keys[0].clone()]);
}

#[test]
fn a_secret_without_a_sound_key_is_refused() {
    assert!(parse(BTreeMap::new()).is_err());
    let short = [("1".to_owned(), ByteString(vec![0; 15]))].into();
    assert!(
        parse(short)
            .unwrap_err()
            .to_string()
            .contains("key 1 has fewer")
    );
}

/// Answers requests in turn; keeps what was asked.
#[derive(Clone)]
struct Server {
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            asked: Arc::default(),
        }
    }

    async fn fetch(&self) -> anyhow::Result<Vec<FleetKey>> {
        fetch(Client::new(self.clone(), "default"), "turnpike-system").await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

impl tower_service::Service<Request<Body>> for Server {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Poller<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asked = format!("{} {}", request.method(), request.uri().path());
        self.asked.lock().push(asked);
        let (status, body) = self.answers.lock().pop_front().unwrap();
        let response = Response::builder().status(status);
        ready(Ok(response.body(Full::from(body.to_string())).unwrap()))
    }
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code
    });
    (code, status)
}

fn found(key: &FleetKey) -> Value {
    serde_json::to_value(secret(key)).unwrap()
}

const ALL: &str = "/api/v1/namespaces/turnpike-system/secrets";
const ONE: &str = "/api/v1/namespaces/turnpike-system/secrets/turnpike-fleet-key";

#[tokio::test]
async fn an_existing_secret_is_read_and_nothing_written() {
    let key = random(moment(0));
    let server = Server::new([(200, found(&key))]);
    assert_eq!(server.fetch().await.unwrap(), [key]);
    assert_eq!(server.asked(), [format!("GET {ONE}")]);
}

#[tokio::test]
async fn a_missing_secret_is_created_once() {
    let key = random(moment(0));
    let server = Server::new([failure(404, "NotFound"), (201, found(&key))]);
    assert_eq!(server.fetch().await.unwrap(), [key]);
    assert_eq!(
        server.asked(),
        [format!("GET {ONE}"), format!("POST {ALL}")]
    );
}

#[tokio::test]
async fn the_replica_that_comes_second_takes_the_key_of_the_first() {
    let key = random(moment(0));
    let server = Server::new([
        failure(404, "NotFound"),
        failure(409, "AlreadyExists"),
        (200, found(&key)),
    ]);
    assert_eq!(server.fetch().await.unwrap(), [key]);
}

#[tokio::test]
async fn a_missing_namespace_is_named_with_the_mend() {
    let server = Server::new([failure(404, "NotFound"), failure(404, "NotFound")]);
    let error = server.fetch().await.unwrap_err().to_string();
    assert!(
        error.contains("namespace turnpike-system does not exist; create it"),
        "{error}"
    );
}
