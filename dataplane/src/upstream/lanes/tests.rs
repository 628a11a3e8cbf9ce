//! Who gets a place where, by what is known of the origin.

use futures::FutureExt;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::advance;

use super::super::addresses::Addresses;
use super::super::dial::Dialer;
use super::super::dns::Names;
use super::*;

fn connect() -> Connect {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let names = Names::of_server([127, 0, 0, 1].into(), 53);
    Connect::to_providers(Dialer::new(names, Addresses::Any), tls, None, None)
}

/// An origin of which nothing is known; nobody connects to it.
fn origin() -> Arc<Origin> {
    Arc::new(Origin::new(Arc::new(connect())))
}

/// One that has said how many streams it takes.
async fn with_streams(streams: u32) -> Arc<Origin> {
    let origin = origin();
    drop(origin.seat().await);
    origin.first.peer.note(Spoken::Http2(streams));
    origin
}

fn lanes(origin: &Origin) -> usize {
    1 + origin.more.lock().len()
}

fn is_on(seat: &Seat, lane: &Arc<Lane>) -> bool {
    Arc::ptr_eq(&seat.lane, lane)
}

#[tokio::test]
async fn who_comes_first_goes_ahead_and_the_others_wait_until_something_is_known() {
    for (spoken, expected) in [(Spoken::Http1, 1), (Spoken::Http2(2), 2)] {
        let origin = origin();
        let first = origin.seat().await;
        let mut others: Vec<_> = (0..3).map(|_| Box::pin(origin.seat())).collect();
        for other in &mut others {
            assert!(other.as_mut().now_or_never().is_none(), "nothing is known");
        }
        origin.first.peer.note(spoken);
        let mut seats = Vec::new();
        for other in &mut others {
            seats.extend(other.as_mut().now_or_never());
        }
        assert_eq!(lanes(&origin), expected, "{spoken:?}");
        if let Some(second) = origin.more.lock().first() {
            assert_eq!(seats.len(), 2, "one on each, and one waits for the second");
            second.peer.note(spoken);
        }
        drop((first, seats));
    }
}

#[tokio::test]
async fn where_the_first_found_out_nothing_all_others_try() {
    let origin = origin();
    let first = origin.seat().await;
    let other = origin.seat();
    let waiting = tokio::spawn({
        let origin = origin.clone();
        async move { origin.seat().await }
    });
    tokio::task::yield_now().await;
    drop(first);
    let seats = (other.await, waiting.await.unwrap(), origin.seat().await);
    assert!(is_on(&seats.0, &origin.first) && is_on(&seats.2, &origin.first));
}

#[tokio::test]
async fn lanes_are_filled_in_their_order_and_a_place_that_is_free_is_taken_again() {
    let origin = with_streams(2).await;
    let mut seats = Vec::new();
    for expected in [1, 1, 2, 2, 3] {
        let seat = origin.seat().await;
        seat.lane.peer.note(Spoken::Http2(2));
        seats.push(seat);
        assert_eq!(lanes(&origin), expected);
    }
    seats.remove(0);
    let seat = origin.seat().await;
    assert!(is_on(&seat, &origin.first));
    assert_eq!(lanes(&origin), 3);
}

#[tokio::test]
async fn each_lane_takes_what_its_own_peer_says_and_never_more_than_a_bound() {
    let origin = with_streams(u32::MAX).await;
    let mut seats = Vec::new();
    for _ in 0..=MAX_STREAMS {
        seats.push(origin.seat().await);
    }
    assert_eq!(lanes(&origin), 2);
    let second = origin.more.lock()[0].clone();
    second.peer.note(Spoken::Http2(1));
    seats.push(origin.seat().await);
    assert_eq!(lanes(&origin), 3);
    // One that takes none at the moment is not asked over more and more connections.
    let origin = with_streams(0).await;
    let _seats = (origin.seat().await, origin.seat().await);
    assert_eq!(lanes(&origin), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_refused_is_passed_over_for_a_while() {
    let origin = with_streams(100).await;
    origin.seat().await.refused();
    assert!(!is_on(&origin.seat().await, &origin.first));
    advance(REST).await;
    assert!(is_on(&origin.seat().await, &origin.first));
}

#[tokio::test(start_paused = true)]
async fn lanes_that_nobody_needs_go() {
    let origin = with_streams(1).await;
    let seats = futures::future::join_all((0..5).map(|_| origin.seat())).await;
    assert_eq!(lanes(&origin), 5);
    drop(seats);
    advance(IDLE_CONNECTION * 2).await;
    drop(origin.seat().await);
    assert_eq!(lanes(&origin), 1);
}

#[tokio::test(start_paused = true)]
async fn origins_that_nobody_asks_are_forgotten_unless_something_is_under_way_there() {
    let lanes = Lanes::new(connect());
    let origin = |at: usize| {
        let uri = format!("http://n{at}.test/").parse().unwrap();
        lanes.origin(&uri).unwrap()
    };
    let first = origin(0);
    let seat = first.seat().await;
    assert!(Arc::ptr_eq(&first, &origin(0)));
    drop(first);
    for at in 1..FEW {
        origin(at);
    }
    advance(UNUSED * 2).await;
    origin(FEW);
    assert_eq!(lanes.origins.lock().known.len(), 2);
    assert_eq!(origin(0).first.in_flight(), 1);
    drop(seat);
    assert!(lanes.origin(&Uri::from_static("/path")).is_none());
}
