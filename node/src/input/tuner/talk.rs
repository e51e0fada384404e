//! How often a tuner in trouble may write a line: four at first, then one a minute.
//!
//! Pure. A dead device fails many times a second; the first lines say what happened, more of them hide other things. The
//! fifth is kept for the wish for a reboot, which is written whatever was said before.

const LINES_AT_FIRST: u32 = 4;
const MINUTE_MS: u64 = 60_000;
/// So long well, and the next trouble is a new one.
const WELL_MS: u64 = 60_000;

/// One tuner's share of the log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Talk {
    said: u32,
    last_ms: u64,
    well_ms: Option<u64>,
}

impl Talk {
    /// Whether a line of trouble may be written now.
    pub(crate) fn may(&mut self, now_ms: u64) -> bool {
        if self.well_ms.take().is_some_and(|well| now_ms >= well + WELL_MS) {
            self.said = 0;
        }
        if self.said >= LINES_AT_FIRST && now_ms < self.last_ms + MINUTE_MS {
            return false;
        }
        (self.said, self.last_ms) = (self.said.saturating_add(1), now_ms);
        true
    }

    /// It is well; whether that may be written.
    pub(crate) fn well(&mut self, now_ms: u64) -> bool {
        let may = self.may(now_ms);
        self.well_ms = Some(now_ms);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_lines_then_one_a_minute() {
        let mut talk = Talk::default();
        let lines: Vec<u64> = (0..600).map(|tenth| tenth * 500).filter(|now| talk.may(*now)).collect();
        assert_eq!(lines, [0, 500, 1000, 1500, 61_500, 121_500, 181_500, 241_500]);
        assert!(!talk.well(300_500));
        assert!(!talk.may(301_000));
        talk.well(301_600);
        assert!((0..4).all(|_| talk.may(370_000)) && !talk.may(370_000));
    }
}
