//! Which objects' statuses are to be looked at, and when. Pure: time is an argument.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::source::ObjectKey;

/// How long a change may wait for data planes before it is told as pending.
pub const GRACE: Duration = Duration::from_secs(2);
/// How long a change of nothing but a count waits for more of its kind.
pub(crate) const COUNT_PAUSE: Duration = Duration::from_secs(5);
/// Of the first and of later pauses after a failed write.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What is to be done; bounded by the objects that there are.
#[derive(Default)]
pub(crate) struct Agenda {
    ready: BTreeSet<ObjectKey>,
    /// Until when acknowledgements are waited for.
    grace: HashMap<ObjectKey, Instant>,
    later: Later,
    /// Of which a count changed.
    counts: Later,
    /// Of which certificates come to their end, whatever happens until then.
    ends: Later,
    failures: HashMap<ObjectKey, u32>,
    /// The API server wants to be left alone until then.
    throttled: Option<Instant>,
}

/// What to look at again, and when; each object once.
#[derive(Default)]
struct Later {
    times: HashMap<ObjectKey, Instant>,
    queue: BTreeSet<(Instant, ObjectKey)>,
}

impl Later {
    fn insert(&mut self, object: ObjectKey, at: Instant) {
        if let Some(before) = self.times.insert(object.clone(), at) {
            self.queue.remove(&(before, object.clone()));
        }
        self.queue.insert((at, object));
    }

    fn insert_once(&mut self, object: ObjectKey, at: Instant) {
        if !self.times.contains_key(&object) {
            self.insert(object, at);
        }
    }

    fn remove(&mut self, object: &ObjectKey) {
        if let Some(at) = self.times.remove(object) {
            self.queue.remove(&(at, object.clone()));
        }
    }

    fn first(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    fn pop_due(&mut self, now: Instant) -> Option<ObjectKey> {
        if self.first()? > now {
            return None;
        }
        let (_, object) = self.queue.pop_first()?;
        self.times.remove(&object);
        Some(object)
    }
}

impl Agenda {
    /// Adds objects that changed: each has its time of grace anew.
    pub(crate) fn touched(&mut self, objects: impl IntoIterator<Item = ObjectKey>, now: Instant) {
        for object in objects {
            if self.grace.get(&object).is_some_and(|end| *end <= now) {
                self.grace.remove(&object);
            }
            self.ready.insert(object);
        }
    }

    /// Adds objects of which a count changed: however often it does, they are looked at
    /// once in [`COUNT_PAUSE`] for it.
    pub(crate) fn counted(&mut self, objects: impl IntoIterator<Item = ObjectKey>, now: Instant) {
        for object in objects {
            self.counts.insert_once(object, now + COUNT_PAUSE);
        }
    }

    /// Adds objects of which data planes had news.
    pub(crate) fn heard(&mut self, objects: impl IntoIterator<Item = ObjectKey>) {
        self.ready.extend(objects);
    }

    /// Takes at most so many objects to look at now.
    pub(crate) fn take(&mut self, count: usize, now: Instant) -> Vec<ObjectKey> {
        if self.is_throttled(now) {
            return Vec::new();
        }
        for later in [&mut self.later, &mut self.counts, &mut self.ends] {
            while let Some(object) = later.pop_due(now) {
                self.ready.insert(object);
            }
        }
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some(object) = self.ready.pop_first()
        {
            taken.push(object);
        }
        taken
    }

    /// When [`Agenda::take`] has something to give if nothing happens before; may be past.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let later = [&self.later, &self.counts, &self.ends];
        let next = match self.ready.is_empty() {
            true => later.into_iter().filter_map(Later::first).min()?,
            false => now,
        };
        Some(next.max(self.throttled.unwrap_or(now)))
    }

    fn is_throttled(&self, now: Instant) -> bool {
        self.throttled.is_some_and(|until| now < until)
    }

    /// A data plane lags: `true` if the object shall wait; its time of grace runs from the first call.
    pub(crate) fn wait(&mut self, object: &ObjectKey, now: Instant) -> bool {
        let end = *self.grace.entry(object.clone()).or_insert(now + GRACE);
        let is_waiting = now < end;
        if is_waiting {
            self.later.insert(object.clone(), end);
        }
        is_waiting
    }

    /// By time alone, its status will be another then; `None`: it will not.
    pub(crate) fn ends(&mut self, object: &ObjectKey, at: Option<Instant>) {
        match at {
            Some(at) => self.ends.insert(object.clone(), at),
            None => self.ends.remove(object),
        }
    }

    /// The status stands as it should, or there is none to write any more.
    pub(crate) fn settled(&mut self, object: &ObjectKey) {
        self.later.remove(object);
        self.counts.remove(object);
        self.failures.remove(object);
    }

    /// Data planes lag no more.
    pub(crate) fn arrived(&mut self, object: &ObjectKey) {
        self.grace.remove(object);
    }

    /// The API server asks for a pause: nothing is looked at before it is over.
    pub(crate) fn throttled(&mut self, pause: Duration, now: Instant) {
        let until = now + pause.min(MAX_PAUSE);
        self.throttled = self.throttled.max(Some(until));
    }

    /// A write failed: look again after a pause that grows.
    pub(crate) fn failed(&mut self, object: ObjectKey, now: Instant) {
        let failures = self.failures.entry(object.clone()).or_default();
        let pause = FIRST_PAUSE
            .saturating_mul(1 << (*failures).min(5))
            .min(MAX_PAUSE);
        *failures += 1;
        self.later.insert(object, now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Kind;

    fn route(name: &str) -> ObjectKey {
        ObjectKey::new(Kind::AIRoute, "ns", name)
    }

    #[test]
    fn a_lagging_object_waits_once_and_is_then_told_as_it_is() {
        let start = Instant::now();
        let mut agenda = Agenda::default();
        agenda.touched([route("a")], start);
        assert_eq!(agenda.take(8, start), [route("a")]);
        assert!(agenda.wait(&route("a"), start));
        assert_eq!(agenda.next(start), Some(start + GRACE));
        assert!(agenda.take(8, start).is_empty());
        assert_eq!(agenda.take(8, start + GRACE), [route("a")]);
        assert!(!agenda.wait(&route("a"), start + GRACE));
    }

    #[test]
    fn steady_changes_cannot_put_a_status_off_for_ever() {
        let start = Instant::now();
        let mut agenda = Agenda::default();
        assert!(agenda.wait(&route("a"), start));
        agenda.touched([route("a")], start + GRACE / 2);
        assert!(!agenda.wait(&route("a"), start + GRACE));
    }

    #[test]
    fn a_change_after_the_grace_has_a_grace_of_its_own() {
        let start = Instant::now();
        let mut agenda = Agenda::default();
        assert!(agenda.wait(&route("a"), start));
        let later = start + 2 * GRACE;
        assert!(!agenda.wait(&route("a"), later));
        agenda.touched([route("a")], later);
        assert!(agenda.wait(&route("a"), later));
    }

    #[test]
    fn counts_that_change_all_the_time_are_told_once_in_a_while() {
        let start = Instant::now();
        let mut agenda = Agenda::default();
        let second = Duration::from_secs(1);
        let mut looks = 0;
        for at in 0..20 {
            let now = start + at * second;
            agenda.counted([route("a")], now);
            looks += agenda.take(8, now).len();
        }
        // Noticed at 0 s, looked at after 5 s; noticed again at 6 s, and so on.
        assert_eq!(looks, 3);
    }

    #[test]
    fn a_status_that_is_written_for_another_reason_tells_its_counts_too() {
        let start = Instant::now();
        let mut agenda = Agenda::default();
        agenda.counted([route("a")], start);
        agenda.touched([route("a")], start);
        assert_eq!(agenda.take(8, start), [route("a")]);
        agenda.settled(&route("a"));
        assert_eq!(agenda.next(start), None);
    }

    #[test]
    fn pauses_after_failed_writes_grow_and_are_bounded() {
        let start = Instant::now();
        let mut agenda = Agenda::default();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            agenda.failed(route("a"), start);
            pauses.push(agenda.next(start).map(|at| (at - start).as_secs()));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30].map(Some));
        agenda.settled(&route("a"));
        assert_eq!(agenda.next(start), None);
    }

    #[test]
    fn an_end_is_looked_at_however_often_the_object_was_meanwhile() {
        let start = Instant::now();
        let hour = Duration::from_secs(3600);
        let mut agenda = Agenda::default();
        agenda.ends(&route("a"), Some(start + 2 * hour));
        agenda.ends(&route("b"), Some(start + hour));
        agenda.touched([route("a")], start);
        assert_eq!(agenda.take(8, start), [route("a")]);
        agenda.settled(&route("a"));
        assert_eq!(agenda.next(start), Some(start + hour));
        agenda.ends(&route("b"), None);
        assert_eq!(agenda.take(8, start + 2 * hour), [route("a")]);
        assert_eq!(agenda.next(start + 2 * hour), None);
    }

    #[test]
    fn no_more_is_taken_than_asked_for() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        agenda.touched([route("a"), route("b"), route("c")], now);
        assert_eq!(agenda.take(2, now), [route("a"), route("b")]);
        assert_eq!(agenda.next(now), Some(now));
    }

    #[test]
    fn an_api_server_that_asks_for_a_pause_is_left_alone() {
        let start = Instant::now();
        let pause = Duration::from_secs(5);
        let mut agenda = Agenda::default();
        agenda.touched([route("a")], start);
        agenda.throttled(pause, start);
        agenda.throttled(pause / 2, start);
        assert_eq!(agenda.next(start), Some(start + pause));
        assert!(agenda.take(8, start + pause / 2).is_empty());
        assert_eq!(agenda.take(8, start + pause), [route("a")]);
    }

    #[test]
    fn an_object_is_looked_at_once_at_the_latest_time_said() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut later = Later::default();
        later.insert(route("a"), start + 2 * second);
        later.insert(route("b"), start + second);
        later.insert(route("a"), start);
        assert_eq!(later.first(), Some(start));
        assert_eq!(later.pop_due(start), Some(route("a")));
        assert_eq!(later.pop_due(start), None);
        later.remove(&route("b"));
        assert_eq!(later.pop_due(start + 9 * second), None);
        assert!(later.queue.is_empty() && later.times.is_empty());
    }
}
