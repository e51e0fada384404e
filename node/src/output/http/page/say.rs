//! Writes values as technicians read them, in one language, at one moment. Pure.

use headend_rt::page::{
    figures::{age, megabits, size},
    language::Language,
};
use headend_wire::{ChannelHealth, ChannelState};
use jiff::Timestamp;

use crate::{
    card::CardState,
    input::{
        report::{InputReport, InputState},
        tuner::{
            figures::{Figures, Level as Measured},
            lock::TunerState,
            losses::{Loss, Losses},
            report::{SeatReport, SeatUse, TunerReport, Verdict},
            units::Decibels,
        },
    },
    output::http::Feeds,
};

/// Entitlements that end within so many days are shown as a warning.
pub(super) const DAYS_WARN: i64 = 14;
/// And within so many as trouble.
pub(super) const DAYS_BAD: i64 = 3;
/// Under this margin a cloud is enough.
pub(super) const MARGIN_WEAK: Decibels = Decibels(3_000);
/// Under this one it is a matter of minutes.
pub(super) const MARGIN_BAD: Decibels = Decibels(1_000);

/// How well something is; the order is the order of pain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Someone must do something.
    Bad,
    /// Someone should look.
    Warn,
    /// Not in use, or not known.
    Off,
    /// As it should be.
    Good,
}

impl Level {
    /// The word in styles.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Off => "off",
            Self::Good => "good",
        }
    }
}

/// A bar: what a `meter` element is told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub(super) value: f64,
    pub(super) max: u32,
    /// Below it is bad, dB or per cent.
    pub(super) low: u32,
    /// Below it is weak.
    pub(super) high: u32,
}

/// One language at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Say {
    pub(super) language: Language,
    pub(super) at: Timestamp,
    /// The clock that `since_ms` is counted by.
    pub(super) now_ms: u64,
}

impl Say {
    pub(super) fn lang(&self) -> &'static str {
        self.language.tag()
    }

    pub(super) fn other_lang(&self) -> &'static str {
        self.language.other().tag()
    }

    pub(super) fn clock(&self) -> String {
        self.at.strftime("%H:%M:%S").to_string()
    }

    pub(super) fn utc(&self, at: &Timestamp) -> String {
        at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    }

    pub(super) fn day(&self, at: &Timestamp) -> String {
        at.strftime("%Y-%m-%d").to_string()
    }

    /// The date of a day counted from the Unix epoch.
    pub(super) fn unix_day(&self, day: &u32) -> String {
        Timestamp::from_second(i64::from(*day) * 86_400).map(|at| self.day(&at)).unwrap_or_default()
    }

    /// How long ago by the monotonic clock.
    pub(super) fn since(&self, ms: &u64) -> String {
        self.span(&self.now_ms.saturating_sub(*ms))
    }

    /// How long ago by the wall clock.
    pub(super) fn since_wall(&self, at: &Timestamp) -> String {
        age(self.at.as_millisecond().saturating_sub(at.as_millisecond()), self.language)
    }

    pub(super) fn span(&self, ms: &u64) -> String {
        age(i64::try_from(*ms).unwrap_or(i64::MAX), self.language)
    }

    /// A duration that may be short.
    pub(super) fn lasting(&self, ms: &u64) -> String {
        if *ms < 10_000 { format!("{ms} ms") } else { self.span(ms) }
    }

    pub(super) fn rate(&self, bits_per_second: &u64) -> String {
        format!("{} Mbit/s", megabits(*bits_per_second, self.language))
    }

    pub(super) fn size(&self, bytes: &u64) -> String {
        size(*bytes, self.language)
    }

    fn point(&self, text: String) -> String {
        match self.language {
            Language::En => text,
            Language::Fr => text.replace('.', ","),
        }
    }

    /// `-52.0 dBm`, or `43 %`.
    pub(super) fn measured(&self, level: &Measured, unit: &str) -> String {
        match level {
            Measured::Decibel(value) => self.point(format!("{value} {unit}")),
            Measured::Relative(percent) => format!("{percent} %"),
        }
    }

    pub(super) fn decibels(&self, value: &Decibels) -> String {
        self.point(format!("{value} dB"))
    }

    pub(super) fn decibels_of(&self, value: &f64) -> String {
        self.point(format!("{value:.1} dB"))
    }

    pub(super) fn ratio(&self, ratio: &f64) -> String {
        if *ratio == 0.0 { "0".to_owned() } else { self.point(format!("{ratio:.1e}")) }
    }

    /// Whole days until a moment; negative when it has passed.
    pub(super) fn days_left(&self, until: &Timestamp) -> i64 {
        (until.as_second() - self.at.as_second()).div_euclid(86_400)
    }

    pub(super) fn entitlement(&self, until: Option<&Timestamp>) -> Level {
        let days = until.map_or(i64::MAX, |until| self.days_left(until));
        if days < DAYS_BAD {
            Level::Bad
        } else if days < DAYS_WARN {
            Level::Warn
        } else {
            Level::Good
        }
    }

    /// The bar of a signal: margin where there is one, else quality.
    pub(super) fn bar(&self, figures: &Figures) -> Option<Bar> {
        match (figures.margin, figures.quality) {
            (Some(margin), _) => Some(Bar { value: margin.as_f64().clamp(0.0, 12.0), max: 12, low: 1, high: 3 }),
            (None, Some(Measured::Decibel(quality))) => {
                Some(Bar { value: quality.as_f64().clamp(0.0, 20.0), max: 20, low: 0, high: 0 })
            }
            // Nobody knows what is good on this scale.
            (None, Some(Measured::Relative(percent))) => Some(Bar { value: percent.into(), max: 100, low: 0, high: 0 }),
            (None, None) => None,
        }
    }

    pub(super) fn is_relative(&self, level: &Measured) -> bool {
        matches!(level, Measured::Relative(_))
    }

    pub(super) fn margin(&self, figures: &Figures) -> Level {
        match figures.margin {
            Some(margin) if margin.0 < MARGIN_BAD.0 => Level::Bad,
            Some(margin) if margin.0 < MARGIN_WEAK.0 => Level::Warn,
            Some(_) => Level::Good,
            None => Level::Off,
        }
    }

    pub(super) fn channel(&self, health: &ChannelHealth) -> Level {
        match health.state {
            ChannelState::Ok => Level::Good,
            ChannelState::Degraded | ChannelState::OnBackup => Level::Warn,
            ChannelState::Slate => Level::Bad,
            ChannelState::Starting => Level::Off,
        }
    }

    pub(super) fn input(&self, report: &InputReport) -> Level {
        match report.state {
            InputState::Good => Level::Good,
            InputState::Bad => Level::Warn,
            InputState::Offline => Level::Bad,
        }
    }

    pub(super) fn tuner(&self, report: &TunerReport) -> Level {
        match report.state {
            TunerState::Receiving => Level::Good,
            TunerState::Opening | TunerState::Locked => Level::Off,
            TunerState::Absent | TunerState::NoLock | TunerState::LockWithoutData => Level::Bad,
        }
    }

    pub(super) fn seat(&self, seat: &SeatReport) -> Level {
        match seat.doing {
            SeatUse::Absent => Level::Bad,
            SeatUse::Idle | SeatUse::Warm | SeatUse::Proving => Level::Off,
            SeatUse::Serving => Level::Good,
        }
    }

    pub(super) fn verdict(&self, verdict: &Verdict) -> Level {
        if *verdict == Verdict::Proven { Level::Good } else { Level::Warn }
    }

    pub(super) fn card(&self, state: &CardState) -> Level {
        match state {
            CardState::Ready => Level::Good,
            CardState::Opening => Level::Off,
            _ => Level::Bad,
        }
    }

    pub(super) fn access(&self, state: &str) -> Level {
        match state {
            "clear" => Level::Good,
            "scrambled" => Level::Bad,
            _ => Level::Off,
        }
    }

    /// The rate of an input now.
    pub(super) fn bitrate(&self, report: &InputReport) -> String {
        let sample = report.sample.as_ref().filter(|_| report.state != InputState::Offline);
        self.rate(&sample.map_or(0, |sample| sample.bitrate_bps))
    }

    pub(super) fn errors(&self, report: &InputReport) -> u64 {
        report.sample.as_ref().map_or(0, |sample| sample.continuity_per_minute)
    }

    /// Channels that have a source on this input.
    pub(super) fn users(&self, feeds: &Feeds, input: &str) -> Vec<String> {
        let uses = |sources: &std::collections::BTreeMap<_, String>| sources.values().any(|feed| feed == input);
        feeds.iter().filter(|(_, sources)| uses(sources)).map(|(channel, _)| channel.to_string()).collect()
    }

    /// The input behind a source of a channel.
    pub(super) fn behind<'a>(
        &self,
        feeds: &'a Feeds,
        channel: &headend_wire::ChannelName,
        source: &headend_wire::SourceName,
    ) -> Option<&'a String> {
        feeds.get(channel)?.get(source)
    }

    /// Causes in a fixed order, with what was lost by each.
    pub(super) fn causes(&self, losses: &Losses, words: &super::words::Words) -> [(&'static str, Loss); 5] {
        [
            (words.cause_signal, losses.signal),
            (words.cause_kernel, losses.kernel_ring),
            (words.cause_transfer, losses.transfer),
            (words.cause_removal, losses.removal),
            (words.cause_queue, losses.own_queue),
        ]
    }

    /// What was climbed, by rung; rungs two and three share a count.
    pub(super) fn climbed(&self, report: &TunerReport, words: &super::words::Words) -> Vec<(&'static str, u32)> {
        let counts = report.ladder;
        let all = [
            (words.ru_retune, counts.retunes),
            (words.ru_sec, counts.sec_repeats),
            (words.ru_reopen, counts.reopens),
            (words.ru_rebind, counts.rebinds),
            (words.ru_usb, counts.reauthorisations),
            (words.ru_reboot, counts.reboots_asked),
            (words.hangs, counts.hangs),
            (words.removals, counts.removals),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// The words of the rung a tuner stands on.
    pub(super) fn rung(&self, report: &TunerReport, words: &super::words::Words) -> &'static str {
        words.rungs().get(usize::from(report.rung)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(language: Language) -> Say {
        Say { language, at: "2026-11-21T12:00:00Z".parse().unwrap(), now_ms: 100_000 }
    }

    #[test]
    fn entitlements_warn_a_fortnight_ahead() {
        let check = |until: &str, want: Level, days: i64| {
            let until: Timestamp = until.parse().unwrap();
            let say = say(Language::En);
            assert_eq!((say.entitlement(Some(&until)), say.days_left(&until)), (want, days), "{until}");
        };
        check("2026-12-06T12:00:00Z", Level::Good, 15);
        check("2026-12-05T12:00:00Z", Level::Good, 14);
        check("2026-12-05T11:59:59Z", Level::Warn, 13);
        check("2026-11-24T12:00:00Z", Level::Warn, 3);
        check("2026-11-24T11:59:59Z", Level::Bad, 2);
        check("2026-11-21T11:59:59Z", Level::Bad, -1);
        assert_eq!(say(Language::En).entitlement(None), Level::Good);
    }

    #[test]
    fn figures_are_written_as_the_country_writes_them() {
        let (en, fr) = (say(Language::En), say(Language::Fr));
        let level = Measured::Decibel(Decibels(-52_040));
        assert_eq!((en.measured(&level, "dBm"), fr.measured(&level, "dBm")), ("-52.0 dBm".into(), "-52,0 dBm".into()));
        assert_eq!(en.measured(&Measured::Relative(43), "dB"), "43 %");
        assert_eq!((fr.ratio(&0.0), fr.ratio(&1.2e-4)), ("0".into(), "1,2e-4".into()));
        assert_eq!((en.lasting(&9_999), en.lasting(&10_000)), ("9999 ms".into(), "10 s".into()));
        assert_eq!(en.unix_day(&20_778), "2026-11-21");
    }

    #[test]
    fn a_bar_stands_for_margin_and_never_judges_a_percentage() {
        let say = say(Language::En);
        let of = |margin: Option<i32>, quality: Option<Measured>| {
            say.bar(&Figures { margin: margin.map(Decibels), quality, ..Figures::default() })
        };
        let quality = Some(Measured::Decibel(Decibels(14_500)));
        assert_eq!(of(Some(6_000), quality), Some(Bar { value: 6.0, max: 12, low: 1, high: 3 }));
        assert_eq!(of(Some(-900), quality).unwrap().value, 0.0);
        assert_eq!(of(None, quality).unwrap().max, 20);
        assert_eq!(of(None, Some(Measured::Relative(50))), Some(Bar { value: 50.0, max: 100, low: 0, high: 0 }));
        assert_eq!(of(None, None), None);
    }
}
