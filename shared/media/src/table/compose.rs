//! Builds sections and packets for the tests of this package: the multiplexer's half of the standard.

use crate::crc;
use crate::packet::{PACKET_BYTES, Pid, SYNC_BYTE};

/// A long section with a right length and CRC_32; `numbers` are `section_number` and `last_section_number`.
pub(crate) fn section(table_id: u8, extension: u16, version: u8, numbers: (u8, u8), body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len() + 9).unwrap().to_be_bytes();
    let [ext_high, ext_low] = extension.to_be_bytes();
    let mut section = vec![table_id, 0xF0 | high, low, ext_high, ext_low, 0xC1 | version << 1, numbers.0, numbers.1];
    section.extend_from_slice(body);
    crc::append(&mut section);
    section
}

/// Bytes behind the 12-bit length of a loop.
pub(crate) fn counted(bytes: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0xF0 | high, low], bytes].concat()
}

/// A descriptor: tag, length, body.
pub(crate) fn descriptor(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(body.len()).unwrap()], body].concat()
}

/// Packets of one PID that carry one section, counting on from `counter`.
pub(crate) fn packets(pid: Pid, section: &[u8], counter: &mut u8) -> Vec<[u8; PACKET_BYTES]> {
    let stream = [&[0], section].concat();
    let [high, low] = pid.value().to_be_bytes();
    let mut packets = vec![];
    for (number, payload) in stream.chunks(PACKET_BYTES - 4).enumerate() {
        let start = if number == 0 { 0x40 } else { 0 };
        let mut packet = [0xFF; PACKET_BYTES];
        packet[..4].copy_from_slice(&[SYNC_BYTE, start | high, low, 0x10 | *counter]);
        packet[4..4 + payload.len()].copy_from_slice(payload);
        packets.push(packet);
        *counter = (*counter + 1) & 0x0F;
    }
    packets
}
