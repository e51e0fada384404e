//! A broadcaster in small: a programme of tiny pictures and sounds whose times follow from the time of day.
//!
//! Everything a packager and a strict reader look at is there (tables, key frames with their headers, counters, a clock), and
//! a second of it is some twenty packets, so that days can be played in seconds.

use headend_media::crc;
use headend_media::packet::{PACKET_BYTES, Pid};
use headend_media::pes::PesStart;
use headend_media::time::{Pts, Ticks90k};

/// One picture, and one sound, every 200 ms.
pub(crate) const STEP: Ticks90k = Ticks90k::from_millis(200);
/// A key frame at every so many pictures.
const GROUP: i64 = 5;
const PMT: Pid = Pid::new(0x20);
const VIDEO: Pid = Pid::new(0x21);
const SOUND: u16 = 0x22;

/// One source of a channel.
#[derive(Debug, Clone)]
pub(crate) struct Broadcaster {
    /// Its time stamps are those of the time of day plus this.
    pub(crate) offset: i64,
    /// Sound tracks, 1 to 4.
    pub(crate) sounds: u16,
    /// Groups of pictures are closed.
    pub(crate) closed: bool,
    /// Programmes that the PAT names, 1 or 2.
    pub(crate) programmes: u8,
    pub(crate) counters: [u8; 8],
}

impl Broadcaster {
    pub(crate) fn new(offset: i64, sounds: u16) -> Self {
        Self { offset, sounds, closed: true, programmes: 1, counters: [0; 8] }
    }

    /// The packets of `from` to `to`: of each picture that lies there, its tables, itself and its sound.
    pub(crate) fn play(&mut self, from: Ticks90k, to: Ticks90k) -> Vec<u8> {
        let mut out = vec![];
        let first = (from.0 + STEP.0 - 1).div_euclid(STEP.0);
        for index in first..(to.0 + STEP.0 - 1).div_euclid(STEP.0) {
            if index % GROUP == 0 {
                self.tables(&mut out);
            }
            self.picture(index, &mut out);
            (0..self.sounds).for_each(|track| self.sound(index, track, &mut out));
        }
        out
    }

    fn stamp(&self, index: i64) -> Pts {
        Ticks90k(index * STEP.0).to_pts().wrapping_add(self.offset)
    }

    fn tables(&mut self, out: &mut Vec<u8>) {
        let pid = |pid: Pid| [0xE0 | pid.value().to_be_bytes()[0], pid.value().to_be_bytes()[1]];
        let pat = (1..=self.programmes).flat_map(|number| [&[0, number][..], &pid(PMT)].concat()).collect();
        let mut pmt = [&pid(VIDEO)[..], &[0xF0, 0, 0x02], &pid(VIDEO), &[0xF0, 0]].concat();
        for track in 0..self.sounds {
            pmt.extend([&[0x03][..], &pid(Pid::new(SOUND + track)), &[0xF0, 0]].concat());
        }
        for (at, (pid, table, body)) in [(Pid::PAT, 0x00, pat), (PMT, 0x02, pmt)].into_iter().enumerate() {
            let length = u8::try_from(body.len() + 9).expect("a short section");
            let mut section = vec![0, table, 0xB0, length, 0, 1, 0xC1, 0, 0];
            section.extend(body);
            let behind = &mut section.split_off(1);
            crc::append(behind);
            section.extend_from_slice(behind);
            section.resize(PACKET_BYTES - 4, 0xFF);
            self.packet((pid, at), true, None, &section, out);
        }
    }

    fn picture(&mut self, index: i64, out: &mut Vec<u8>) {
        let key = index % GROUP == 0;
        let mut units = vec![];
        if key {
            // Sequence header and extension of 720 by 576, a closed or open group.
            units.extend([0, 0, 1, 0xB3, 0x2D, 0x02, 0x40, 0x33, 0x24, 0x9F, 0x23, 0x80]);
            units.extend([0, 0, 1, 0xB5, 0x14, 0x82, 0x00, 0x01, 0x00, 0x00]);
            units.extend([0, 0, 1, 0xB8, 0, 8, 0, if self.closed { 0x40 } else { 0 }]);
        }
        units.extend([0, 0, 1, 0x00, 0x00, if key { 0x0F } else { 0x17 }, 0xFF, 0xF8, 0, 0, 1, 1, 0x22]);
        let stamp = self.stamp(index);
        let mut pes = vec![];
        let start = PesStart { stream_id: 0xE0, data_alignment: true, pts: Some(stamp.value()), dts: None };
        start.append_to(units.len(), &mut pes);
        pes.extend(units);
        let clock = stamp.wrapping_add(-9_000).value();
        self.packet((VIDEO, 2), true, Some(clock), &pes, out);
    }

    fn sound(&mut self, index: i64, track: u16, out: &mut Vec<u8>) {
        // One frame of MPEG-1 layer II, 48 kHz, 32 kbit/s: 96 bytes.
        let mut pes = vec![];
        let start = PesStart { stream_id: 0xC0, data_alignment: true, pts: Some(self.stamp(index).value()), dts: None };
        start.append_to(96, &mut pes);
        pes.extend([0xFF, 0xFD, 0x14, 0xC4]);
        pes.resize(pes.len() + 92, 0);
        let slot = 3 + usize::from(track);
        self.packet((Pid::new(SOUND + track), slot), true, None, &pes, out);
    }

    /// One packet, filled up in its adaptation field.
    fn packet(&mut self, (pid, slot): (Pid, usize), start: bool, pcr: Option<u64>, payload: &[u8], out: &mut Vec<u8>) {
        let [high, low] = pid.value().to_be_bytes();
        let room = PACKET_BYTES - 4 - payload.len();
        let control = if room > 0 { 0x30 } else { 0x10 };
        out.extend([0x47, high | if start { 0x40 } else { 0 }, low, control | self.counters[slot]]);
        self.counters[slot] = (self.counters[slot] + 1) & 0x0F;
        let from = out.len();
        if room > 0 {
            out.push(u8::try_from(room - 1).expect("less than a packet"));
        }
        if room > 1 {
            out.push(if pcr.is_some() { 0x10 } else { 0 });
        }
        if let Some(base) = pcr {
            // 33 bits of base, six reserved ones, nine of extension.
            out.extend_from_slice(&(base << 15 | 0x7E00).to_be_bytes()[2..]);
        }
        out.resize(from + room, 0xFF);
        out.extend_from_slice(payload);
    }
}
