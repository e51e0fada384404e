//! Encrypts segments: AES-128-CBC as RFC 8216 §4.3.2.4 has it, several channels' at once where they meet.
//!
//! One segment alone leaves most of the processor's AES unit idle; up to eight side by side cost little more than one.
//! Whoever finds nobody at work encrypts what waits, and takes the others' along. Nobody waits for company: a segment that
//! is alone goes at once, so that this saves processor time exactly when there is much to do.
//!
//! Memory: the segments of the callers, who wait.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use headend_csa::aes_cbc::{self, Chain, LANES};
use headend_media::crypt::{self, Key128};

/// A segment in the clear and what it is encrypted with.
#[derive(Debug)]
pub struct Plain {
    /// The content key of its period.
    pub key: Key128,
    /// Its media sequence number, which is its IV.
    pub number: u64,
    /// Its packets.
    pub segment: Vec<u8>,
}

/// Encrypts segments in place, padded (PKCS #7), in their order. Fastest with [`LANES`] of about one length.
#[must_use]
pub fn seal(mut segments: Vec<Plain>) -> Vec<Vec<u8>> {
    let chains = segments.iter_mut().map(|plain| {
        crypt::pad(&mut plain.segment);
        let (blocks, _) = plain.segment.as_chunks_mut();
        Chain { key: plain.key.expose(), iv: crypt::iv(plain.number), blocks }
    });
    aes_cbc::encrypt(&mut chains.collect::<Vec<_>>());
    segments.into_iter().map(|plain| plain.segment).collect()
}

/// Where the segments of all channels meet.
#[derive(Debug, Default)]
pub struct Sealer {
    state: Mutex<State>,
    turned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// By number of arrival.
    waiting: BTreeMap<u64, Plain>,
    sealed: BTreeMap<u64, Vec<u8>>,
    at_work: bool,
}

impl Sealer {
    /// Encrypts a segment. Blocking: the cipher.
    #[must_use]
    pub fn seal(&self, plain: Plain) -> Vec<u8> {
        let mut state = self.locked();
        let own = state.next;
        state.next += 1;
        state.waiting.insert(own, plain);
        loop {
            if let Some(sealed) = state.sealed.remove(&own) {
                return sealed;
            }
            if state.at_work {
                state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let mut taken = vec![];
            while taken.len() < LANES
                && let Some(first) = state.waiting.pop_first()
            {
                taken.push(first);
            }
            state.at_work = true;
            drop(state);
            let (numbers, segments): (Vec<u64>, Vec<Plain>) = taken.into_iter().unzip();
            let sealed = seal(segments);
            state = self.locked();
            state.at_work = false;
            state.sealed.extend(numbers.into_iter().zip(sealed));
            self.turned.notify_all();
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_that_meet_get_their_own_segments_back() {
        let sealer = Sealer::default();
        std::thread::scope(|threads| {
            for channel in 1..=20u8 {
                let sealer = &sealer;
                threads.spawn(move || {
                    for number in 0..50 {
                        let (key, clear) =
                            (Key128::new([channel; 16]), vec![channel; 188 * (1 + usize::from(channel))]);
                        let sealed = sealer.seal(Plain { key: key.clone(), number, segment: clear.clone() });
                        assert_eq!(crypt::decrypt(&key, number, sealed), Ok(clear));
                    }
                });
            }
        });
        assert!(sealer.locked().waiting.is_empty() && sealer.locked().sealed.is_empty());
    }
}
