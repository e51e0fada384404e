//! Cuts a byte stream at start codes and keeps the head of each unit.
//!
//! A unit is what follows `00 00 01`: a NAL unit (ISO/IEC 14496-10 and 23008-2, annex B) or an MPEG-2 video header
//! (ISO/IEC 13818-2 §6.2.1). Pieces may end anywhere, inside a start code too. The codec says for each first byte how
//! many bytes it wants; the rest of the unit is passed over, so memory is bounded by the largest wish.

/// The most bytes kept of one unit. Parameter sets seen on air are under 200 bytes; an H.264 SPS with every scaling list
/// and a full HRD stays under 1,000.
pub(crate) const UNIT_BYTES_MAX: usize = 1_024;

/// Where in the stream the scan is.
#[derive(Debug, Default, Clone)]
pub(crate) struct UnitScan {
    /// Zero bytes directly before this point, at most 2.
    zeros: u8,
    /// The head of the current unit, its first byte included; at most [`UNIT_BYTES_MAX`].
    held: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before the first start code, or past the bytes wanted of this unit.
    #[default]
    Passing,
    /// The next byte is a unit's first.
    AtFirst,
    /// Collecting up to this many bytes.
    Holding(usize),
}

impl UnitScan {
    /// Forgets everything: the next byte begins a new PES packet.
    pub(crate) fn restart(&mut self) {
        (self.zeros, self.stage) = (0, Stage::Passing);
        self.held.clear();
    }

    /// Takes the next piece. `want(first)` says how many bytes of a unit with that first byte are needed, itself included
    /// (0: none). `unit` gets each head once, when it is whole or its unit ends; it returns true to stop the scan.
    pub(crate) fn push(&mut self, piece: &[u8], want: fn(u8) -> usize, unit: &mut dyn FnMut(&[u8]) -> bool) {
        for &byte in piece {
            if self.zeros == 2 && byte == 1 {
                self.zeros = 0;
                let stop = matches!(self.stage, Stage::Holding(_)) && {
                    // The two zeros of this start code were collected as if they were the unit's.
                    let head = self.held.len().saturating_sub(2);
                    head > 0 && unit(&self.held[..head])
                };
                self.stage = Stage::AtFirst;
                if stop {
                    return;
                }
                continue;
            }
            self.zeros = if byte == 0 { (self.zeros + 1).min(2) } else { 0 };
            if self.take(byte, want) && unit(&self.held) {
                return;
            }
        }
    }

    /// The stream ends here: gives the unit that was still being collected.
    pub(crate) fn finish(&mut self, unit: &mut dyn FnMut(&[u8]) -> bool) {
        if matches!(self.stage, Stage::Holding(_)) {
            unit(&self.held);
        }
        self.restart();
    }

    /// Keeps a byte if it is wanted; true when it was the last one wanted.
    fn take(&mut self, byte: u8, want: fn(u8) -> usize) -> bool {
        if self.stage == Stage::AtFirst {
            self.held.clear();
            self.stage = match want(byte).min(UNIT_BYTES_MAX) {
                0 => Stage::Passing,
                bytes => Stage::Holding(bytes),
            };
        }
        let Stage::Holding(bytes) = self.stage else {
            return false;
        };
        self.held.push(byte);
        let whole = self.held.len() == bytes;
        if whole {
            self.stage = Stage::Passing;
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn want(first: u8) -> usize {
        match first {
            0 => 0,
            1 => UNIT_BYTES_MAX + 1,
            first => usize::from(first),
        }
    }

    fn units(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut scan, mut got) = (UnitScan::default(), vec![]);
        for piece in pieces {
            scan.push(piece, want, &mut |unit| {
                got.push(unit.to_vec());
                false
            });
            assert!(scan.held.len() <= UNIT_BYTES_MAX);
        }
        scan.finish(&mut |unit| {
            got.push(unit.to_vec());
            false
        });
        got
    }

    #[test]
    fn heads_end_where_wanted_or_where_the_unit_ends() {
        let stream = [9, 0, 0, 1, 3, 7, 7, 7, 7, 0, 0, 0, 1, 9, 8, 0, 0, 1, 0, 5, 0, 0, 1, 4, 4];
        assert_eq!(units(&[&stream]), [vec![3, 7, 7], vec![9, 8], vec![4, 4]]);
    }

    #[test]
    fn a_start_code_may_straddle_pieces() {
        assert_eq!(units(&[&[0], &[0], &[1], &[2], &[5, 0, 0], &[1, 9, 1, 0], &[0, 1]]), [vec![2, 5], vec![9, 1]]);
    }

    proptest! {
        #[test]
        fn other_pieces_same_units(
            stream in prop::collection::vec(prop::sample::select(vec![0_u8, 0, 0, 1, 1, 2, 9]), 0..600), cut in 1_usize..50,
        ) {
            let pieces: Vec<&[u8]> = stream.chunks(cut).collect();
            assert_eq!(units(&pieces), units(&[&stream]));
        }

        #[test]
        fn any_bytes_stay_bounded(stream in prop::collection::vec(any::<u8>(), 0..4_000)) {
            let mut all = vec![0, 0, 1, 1];
            all.extend(stream);
            assert!(units(&[&all]).iter().all(|unit| unit.len() <= UNIT_BYTES_MAX));
        }
    }
}
