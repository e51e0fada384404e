//! Packetised elementary stream headers: read, rewrite in place, write.
//!
//! Sans-IO: the first payload bytes of a PES packet in, a header value or a [`Defect`] out. It does not gather whole
//! PES packets and knows nothing of the elementary stream inside: that is `es`. The packager drives it, once per packet
//! with `payload_unit_start_indicator`. Layout is ISO/IEC 13818-1 §2.4.3.6 and §2.4.3.7.
//!
//! Real multiplexers get the four prefix bits of a time stamp wrong and nothing minds, so they are not checked; the
//! three marker bits are, because a damaged packet shows there first.

/// Time stamps count modulo this many 90 kHz ticks (33 bits, about 26.5 hours).
pub const TIMESTAMP_MODULUS: u64 = 1 << 33;

const TIMESTAMP_MASK: u64 = TIMESTAMP_MODULUS - 1;
/// Start code, `stream_id` and `PES_packet_length`.
const FIXED_BYTES: usize = 6;
/// The fixed part, two bytes of flags and `PES_header_data_length`.
const FLAGS_END: usize = 9;
const TIMESTAMP_BYTES: usize = 5;
const ESCR_BYTES: usize = 6;

/// Why the bytes are no usable PES header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Fewer bytes than the header's time stamps need.
    #[error("pes header cut short at {have} of {want} bytes")]
    CutShort {
        /// Bytes given.
        have: usize,
        /// Bytes needed to read the flags and time stamps.
        want: usize,
    },
    /// The payload does not begin with `packet_start_code_prefix`.
    #[error("no pes start code prefix")]
    NoStartCode,
    /// The flags do not open with `10`, or the optional fields do not fit in the header.
    #[error("pes header flags contradict themselves")]
    BadFlags,
}

/// What a PES packet says about itself before its elementary stream bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PesHeader {
    /// `stream_id`: 0xE0..=0xEF video, 0xC0..=0xDF audio, 0xBD private (AC-3, subtitles, teletext).
    pub stream_id: u8,
    /// `PES_packet_length`: bytes behind that field; 0 means open-ended, as video is.
    pub packet_length: u16,
    /// `data_alignment_indicator`.
    pub data_alignment: bool,
    /// `PES_scrambling_control`, 0 for clear.
    pub scrambling: u8,
    /// Presentation time, 33 bits of 90 kHz; `None` when absent or when its marker bits are damaged.
    pub pts: Option<u64>,
    /// Decoding time, where it differs from the presentation time; 33 bits of 90 kHz.
    pub dts: Option<u64>,
    /// Bytes from the start code to the first elementary stream byte; may exceed the bytes given, since a header of up
    /// to 264 bytes can go on in the next transport packet.
    pub header_bytes: usize,
}

impl PesHeader {
    /// Reads the header at the start of `bytes`, the payload of a packet with `payload_unit_start_indicator`.
    ///
    /// # Errors
    /// [`Defect`] when it is no PES packet, or is cut before its time stamps end.
    pub fn parse(bytes: &[u8]) -> Result<Self, Defect> {
        let fields = Fields::find(bytes)?;
        let read = |at: Option<usize>| at.and_then(|at| read_timestamp(bytes.get(at..at + TIMESTAMP_BYTES)?));
        let flags = if fields.plain { 0 } else { bytes[6] };
        Ok(Self {
            stream_id: bytes[3],
            packet_length: u16::from_be_bytes([bytes[4], bytes[5]]),
            data_alignment: flags & 0x04 != 0,
            scrambling: (flags >> 4) & 0x03,
            pts: read(fields.pts),
            dts: read(fields.dts),
            header_bytes: fields.header_bytes,
        })
    }

    /// When the access unit is decoded: the DTS, or the PTS where no DTS is written.
    #[must_use]
    pub fn decode_time(&self) -> Option<u64> {
        self.dts.or(self.pts)
    }

    /// Elementary stream bytes of `bytes`, the same payload this header was parsed from; empty when the header itself
    /// goes on in the next packet.
    #[must_use]
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.header_bytes..).unwrap_or(&[])
    }
}

/// Puts every readable time stamp of a PES header (PTS, DTS, and the base of ESCR) through `map`, in place, and returns
/// the header as it is now. `map` takes and gives 33-bit 90 kHz ticks; larger results are taken modulo 2^33.
///
/// # Errors
/// As [`PesHeader::parse`]; nothing was changed then.
pub fn map_timestamps(bytes: &mut [u8], mut map: impl FnMut(u64) -> u64) -> Result<PesHeader, Defect> {
    let fields = Fields::find(bytes)?;
    for at in [fields.pts, fields.dts].into_iter().flatten() {
        let field = &mut bytes[at..at + TIMESTAMP_BYTES];
        if let Some(old) = read_timestamp(field) {
            let prefix = field[0] & 0xF0;
            field.copy_from_slice(&timestamp_field(prefix, map(old)));
        }
    }
    if let Some(at) = fields.escr {
        let field = &mut bytes[at..at + ESCR_BYTES];
        write_escr_base(field, map(read_escr_base(field)));
    }
    PesHeader::parse(bytes)
}

/// A PES header to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PesStart {
    /// `stream_id`, one of those that carry the optional header (see [`PesHeader::stream_id`]).
    pub stream_id: u8,
    /// `data_alignment_indicator`.
    pub data_alignment: bool,
    /// Presentation time, taken modulo 2^33.
    pub pts: Option<u64>,
    /// Decoding time, taken modulo 2^33; only written beside a PTS, as the standard forbids it alone.
    pub dts: Option<u64>,
}

impl PesStart {
    /// Appends the header for `payload_bytes` of elementary stream: 9, 14 or 19 bytes. A packet too long for
    /// `PES_packet_length` is written open-ended (0), which the standard grants to video.
    pub fn append_to(&self, payload_bytes: usize, out: &mut Vec<u8>) {
        let dts = self.pts.and(self.dts);
        let stamps = usize::from(self.pts.is_some()) + usize::from(dts.is_some());
        let optional = stamps * TIMESTAMP_BYTES;
        let length = u16::try_from(FLAGS_END - FIXED_BYTES + optional + payload_bytes).unwrap_or(0);
        out.extend_from_slice(&[0, 0, 1, self.stream_id]);
        out.extend_from_slice(&length.to_be_bytes());
        out.push(0x80 | if self.data_alignment { 0x04 } else { 0 });
        out.push([0x00, 0x80, 0xC0][stamps]);
        out.push([0, 5, 10][stamps]);
        if let Some(pts) = self.pts {
            out.extend_from_slice(&timestamp_field(if dts.is_some() { 0x30 } else { 0x20 }, pts));
        }
        if let Some(dts) = dts {
            out.extend_from_slice(&timestamp_field(0x10, dts));
        }
    }
}

/// Where the optional fields lie, all of them inside the bytes given.
struct Fields {
    /// The stream kind has no flags and no optional header.
    plain: bool,
    pts: Option<usize>,
    dts: Option<usize>,
    escr: Option<usize>,
    header_bytes: usize,
}

impl Fields {
    fn find(bytes: &[u8]) -> Result<Self, Defect> {
        let have = bytes.len();
        if !bytes.iter().zip([0, 0, 1]).all(|(byte, want)| *byte == want) {
            return Err(Defect::NoStartCode);
        }
        if have < FIXED_BYTES {
            return Err(Defect::CutShort { have, want: FIXED_BYTES });
        }
        if has_no_flags(bytes[3]) {
            return Ok(Self { plain: true, pts: None, dts: None, escr: None, header_bytes: FIXED_BYTES });
        }
        if have < FLAGS_END {
            return Err(Defect::CutShort { have, want: FLAGS_END });
        }
        if bytes[6] & 0xC0 != 0x80 {
            return Err(Defect::BadFlags);
        }
        let header_bytes = FLAGS_END + usize::from(bytes[8]);
        let mut next = FLAGS_END;
        let mut take = |present: bool, length: usize| {
            let at = next;
            next += if present { length } else { 0 };
            present.then_some(at)
        };
        // `PTS_DTS_flags` 01 is forbidden; it is read as no time stamp.
        let pts = take(bytes[7] & 0x80 != 0, TIMESTAMP_BYTES);
        let dts = take(bytes[7] & 0xC0 == 0xC0, TIMESTAMP_BYTES);
        let escr = take(bytes[7] & 0x20 != 0, ESCR_BYTES);
        if next > header_bytes {
            return Err(Defect::BadFlags);
        }
        if next > have {
            return Err(Defect::CutShort { have, want: next });
        }
        Ok(Self { plain: false, pts, dts, escr, header_bytes })
    }
}

/// Stream kinds without the optional header (§2.4.3.7, table 2-22).
fn has_no_flags(stream_id: u8) -> bool {
    matches!(stream_id, 0xBC | 0xBE | 0xBF | 0xF0 | 0xF1 | 0xF2 | 0xF8 | 0xFF)
}

/// The 33 bits of a five-byte field, or `None` when a marker bit is missing.
fn read_timestamp(field: &[u8]) -> Option<u64> {
    let &[a, b, c, d, e] = field else { return None };
    if a & c & e & 1 == 0 {
        return None;
    }
    Some(
        u64::from(a >> 1 & 0x07) << 30
            | u64::from(b) << 22
            | u64::from(c >> 1) << 15
            | u64::from(d) << 7
            | u64::from(e >> 1),
    )
}

fn timestamp_field(prefix: u8, ticks: u64) -> [u8; TIMESTAMP_BYTES] {
    let ticks = ticks & TIMESTAMP_MASK;
    [
        prefix | low_byte(ticks >> 29) & 0x0E | 1,
        low_byte(ticks >> 22),
        low_byte(ticks >> 14) & 0xFE | 1,
        low_byte(ticks >> 7),
        low_byte(ticks << 1) & 0xFE | 1,
    ]
}

fn low_byte(value: u64) -> u8 {
    value.to_be_bytes()[7]
}

/// ESCR: 2 reserved bits, base 32..30, marker, base 29..15, marker, base 14..0, marker, 9 bits extension, marker.
const ESCR_BASE_BITS: u64 = 0x7 << 43 | 0x7FFF << 27 | 0x7FFF << 11;

fn read_escr_base(field: &[u8]) -> u64 {
    let all = field.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    (all >> 43 & 0x7) << 30 | (all >> 27 & 0x7FFF) << 15 | (all >> 11 & 0x7FFF)
}

fn write_escr_base(field: &mut [u8], base: u64) {
    let old = field.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let base = (base >> 30 & 0x7) << 43 | (base >> 15 & 0x7FFF) << 27 | (base & 0x7FFF) << 11;
    let new = (old & !ESCR_BASE_BITS) | base;
    field.copy_from_slice(&new.to_be_bytes()[2..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    /// Parses and names what matters, or the defect.
    fn check(bytes: &[u8], want: &str) {
        let got = match PesHeader::parse(bytes) {
            Ok(header) => format!(
                "{:02x} length {} pts {:?} dts {:?} payload at {}",
                header.stream_id, header.packet_length, header.pts, header.dts, header.header_bytes
            ),
            Err(defect) => defect.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn video_with_both_stamps() {
        let bytes =
            [0, 0, 1, 0xE0, 0, 0, 0x84, 0xC0, 10, 0x31, 0x00, 0x05, 0xBF, 0x21, 0x11, 0x00, 0x05, 0xA3, 0x01, 0, 0, 1];
        check(&bytes, "e0 length 0 pts Some(90000) dts Some(86400) payload at 19");
    }

    #[test]
    fn odd_headers() {
        check(&[0, 0, 1, 0xBE, 0, 2, 0xFF, 0xFF], "be length 2 pts None dts None payload at 6");
        check(&[0, 0, 1, 0xC0, 0, 9, 0x80, 0x40, 5, 0, 0, 0, 0, 0], "c0 length 9 pts None dts None payload at 14");
        check(&[0, 0, 1, 0xC0, 0, 9, 0x80, 0x80, 5, 0x20, 0, 0, 0, 0], "c0 length 9 pts None dts None payload at 14");
        check(&[0, 0, 1, 0xC0, 0, 9, 0x80, 0x00, 200], "c0 length 9 pts None dts None payload at 209");
    }

    #[test]
    fn defects() {
        check(&[], "pes header cut short at 0 of 6 bytes");
        check(&[0, 1, 1, 0xE0], "no pes start code prefix");
        check(&[0, 0, 1, 0xE0, 0, 0, 0x80, 0x80], "pes header cut short at 8 of 9 bytes");
        check(&[0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5, 0x21, 0], "pes header cut short at 11 of 14 bytes");
        check(&[0, 0, 1, 0xE0, 0, 0, 0x0F, 0xFF, 0xFF], "pes header flags contradict themselves");
        check(&[0, 0, 1, 0xE0, 0, 0, 0x80, 0xC0, 5, 0x21, 0, 1, 0, 1], "pes header flags contradict themselves");
    }

    #[test]
    fn escr_moves_with_the_rest() {
        let mut bytes = vec![0, 0, 1, 0xE0, 0, 0, 0x80, 0xA0, 11];
        bytes.extend_from_slice(&timestamp_field(0x20, 1000));
        bytes.extend_from_slice(&[0xC4, 0x00, 0x04, 0x00, 0x04, 0x01]);
        write_escr_base(&mut bytes[14..], 500);
        let header = map_timestamps(&mut bytes, |old| old + TIMESTAMP_MODULUS - 600).unwrap();
        assert_eq!(header.pts, Some(400));
        assert_eq!(read_escr_base(&bytes[14..]), TIMESTAMP_MODULUS - 100);
        assert_eq!(bytes[14] & 0xC4, 0xC4, "reserved and marker bits stay");
    }

    proptest! {
        #[test]
        fn written_then_parsed_is_the_same(
            pts in prop::option::of(0..TIMESTAMP_MODULUS), dts in prop::option::of(0..TIMESTAMP_MODULUS),
            data_alignment in any::<bool>(), payload in 0_usize..70_000,
        ) {
            let start = PesStart { stream_id: 0xE0, data_alignment, pts, dts };
            let mut bytes = vec![];
            start.append_to(payload, &mut bytes);
            let header = PesHeader::parse(&bytes).unwrap();
            assert_eq!((header.pts, header.dts), (pts, pts.and(dts)));
            assert_eq!(header.data_alignment, data_alignment);
            assert_eq!(header.header_bytes, bytes.len());
            let length = bytes.len() - 6 + payload;
            assert_eq!(usize::from(header.packet_length), if length > 65_535 { 0 } else { length });
        }

        #[test]
        fn mapping_touches_only_the_stamps(
            pts in 0..TIMESTAMP_MODULUS, dts in 0..TIMESTAMP_MODULUS, shift in 0..TIMESTAMP_MODULUS,
        ) {
            let mut bytes = vec![];
            PesStart { stream_id: 0xE0, data_alignment: true, pts: Some(pts), dts: Some(dts) }.append_to(0, &mut bytes);
            let before = bytes.clone();
            let moved = map_timestamps(&mut bytes, |old| old + shift).unwrap();
            assert_eq!(moved.pts, Some((pts + shift) % TIMESTAMP_MODULUS));
            assert_eq!(moved.dts, Some((dts + shift) % TIMESTAMP_MODULUS));
            map_timestamps(&mut bytes, |old| old + TIMESTAMP_MODULUS - shift).unwrap();
            assert_eq!(bytes, before);
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..64), flags in any::<[u8; 3]>()) {
            let _ = PesHeader::parse(&bytes);
            for (place, byte) in bytes.iter_mut().zip([0, 0, 1, 0xE0, 0, 0].into_iter().chain(flags)) {
                *place = byte;
            }
            let parsed = PesHeader::parse(&bytes);
            let length = bytes.len();
            assert_eq!(map_timestamps(&mut bytes, |old| old).is_ok(), parsed.is_ok());
            assert_eq!(bytes.len(), length);
            if let Ok(header) = parsed {
                assert!(header.header_bytes <= 264);
                assert!(header.payload(&bytes).len() <= length);
            }
        }
    }
}
