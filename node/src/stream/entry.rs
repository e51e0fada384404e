//! Where a viewer of the endless stream can come in: pure.
//!
//! A decoder needs the tables, then a picture that depends on none before it. The packager sends PAT and PMT where a
//! segment starts, right before such a picture, and random_access_indicator (ISO/IEC 13818-1 §2.4.3.5) marks it where
//! the source did.

use headend_media::{
    package::{PMT_PID, VIDEO_PID},
    packet::{PACKET_BYTES, Packet, Pid},
};

/// Offset of the last point of entry in whole packets of the endless stream.
pub(super) fn entry_point(packets: &[u8]) -> Option<usize> {
    let (whole, _) = packets.as_chunks::<PACKET_BYTES>();
    let (mut tables, mut found) = (None, None);
    for (index, packet) in whole.iter().enumerate() {
        let Some(packet) = Packet::new(packet) else { continue };
        match packet.pid() {
            Pid::PAT => tables = Some(index),
            PMT_PID => {}
            pid => {
                let random = packet.adaptation().is_some_and(|adaptation| adaptation.random_access);
                if pid == VIDEO_PID && packet.unit_start() && random {
                    found = tables.or(found);
                }
                tables = None;
            }
        }
    }
    found.map(|index| index * PACKET_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `T` PAT, `M` PMT, `I` a picture to enter at, `v` other video, `a` sound.
    fn check(text: &str, want: Option<usize>) {
        let packet = |kind: char| {
            let (pid, random) = match kind {
                'T' => (0_u16, false),
                'M' => (0x1000, false),
                'I' => (0x100, true),
                'v' => (0x100, false),
                _ => (0x110, true),
            };
            let [high, low] = pid.to_be_bytes();
            let mut bytes = vec![0x47, 0x40 | high, low, 0x30, 1, if random { 0x40 } else { 0 }];
            bytes.resize(PACKET_BYTES, 0);
            bytes
        };
        let packets: Vec<u8> = text.chars().flat_map(packet).collect();
        assert_eq!(entry_point(&packets).map(|offset| offset / PACKET_BYTES), want, "{text}");
    }

    #[test]
    fn entries_are_pictures_right_behind_the_tables() {
        check("", None);
        check("TMI", Some(0));
        check("vaTMIva", Some(2));
        check("TMIvTMIv", Some(4));
        check("TMIvTMvI", Some(0));
        check("TMvI", None);
        check("TMaI", None);
        check("I", None);
    }
}
