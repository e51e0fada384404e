//! Judges what a probe pulled. Pure: text and bytes in, a verdict out; any input is judged, none panics.
//!
//! A media playlist (RFC 8216 section 4.3) must name at least one segment; its newest one, decrypted, must be
//! a transport stream in sync (ISO/IEC 13818-1 section 2.4.3.2) with PAT, PMT and packets of the video that
//! the PMT promises (of the audio, for a radio service); its number must have moved on since the last look.

use std::time::Duration;

use headend_access::PeriodKeyId;
use headend_failover::{ProbeFault, StreamFault};
use headend_media::{
    packet::{PACKET_BYTES, Packet, Pid},
    section::SectionAssembler,
    table::{Pat, Pmt},
};

/// The most bytes of a playlist we read.
pub const PLAYLIST_BYTES_MAX: usize = 256 * 1024;
/// The most bytes of a segment we read: 4 s of 60 Mbit/s.
pub const SEGMENT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The newest segment of a media playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its address as written.
    pub uri: String,
    /// Its media sequence number.
    pub number: u64,
    /// Which key it was encrypted with; none when it is in the clear.
    pub key: Option<PeriodKeyId>,
    /// The playlist's target duration, seconds, 1 at least.
    pub target_secs: u32,
}

/// Reads a media playlist down to its newest segment.
///
/// # Errors
/// [`ProbeFault::Unreadable`] when it is none, names no segment, or its key is not one of ours.
pub fn newest(text: &str) -> Result<Newest, ProbeFault> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if lines.next() != Some("#EXTM3U") {
        return Err(ProbeFault::Unreadable);
    }
    let (mut first, mut count, mut uri, mut target_secs) = (None, 0_u64, None, 0);
    let (mut key, mut method) = (None, "NONE");
    let mut newest_key = (None, "NONE");
    for line in lines {
        if let Some(value) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            first = value.parse::<u64>().ok();
        } else if let Some(value) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            target_secs = value.parse().unwrap_or(0);
        } else if let Some(attributes) = line.strip_prefix("#EXT-X-KEY:") {
            method = attribute(attributes, "METHOD").unwrap_or("NONE");
            key = attribute(attributes, "URI").and_then(key_id);
        } else if !line.starts_with('#') {
            count += 1;
            uri = Some(line);
            newest_key = (key, method);
        }
    }
    let (Some(first), Some(uri)) = (first, uri) else { return Err(ProbeFault::Unreadable) };
    let number = first.checked_add(count - 1).ok_or(ProbeFault::Unreadable)?;
    let key = match newest_key {
        (_, "NONE") => None,
        (Some(id), "AES-128") => Some(id),
        _ => return Err(ProbeFault::Unreadable),
    };
    Ok(Newest { uri: uri.to_owned(), number, key, target_secs: target_secs.clamp(1, 60) })
}

/// One attribute of an attribute list, without quotes. Our values hold no comma inside quotes but addresses
/// of others may, so quotes are respected.
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=')?;
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(',').unwrap_or(value.len())),
        };
        if key.trim() == name {
            return Some(value);
        }
        rest = behind.trim_start_matches(',');
    }
    None
}

/// The key's id in an address `.../k/NAME/GENERATION-PERIOD?...`.
fn key_id(address: &str) -> Option<PeriodKeyId> {
    let path = address.split(['?', '#']).next()?;
    path.rsplit('/').next()?.parse().ok()
}

/// Judges a decrypted segment.
///
/// # Errors
/// [`ProbeFault::Unreadable`] when it is no transport stream with its tables; [`ProbeFault::Stream`] when what
/// the PMT promises is not in it.
pub fn segment(bytes: &[u8], target_secs: u32) -> Result<(), ProbeFault> {
    let (packets, tail) = bytes.as_chunks::<PACKET_BYTES>();
    if packets.is_empty() || !tail.is_empty() {
        return Err(ProbeFault::Unreadable);
    }
    let mut tables = Tables::default();
    let mut seen = vec![0_u32; Pid::COUNT];
    for bytes in packets {
        let packet = Packet::new(bytes).ok_or(ProbeFault::Unreadable)?;
        if packet.has_payload() && !packet.tei() {
            seen[packet.pid().index()] += 1;
        }
        tables.push(&packet);
    }
    let gap = u64::from(target_secs) * 1_000;
    let Some(streams) = tables.streams else {
        return Err(ProbeFault::Stream { stream: StreamFault::NoPat { for_ms: gap } });
    };
    let present = |pid: &Pid| seen[pid.index()] > 0;
    let missing = match (streams.video, streams.audio) {
        (Some(video), _) => (!present(&video)).then_some(StreamFault::Frozen { for_ms: gap }),
        (None, Some(audio)) => (!present(&audio)).then_some(StreamFault::Silent { for_ms: gap }),
        (None, None) => Some(StreamFault::NoPackets { for_ms: gap }),
    };
    missing.map_or(Ok(()), |stream| Err(ProbeFault::Stream { stream }))
}

/// What the first programme's map promises.
#[derive(Debug, Clone, Copy)]
struct Promised {
    video: Option<Pid>,
    audio: Option<Pid>,
}

/// Follows the PAT to the first PMT.
#[derive(Default)]
struct Tables {
    pat: SectionAssembler,
    pmt: SectionAssembler,
    pmt_pid: Option<Pid>,
    streams: Option<Promised>,
}

impl Tables {
    fn push(&mut self, packet: &Packet<'_>) {
        if self.streams.is_some() || !packet.has_payload() {
            return;
        }
        let (pid, payload, start) = (packet.pid(), packet.payload(), packet.unit_start());
        if pid == Pid::PAT {
            let pmt_pid = &mut self.pmt_pid;
            self.pat.push(payload, start, &mut |section| {
                if let Some(pat) = section.ok().and_then(|section| Pat::parse(section).ok()) {
                    *pmt_pid = pat.programmes.first().map(|programme| programme.pmt_pid);
                }
            });
        } else if Some(pid) == self.pmt_pid {
            let streams = &mut self.streams;
            self.pmt.push(payload, start, &mut |section| {
                if let Some(pmt) = section.ok().and_then(|section| Pmt::parse(section).ok()) {
                    let of = |is: fn(u8) -> bool| pmt.streams.iter().find(|s| is(s.stream_type)).map(|s| s.pid);
                    *streams = Some(Promised { video: of(is_video), audio: of(is_audio) });
                }
            });
        }
    }
}

/// MPEG-1, MPEG-2, H.264, HEVC (ISO/IEC 13818-1 table 2-34).
fn is_video(stream_type: u8) -> bool {
    matches!(stream_type, 0x01 | 0x02 | 0x1B | 0x24)
}

/// MPEG audio, AAC, LATM, AC-3 and E-AC-3 as ATSC writes them; 0x06 is what DVB writes for the latter two, and
/// a radio service with only such streams is judged by them.
fn is_audio(stream_type: u8) -> bool {
    matches!(stream_type, 0x03 | 0x04 | 0x06 | 0x0F | 0x11 | 0x81 | 0x87)
}

/// Whether the newest segment's number moves on, looked at every few seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    last: Option<(u64, Duration)>,
}

impl Progress {
    /// Takes the newest number, seen at `now` (monotonic).
    ///
    /// # Errors
    /// [`ProbeFault::Stalled`] when it has not grown for three target durations.
    pub fn look(&mut self, number: u64, target_secs: u32, now: Duration) -> Result<(), ProbeFault> {
        match self.last {
            Some((last, since)) if number == last => {
                let stood = now.saturating_sub(since);
                let limit = Duration::from_secs(3 * u64::from(target_secs));
                if stood > limit {
                    return Err(ProbeFault::Stalled { for_ms: u64::try_from(stood.as_millis()).unwrap_or(u64::MAX) });
                }
            }
            _ => self.last = Some((number, now)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, want: &str) {
        let got = newest(text).map_or_else(
            |fault| fault.to_string(),
            |n| {
                format!(
                    "{} #{} key {} target {}",
                    n.uri,
                    n.number,
                    n.key.map_or("none".to_owned(), |k| k.to_string()),
                    n.target_secs
                )
            },
        );
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn the_newest_segment_has_the_key_above_it() {
        let head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:100\n";
        let key = "#EXT-X-KEY:METHOD=AES-128,URI=\"http://c/k/fr/a/1-77?s=a,b&e=1\",IV=0x64\n#EXTINF:2.0,\na.ts\n";
        check(
            &format!("{head}{key}#EXT-X-KEY:METHOD=AES-128,URI=\"/k/fr/a/1-78?s=x\"\n#EXTINF:2.0,\nb.ts?x=1\n"),
            "b.ts?x=1 #101 key 1-78 target 4",
        );
        check(&format!("{head}{key}"), "a.ts #100 key 1-77 target 4");
        check(
            &format!("{head}#EXTINF:2.0,\na.ts\n#EXT-X-KEY:METHOD=AES-128,URI=\"/k/a/1-2\"\n"),
            "a.ts #100 key none target 4",
        );
    }

    #[test]
    fn what_is_no_playlist_is_unreadable() {
        let unreadable = "could not read the answer";
        check("<html>", unreadable);
        check("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo.m3u8\n", unreadable);
        check("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n", unreadable);
        check("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-KEY:METHOD=AES-128,URI=\"/k/a/what\"\na.ts\n", unreadable);
        check("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\na.ts\nb.ts\n", unreadable);
    }

    /// A recording of a real multiplex; its first programme has video.
    fn recording() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/ts/h264-aac.ts");
        let mut bytes = std::fs::read(path).unwrap();
        bytes.truncate(bytes.len() / PACKET_BYTES * PACKET_BYTES);
        bytes
    }

    fn without(bytes: &[u8], keep: impl Fn(&Packet<'_>) -> bool) -> Vec<u8> {
        let packets = bytes.as_chunks::<PACKET_BYTES>().0.iter();
        packets.filter(|bytes| keep(&Packet::new(bytes).unwrap())).flatten().copied().collect()
    }

    #[test]
    fn a_recording_is_good_and_spoilt_ones_are_not() {
        let good = recording();
        assert_eq!(segment(&good, 4), Ok(()));
        assert_eq!(segment(&good[1..], 4), Err(ProbeFault::Unreadable), "out of sync");
        assert_eq!(segment(&[], 4), Err(ProbeFault::Unreadable));
        let mut tables = Tables::default();
        good.as_chunks::<PACKET_BYTES>().0.iter().for_each(|bytes| tables.push(&Packet::new(bytes).unwrap()));
        let video = tables.streams.unwrap().video.unwrap();
        let frozen = ProbeFault::Stream { stream: StreamFault::Frozen { for_ms: 4_000 } };
        assert_eq!(segment(&without(&good, |packet| packet.pid() != video), 4), Err(frozen));
        let no_pat = ProbeFault::Stream { stream: StreamFault::NoPat { for_ms: 4_000 } };
        assert_eq!(segment(&without(&good, |packet| packet.pid() != Pid::PAT), 4), Err(no_pat));
    }

    #[test]
    fn a_number_that_stands_still_is_stalled() {
        let mut progress = Progress::default();
        let mut look = |number, secs| progress.look(number, 2, Duration::from_secs(secs));
        assert_eq!([look(5, 0), look(5, 6), look(6, 7), look(6, 13)], [Ok(()); 4]);
        assert_eq!(look(6, 14), Err(ProbeFault::Stalled { for_ms: 7_000 }));
        assert_eq!(look(7, 15), Ok(()));
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in "(#EXTM3U\n)?(#EXT-X-[A-Z-]{0,20}:|[a-z0-9=\",.]{0,20}|\n){0,30}") {
            let _ = newest(&text);
        }

        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..800)) {
            let _ = segment(&bytes, 4);
            let mut synced = bytes;
            synced.resize(synced.len() / PACKET_BYTES * PACKET_BYTES, 0);
            synced.iter_mut().step_by(PACKET_BYTES).for_each(|byte| *byte = 0x47);
            let _ = segment(&synced, 4);
        }
    }
}
