//! Real sockets on addresses of this machine, under names whose addresses a script says.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;

use super::super::dns::{Answer, Source};
use super::*;

/// Gives the same addresses for every name, in turn.
struct Fixed(Mutex<Vec<Vec<IpAddr>>>);

impl Source for Fixed {
    fn ask(&self, _: &str) -> BoxFuture<'static, Result<Answer, NameError>> {
        let addresses = self.0.lock().remove(0);
        let valid_for = Duration::from_secs(600);
        async move {
            Ok(Answer {
                addresses,
                valid_for,
            })
        }
        .boxed()
    }
}

/// One answer a look-up.
fn names(answers: &[&[&str]]) -> Names {
    let parse = |answer: &&[&str]| answer.iter().map(|it| it.parse().unwrap()).collect();
    Names::of(Fixed(Mutex::new(answers.iter().map(parse).collect())))
}

fn dialer(answers: &[&[&str]]) -> Dialer {
    Dialer::new(names(answers), Addresses::Any)
}

/// A port that is free on several addresses, bound on one of them.
async fn listen(address: &str) -> TcpListener {
    TcpListener::bind((address, 0)).await.unwrap()
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

/// Something that answers nobody: its queue is full. Held open by what comes along.
async fn black_hole(address: &str, port: u16) -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    let address = SocketAddr::new(address.parse().unwrap(), port);
    socket.bind(address).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut waiting = Vec::new();
    let moment = Duration::from_millis(100);
    while let Ok(connected) = timeout(moment, TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    (listener, waiting)
}

fn peer(stream: &TcpStream) -> String {
    stream.peer_addr().unwrap().ip().to_string()
}

#[tokio::test]
async fn an_address_that_refuses_is_passed_over_and_tried_last_for_a_while() {
    let good = listen("127.0.0.1").await;
    let dialer = dialer(&[&["127.0.0.2", "127.0.0.1"]]);
    let addresses = ["127.0.0.2", "127.0.0.1"];
    let sockets = addresses.map(|it| SocketAddr::new(it.parse().unwrap(), port(&good)));
    assert_eq!(dialer.in_order(&sockets), sockets);
    for _ in 0..3 {
        let stream = dialer.dial("a.test", port(&good)).await.unwrap();
        assert_eq!(peer(&stream), "127.0.0.1");
    }
    assert_eq!(dialer.in_order(&sockets), [sockets[1], sockets[0]]);
}

#[tokio::test]
async fn an_address_that_says_nothing_is_overtaken() {
    let good = listen("127.0.0.1").await;
    let _silent = black_hole("127.0.0.3", port(&good)).await;
    let dialer = dialer(&[&["127.0.0.3", "127.0.0.2", "127.0.0.1"]]);
    let stream = dialer.dial("a.test", port(&good)).await.unwrap();
    assert_eq!(peer(&stream), "127.0.0.1");
    assert_eq!(
        dialer.0.resting.lock().len(),
        2,
        "the silent one and the refusing one"
    );
}

#[tokio::test]
async fn an_address_that_nobody_waited_for_long_enough_is_tried_last_too() {
    let good = listen("127.0.0.1").await;
    let _silent = black_hole("127.0.0.3", port(&good)).await;
    let dialer = dialer(&[&["127.0.0.3"]]);
    let moment = Duration::from_millis(50);
    assert!(
        timeout(moment, dialer.dial("a.test", port(&good)))
            .await
            .is_err()
    );
    assert_eq!(dialer.0.resting.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_rests_is_tried_as_the_others_are_after_a_while() {
    let dialer = dialer(&[]);
    let sockets = ["127.0.0.2:1", "127.0.0.1:1"].map(|it| it.parse().unwrap());
    dialer.rest(sockets[0]);
    assert_eq!(dialer.in_order(&sockets), [sockets[1], sockets[0]]);
    tokio::time::advance(REST).await;
    assert_eq!(dialer.in_order(&sockets), sockets);
}

#[tokio::test]
async fn where_nobody_answers_the_first_reason_is_told() {
    let listener = listen("127.0.0.1").await;
    let free = port(&listener);
    drop(listener);
    let dialer = dialer(&[&["127.0.0.1", "127.0.0.2"]]);
    let Err(DialError::Network(fault)) = dialer.dial("a.test", free).await else {
        panic!("nobody listens");
    };
    assert_eq!(fault.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn the_families_are_tried_by_turns_ipv6_first() {
    let parse =
        |list: &[&str]| -> Vec<SocketAddr> { list.iter().map(|it| it.parse().unwrap()).collect() };
    let mixed = parse(&["1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1", "[::1]:1", "[::2]:1"]);
    let expected = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "1.1.1.3:1"];
    assert_eq!(by_turns(mixed), parse(&expected));
}

/// A name whose owner gives another answer each time.
#[tokio::test]
async fn only_addresses_that_providers_may_have_are_connected_to() {
    let good = listen("127.0.0.1").await;
    let open: Arc<[ipnet::IpNet]> = Arc::new(["127.0.0.1/32".parse().unwrap()]);
    let answers: [&[&str]; 3] = [
        &["10.0.0.1", "127.0.0.1"],
        &["127.0.0.2"],
        &["169.254.169.254"],
    ];
    let dialer = Dialer::new(names(&answers), Addresses::PublicAnd(open));
    let stream = dialer.dial("first.test", port(&good)).await.unwrap();
    assert_eq!(peer(&stream), "127.0.0.1");
    for host in [
        "second.test",
        "third.test",
        "10.0.0.1",
        "[::1]",
        "127.0.0.2",
    ] {
        let dialed = dialer.dial(host, port(&good)).await;
        assert!(matches!(dialed, Err(DialError::Forbidden)), "{host}");
    }
    for (host, is_fine) in [
        ("10.0.0.1", false),
        ("[::1]", false),
        ("127.0.0.1", true),
        ("x.test", true),
    ] {
        assert_eq!(dialer.check_literal(host).is_ok(), is_fine, "{host}");
    }
}
