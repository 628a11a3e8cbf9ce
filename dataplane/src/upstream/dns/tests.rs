//! Scripted answers under a clock of ours; a scripted server over real sockets.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use hickory_resolver::proto::op::{Message, MessageType};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::{advance, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// Answers in their order, the last one again and again; each waits for a permit.
#[derive(Clone)]
struct Script(Arc<Told>);

struct Told {
    answers: Mutex<VecDeque<Result<Answer, NameError>>>,
    asked: Mutex<usize>,
    permits: Semaphore,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Result<Answer, NameError>>) -> Self {
        Self(Arc::new(Told {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
        }))
    }

    fn asked(&self) -> usize {
        *self.0.asked.lock()
    }
}

impl Source for Script {
    fn ask(&self, _: &str) -> BoxFuture<'static, Result<Answer, NameError>> {
        *self.0.asked.lock() += 1;
        let told = self.0.clone();
        async move {
            told.permits.acquire().await.expect("permits").forget();
            let mut answers = told.answers.lock();
            match answers.len() {
                0 => Err(NameError::Silence),
                1 => answers[0].clone(),
                _ => answers.pop_front().expect("one is there"),
            }
        }
        .boxed()
    }
}

const HOST: &str = "a.test";

fn addresses(last: &[u8]) -> Vec<IpAddr> {
    last.iter().map(|last| [192, 0, 2, *last].into()).collect()
}

fn answer(last: &[u8], seconds: u64) -> Result<Answer, NameError> {
    Ok(Answer {
        addresses: addresses(last),
        valid_for: Duration::from_secs(seconds),
    })
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_again_once_its_time_is_over() {
    let script = Script::new([answer(&[1], 30), answer(&[2], 30)]);
    let names = Names::of(script.clone());
    for (wait, expected, asked) in [(0, 1, 1), (29, 1, 1), (2, 2, 2), (20, 2, 2)] {
        advance(Duration::from_secs(wait)).await;
        assert_eq!(names.find(HOST).await, Ok(addresses(&[expected])));
        assert_eq!(script.asked(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn times_of_nothing_and_of_ever_are_bounded() {
    for (said, kept) in [(0, 4), (1_000_000, 3_599)] {
        let script = Script::new([answer(&[1], said)]);
        let names = Names::of(script.clone());
        for (wait, asked) in [(0, 1), (kept, 1), (2, 2)] {
            advance(Duration::from_secs(wait)).await;
            assert!(names.find(HOST).await.is_ok());
            assert_eq!(script.asked(), asked, "{said} s, {wait} s later");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn connections_begin_with_each_address_in_its_turn() {
    let names = Names::of(Script::new([answer(&[1, 2, 3], 60)]));
    for expected in [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]] {
        assert_eq!(names.find(HOST).await, Ok(addresses(&expected)));
    }
}

#[tokio::test(start_paused = true)]
async fn all_who_ask_at_once_wait_for_one_look_up_that_outlives_the_first_of_them() {
    let script = Script::new([answer(&[1], 30)]);
    script.0.permits.forget_permits(Semaphore::MAX_PERMITS);
    let names = Names::of(script.clone());
    let first = timeout(Duration::from_millis(1), names.find(HOST)).await;
    assert!(first.is_err(), "nobody has answered");
    let others = futures::future::join_all((0..20).map(|_| names.find(HOST)));
    let permit = async {
        sleep(Duration::from_secs(1)).await;
        script.0.permits.add_permits(1);
    };
    let (others, ()) = tokio::join!(others, permit);
    assert!(others.iter().all(|found| *found == Ok(addresses(&[1]))));
    assert_eq!(script.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_dns_is_silent_an_old_answer_serves_for_an_hour() {
    let script = Script::new([answer(&[1], 30), Err(NameError::Silence)]);
    let names = Names::of(script.clone());
    assert!(names.find(HOST).await.is_ok());
    advance(Duration::from_secs(31)).await;
    assert_eq!(names.find(HOST).await, Ok(addresses(&[1])));
    assert_eq!(names.find(HOST).await, Ok(addresses(&[1])));
    assert_eq!(script.asked(), 2, "not asked again at once");
    advance(STALE - Duration::from_secs(2)).await;
    assert_eq!(names.find(HOST).await, Ok(addresses(&[1])));
    advance(Duration::from_secs(30)).await;
    assert_eq!(names.find(HOST).await, Err(NameError::Silence));
}

#[tokio::test(start_paused = true)]
async fn who_has_an_old_answer_waits_but_a_moment_for_a_new_one_which_comes_all_the_same() {
    let script = Script::new([answer(&[1], 30), answer(&[2], 30)]);
    let names = Names::of(script.clone());
    assert!(names.find(HOST).await.is_ok());
    script.0.permits.forget_permits(Semaphore::MAX_PERMITS);
    advance(Duration::from_secs(31)).await;
    let begun = Instant::now();
    assert_eq!(names.find(HOST).await, Ok(addresses(&[1])));
    assert_eq!(begun.elapsed(), PATIENCE);
    script.0.permits.add_permits(1);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(names.find(HOST).await, Ok(addresses(&[2])));
    assert_eq!(script.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_gone_is_gone() {
    let script = Script::new([answer(&[1], 30), Err(NameError::NoSuchName)]);
    let names = Names::of(script.clone());
    assert!(names.find(HOST).await.is_ok());
    advance(Duration::from_secs(31)).await;
    assert_eq!(names.find(HOST).await, Err(NameError::NoSuchName));
}

#[tokio::test(start_paused = true)]
async fn names_are_bounded() {
    let names = Names::of(Script::new([answer(&[1], 30)]));
    for at in 0..MAX_NAMES + 10 {
        names.find(&format!("n{at}.test")).await.unwrap();
    }
    assert_eq!(names.0.known.lock().len(), MAX_NAMES);
}

/// A server that knows one name, whose every address it gives for as long.
async fn serve(socket: UdpSocket, name: &str, addresses: &[Ipv4Addr]) {
    let mut buffer = [0; 1500];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        let asked = Message::from_vec(&buffer[..len]).unwrap();
        let query = asked.queries[0].clone();
        let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
        answer.metadata.message_type = MessageType::Response;
        if !query.name().to_ascii().eq_ignore_ascii_case(name) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        } else if query.query_type() == RecordType::A {
            for address in addresses {
                let data = RData::A((*address).into());
                answer.add_answer(Record::from_rdata(query.name().clone(), 30, data));
            }
        }
        answer.add_query(query);
        let bytes = answer.to_vec().unwrap();
        socket.send_to(&bytes, from).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_is_asked_over_the_network() {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let known = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
    let server = tokio::spawn(async move { serve(socket, "a.test.", &known).await });
    let server = AbortOnDropHandle::new(server);
    let names = Names::of_server(address.ip(), address.port());
    let mut found = names.find("a.test").await.unwrap();
    found.sort();
    assert_eq!(found, addresses(&[1, 2]));
    assert_eq!(names.find("b.test").await, Err(NameError::NoSuchName));
    drop(server);
    let found = names.find("a.test").await;
    assert!(found.is_ok(), "known for a while");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_silence() {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let names = Names::of_server([127, 0, 0, 1].into(), port);
    assert_eq!(names.find(HOST).await, Err(NameError::Silence));
}
