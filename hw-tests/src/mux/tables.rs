//! The tables of the multiplex: PAT, a map for each service (ISO/IEC 13818-1 §2.4.4), SDT and NIT (EN 300 468).
//!
//! Pure. The NIT lists two carriers of the satellite, the multiplex itself and one more, so that a scan has where to go.

use super::SERVICES;
use crate::air::PACKET;

const MAP: u16 = 0x100;
pub(super) const VIDEO: u16 = 0x200;
pub(super) const AUDIO: u16 = 0x300;
pub(super) const DATA: u16 = 0x400;
const H264: u8 = 0x1b;
const AAC: u8 = 0x0f;
const PRIVATE: u8 = 0x06;
const STREAM: u16 = 1;
const NETWORK: u16 = 0x3001;

/// The PID of a service's stream, the first service being 0.
pub(super) fn pid(base: u16, index: usize) -> u16 {
    base + u16::try_from(index).unwrap_or(0)
}

/// One round of all tables.
pub(super) fn all() -> Vec<[u8; PACKET]> {
    let services = 1..=SERVICES;
    let pat: Vec<u8> = services.clone().flat_map(|id| [be(id), be(0xe000 | (MAP + id - 1))].concat()).collect();
    let mut tables = vec![packet(0, &section(0x00, STREAM, &pat))];
    for index in 0..usize::from(SERVICES) {
        let stream = |kind: u8, pid: u16| [&[kind][..], &be(0xe000 | pid), &[0xf0, 0]].concat();
        let streams =
            [stream(H264, pid(VIDEO, index)), stream(AAC, pid(AUDIO, index)), stream(PRIVATE, pid(DATA, index))]
                .concat();
        let body = [&be(0xe000 | pid(VIDEO, index))[..], &[0xf0, 0], &streams].concat();
        tables.push(packet(pid(MAP, index), &section(0x02, pid(1, index), &body)));
    }
    let named = |id: u16| {
        let name = format!("B{id}");
        let service = [&[0x48, u8::try_from(3 + name.len()).unwrap_or(0), 1, 0, 2][..], name.as_bytes()].concat();
        [&be(id)[..], &[0xfc], &be(0x8000 | len(&service)), &service].concat()
    };
    let names: Vec<u8> = services.flat_map(named).collect();
    tables.push(packet(0x11, &section(0x42, STREAM, &[&be(NETWORK)[..], &[0xff], &names].concat())));
    // 12.212 and 12.252 GHz, 19.2 degrees east, horizontal, S2 8PSK, 27.5 MBd, 3/4 (EN 300 468 §6.2.13.2).
    let carrier = |stream: u16, frequency: [u8; 4]| {
        let delivery = [&[0x43, 11][..], &frequency, &[0x01, 0x92, 0x86, 0x02, 0x75, 0x00, 0x03]].concat();
        [&be(stream)[..], &be(NETWORK), &be(0xf000 | len(&delivery)), &delivery].concat()
    };
    let carriers = [carrier(STREAM, [0x01, 0x22, 0x12, 0x00]), carrier(STREAM + 1, [0x01, 0x22, 0x52, 0x00])].concat();
    let body = [&be(0xf000)[..], &be(0xf000 | len(&carriers)), &carriers].concat();
    tables.push(packet(0x10, &section(0x40, NETWORK, &body)));
    tables
}

fn be(value: u16) -> [u8; 2] {
    value.to_be_bytes()
}

fn len(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).unwrap_or(0)
}

/// A section in long form, version 0, the only one of its table.
fn section(table: u8, extension: u16, body: &[u8]) -> Vec<u8> {
    let mut section = vec![table];
    section.extend(be(0xb000 | (len(body) + 9)));
    section.extend(be(extension));
    section.extend([0xc1, 0, 0]);
    section.extend(body);
    section.extend(crc(&section).to_be_bytes());
    section
}

/// A section that fits into one packet, as all of these do.
fn packet(pid: u16, section: &[u8]) -> [u8; PACKET] {
    let mut packet = [0xff; PACKET];
    let [high, low] = pid.to_be_bytes();
    packet[..5].copy_from_slice(&[0x47, 0x40 | high, low, 0x10, 0]);
    packet[5..5 + section.len()].copy_from_slice(section);
    packet
}

/// CRC_32 of ISO/IEC 13818-1 Annex A.
fn crc(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
    bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte) << 24, bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_with_its_crc_gives_zero() {
        assert_eq!(crc(&section(0, 1, &[1, 2, 3])), 0);
        assert_eq!(all().len(), 3 + usize::from(SERVICES));
    }
}
