//! Lists in pages, from a server that fails in the middle of them: over kube's own
//! client and watcher. Time is paused.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Bytes;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::source::kube::{Scope, list_once, spawn};

type Answer = BoxBody<Bytes, Infallible>;

const PAGES: usize = 7;

/// Serves AIRoutes `r0` to `r6` of namespace `a`, one a page, and nothing of other kinds.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Routes that are gone by now.
    gone: Vec<usize>,
    /// For the lists of routes to come: the page that fails, if one does.
    failing: VecDeque<Option<usize>>,
    /// Watches of routes to come that are answered 410.
    expiring: usize,
    lists: usize,
    /// Paths of lists, with the field that was selected by, if one was.
    asked: BTreeSet<String>,
    /// The end of the path of a kind that may not be listed.
    forbidden: Option<&'static str>,
}

impl Server {
    fn answer(&self, request: &Request<Body>) -> Response<Answer> {
        let query = request.uri().query().unwrap_or_default();
        let is_routes = request.uri().path().ends_with("/airoutes");
        let mut state = self.0.lock();
        let mut fields = query.split('&').filter(|pair| pair.starts_with("fieldSel"));
        let field = fields.next().unwrap_or_default();
        let asked = format!("{} {field}", request.uri().path());
        state.asked.insert(asked.trim_end().to_owned());
        let mut forbidden = state.forbidden.iter();
        if forbidden.any(|end| request.uri().path().ends_with(end)) {
            return json_of(403, &status(403));
        }
        if query.contains("watch=true") {
            let expires = is_routes && state.expiring > 0;
            state.expiring -= usize::from(expires);
            return match expires {
                true => json_of(200, &json!({"type": "ERROR", "object": status(410)})),
                // Quiet for ever: a body that never ends.
                false => Response::new(BodyExt::boxed(StreamBody::new(futures::stream::pending()))),
            };
        }
        if !is_routes {
            return json_of(200, &list(&[], None));
        }
        let page = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("continue=p"))
            .map_or(0, |page| page.parse().unwrap());
        if page == 0 {
            state.lists += 1;
        }
        if state.failing.front() == Some(&Some(page)) {
            state.failing.pop_front();
            return json_of(500, &status(500));
        }
        if page + 1 == PAGES {
            state.failing.pop_front();
        }
        let items: Vec<Value> = match state.gone.contains(&page) {
            true => Vec::new(),
            false => vec![object(page)],
        };
        json_of(200, &list(&items, (page + 1 < PAGES).then_some(page + 1)))
    }
}

impl tower_service::Service<Request<Body>> for Server {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

fn object(number: usize) -> Value {
    json!({
        "metadata": {"namespace": "a", "name": format!("r{number}"), "resourceVersion": "1"},
        "spec": {"hostnames": ["a.test"], "rules": []},
    })
}

fn list(items: &[Value], next: Option<usize>) -> Value {
    let next = next.map(|page| format!("p{page}"));
    json!({
        "kind": "List", "apiVersion": "v1",
        "metadata": {"resourceVersion": "1", "continue": next},
        "items": items,
    })
}

fn status(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": ""})
}

fn json_of(code: u16, value: &Value) -> Response<Answer> {
    let body = format!("{value}\n");
    let response = Response::builder().status(code);
    response.body(Full::from(body).boxed()).unwrap()
}

/// What is told of routes until `end` says that it is enough.
async fn told_until(
    heard: &mut mpsc::Receiver<Event>,
    end: impl Fn(&Event) -> bool,
) -> (Vec<String>, Vec<String>) {
    let (mut applied, mut deleted) = (Vec::new(), Vec::new());
    loop {
        let event = heard.recv().await.unwrap();
        let is_end = end(&event);
        match event {
            Event::Apply(Object::Route(route)) => applied.push(route.metadata.name.unwrap()),
            Event::Delete(key) => deleted.push(key.name.name),
            _ => {}
        }
        if is_end {
            return (applied, deleted);
        }
    }
}

fn is_listed(event: &Event) -> bool {
    matches!(event, Event::Synced(Kind::AIRoute))
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_at_page_3_of_7_is_begun_anew_and_removes_nothing() {
    let server = Server::default();
    {
        let mut state = server.0.lock();
        // The first list breaks off, the second is whole; then the watch expires, two
        // lists break off at other pages, and the last is whole.
        state.failing = [Some(2), None, Some(2), Some(5), None].into();
        state.expiring = 1;
    }
    let (events, mut heard) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let client = Client::new(server.clone(), "default");
    let _tasks = spawn(&client, &Scope::All, &events, &stop);

    let (applied, deleted) = told_until(&mut heard, is_listed).await;
    assert_eq!(applied.len(), 2 + PAGES, "{applied:?}");
    assert!(deleted.is_empty(), "{deleted:?}");

    server.0.lock().gone = vec![4];
    let (applied, deleted) = told_until(&mut heard, is_listed).await;
    // r4 is gone: 2 pages, then 5 without it, then all 7 without it.
    assert_eq!(applied.len(), 2 + 4 + PAGES - 1, "{applied:?}");
    assert_eq!(deleted, ["r4"], "only the whole list says what is gone");
    assert_eq!(server.0.lock().lists, 5);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_listed_once_with_or_without_what_only_some_may_list() {
    for (forbidden, lacking) in [
        (None, None),
        (Some("/secrets"), Some(Kind::Secret)),
        (Some("/endpointslices"), Some(Kind::EndpointSlice)),
    ] {
        let server = Server::default();
        server.0.lock().forbidden = forbidden;
        let client = Client::new(server, "default");
        let listed = list_once(&client).await.unwrap();
        assert_eq!(listed.lacking, Vec::from_iter(lacking));
        let is_route = |event: &&Event| matches!(event, Event::Apply(Object::Route(_)));
        assert_eq!(listed.events.iter().filter(is_route).count(), PAGES);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_not_be_listed_is_named() {
    let server = Server::default();
    server.0.lock().forbidden = Some("/consumers");
    let fault = list_once(&Client::new(server, "default")).await.err();
    let words = fault.unwrap().to_string();
    assert!(words.contains("Consumer"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_scope_asks_for_nothing_outside_its_namespaces() {
    let server = Server::default();
    let (events, mut heard) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let scope = Scope::Namespaces(["a", "b"].map(str::to_owned).into());
    let client = Client::new(server.clone(), "default");
    let _tasks = spawn(&client, &scope, &events, &stop);
    let mut missing: BTreeSet<Kind> = Kind::ALL.into();
    while !missing.is_empty() {
        if let Event::Synced(kind) = heard.recv().await.unwrap() {
            missing.remove(&kind);
        }
    }
    let ours = ["aiproviders", "airoutes", "consumers", "tokenquotas"];
    let expected: BTreeSet<String> = ["a", "b"]
        .into_iter()
        .flat_map(|namespace| {
            let place = format!("/apis/turnpike.dev/v1alpha1/namespaces/{namespace}");
            let of_ours = ours.map(|kind| format!("{place}/{kind}"));
            let core = ["secrets", "configmaps", "services"]
                .map(|kind| format!("/api/v1/namespaces/{namespace}/{kind}"));
            let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
            let itself = format!("/api/v1/namespaces fieldSelector=metadata.name%3D{namespace}");
            of_ours.into_iter().chain(core).chain([slices, itself])
        })
        .collect();
    assert_eq!(server.0.lock().asked, expected);
}
