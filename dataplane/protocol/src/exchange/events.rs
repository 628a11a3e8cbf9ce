//! A provider's answer that comes as server-sent events, read one event at a time.

use crate::fault::StreamFault;
use crate::gate::Gate;
use crate::message::{Decode, Emit};
use crate::sse::{self, Framer, Step};
use crate::usage::Usage;
use crate::vendor::WireProtocol;

/// Larger events are a fault: a translation holds an event as a whole.
pub(crate) const MAX_EVENT: usize = 16 << 20;

/// What one protocol's events mean.
pub(crate) trait Events: std::fmt::Debug + Send {
    const PROTOCOL: WireProtocol;

    /// Reads one event. `data` may be anything; what makes no sense is ignored.
    fn event(
        &mut self,
        name: Option<&[u8]>,
        data: &[u8],
        emitter: &mut dyn Emit,
    ) -> Result<(), StreamFault>;

    /// The body has ended without an end mark. A protocol that has none ends its answer here, if it
    /// is whole.
    fn closed(&mut self, _emitter: &mut dyn Emit) {}

    /// Whether the answer has come to its end.
    fn is_ended(&self) -> bool;

    fn usage(&self) -> Option<Usage>;

    fn model(&self) -> Option<&str>;
}

/// Decodes one stream.
#[derive(Debug)]
pub(crate) struct EventStream<E> {
    framer: Framer,
    gate: Gate,
    events: E,
}

impl<E: Events + Default> Default for EventStream<E> {
    fn default() -> Self {
        Self {
            framer: Framer::new(MAX_EVENT),
            gate: Gate::default(),
            events: E::default(),
        }
    }
}

impl<E: Events> EventStream<E> {
    fn read(events: &mut E, event: &[u8], emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        let fields = sse::fields(event);
        match fields.data {
            Some(data) => events.event(fields.event, &data, emitter),
            None => Ok(()),
        }
    }
}

impl<E: Events> Decode for EventStream<E> {
    fn push(&mut self, chunk: &[u8], emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        let Some(start) = self.gate.admit(chunk)? else {
            return Ok(());
        };
        let chunk = &chunk[start..];
        let mut at = 0;
        while !self.events.is_ended() {
            match self.framer.next(chunk, at) {
                Step::Event { bytes, end } => {
                    let event = bytes.ok_or(StreamFault::EventTooLong { limit: MAX_EVENT })?;
                    Self::read(&mut self.events, event, emitter)?;
                    at = end;
                }
                Step::Rest { end } => at = end,
                Step::Partial { is_overlong: true } => {
                    return Err(StreamFault::EventTooLong { limit: MAX_EVENT });
                }
                Step::Partial { .. } => break,
            }
        }
        Ok(())
    }

    fn finish(&mut self, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        self.gate.finish(E::PROTOCOL)?;
        // Some servers leave out the last blank line. A torn event is no JSON and says nothing.
        if !self.events.is_ended() {
            Self::read(&mut self.events, self.framer.unfinished(), emitter)?;
        }
        if !self.events.is_ended() {
            self.events.closed(emitter);
        }
        match self.events.is_ended() {
            true => Ok(()),
            false => Err(StreamFault::Cut),
        }
    }

    fn is_complete(&self) -> bool {
        self.events.is_ended()
    }

    fn usage(&self) -> Option<Usage> {
        self.events.usage()
    }

    fn response_model(&self) -> Option<&str> {
        self.events.model()
    }

    fn held_bytes(&self) -> usize {
        self.framer.held()
    }
}
