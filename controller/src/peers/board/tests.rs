//! Rules of the board: what counts while a peer has not answered, and after it left.

use turnpike_snapshot::proto::{self, Connected, Suspect};

use super::*;

fn name(host: &str) -> Name {
    Name::Domain(host.into())
}

fn version(content: u8) -> Option<Version> {
    Version::from_bytes(&[content; 16])
}

fn holder(standing: Standing) -> Holder {
    Holder {
        data_plane: "dp-2".into(),
        standing,
    }
}

fn say(seat: &Seat, host: &str, of: Option<Version>, standing: Standing) {
    let answer = wire::answer((name(host), of), &[holder(standing)]);
    seat.hear(Message::Answer(answer));
}

fn standings(board: &Board, of: Option<Version>) -> Vec<Standing> {
    let holders = board.holders(&name("a.test"), of);
    holders.into_iter().map(|holder| holder.standing).collect()
}

fn news(board: &Board) -> BTreeSet<Name> {
    std::mem::take(&mut board.shared.state.lock().news)
}

#[tokio::test]
async fn a_peer_lags_until_it_has_answered_for_this_very_version() {
    let board = Board::default();
    assert!(board.holders(&name("a.test"), version(1)).is_empty());
    let seat = board.join("b");
    assert_eq!(standings(&board, version(1)), [Standing::Lagging]);
    assert_eq!(standings(&board, version(1)), [Standing::Lagging]);
    assert_eq!(seat.questions(10).await, [(name("a.test"), version(1))]);
    say(&seat, "a.test", version(1), Standing::Current);
    assert_eq!(news(&board), [name("a.test")].into());
    assert_eq!(standings(&board, version(1)), [Standing::Current]);

    assert_eq!(standings(&board, version(2)), [Standing::Lagging]);
    say(&seat, "a.test", version(1), Standing::Current);
    assert!(news(&board).is_empty(), "an answer to an older question");
    say(&seat, "a.test", version(2), Standing::Lagging);
    say(&seat, "a.test", version(2), Standing::Refused("no".into()));
    assert_eq!(
        standings(&board, version(2)),
        [Standing::Refused("no".into())]
    );
}

#[test]
fn a_peer_that_left_is_waited_for_no_more() {
    let board = Board::default();
    let seat = board.join("b");
    seat.hear(Message::Connected(Connected { data_planes: 3 }));
    assert_eq!(board.connected(), 3);
    assert_eq!(standings(&board, version(1)), [Standing::Lagging]);
    drop(seat);
    assert_eq!(board.connected(), 0);
    assert_eq!(news(&board), [name("a.test")].into());
    assert!(standings(&board, version(1)).is_empty());
}

#[test]
fn a_refusal_is_told_unasked_and_asked_about_anew() {
    let board = Board::default();
    let seat = board.join("b");
    standings(&board, version(1));
    say(&seat, "a.test", version(1), Standing::Current);
    let suspect = |is_suspect| {
        seat.hear(Message::Suspect(Suspect {
            name: "domain/a.test".into(),
            is_suspect,
        }));
    };
    suspect(true);
    assert!(board.is_suspect(&[name("b.test"), name("a.test")]));
    assert_eq!(standings(&board, version(1)), [Standing::Lagging]);
    suspect(false);
    assert!(!board.is_suspect(&[name("a.test")]));
    drop(seat);
    assert!(!board.is_suspect(&[name("a.test")]));
}

#[test]
fn what_is_final_is_forgotten_beyond_a_bound() {
    let board = Board::default();
    let seat = board.join("b");
    for number in 0..2 * MAX_ANSWERS {
        let host = format!("{number}.test");
        board.holders(&name(&host), version(1));
        say(&seat, &host, version(1), Standing::Current);
    }
    let state = board.shared.state.lock();
    let peer = state.peers.values().next().unwrap();
    assert!(peer.answers.len() <= MAX_ANSWERS && peer.asked.is_empty());
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let board = Board::default();
    let seat = board.join("b");
    seat.hear(Message::Answer(proto::Answer {
        name: "future/x".into(),
        version: vec![1],
        bearers: Vec::new(),
    }));
    assert!(news(&board).is_empty());
}
