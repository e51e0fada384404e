//! A line of an index: 68 bytes that say what a segment file is, or which of them are gone. Pure.
//!
//! Every line carries its own checksum, so that a damaged one is found by itself and costs only itself: lines have one
//! length, and the next begins where it always would. Numbers are big-endian.

use headend_media::{
    playlist::{Entry, KeyRef, Recorded, SegmentGrid},
    time::Ticks90k,
};

/// Bytes of a line.
pub(crate) const LINE_BYTES: usize = 68;

const VERSION: u8 = 1;
const SEGMENT: u8 = 1;
const FORGOTTEN: u8 = 2;
const INDEPENDENT: u8 = 1;
const DISCONTINUITY: u8 = 2;

/// A line of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// A segment file is whole and on the disk.
    Segment(Box<Stored>),
    /// Files whose cells start in these seconds were deleted, or soon are.
    Forgotten {
        /// Unix seconds.
        from: u64,
        /// Unix seconds, not included.
        until: u64,
    },
}

/// A segment file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// As playlists know it.
    pub recorded: Recorded,
    /// CRC-32C of the file.
    pub crc: u32,
    /// Length of the key period it was encrypted in, seconds: the key's day follows from it.
    pub key_period_secs: u32,
}

impl Stored {
    /// Unix seconds at which the segment's cell starts, which its name spells.
    #[must_use]
    pub fn cell_secs(&self) -> u64 {
        cell_secs(self.recorded.grid, self.recorded.entry.number)
    }
}

/// Unix seconds at which a cell starts.
pub(crate) fn cell_secs(grid: SegmentGrid, number: u64) -> u64 {
    number.saturating_mul(grid.duration_ms().into()) / 1_000
}

/// Writes a line.
pub(crate) fn encode(line: &Line) -> [u8; LINE_BYTES] {
    let mut out = [0; LINE_BYTES];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        out[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    match line {
        Line::Forgotten { from, until } => {
            put(&[VERSION, FORGOTTEN]);
            put(&from.to_be_bytes());
            put(&until.to_be_bytes());
        }
        Line::Segment(stored) => {
            let Recorded { entry, grid, ordinal, discontinuities } = &stored.recorded;
            let flags = u8::from(entry.independent) * INDEPENDENT + u8::from(entry.discontinuity) * DISCONTINUITY;
            let key = entry.key.unwrap_or(KeyRef { generation: 0, period: 0 });
            put(&[VERSION, SEGMENT, flags, u8::from(entry.key.is_some())]);
            put(&grid.duration_ms().to_be_bytes());
            put(&entry.number.to_be_bytes());
            put(&entry.start.0.to_be_bytes());
            put(&u32::try_from(entry.duration.0).unwrap_or(0).to_be_bytes());
            put(&u32::try_from(entry.bytes).unwrap_or(0).to_be_bytes());
            put(&key.generation.to_be_bytes());
            put(&key.period.to_be_bytes());
            put(&stored.crc.to_be_bytes());
            put(&ordinal.to_be_bytes());
            // Four billion discontinuities are one a second for a century.
            put(&u32::try_from(*discontinuities).unwrap_or(u32::MAX).to_be_bytes());
            put(&stored.key_period_secs.to_be_bytes());
        }
    }
    let crc = crc32c::crc32c(&out[..LINE_BYTES - 4]);
    out[LINE_BYTES - 4..].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Reads a line; `None` for a damaged one, or one of a later release.
pub(crate) fn decode(bytes: &[u8; LINE_BYTES]) -> Option<Line> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_be_bytes(*crc) || body[0] != VERSION {
        return None;
    }
    let mut rest = &body[2..];
    if body[1] == FORGOTTEN {
        return Some(Line::Forgotten {
            from: u64::from_be_bytes(take(&mut rest)?),
            until: u64::from_be_bytes(take(&mut rest)?),
        });
    }
    let [flags, keyed] = take(&mut rest)?;
    let grid = SegmentGrid::new(u32::from_be_bytes(take(&mut rest)?))?;
    let number = u64::from_be_bytes(take(&mut rest)?);
    let start = Ticks90k(i64::from_be_bytes(take(&mut rest)?));
    let duration = Ticks90k(u32::from_be_bytes(take(&mut rest)?).into());
    let bytes = u32::from_be_bytes(take(&mut rest)?).into();
    let key = KeyRef { generation: u32::from_be_bytes(take(&mut rest)?), period: u64::from_be_bytes(take(&mut rest)?) };
    let crc = u32::from_be_bytes(take(&mut rest)?);
    let ordinal = u64::from_be_bytes(take(&mut rest)?);
    let discontinuities = u32::from_be_bytes(take(&mut rest)?).into();
    let key_period_secs = u32::from_be_bytes(take(&mut rest)?);
    // A number without a name or a time outside the calendar cannot have been written.
    grid.name(number)?;
    (start.0 >= 0 && duration.0 > 0).then_some(())?;
    (start + duration).to_timestamp()?;
    let entry = Entry {
        number,
        start,
        duration,
        independent: flags & INDEPENDENT != 0,
        discontinuity: flags & DISCONTINUITY != 0,
        key: (keyed == 1).then_some(key),
        bytes,
    };
    let recorded = Recorded { entry, grid, ordinal, discontinuities };
    (body[1] == SEGMENT).then(|| Line::Segment(Box::new(Stored { recorded, crc, key_period_secs })))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A segment of 2 s at its place, with a checksum that is its number's.
    pub(crate) fn stored(number: u64) -> Stored {
        let grid = SegmentGrid::new(2_000).expect("grid");
        let entry = Entry {
            number,
            start: grid.start(number).expect("in the calendar"),
            duration: Ticks90k::from_secs(2),
            independent: true,
            discontinuity: number.is_multiple_of(7),
            key: Some(KeyRef { generation: 3, period: number / 150 }),
            bytes: 1_000,
        };
        let recorded = Recorded { entry, grid, ordinal: number, discontinuities: 5 };
        Stored { recorded, crc: 77, key_period_secs: 300 }
    }

    proptest! {
        #[test]
        fn a_line_comes_back_and_a_damaged_one_does_not(number in 0_u64..126_000_000_000, at in 0..LINE_BYTES, flip in 1_u8..) {
            for line in [Line::Segment(Box::new(stored(number))), Line::Forgotten { from: number, until: number + 9 }] {
                let mut bytes = encode(&line);
                prop_assert_eq!(decode(&bytes), Some(line));
                bytes[at] ^= flip;
                prop_assert_eq!(decode(&bytes), None);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), LINE_BYTES), kind in 0_u8..4) {
            let mut bytes: [u8; LINE_BYTES] = bytes.try_into().expect("as many as asked for");
            (bytes[0], bytes[1]) = (VERSION, kind);
            let crc = crc32c::crc32c(&bytes[..LINE_BYTES - 4]).to_be_bytes();
            bytes[LINE_BYTES - 4..].copy_from_slice(&crc);
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn nothing_is_a_line_of_zeros() {
        assert_eq!(decode(&[0; LINE_BYTES]), None);
    }
}
