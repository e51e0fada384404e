//! A recorded transport stream, played for ever at its own pace.
//!
//! Shell around `headend_media::splice`: reads the file, then gives out the packets that are due. The position in the
//! endless loop is UTC, so two nodes that play the same file give out the same packets at the same moment, whenever
//! they were started. The whole file is kept in memory, up to [`FILE_BYTES_MAX`] and one part in fifteen for its index;
//! longer recordings are refused in words, for a demonstration or an interlude needs none. Pace and steps of the wall
//! clock are dealt with here; the task in [`super::receive`] drives it.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use headend_media::packet::PACKET_BYTES;
use headend_media::resync::Resync;
use headend_media::splice::{Cursor, LoopFile, SpliceError};
use headend_media::time::Ticks90k;

/// The longest file that is played: at 4 Mbit/s, two minutes.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// The most that is given out at once after a late wake-up, and the least step of the wall clock that is a jump:
/// two seconds of ticks.
const CATCH_UP: i64 = 180_000;

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not there, or not ours to read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A folder, device or pipe.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// More than [`FILE_BYTES_MAX`].
    #[error("{} has {bytes} bytes, more than the {FILE_BYTES_MAX} that a looped file may have: cut it shorter", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// Nothing in it that can be looped.
    #[error("cannot loop {}", path.display())]
    Splice {
        /// The file.
        path: PathBuf,
        /// What is missing.
        #[source]
        source: SpliceError,
    },
}

/// A file being played.
#[derive(Debug)]
pub struct FilePlayer {
    file: LoopFile,
    cursor: Option<(Cursor, Ticks90k)>,
}

/// What [`FilePlayer::due`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Played {
    /// It went on, perhaps with nothing due.
    On,
    /// It starts here, for the first time or after a step of the wall clock: nothing joins what came before.
    Anew,
}

impl FilePlayer {
    /// Reads and indexes the file; blocks, so call it where blocking is allowed. `service` is the one the splice is
    /// made for, the first of the PAT when `None`.
    ///
    /// # Errors
    /// [`FileError`], in words for an operator.
    pub fn open(path: PathBuf, service: Option<u16>) -> Result<Self, FileError> {
        let read = |source| FileError::Read { path: path.clone(), source };
        let facts = std::fs::metadata(&path).map_err(read)?;
        if !facts.is_file() {
            return Err(FileError::NotAFile { path });
        }
        if facts.len() > FILE_BYTES_MAX {
            return Err(FileError::TooLarge { path, bytes: facts.len() });
        }
        let bytes = aligned(std::fs::read(&path).map_err(read)?);
        match LoopFile::parse(Bytes::from(bytes), service) {
            Ok(file) => Ok(Self { file, cursor: None }),
            Err(source) => Err(FileError::Splice { path, source }),
        }
    }

    /// Appends the packets that became due up to `utc`, ticks since the Unix epoch.
    pub fn due(&mut self, utc: Ticks90k, out: &mut Vec<u8>) -> Played {
        let (mut cursor, played) = match self.cursor {
            Some((cursor, last)) if (0..=CATCH_UP).contains(&(utc.0 - last.0)) => (cursor, Played::On),
            // A small step back is waited out; the packets are already on their way.
            Some((_, last)) if (-CATCH_UP..0).contains(&(utc.0 - last.0)) => return Played::On,
            _ => (self.file.seek(utc), Played::Anew),
        };
        self.file.read_until(&mut cursor, utc, out);
        self.cursor = Some((cursor, utc));
        played
    }
}

/// Recordings of demodulators with 204-byte packets, of Blu-ray tools with 192, and such that begin in the middle of a
/// packet, brought to plain packets; others are left as they are.
fn aligned(bytes: Vec<u8>) -> Vec<u8> {
    const SYNC: u8 = 0x47;
    if bytes.chunks(PACKET_BYTES).all(|packet| packet[0] == SYNC) {
        return bytes;
    }
    let (mut plain, mut resync) = (Vec::with_capacity(bytes.len()), Resync::default());
    resync.push(&bytes, &mut |packet| plain.extend_from_slice(packet.bytes()));
    resync.finish(&mut |packet| plain.extend_from_slice(packet.bytes()));
    plain
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/ts").join(name)
    }

    /// What is due from `from_ms` to `to_ms` in steps of `step_ms`, and how often it started anew.
    fn play(player: &mut FilePlayer, from_ms: i64, to_ms: i64, step_ms: i64) -> (Vec<u8>, usize) {
        let (mut out, mut anew, mut at) = (vec![], 0, from_ms);
        while at <= to_ms {
            anew += usize::from(player.due(Ticks90k(at * 90), &mut out) == Played::Anew);
            at += step_ms;
        }
        (out, anew)
    }

    const NOON: i64 = 1_795_262_400_000;

    #[test]
    fn two_nodes_give_out_the_same_packets_at_the_same_moment() {
        let open = || FilePlayer::open(fixture("h264-aac.ts"), None).unwrap();
        let (early, anew) = play(&mut open(), NOON - 40_000, NOON + 3_000, 20);
        let (late, _) = play(&mut open(), NOON, NOON + 3_000, 7);
        assert_eq!(anew, 1);
        assert!(late.len() > 300_000, "1.2 Mbit/s for three seconds, got {}", late.len());
        // The late one stops up to seven milliseconds earlier.
        assert!(early.windows(late.len()).rev().take(188 * 20).any(|window| window == late));
    }

    #[test]
    fn other_framings_come_out_as_plain_packets() {
        let plain = std::fs::read(fixture("h264-aac.ts")).unwrap();
        let framed = |before: usize, after: usize| {
            let frame = |packet: &[u8]| [&[0xEE; 20][..before], packet, &[0xEE; 20][..after]].concat();
            plain.chunks(PACKET_BYTES).flat_map(frame).collect::<Vec<u8>>()
        };
        for (before, after) in [(0, 0), (0, 16), (4, 0)] {
            assert!(aligned(framed(before, after)) == plain, "{before} bytes before and {after} after each packet");
        }
        let torn = aligned(plain[100..].to_vec());
        assert!(torn == plain[PACKET_BYTES..], "{} bytes of {}", torn.len(), plain.len());
    }

    #[test]
    fn the_pace_is_that_of_the_file() {
        let mut player = FilePlayer::open(fixture("h264-aac.ts"), None).unwrap();
        let (bytes, _) = play(&mut player, NOON, NOON + 24_000, 20);
        // Two passes of a 12 s file of 1,822,096 bytes, less what stands before its first entry point.
        assert!((3_000_000..3_800_000).contains(&bytes.len()), "{}", bytes.len());
    }

    #[test]
    fn steps_of_the_wall_clock_start_anew_or_are_waited_out() {
        let mut player = FilePlayer::open(fixture("h264-aac.ts"), None).unwrap();
        let mut step = |ms: i64| {
            let mut out = vec![];
            (player.due(Ticks90k((NOON + ms) * 90), &mut out), out.is_empty())
        };
        assert_eq!(step(0), (Played::Anew, true));
        assert_eq!(step(500), (Played::On, false));
        assert_eq!(step(-100), (Played::On, true));
        assert_eq!(step(500), (Played::On, true));
        assert_eq!(step(600), (Played::On, false));
        assert_eq!(step(60_000).0, Played::Anew);
        assert_eq!(step(0).0, Played::Anew);
    }

    #[test]
    fn what_cannot_be_played_is_said_in_words() {
        let words = |path: &Path| headend_rt::chain(&FilePlayer::open(path.to_owned(), None).unwrap_err());
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.ts");
        std::fs::File::create(&large).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        let text = folder.path().join("text.ts");
        std::fs::write(&text, "no stream").unwrap();
        assert!(words(&folder.path().join("gone.ts")).contains("gone.ts: No such file"));
        assert!(words(folder.path()).contains("is not a regular file"));
        assert!(words(&large).contains("cut it shorter"));
        assert!(words(&text).contains("text.ts: no transport packets found"), "{}", words(&text));
    }
}
