//! A whole data plane: from its ports to its end.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use turnpike_dataplane::listen::{Drain, Terms};
use turnpike_dataplane::store::Limits;
use turnpike_dataplane::upstream::Addresses;
use turnpike_dataplane::{Config, DataPlane};
use turnpike_snapshot::Snapshot;
use turnpike_snapshot::proto::client_message::Message as Up;

use crate::store_controller::{Controller, Say};
use crate::store_snapshots::{credential, credential_name, domain, fleet_key, host, whole};

const API_KEY: &str = "sk-turnpike-alice-0123456789";

struct Running {
    callers: SocketAddr,
    admin: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

async fn run(controller: &Controller) -> Running {
    run_with(controller, Duration::ZERO).await
}

async fn run_with(controller: &Controller, delay: Duration) -> Running {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config {
        listen: any_port,
        listen_tls: None,
        terms: Terms::default(),
        admin: any_port,
        redis: None,
        load_timeout: Duration::from_secs(30),
        limits: Limits::default(),
        memory_budget: None,
        state_dir: None,
        provider_addresses: Addresses::Any,
        drain: Drain {
            delay,
            limit: Duration::from_secs(30),
        },
        name: "test".into(),
    };
    let data_plane = DataPlane::bind(config).await.unwrap();
    let shutdown = CancellationToken::new();
    Running {
        callers: data_plane.listen_address(),
        admin: data_plane.admin_address(),
        task: tokio::spawn(data_plane.run(controller.controllers(), shutdown.clone())),
        shutdown,
    }
}

/// Says a request and reads all that comes until the other side closes.
async fn ask(address: SocketAddr, request: String) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    ask(address, request).await
}

fn chat(host: &str) -> String {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {API_KEY}\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn a_data_plane_is_ready_serves_is_measured_and_drains() {
    let mut controller = Controller::start();
    let running = run(&controller).await;
    assert!(
        get(running.admin, "/livez")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let unready = get(running.admin, "/readyz").await;
    assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("no controller"));

    let key = fleet_key("k1");
    let mut stream = controller.greet(std::slice::from_ref(&key)).await;
    while !get(running.admin, "/readyz")
        .await
        .starts_with("HTTP/1.1 200")
    {}

    let callers = running.callers;
    let cold = tokio::spawn(async move { ask(callers, chat("A.test:8080")).await });
    assert_eq!(stream.asked().await, ["domain/a.test"]);
    stream.put(whole("a.test", "main")).await;
    stream.asked().await;
    stream.put(credential(&key, API_KEY)).await;
    let answer = cold.await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("hello"),
        "{answer}"
    );

    let unknown = tokio::spawn(async move { ask(callers, chat("b.test")).await });
    stream.asked().await;
    stream.put(vec![Say::Absent(host("b.test"))]).await;
    let answer = unknown.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");

    let metrics = get(running.admin, "/metrics").await;
    for line in [
        "turnpike_snapshot_stream_connected 1",
        "turnpike_store_names{state=\"held\",kind=\"domain\"} 1",
        "turnpike_store_names{state=\"missing\",kind=\"any\"} 1",
        "turnpike_requests_total{operation=\"chat\",status=\"2xx\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    let report = get(running.admin, "/debug/store?prefix=domain%2F").await;
    let (_, body) = report.split_once("\r\n\r\n").unwrap();
    let report: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&report["dataPlane"], &report["link"]["state"]),
        (&"test".into(), &"Up".into())
    );
    assert_eq!(report["fleetKeys"], serde_json::json!(["k1"]));
    let lines = report["names"].as_array().unwrap();
    let lines: Vec<_> = lines
        .iter()
        .map(|line| (&line["name"], &line["state"]))
        .collect();
    let expected = [("domain/a.test", "Held"), ("domain/b.test", "Absent")];
    let expected = expected.map(|(name, state)| (name.into(), state.into()));
    assert!(
        lines
            .into_iter()
            .eq(expected.iter().map(|(name, state)| (name, state)))
    );
    assert_eq!(
        report["dependencies"],
        serde_json::json!([]),
        "filtered too"
    );
    let all = get(running.admin, "/debug/store").await;
    assert!(all.contains("provider/tenant/echo") && all.contains("credential/tenant/key/"));
    let secret = std::str::from_utf8(key.secret()).unwrap();
    assert!(!all.contains(API_KEY) && !all.contains(secret));

    running.shutdown.cancel();
    running.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(running.callers).await.is_err());
    assert!(TcpStream::connect(running.admin).await.is_err());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let mut controller = Controller::start();
    let running = run(&controller).await;
    let _stream = controller.greet(&[]).await;
    let idle = TcpStream::connect(running.callers).await.unwrap();
    running.shutdown.cancel();
    running.task.await.unwrap().unwrap();
    drop(idle);
}

#[tokio::test]
async fn an_open_request_is_finished_after_the_door_has_closed() {
    let mut controller = Controller::start();
    let running = run(&controller).await;
    let key = fleet_key("k1");
    let mut stream = controller.greet(std::slice::from_ref(&key)).await;
    let callers = running.callers;
    let over_http1 = tokio::spawn(async move { ask(callers, chat("a.test")).await });
    assert_eq!(stream.asked().await, ["domain/a.test"]);
    let over_http2 = tokio::spawn(ask_http2(callers, "http://b.test/v1/models"));
    assert_eq!(stream.asked().await, ["domain/b.test"]);

    running.shutdown.cancel();
    while TcpStream::connect(callers).await.is_ok() {}
    let unready = get(running.admin, "/readyz").await;
    assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("draining"));

    stream.put(whole("a.test", "main")).await;
    stream.asked().await;
    stream.put(credential(&key, API_KEY)).await;
    assert!(over_http1.await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(!running.task.is_finished());
    stream.put(whole("b.test", "main")).await;
    assert_eq!(over_http2.await.unwrap(), 401);
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_are_taken_through_the_delay_and_told_to_close() {
    let mut controller = Controller::start();
    let running = run_with(&controller, Duration::from_secs(3600)).await;
    let mut stream = controller.greet(&[]).await;
    let mut open = TcpStream::connect(running.callers).await.unwrap();
    running.shutdown.cancel();
    let unready = get(running.admin, "/readyz").await;
    assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("draining"));

    let request = "GET /nowhere HTTP/1.1\r\nhost: a.test\r\n\r\n";
    open.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(stream.asked().await, ["domain/a.test"]);
    stream.put(vec![Say::Absent(host("a.test"))]).await;
    let mut told = String::new();
    open.read_to_string(&mut told).await.unwrap();
    for answer in [told, ask(running.callers, request.into()).await] {
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert!(!running.task.is_finished());
    running.task.abort();
}

#[tokio::test]
async fn the_door_closes_after_the_delay() {
    let mut controller = Controller::start();
    let running = run_with(&controller, Duration::from_millis(100)).await;
    let _stream = controller.greet(&[]).await;
    running.shutdown.cancel();
    running.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(running.callers).await.is_err());
}

/// Asks over cleartext HTTP/2; gives the status.
async fn ask_http2(address: SocketAddr, uri: &'static str) -> http::StatusCode {
    let stream = TcpStream::connect(address).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut client, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
    let status = client.send_request(request).await.unwrap().status();
    drop(client);
    connection.await.unwrap().unwrap();
    status
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let config = Config {
        listen: address,
        listen_tls: None,
        terms: Terms::default(),
        admin: ([127, 0, 0, 1], 0).into(),
        redis: None,
        load_timeout: Duration::from_secs(1),
        limits: Limits::default(),
        memory_budget: None,
        state_dir: None,
        provider_addresses: Addresses::Any,
        drain: Drain {
            delay: Duration::ZERO,
            limit: Duration::from_secs(1),
        },
        name: "test".into(),
    };
    let error = DataPlane::bind(config).await.err().unwrap();
    assert!(
        error.to_string().contains(&address.to_string()),
        "{error:#}"
    );
}

/// Answers as a controller does that knows `known….test`, late.
async fn answer(mut stream: crate::store_controller::Stream, delay: Duration) {
    loop {
        if let Up::Subscribe(subscribe) = stream.next().await {
            tokio::time::sleep(delay).await;
            let unit =
                subscribe
                    .names
                    .iter()
                    .flat_map(|held| match held.name.strip_prefix("domain/") {
                        Some(name) if name.starts_with("known") => whole(name, "main"),
                        _ => vec![Say::Absent(held.name.parse().unwrap())],
                    });
            stream.say(unit.collect()).await;
        }
    }
}

/// Asks from another address of this machine.
async fn ask_from(address: [u8; 4], callers: SocketAddr, request: String) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    let mut stream = socket.connect(callers).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_flood_of_unknown_hosts_is_told_so_and_others_are_served() {
    let mut controller = Controller::start();
    let running = run(&controller).await;
    let stream = controller.greet(&[fleet_key("k1")]).await;
    tokio::spawn(answer(stream, Duration::ZERO));
    let from = |address, host: &str| ask_from(address, running.callers, chat(host));
    // 401: the domain was found, the key is nobody's.
    let known = from([127, 0, 0, 1], "known.test").await;
    assert!(known.starts_with("HTTP/1.1 401"), "{known}");

    let mut refused = None;
    for number in 0..5_000 {
        let answer = from([127, 0, 0, 1], &format!("no{number}.test")).await;
        if !answer.starts_with("HTTP/1.1 404") {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("thousands of look-ups in vain were all made");
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("too_many_lookups") && refused.contains("retry-after: 1"));

    let loaded = from([127, 0, 0, 1], "known.test").await;
    assert!(loaded.starts_with("HTTP/1.1 401"), "{loaded}");
    let other = from([127, 0, 0, 2], "known-cold.test").await;
    assert!(other.starts_with("HTTP/1.1 401"), "{other}");
}

/// A chat whose text is of so many bytes, in chunks.
fn chunked(host: &str, key: &str, text: &str) -> Vec<u8> {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let mut wire = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    .into_bytes();
    for chunk in body.as_bytes().chunks(60_000) {
        wire.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        wire.extend(chunk);
        wire.extend(b"\r\n");
    }
    wire.extend(b"0\r\n\r\n");
    wire
}

/// Sends all of it, however slowly it is taken; gives what comes back.
async fn exchange(address: SocketAddr, wire: Vec<u8>) -> String {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    // A refusal may come before all is sent, and ends the connection.
    let sending = tokio::spawn(async move { write.write_all(&wire).await.map(|()| write) });
    let mut answer = Vec::new();
    let _ = read.read_to_end(&mut answer).await;
    sending.abort();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_large_body_waits_unharmed_for_a_cold_domain_and_its_policy() {
    let mut controller = Controller::start();
    let running = run(&controller).await;
    let key = fleet_key("k1");
    let mut stream = controller.greet(std::slice::from_ref(&key)).await;
    let callers = running.callers;
    let text: String = (0..1_200_000)
        .map(|number| format!("{number:08} "))
        .collect();
    assert!(text.len() > 10 << 20);
    let wire = chunked("a.test", API_KEY, text.trim_end());
    let sent = tokio::spawn(exchange(callers, wire));
    let stranger = tokio::spawn(exchange(
        callers,
        chunked("a.test", "wrong", text.trim_end()),
    ));
    assert_eq!(stream.asked().await, ["domain/a.test"]);
    tokio::time::sleep(Duration::from_secs(2)).await;

    let Snapshot::Domain(mut domain) = domain("main") else {
        unreachable!("it is a domain")
    };
    domain.routes[0].max_body_bytes = Some(32 << 20);
    let mut unit = whole("a.test", "main");
    unit.pop();
    unit.push(Say::Upsert(host("a.test"), Snapshot::Domain(domain)));
    stream.put(unit).await;
    let ours = credential_name(&key, API_KEY).to_string();
    let mut asked = stream.asked().await;
    if asked.len() == 1 {
        asked.extend(stream.asked().await);
    }
    for name in asked {
        if name == ours {
            stream.say(credential(&key, API_KEY)).await;
        } else {
            stream.say(vec![Say::Absent(name.parse().unwrap())]).await;
        }
    }
    let stranger = stranger.await.unwrap();
    assert!(stranger.starts_with("HTTP/1.1 401"), "{stranger}");
    let answer = sent.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{}", &answer[..200]);
    assert!(answer.contains(text.trim_end()), "the body was harmed");

    // And where there is no such domain, or nobody to ask.
    let sent = tokio::spawn(exchange(
        callers,
        chunked("b.test", API_KEY, text.trim_end()),
    ));
    assert_eq!(stream.asked_meanwhile().await, ["domain/b.test"]);
    stream.say(vec![Say::Absent(host("b.test"))]).await;
    assert!(sent.await.unwrap().starts_with("HTTP/1.1 404"));
}
