//! What goes over the wire, and in which order.

use turnpike_snapshot::proto::{Absent, Content};

use super::*;

fn domain(number: usize) -> Name {
    Name::Domain(format!("{number}.test"))
}

fn version() -> Version {
    Version::of_content(&Content::default())
}

fn subscribed(message: &ClientMessage) -> (usize, usize) {
    match &message.message {
        Some(Up::Subscribe(subscribe)) => (subscribe.names.len(), subscribe.dependencies.len()),
        other => panic!("not a Subscribe: {other:?}"),
    }
}

#[test]
fn hello_names_every_vendor_and_protocol() {
    let features = hello("dp").features;
    for feature in [
        "vendor/Echo",
        "vendor/OpenAI",
        "protocol/OpenAI",
        "protocol/Anthropic",
    ] {
        assert!(features.iter().any(|known| known == feature), "{feature}");
    }
}

#[test]
fn what_fits_is_stated_in_one_message() {
    let messages = restate(Restated {
        names: vec![(domain(1), Some(version())), (domain(2), None)],
        dependencies: vec![(Name::Fleet, version())],
    });
    assert_eq!(
        messages.iter().map(subscribed).collect::<Vec<_>>(),
        [(2, 1)]
    );
}

#[test]
fn dependencies_are_stated_first_where_more_messages_are_needed() {
    let messages = restate(Restated {
        names: (0..MAX_NAMES + 1)
            .map(|number| (domain(number), None))
            .collect(),
        dependencies: vec![(Name::Fleet, version())],
    });
    let sizes: Vec<_> = messages.iter().map(subscribed).collect();
    assert_eq!(sizes, [(0, 1), (MAX_NAMES, 0), (1, 0)]);
    let more = messages.iter().map(|message| match &message.message {
        Some(Up::Subscribe(subscribe)) => subscribe.more,
        other => panic!("not a Subscribe: {other:?}"),
    });
    assert_eq!(more.collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn who_holds_nothing_states_nothing() {
    let nothing = Restated {
        names: Vec::new(),
        dependencies: Vec::new(),
    };
    assert_eq!(restate(nothing), []);
}

#[test]
fn refusals_go_before_the_acknowledgement() {
    let refusal = Refusal {
        name: Name::Fleet,
        version: version(),
        message: "no".into(),
    };
    let messages = answer(7, Vec::new(), vec![refusal]);
    assert!(matches!(&messages[0].message, Some(Up::Nack(nack)) if nack.unit == 7));
    assert!(matches!(&messages[1].message, Some(Up::Ack(ack)) if ack.unit == 7));
}

#[test]
fn what_cannot_be_read_is_refused_and_the_rest_goes_on() {
    let change = |name: &str, change| ProtoChange {
        name: name.into(),
        change,
    };
    let upsert = ProtoKind::Upsert(Upsert {
        version: vec![1],
        content: None,
    });
    let read = read_unit(Unit {
        number: 3,
        changes: vec![
            change("nonsense", Some(ProtoKind::Absent(Absent {}))),
            change("domain/a.test", Some(upsert)),
            change("domain/b.test", None),
            change("domain/c.test", Some(ProtoKind::Absent(Absent {}))),
        ],
    });
    let refused: Vec<_> = read
        .unreadable
        .iter()
        .map(|nack| nack.name.as_str())
        .collect();
    assert_eq!(refused, ["nonsense", "domain/a.test", "domain/b.test"]);
    assert_eq!(read.changes[0].name, Name::Domain("c.test".into()));
}
