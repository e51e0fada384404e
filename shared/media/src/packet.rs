//! One transport packet: 188 bytes read as ISO/IEC 13818-1 §2.4.3.2 and §2.4.3.4 lay them out.
//!
//! A view over borrowed bytes; nothing is copied and nothing can fail after the sync byte was right. A field that
//! contradicts the packet's length reads as absent, because a headend must carry on. Finding where packets start is
//! `resync`'s job, counting is `continuity`'s. Adaptation field flags and PCR are read by mpeg2ts-reader.

use mpeg2ts_reader::packet::AdaptationField;

/// Bytes of a transport packet (§2.4.3.2).
pub const PACKET_BYTES: usize = 188;

/// First byte of every transport packet.
pub const SYNC_BYTE: u8 = 0x47;

const HEADER_BYTES: usize = 4;

/// Packet identifier, 13 bits: which stream of the multiplex a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Pid(u16);

impl Pid {
    /// How many PIDs there are, 0 to 0x1FFF.
    pub const COUNT: usize = 0x2000;
    /// Programme association table.
    pub const PAT: Self = Self(0);
    /// Conditional access table.
    pub const CAT: Self = Self(1);
    /// Network information table (EN 300 468 §5.1.3).
    pub const NIT: Self = Self(0x10);
    /// Service description and bouquet association tables.
    pub const SDT: Self = Self(0x11);
    /// Event information table.
    pub const EIT: Self = Self(0x12);
    /// Time and date, time offset tables.
    pub const TDT: Self = Self(0x14);
    /// Stuffing packets; as a PCR_PID it says "there is none".
    pub const NULL: Self = Self(0x1FFF);

    /// The PID in the low 13 bits; the three bits above are other fields on the wire and are dropped.
    pub const fn new(bits: u16) -> Self {
        Self(bits & 0x1FFF)
    }

    /// The number, 0 to 0x1FFF.
    pub const fn value(self) -> u16 {
        self.0
    }

    /// The number as an index into a table of [`Self::COUNT`] entries.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl std::fmt::Display for Pid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{:04X}", self.0)
    }
}

impl From<Pid> for u16 {
    fn from(pid: Pid) -> Self {
        pid.0
    }
}

/// `transport_scrambling_control` (§2.4.3.3; meanings of DVB, ETSI TS 100 289 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scrambling {
    /// The payload is readable.
    Clear,
    /// Value 01, reserved by DVB.
    Reserved,
    /// Scrambled with the even control word.
    Even,
    /// Scrambled with the odd control word.
    Odd,
}

/// What an adaptation field says, as far as a headend acts on it (§2.4.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Adaptation {
    /// `discontinuity_indicator`: the counter or the time base may jump here on purpose.
    pub discontinuity: bool,
    /// `random_access_indicator`: decoding can start with this packet's payload.
    pub random_access: bool,
    /// Programme clock reference in ticks of 27 MHz, below 2^33 x 300 for well-formed streams.
    pub pcr: Option<u64>,
}

/// A transport packet whose sync byte is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    bytes: &'a [u8; PACKET_BYTES],
}

impl<'a> Packet<'a> {
    /// Looks at 188 bytes as a packet; `None` when the first is not 0x47.
    pub fn new(bytes: &'a [u8; PACKET_BYTES]) -> Option<Self> {
        (bytes[0] == SYNC_BYTE).then_some(Self { bytes })
    }

    /// The same for a slice; `None` also when it is not 188 bytes long.
    pub fn from_slice(bytes: &'a [u8]) -> Option<Self> {
        bytes.try_into().ok().and_then(Self::new)
    }

    /// The packet as it is on the wire.
    pub fn bytes(&self) -> &'a [u8; PACKET_BYTES] {
        self.bytes
    }

    /// Which stream the packet belongs to. Not to be trusted when [`Self::tei`] is set.
    pub fn pid(&self) -> Pid {
        Pid::new(u16::from_be_bytes([self.bytes[1], self.bytes[2]]))
    }

    /// `transport_error_indicator`: the demodulator could not correct this packet.
    pub fn tei(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    /// `payload_unit_start_indicator`: a PES packet starts, or a pointer_field leads to a section.
    pub fn unit_start(&self) -> bool {
        self.bytes[1] & 0x40 != 0
    }

    /// `transport_scrambling_control`.
    pub fn scrambling(&self) -> Scrambling {
        match self.bytes[3] >> 6 {
            0 => Scrambling::Clear,
            1 => Scrambling::Reserved,
            2 => Scrambling::Even,
            _ => Scrambling::Odd,
        }
    }

    /// `continuity_counter`, 0 to 15.
    pub fn continuity(&self) -> u8 {
        self.bytes[3] & 0x0F
    }

    /// Whether `adaptation_field_control` announces a payload; only such packets count in the continuity counter.
    pub fn has_payload(&self) -> bool {
        self.bytes[3] & 0x10 != 0
    }

    /// Whether `adaptation_field_control` announces an adaptation field.
    pub fn has_adaptation(&self) -> bool {
        self.bytes[3] & 0x20 != 0
    }

    /// The adaptation field's flags; `None` when there is no field, it is empty, or longer than the packet.
    pub fn adaptation(&self) -> Option<Adaptation> {
        if !self.has_adaptation() || self.bytes[4] == 0 {
            return None;
        }
        let field = AdaptationField::new(self.bytes.get(5..self.payload_offset())?);
        Some(Adaptation {
            discontinuity: field.discontinuity_indicator(),
            random_access: field.random_access_indicator(),
            pcr: field.pcr().ok().map(u64::from),
        })
    }

    /// Where the payload starts: 4 with no adaptation field; above 188 when the field's length is a lie.
    pub fn payload_offset(&self) -> usize {
        if self.has_adaptation() { HEADER_BYTES + 1 + usize::from(self.bytes[4]) } else { HEADER_BYTES }
    }

    /// The payload; empty when there is none or the adaptation field leaves no room for it.
    pub fn payload(&self) -> &'a [u8] {
        if !self.has_payload() {
            return &[];
        }
        self.bytes.get(self.payload_offset()..).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(head: &[u8]) -> [u8; PACKET_BYTES] {
        let mut bytes = [0xFF; PACKET_BYTES];
        bytes[..head.len()].copy_from_slice(head);
        bytes
    }

    fn check(head: &[u8], adaptation: Option<Adaptation>, payload_bytes: usize) {
        let bytes = bytes(head);
        let packet = Packet::new(&bytes).unwrap();
        assert_eq!(packet.adaptation(), adaptation, "{head:02x?}");
        assert_eq!(packet.payload().len(), payload_bytes, "{head:02x?}");
    }

    #[test]
    fn header_fields() {
        let bytes = bytes(&[0x47, 0x51, 0x02, 0x9A]);
        let packet = Packet::new(&bytes).unwrap();
        assert_eq!((packet.pid(), packet.pid().to_string()), (Pid::new(0x1102), "0x1102".into()));
        assert!(packet.unit_start() && !packet.tei() && packet.has_payload() && !packet.has_adaptation());
        assert_eq!((packet.scrambling(), packet.continuity()), (Scrambling::Even, 10));
        assert!(Packet::new(&[0x48; PACKET_BYTES]).is_none());
        assert!(Packet::from_slice(&bytes[..187]).is_none());
        assert_eq!(Pid::new(0xFFFF), Pid::NULL);
    }

    #[test]
    fn adaptation_and_payload() {
        let flags = |discontinuity, random_access, pcr| Some(Adaptation { discontinuity, random_access, pcr });
        check(&[0x47, 0, 0, 0x10], None, 184);
        check(&[0x47, 0, 0, 0x30, 0], None, 183);
        check(&[0x47, 0, 0, 0x30, 1, 0xC0], flags(true, true, None), 182);
        // PCR base 2, extension 257.
        let pcr = [0x47, 0, 0, 0x30, 7, 0x10, 0, 0, 0, 1, 0x7F, 0x01];
        check(&pcr, flags(false, false, Some(2 * 300 + 257)), 176);
        check(&[0x47, 0, 0, 0x20, 183, 0x40], flags(false, true, None), 0);
        // A PCR that does not fit into its field, and fields longer than the packet.
        check(&[0x47, 0, 0, 0x30, 3, 0x10], flags(false, false, None), 180);
        check(&[0x47, 0, 0, 0x30, 184, 0x10], None, 0);
        check(&[0x47, 0, 0, 0x30, 255, 0x10], None, 0);
    }

    proptest! {
        #[test]
        fn any_packet_can_be_read(tail in proptest::collection::vec(any::<u8>(), 187)) {
            let bytes = bytes(&[&[SYNC_BYTE][..], &tail].concat());
            let packet = Packet::new(&bytes).unwrap();
            let _ = (packet.adaptation(), packet.scrambling());
            prop_assert!(packet.payload().len() <= 184);
            prop_assert!(packet.pid().index() < Pid::COUNT);
        }
    }
}
