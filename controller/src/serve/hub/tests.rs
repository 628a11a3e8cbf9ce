//! Rules of the hub: who hears what, and what counts as lagging.

use super::*;

fn domain(host: &str) -> Arc<Name> {
    Arc::new(Name::Domain(host.into()))
}

fn standing(hub: &Hub, name: &Name) -> Vec<Standing> {
    let holders = hub.delivery(name).holders;
    holders.into_iter().map(|holder| holder.standing).collect()
}

#[test]
fn only_streams_that_watch_a_name_hear_of_it() {
    let hub = Hub::new();
    let (one, two) = (hub.join("one"), hub.join("two"));
    one.watch(&domain("a.test"));
    hub.publish([Name::Domain("a.test".into()), Name::Domain("b.test".into())]);
    assert_eq!(one.take(), Some(domain("a.test")));
    assert_eq!(one.take(), None);
    assert!(!two.has_work());
}

#[test]
fn a_name_waits_once_however_often_it_changes() {
    let hub = Hub::new();
    let seat = hub.join("one");
    seat.watch(&domain("a.test"));
    for _ in 0..3 {
        hub.publish([Name::Domain("a.test".into())]);
    }
    assert!(seat.take().is_some());
    assert_eq!(seat.take(), None);
}

#[test]
fn what_is_asked_for_overtakes_what_changed() {
    let hub = Hub::new();
    let seat = hub.join("one");
    for host in ["a.test", "b.test", "c.test"] {
        seat.watch(&domain(host));
        seat.mark(&domain(host), Urgency::Changed);
    }
    seat.mark(&domain("c.test"), Urgency::Asked);
    let order: Vec<_> = std::iter::from_fn(|| seat.take()).collect();
    assert_eq!(
        order,
        [domain("c.test"), domain("a.test"), domain("b.test")]
    );
}

#[test]
fn a_holder_lags_from_publish_until_it_has_reported() {
    let hub = Hub::new();
    let seat = hub.join("one");
    let name = domain("a.test");
    seat.watch(&name);
    assert_eq!(standing(&hub, &name), []);
    hub.publish([(*name).clone()]);
    assert_eq!(standing(&hub, &name), [Standing::Lagging]);
    seat.take();
    assert_eq!(standing(&hub, &name), [Standing::Lagging]);
    seat.report(&name, Report::Holds(Standing::Current));
    assert_eq!(standing(&hub, &name), [Standing::Lagging]);
    seat.put_down();
    assert_eq!(standing(&hub, &name), [Standing::Current]);
}

#[test]
fn a_stream_that_left_is_forgotten() {
    let hub = Hub::new();
    let mut news = hub.news();
    let seat = hub.join("one");
    seat.watch(&domain("a.test"));
    assert_eq!(hub.connected(), 1);
    drop(seat);
    assert_eq!(hub.connected(), 0);
    assert_eq!(hub.delivery(&domain("a.test")), Delivery::default());
    assert_eq!(news.take(), [Name::Domain("a.test".into())].into());
}

#[tokio::test]
async fn news_tells_names_whose_delivery_changed() {
    let hub = Hub::new();
    let mut news = hub.news();
    let seat = hub.join("one");
    seat.watch(&domain("a.test"));
    seat.report(&domain("a.test"), Report::Holds(Standing::Current));
    seat.report(&domain("a.test"), Report::Holds(Standing::Current));
    assert_eq!(news.next().await, [Name::Domain("a.test".into())].into());
    assert!(news.take().is_empty());
}

#[test]
fn sums_follow_marks() {
    let hub = Hub::new();
    let seats = [hub.join("one"), hub.join("two")];
    let of = |hub: &Hub| {
        let mut sums: Vec<_> = hub
            .standpoints(Instant::now())
            .into_iter()
            .map(|stream| (stream.names, stream.lagging))
            .collect();
        sums.sort_unstable();
        sums
    };
    for seat in &seats {
        seat.watch(&domain("a.test"));
        seat.watch(&domain("b.test"));
    }
    seats[0].report(&domain("a.test"), Report::Holds(Standing::Current));
    assert_eq!(of(&hub), [(0, 0), (1, 0)]);
    hub.publish([Name::Domain("a.test".into())]);
    assert_eq!(of(&hub), [(0, 1), (1, 1)]);
    seats[0].take();
    seats[1].unwatch(&domain("a.test"));
    assert_eq!(of(&hub), [(0, 0), (1, 0)]);
    assert_eq!((hub.names_held(), hub.held_names().len()), (1, 1));
    seats[0].leave([&domain("a.test"), &domain("b.test")]);
    assert_eq!(of(&hub), [(0, 0), (0, 0)]);
    drop(seats);
    assert!(hub.is_empty());
}
