//! The controller's voice on the wire: numbers every message it sends.
//!
//! One per process: `(incarnation, sequence)` names a message once and for all.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use headend_rt::Clock;
use headend_wire::{Incarnation, Message, WIRE_VERSION, WireError};
use serde::{Serialize, de::DeserializeOwned};

/// Numbers and dates messages; cheap to clone.
#[derive(Debug, Clone)]
pub struct Voice {
    incarnation: Incarnation,
    seq: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

impl Voice {
    /// A voice for this process: its incarnation is the time now.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let incarnation = Incarnation(u64::try_from(clock.unix_ms()).unwrap_or(0));
        Self { incarnation, seq: Arc::new(AtomicU64::new(1)), clock }
    }

    /// The clock behind it.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// A body as the bytes to send.
    ///
    /// # Errors
    /// [`WireError::TooLarge`], or [`WireError::Json`] when the body has no JSON form.
    pub fn say<T: Serialize + DeserializeOwned>(&self, body: T) -> Result<Bytes, WireError> {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed);
        let message = Message { v: WIRE_VERSION, incarnation: self.incarnation, seq, at: self.clock.now(), body };
        message.to_bytes().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use headend_rt::SimulatedClock;
    use headend_wire::report::EventAck;

    use super::*;

    #[test]
    fn every_message_has_its_own_number() {
        let voice = Voice::new(Arc::new(SimulatedClock::new(jiff::Timestamp::from_second(7).unwrap())));
        let read = |bytes: Bytes| Message::<EventAck>::from_bytes(&bytes).unwrap();
        let (first, second) =
            (read(voice.say(EventAck { id: 1 }).unwrap()), read(voice.clone().say(EventAck { id: 1 }).unwrap()));
        assert_eq!((first.incarnation, first.seq, second.seq), (Incarnation(7_000), 1, 2));
    }

    #[test]
    fn wire_and_link_have_one_limit() {
        assert_eq!(headend_wire::message::MESSAGE_BYTES_MAX, headend_rt::link::PAYLOAD_BYTES_MAX);
    }
}
