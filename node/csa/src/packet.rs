//! The few fields of a transport packet that scrambling turns on.
//!
//! ISO/IEC 13818-1 §2.4.3.2 (header) and §2.4.3.4 (adaptation field); ETSI TS 100 289 for what the two control bits mean.
//! Only payload is ever scrambled: header and adaptation field stay in the clear.

use std::ops::Range;

/// Bytes of a packet.
pub const PACKET_BYTES: usize = 188;

/// PIDs there are.
pub(crate) const PIDS: usize = 0x2000;

const SYNC: u8 = 0x47;
const HEADER_BYTES: usize = 4;
const CONTROL: u8 = 0xC0;

/// Which of a service's two control words a packet is scrambled with. They take turns, so that the next is there in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// `transport_scrambling_control` 10.
    Even,
    /// `transport_scrambling_control` 11.
    Odd,
}

/// What `transport_scrambling_control` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Clear,
    /// 01, which DVB keeps for itself.
    Reserved,
    Scrambled(Parity),
}

/// A packet whose header makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) pid: u16,
    pub(crate) control: Control,
    /// Where the payload lies in the packet; empty when there is none.
    pub(crate) payload: Range<usize>,
}

impl Header {
    /// Reads a header; none if it cannot be relied upon: no sync byte, `transport_error_indicator`, the reserved
    /// adaptation field control 00, or an adaptation field that leads out of the packet.
    pub(crate) fn read(packet: &[u8; PACKET_BYTES]) -> Option<Self> {
        let [SYNC, high, low, flags, adaptation, ..] = *packet else { return None };
        if high & 0x80 != 0 {
            return None;
        }
        let behind = HEADER_BYTES + 1 + usize::from(adaptation);
        let start = match flags >> 4 & 3 {
            1 => HEADER_BYTES,
            2 => PACKET_BYTES,
            3 if behind <= PACKET_BYTES => behind,
            _ => return None,
        };
        let control = match flags & CONTROL {
            0x00 => Control::Clear,
            0x40 => Control::Reserved,
            0x80 => Control::Scrambled(Parity::Even),
            _ => Control::Scrambled(Parity::Odd),
        };
        Some(Self { pid: u16::from_be_bytes([high & 0x1F, low]), control, payload: start..PACKET_BYTES })
    }
}

/// Writes the control bits: none for a packet in the clear.
pub(crate) fn mark(packet: &mut [u8; PACKET_BYTES], parity: Option<Parity>) {
    let bits = match parity {
        None => 0x00,
        Some(Parity::Even) => 0x80,
        Some(Parity::Odd) => 0xC0,
    };
    packet[3] = packet[3] & !CONTROL | bits;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(start: [u8; 5], want: Option<(u16, Control, Range<usize>)>) {
        let mut packet = [0xEE; PACKET_BYTES];
        packet[..5].copy_from_slice(&start);
        let got = Header::read(&packet).map(|header| (header.pid, header.control, header.payload));
        assert_eq!(got, want, "{start:02x?}");
    }

    #[test]
    fn headers() {
        check([0x47, 0x01, 0x00, 0x10, 0xFF], Some((0x100, Control::Clear, 4..188)));
        check([0x47, 0x5F, 0xFF, 0x90, 0xFF], Some((0x1FFF, Control::Scrambled(Parity::Even), 4..188)));
        check([0x47, 0x00, 0x64, 0xF0, 0], Some((0x64, Control::Scrambled(Parity::Odd), 5..188)));
        check([0x47, 0x00, 0x64, 0xF0, 182], Some((0x64, Control::Scrambled(Parity::Odd), 187..188)));
        check([0x47, 0x00, 0x64, 0xF0, 183], Some((0x64, Control::Scrambled(Parity::Odd), 188..188)));
        check([0x47, 0x00, 0x64, 0x60, 183], Some((0x64, Control::Reserved, 188..188)));
        check([0x47, 0x00, 0x64, 0xF0, 184], None);
        check([0x47, 0x00, 0x64, 0x80, 0], None);
        check([0x47, 0x80, 0x64, 0x90, 0], None);
        check([0x46, 0x00, 0x64, 0x90, 0], None);
    }

    #[test]
    fn marks_touch_nothing_else() {
        let mut packet = [0xFF; PACKET_BYTES];
        mark(&mut packet, Some(Parity::Even));
        assert_eq!(packet[3], 0xBF);
        mark(&mut packet, Some(Parity::Odd));
        assert_eq!(packet, [0xFF; PACKET_BYTES]);
        mark(&mut packet, None);
        assert_eq!(packet[3], 0x3F);
    }
}
