//! An API server of a few lines, for tests: holds objects by path with versions, and
//! answers token reviews as told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

pub(super) const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

type Review = Box<dyn Fn(&Value) -> (u16, Value) + Send + Sync>;
/// Sees a request before it is answered; what it gives is answered instead.
type Hook = Box<dyn FnMut(&mut State, &Method, &str) -> Option<(u16, Value)> + Send>;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Server {
    state: Arc<Mutex<State>>,
    hook: Arc<Mutex<Option<Hook>>>,
}

#[derive(Default)]
pub(super) struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    review: Option<Review>,
    asked: Vec<String>,
    /// Reviews that wait until the test lets them go.
    gate: Option<Arc<tokio::sync::Semaphore>>,
}

impl Server {
    pub(super) fn client(&self) -> Client {
        Client::new(self.clone(), "default")
    }

    /// Answers token reviews by their spec.
    pub(super) fn review(&self, review: impl Fn(&Value) -> (u16, Value) + Send + Sync + 'static) {
        self.state.lock().review = Some(Box::new(review));
    }

    /// Lets each review wait for a permit of this.
    pub(super) fn hold(&self) -> Arc<tokio::sync::Semaphore> {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        self.state.lock().gate = Some(gate.clone());
        gate
    }

    /// Looks at each request before it is answered.
    pub(super) fn hook(
        &self,
        hook: impl FnMut(&mut State, &Method, &str) -> Option<(u16, Value)> + Send + 'static,
    ) {
        *self.hook.lock() = Some(Box::new(hook));
    }

    /// The object under a path.
    pub(super) fn object(&self, path: &str) -> Option<Value> {
        self.state.lock().objects.get(path).cloned()
    }

    /// Puts an object there, as somebody would by hand.
    pub(super) fn put(&self, path: &str, object: Value) {
        self.state.lock().put(path.to_owned(), object);
    }

    /// Deletes the object under a path.
    pub(super) fn remove(&self, path: &str) {
        self.state.lock().objects.remove(path);
    }

    /// Takes what was asked since the last time, as `METHOD path`.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().asked)
    }

    fn answer(&self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        let mut state = self.state.lock();
        state.asked.push(format!("{method} {path}"));
        if let Some(hook) = self.hook.lock().as_mut()
            && let Some(answer) = hook(&mut state, method, path)
        {
            return answer;
        }
        match *method {
            Method::POST if path == REVIEWS => match &state.review {
                Some(review) => review(&body["spec"]),
                None => failure(503, "ServiceUnavailable"),
            },
            Method::GET => match state.objects.get(path) {
                Some(object) => (200, object.clone()),
                None => failure(404, "NotFound"),
            },
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                let path = format!("{path}/{name}");
                match state.objects.contains_key(&path) {
                    true => failure(409, "AlreadyExists"),
                    false => state.put(path, body.clone()),
                }
            }
            _ => match state.objects.get(path) {
                None => failure(404, "NotFound"),
                Some(held) if version(held) != version(body) => failure(409, "Conflict"),
                Some(_) => state.put(path.to_owned(), body.clone()),
            },
        }
    }
}

impl State {
    pub(super) fn put(&mut self, path: String, mut object: Value) -> (u16, Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(path, object.clone());
        (200, object)
    }
}

fn version(object: &Value) -> &Value {
    &object["metadata"]["resourceVersion"]
}

pub(super) fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code
    });
    (code, status)
}

impl tower_service::Service<Request<Body>> for Server {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or_default();
            let path = head.uri.path().to_owned();
            let gate = server.state.lock().gate.clone();
            if let Some(gate) = gate.filter(|_| path == REVIEWS) {
                gate.acquire().await.unwrap().forget();
            }
            let (status, answer) = server.answer(&head.method, &path, &body);
            let response = Response::builder().status(status);
            Ok(response.body(Full::from(answer.to_string())).unwrap())
        })
    }
}
