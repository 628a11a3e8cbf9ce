//! Bodies whose callers have gone, read to their end in the background for what they cost, where the
//! request's route says so.

use std::future::poll_fn;

use bytes::Bytes;

use super::{BodyError, Ending, Kind, ResponseBody, State, Stream};
use crate::access_log::End;
use crate::drains::{Drained, TenantDrains};

/// Bytes of a stream that are read: many times the longest answers there are.
const MOST: usize = 64 << 20;

/// What the caller had seen of an answer before it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Head,
    Nothing,
}

impl ResponseBody {
    /// Reads to its end what nobody is handed.
    pub(super) async fn read_on(mut self, seen: Seen) -> Drained {
        match self.take() {
            Kind::Stream(stream) => stream.read_on(seen).await,
            Kind::Whole(_, Some(ending)) => ending.read_on(seen),
            Kind::Whole(_, None) | Kind::Early(_) | Kind::Broken(_) => Drained::Failed,
        }
    }

    fn take(&mut self) -> Kind {
        std::mem::replace(&mut self.0, Kind::Whole(Bytes::new(), None))
    }
}

impl Drop for ResponseBody {
    /// The caller has gone, unless it has been handed everything.
    fn drop(&mut self) {
        let drains = match &mut self.0 {
            Kind::Stream(stream) => stream.take_drains(),
            Kind::Whole(_, Some(ending)) => ending.account.take_drains(),
            Kind::Whole(_, None) | Kind::Early(_) | Kind::Broken(_) => None,
        };
        if let Some(drains) = drains
            && !std::thread::panicking()
        {
            let body = Self(self.take());
            drains.spawn(body.read_on(Seen::Head));
        }
    }
}

impl Ending {
    /// All is there already.
    fn read_on(mut self, seen: Seen) -> Drained {
        let drained = match self.end {
            End::Complete => Drained::Whole,
            _ => Drained::Failed,
        };
        self.account.abandon(seen == Seen::Head);
        self.settle();
        drained
    }
}

impl Stream {
    /// Gives what reads it on if its caller goes now.
    fn take_drains(&mut self) -> Option<TenantDrains> {
        match self.state {
            State::Failed(..) | State::Over => None,
            State::Open | State::Marked(_) | State::Last => self.account.as_mut()?.take_drains(),
        }
    }

    async fn read_on(mut self: Box<Self>, seen: Seen) -> Drained {
        if let Some(account) = &mut self.account {
            account.abandon(seen == Seen::Head);
        }
        let mut bytes = 0;
        while bytes <= MOST {
            match poll_fn(|cx| self.poll_piece(cx)).await {
                Some(Ok(piece)) => bytes += piece.len(),
                Some(Err(BodyError)) => return Drained::Failed,
                None => return Drained::Whole,
            }
        }
        Drained::TooLong
    }
}
