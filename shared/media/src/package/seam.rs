//! Where the sound given out has come to, so that another source's sound does not lie over it.
//!
//! A source is entered at a picture, and its sound comes some time before or behind that picture in the multiplex; two
//! sources differ in how much. What of the new sound would be heard a second time is left out, a PES packet at a time:
//! players take a hole of milliseconds, but time stamps that step back are not allowed (ISO/IEC 13818-1 §2.7.4). Inside
//! one source nothing is judged here. Driven by `mapper`; knows no packets.

use crate::packet::Pid;
use crate::time::{Pts, TICKS_PER_SECOND};

/// Encoders round their stamps; so much of an overlap is none.
const ROUNDING: i64 = TICKS_PER_SECOND / 500;
/// A step between PES packets beyond this is a hole, and not their length.
const STEP_MAX: i64 = TICKS_PER_SECOND;
/// More than this is no overlap but another idea of time: it is let through.
const OVERLAP_MAX: i64 = 2 * TICKS_PER_SECOND;

/// The last PES packet of one track.
#[derive(Debug, Clone, Copy)]
struct Heard {
    pid: Pid,
    last: Pts,
    before: Option<Pts>,
    /// Length of a PES packet, as far as it is known.
    step: i64,
}

/// What was heard last, per track of the output; at most one entry for each of its tracks.
#[derive(Debug, Default)]
pub(crate) struct Seam {
    heard: Vec<Heard>,
    /// As it was at the access unit that is pending.
    marked: Vec<Heard>,
}

impl Seam {
    /// Whether sound stamped `at` lies over what was given out of this track. For the first of a source only.
    pub(crate) fn overlaps(&self, pid: Pid, at: Pts) -> bool {
        self.heard.iter().find(|heard| heard.pid == pid).is_some_and(|heard| {
            let behind = at.signed_since(heard.last) - heard.step;
            (-OVERLAP_MAX..-ROUNDING).contains(&behind)
        })
    }

    /// A PES packet stamped `at` goes out.
    pub(crate) fn hear(&mut self, pid: Pid, at: Pts) {
        let Some(heard) = self.heard.iter_mut().find(|heard| heard.pid == pid) else {
            self.heard.push(Heard { pid, last: at, before: None, step: 0 });
            return;
        };
        let step = at.signed_since(heard.last);
        if (1..=STEP_MAX).contains(&step) {
            heard.step = step;
        }
        (heard.before, heard.last) = (Some(heard.last), at);
    }

    /// The track's last PES packet was taken back.
    pub(crate) fn take_back(&mut self, pid: Pid) {
        self.heard.retain_mut(|heard| {
            if heard.pid == pid {
                let Some(before) = heard.before.take() else { return false };
                heard.last = before;
            }
            true
        });
    }

    /// All that the draft held of the track was taken out.
    pub(crate) fn forget(&mut self, pid: Pid) {
        self.heard.retain(|heard| heard.pid != pid);
    }

    /// What comes from here on may be taken back together.
    pub(crate) fn mark(&mut self) {
        self.marked.clone_from(&self.heard);
    }

    /// Takes back all since the mark.
    pub(crate) fn back_to_mark(&mut self) {
        self.heard.clone_from(&self.marked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: Pid = Pid::new(0x65);

    fn heard(stamps: &[u64]) -> Seam {
        let mut seam = Seam::default();
        stamps.iter().for_each(|stamp| seam.hear(PID, Pts::new(*stamp)));
        seam
    }

    #[test]
    fn sound_goes_on_where_the_last_packet_ends() {
        let seam = heard(&[10_000, 11_920]);
        let check = |at: u64, want: bool| assert_eq!(seam.overlaps(PID, Pts::new(at)), want, "{at}");
        check(11_920, true);
        check(13_600, true);
        check(13_661, false);
        check(13_840, false);
        check(99_000, false);
        assert!(!seam.overlaps(Pid::new(0x66), Pts::new(11_920)), "another track");
        assert!(!heard(&[900_000]).overlaps(PID, Pts::new(700_000)), "another idea of time");
    }

    #[test]
    fn a_hole_is_not_the_length_of_a_packet() {
        assert!(!heard(&[10_000, 11_920, 300_000]).overlaps(PID, Pts::new(301_920)));
    }

    #[test]
    fn what_was_taken_back_was_not_heard() {
        let mut seam = heard(&[10_000, 11_920, 13_840]);
        seam.take_back(PID);
        assert!(!seam.overlaps(PID, Pts::new(13_840)));
        seam.mark();
        seam.hear(PID, Pts::new(50_000));
        seam.back_to_mark();
        assert!(!seam.overlaps(PID, Pts::new(13_840)));
        seam.forget(PID);
        assert!(!seam.overlaps(PID, Pts::new(1)));
    }
}
