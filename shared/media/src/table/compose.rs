//! Builds sections for the tests of this package: the multiplexer's half of the standard.

use crate::crc;

/// A long section with a right length and CRC_32; `numbers` are `section_number` and `last_section_number`.
pub(crate) fn section(
    table_id: u8,
    extension: u16,
    version: u8,
    numbers: (u8, u8),
    body: &[u8],
) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len() + 9).unwrap().to_be_bytes();
    let [ext_high, ext_low] = extension.to_be_bytes();
    let mut section = vec![
        table_id,
        0xF0 | high,
        low,
        ext_high,
        ext_low,
        0xC1 | version << 1,
        numbers.0,
        numbers.1,
    ];
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
