//! When to take, keep and lose a Lease. Pure: time is an argument.
//!
//! No clock of another machine is believed. A record is old when it has not changed
//! for the Lease's duration since this replica first saw it; a holder believes in
//! itself only for a shorter while, counted from before its last write was sent. So
//! two never lead at once while their clocks run at about the same speed, however
//! wrong they are, and whatever replies are lost.
//! Source: client-go's `tools/leaderelection`, "does not assume that timestamps are
//! accurate".

use std::time::Duration;

use tokio::time::Instant;

/// What stands in the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `None`: nobody, or it was given back.
    pub holder: Option<String>,
    /// By the holder's clock: only ever compared for being the same.
    pub renewed: Option<String>,
    /// How often the holder changed.
    pub term: i32,
    /// Changes with each write; a write names the one that it replaces.
    pub version: String,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another replica leads.
    Wait,
    /// There is no Lease.
    Create,
    /// It is free, or its holder is silent.
    Take {
        /// Replaces this.
        version: String,
        /// Of the new holder.
        term: i32,
    },
    /// It is ours.
    Renew {
        /// Replaces this.
        version: String,
        /// Stays.
        term: i32,
    },
}

/// One replica's part.
#[derive(Debug)]
pub struct Election {
    identity: String,
    duration: Duration,
    deadline: Duration,
    /// The newest record seen, and when it was first seen.
    seen: Option<(Record, Instant)>,
    leads_until: Option<Instant>,
    is_succession: bool,
}

impl Election {
    /// `deadline` is how long a write lets its writer lead; less than `duration`.
    pub fn new(identity: String, duration: Duration, deadline: Duration) -> Self {
        Self {
            identity,
            duration,
            deadline,
            seen: None,
            leads_until: None,
            is_succession: false,
        }
    }

    /// Who this is.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Who holds the Lease, as last seen.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref()?.0.holder.as_deref()
    }

    /// Until when this replica leads.
    pub fn leads_until(&self) -> Option<Instant> {
        self.leads_until
    }

    /// Whether this replica leads.
    pub fn is_leader(&self, now: Instant) -> bool {
        self.leads_until.is_some_and(|until| now < until)
    }

    /// Whether it was another that led before this replica.
    pub fn is_succession(&self) -> bool {
        self.is_succession
    }

    /// Takes what was read, and says what to do. The write that follows counts from `now`.
    pub fn look(&mut self, read: Option<Record>, now: Instant) -> Step {
        let Some(read) = read else {
            self.seen = None;
            self.leads_until = None;
            return Step::Create;
        };
        let (version, term) = (read.version.clone(), read.term);
        let since = self.see(read, now);
        match self.holder() {
            Some(holder) if holder == self.identity => Step::Renew { version, term },
            Some(_) if now.saturating_duration_since(since) < self.duration => Step::Wait,
            _ => Step::Take {
                version,
                term: term.saturating_add(1),
            },
        }
    }

    /// Takes what was written by a write that began at `asked`.
    pub fn wrote(&mut self, written: Record, asked: Instant, now: Instant) {
        if self.leads_until.is_none() {
            self.is_succession = written.term > 0;
        }
        self.see(written, now);
        self.leads_until = Some(asked + self.deadline);
        self.tick(now);
    }

    /// Notices that the time to lead is over.
    pub fn tick(&mut self, now: Instant) {
        if !self.is_leader(now) {
            self.leads_until = None;
        }
    }

    /// Stops to lead; gives the version and the term of the Lease if it is ours to free.
    pub fn release(&mut self) -> Option<(String, i32)> {
        self.leads_until = None;
        let (record, _) = self.seen.as_ref()?;
        let is_ours = record.holder.as_ref() == Some(&self.identity);
        is_ours.then(|| (record.version.clone(), record.term))
    }

    /// Remembers a record; gives since when it has been the same.
    fn see(&mut self, record: Record, now: Instant) -> Instant {
        let same = self.seen.as_ref().filter(|(seen, _)| {
            (&seen.holder, &seen.renewed, seen.term)
                == (&record.holder, &record.renewed, record.term)
        });
        let since = same.map_or(now, |(_, since)| *since);
        if record.holder.as_ref() != Some(&self.identity) {
            self.leads_until = None;
        }
        self.seen = Some((record, since));
        since
    }
}

#[cfg(test)]
mod tests;
