//! The health of one source: a node's own way to a channel, judged by its packets.
//!
//! Fed with a [`Sample`] every 250 to 500 ms whether the source plays or waits. A sample over a limit is bad;
//! bad without a break for `leave_after_ms` is down. The time counts from when the fault began, not from the
//! sample that showed it, so a dead source is left after `leave_after_ms` and at most one sample interval. Up
//! again after `up_after_ms` within the stricter limits of the way back; settled after the soak.
//!
//! It does not read packets (the service watch does) and does not choose. A source that delivers in bursts
//! (HLS) is sampled behind its pacing buffer. The faults are those of ETSI TR 101 290 §5.2 that make a picture
//! unusable, and two that it does not know: frozen and silent.

use crate::{
    choose::{Candidate, Health},
    fault::{Fault, StreamFault},
    policy::{Limits, SourceRules},
    soak::Soak,
};

/// What a source showed since the sample before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Milliseconds since the last packet; `u64::MAX` when there was none ever. The same for the other ages.
    pub packet_age_ms: u64,
    /// Milliseconds since the last PAT with a good CRC that names the service.
    pub pat_age_ms: u64,
    /// Milliseconds since the picture's time stamps last advanced; none when the service has no picture.
    pub video_age_ms: Option<u64>,
    /// Milliseconds since sound last arrived; none when the service has no sound.
    pub audio_age_ms: Option<u64>,
    /// Continuity errors since the sample before.
    pub continuity_errors: u32,
    /// Share of scrambled packets since the sample before, per thousand.
    pub scrambled_permille: u16,
}

impl Sample {
    /// A sample with nothing to complain about.
    pub const GOOD: Self = Self {
        packet_age_ms: 0,
        pat_age_ms: 0,
        video_age_ms: Some(0),
        audio_age_ms: Some(0),
        continuity_errors: 0,
        scrambled_permille: 0,
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Untested,
    Up,
    Down,
}

/// Health of one source. Memory: a few words.
#[derive(Debug, Clone)]
pub struct SourceHealth {
    state: State,
    since: u64,
    born: u64,
    sampled: Option<u64>,
    bad_since: Option<u64>,
    clean_since: Option<u64>,
    fault: Option<Fault>,
    /// Whether its picture, bad as it is, is better than the slate; and since when the samples say otherwise.
    watchable: bool,
    doubt_since: Option<u64>,
    soak: Soak,
}

impl SourceHealth {
    /// A source of which nothing is known at `now` (monotonic milliseconds).
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            state: State::Untested,
            since: now,
            born: now,
            sampled: None,
            bad_since: None,
            clean_since: None,
            fault: None,
            watchable: false,
            doubt_since: None,
            soak: Soak::new(),
        }
    }

    /// Takes the sample made at `now`.
    pub fn sample(&mut self, rules: &SourceRules, now: u64, sample: &Sample) {
        // Rates need an interval; before the first sample it is unknown and a second is assumed.
        let interval = self.sampled.map_or(1_000, |at| now.saturating_sub(at)).max(1);
        self.sampled = Some(now);
        if let Some((stream, lasting)) = fault(&rules.leave, sample, interval) {
            return self.bad(rules, now, stream, lasting);
        }
        self.bad_since = None;
        let strict = fault(&rules.back, sample, interval);
        match self.state {
            State::Untested => self.enter(State::Up, now),
            State::Up => self.fault = None,
            State::Down => self.recover(rules, now, strict),
        }
        if strict.is_none() { self.soak.good(now) } else { self.soak.broken() }
    }

    /// The source as [`crate::choose()`] sees it at `now`.
    #[must_use]
    pub fn candidate<Id>(&self, id: Id, now: u64) -> Candidate<Id> {
        let health = match self.state {
            State::Untested => Health::Untested,
            State::Up if self.bad_since.is_some() => Health::Shaky,
            State::Up => Health::Good,
            State::Down => Health::Down,
        };
        let lasting_ms = now.saturating_sub(self.bad_since.unwrap_or(self.since));
        let (fault, watchable) = (self.fault, self.watchable);
        Candidate { id, health, lasting_ms, soak_left_ms: self.soak.left_ms(), fault, watchable }
    }

    fn bad(&mut self, rules: &SourceRules, now: u64, stream: StreamFault, lasting: u64) {
        let began = now.saturating_sub(lasting).max(self.born);
        let since = self.bad_since.map_or(began, |at| at.min(began));
        self.bad_since = Some(since);
        self.clean_since = None;
        self.soak.broken();
        self.fault = Some(Fault::Stream { stream: stream.at_most(now.saturating_sub(self.born)) });
        if self.state == State::Down {
            self.weigh(rules, now, stream.watchable(), began);
        } else if now.saturating_sub(since) >= rules.leave_after_ms {
            self.soak.down(&rules.soak, now);
            self.enter(State::Down, now);
            (self.watchable, self.doubt_since) = (stream.watchable(), None);
        }
    }

    /// Whether a source that is down is better than the slate: changed only after the time it takes to leave or to
    /// come up, or a torn picture with gaps would change places with the slate at every sample.
    fn weigh(&mut self, rules: &SourceRules, now: u64, watchable: bool, began: u64) {
        if watchable == self.watchable {
            self.doubt_since = None;
            return;
        }
        let since = *self.doubt_since.get_or_insert(began);
        let needed = if watchable { rules.up_after_ms } else { rules.leave_after_ms };
        if now.saturating_sub(since) >= needed {
            (self.watchable, self.doubt_since) = (watchable, None);
        }
    }

    /// A sample within the limits for leaving, of a source that is down; `strict` is over those for coming back.
    fn recover(&mut self, rules: &SourceRules, now: u64, strict: Option<(StreamFault, u64)>) {
        if let Some((stream, lasting)) = strict {
            self.clean_since = None;
            self.fault = Some(Fault::Stream { stream });
            return self.weigh(rules, now, stream.watchable(), now.saturating_sub(lasting));
        }
        let since = *self.clean_since.get_or_insert(now);
        if now.saturating_sub(since) >= rules.up_after_ms {
            self.fault = None;
            self.enter(State::Up, now);
        }
    }

    fn enter(&mut self, state: State, now: u64) {
        self.state = state;
        self.since = now;
        self.clean_since = None;
    }
}

/// The gravest fault over the limits and for how long it has lasted, milliseconds. A rate has lasted at least
/// for the interval it was measured over.
fn fault(limits: &Limits, sample: &Sample, interval: u64) -> Option<(StreamFault, u64)> {
    let over = |age: u64, limit: u64| (age > limit).then_some(age);
    if let Some(for_ms) = over(sample.packet_age_ms, limits.packet_gap_ms) {
        return Some((StreamFault::NoPackets { for_ms }, for_ms));
    }
    if let Some(for_ms) = over(sample.pat_age_ms, limits.pat_gap_ms) {
        return Some((StreamFault::NoPat { for_ms }, for_ms));
    }
    if sample.scrambled_permille > limits.scrambled_permille {
        return Some((StreamFault::Scrambled { permille: sample.scrambled_permille }, interval));
    }
    if let Some(for_ms) = sample.video_age_ms.and_then(|age| over(age, limits.video_gap_ms)) {
        return Some((StreamFault::Frozen { for_ms }, for_ms));
    }
    if let Some(for_ms) = sample.audio_age_ms.and_then(|age| over(age, limits.audio_gap_ms)) {
        return Some((StreamFault::Silent { for_ms }, for_ms));
    }
    let per_sec = u64::from(sample.continuity_errors).saturating_mul(1_000) / interval;
    let per_sec = u32::try_from(per_sec).unwrap_or(u32::MAX);
    (per_sec > limits.continuity_per_sec).then_some((StreamFault::Continuity { per_sec }, interval))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEP: u64 = 250;

    /// Samples every 250 ms: good for a second, then `bad(age since then)`; when it is left, and the words.
    fn left_after(bad: impl Fn(u64) -> Sample) -> (u64, String) {
        let mut source = SourceHealth::new(0);
        for now in (0..60_000).step_by(250) {
            let sample = if now <= 1_000 { Sample::GOOD } else { bad(now - 1_000) };
            source.sample(&SourceRules::default(), now, &sample);
            let seen = source.candidate((), now);
            if seen.health == Health::Down {
                return (now - 1_000, seen.fault.unwrap().to_string());
            }
        }
        (u64::MAX, String::new())
    }

    fn check(bad: impl Fn(u64) -> Sample, want_ms: u64, want: &str) {
        assert_eq!(left_after(bad), (want_ms, want.to_owned()));
    }

    fn packets_lost(continuity_errors: u32) -> Sample {
        Sample { continuity_errors, ..Sample::GOOD }
    }

    #[test]
    fn a_dead_source_is_left_within_a_second_and_a_half() {
        let dead = |age| Sample { packet_age_ms: age, pat_age_ms: age, video_age_ms: Some(age), ..Sample::GOOD };
        check(dead, 1_500, "no packets for 1500 ms");
    }

    #[test]
    fn each_fault_is_left_in_its_time() {
        check(|age| Sample { pat_age_ms: age, ..Sample::GOOD }, 1_500, "no valid PAT for 1500 ms");
        check(|age| Sample { video_age_ms: Some(age), ..Sample::GOOD }, 1_500, "picture frozen for 1500 ms");
        // Programmes are silent for a moment; five seconds are not a pause.
        check(|age| Sample { audio_age_ms: Some(age), ..Sample::GOOD }, 5_250, "no sound for 5250 ms");
        check(|_| Sample { scrambled_permille: 900, ..Sample::GOOD }, 1_500, "900 of 1000 packets scrambled");
        check(|_| packets_lost(6), 1_500, "24 continuity errors a second");
    }

    #[test]
    fn little_faults_are_lived_with() {
        let never = (u64::MAX, String::new());
        assert_eq!(left_after(|_| packets_lost(5)), never);
        assert_eq!(left_after(|age| packets_lost(if age % 1_000 == 0 { 0 } else { 50 })), never);
        let gaps = |age| Sample { packet_age_ms: age % 1_500, ..Sample::GOOD };
        assert_eq!(left_after(gaps), never);
        assert_eq!(left_after(|_| Sample { video_age_ms: None, audio_age_ms: None, ..Sample::GOOD }), never);
    }

    #[test]
    fn a_source_that_never_gave_a_packet_is_down_in_its_time() {
        let mut source = SourceHealth::new(10_000);
        let nothing = Sample { packet_age_ms: u64::MAX, pat_age_ms: u64::MAX, ..Sample::GOOD };
        let mut healths = vec![];
        for now in (10_250..=11_500).step_by(250) {
            source.sample(&SourceRules::default(), now, &nothing);
            healths.push(source.candidate((), now).health);
        }
        let [early @ .., last] = healths.as_slice() else { panic!("six samples") };
        assert!(early.iter().all(|h| *h == Health::Untested));
        assert_eq!(*last, Health::Down);
        let fault = source.candidate((), 11_500).fault.unwrap();
        assert_eq!(
            fault.to_string(),
            "no packets for 1500 ms",
            "counted from the first look, not from the beginning of time"
        );
    }

    #[test]
    fn the_way_back_is_stricter_than_the_way_out() {
        let (mut source, rules, mut now) = (SourceHealth::new(0), SourceRules::default(), 0);
        let mut feed = |sample: Sample, times: usize| {
            for _ in 0..times {
                now += STEP;
                source.sample(&rules, now, &sample);
            }
            let seen = source.candidate((), now);
            (seen.health, seen.soak_left_ms)
        };
        // Four errors a second: not enough to leave, too much to come back.
        assert_eq!(feed(packets_lost(1), 8), (Health::Good, 0));
        assert_eq!(feed(packets_lost(50), 8), (Health::Down, 300_000));
        assert_eq!(feed(packets_lost(1), 80), (Health::Down, 300_000));
        assert_eq!(feed(Sample::GOOD, 4), (Health::Down, 299_250));
        assert_eq!(feed(Sample::GOOD, 1), (Health::Good, 299_000));
        // Up, the same four errors only start the soak anew.
        assert_eq!(feed(packets_lost(1), 1), (Health::Good, 300_000));
        assert_eq!(feed(Sample::GOOD, 1_201), (Health::Good, 0));
    }

    #[test]
    fn a_bad_moment_makes_it_doubtful_and_a_good_one_clears_it() {
        let (mut source, rules) = (SourceHealth::new(0), SourceRules::default());
        source.sample(&rules, 250, &Sample::GOOD);
        source.sample(&rules, 1_000, &Sample { packet_age_ms: 750, ..Sample::GOOD });
        let seen = source.candidate((), 1_000);
        assert_eq!((seen.health, seen.lasting_ms), (Health::Shaky, 750));
        source.sample(&rules, 1_250, &Sample::GOOD);
        assert_eq!(source.candidate((), 1_250).health, Health::Good);
    }

    #[test]
    fn a_torn_picture_stays_a_last_resort_through_a_short_gap() {
        let (mut source, rules, mut now) = (SourceHealth::new(0), SourceRules::default(), 0);
        let mut feed = |packet_age_ms: u64| {
            now += STEP;
            source.sample(&rules, now, &Sample { packet_age_ms, ..packets_lost(50) });
            source.candidate((), now).watchable
        };
        let torn: Vec<bool> = (0..8).map(|_| feed(0)).collect();
        assert!(!torn[0] && torn[7], "torn, and down for it");
        let gap: Vec<bool> = (1..=6).map(|n| feed(n * STEP)).collect();
        assert_eq!(gap, [true, true, true, true, true, false], "dead after leave_after_ms");
        let back: Vec<bool> = (1..=5).map(|_| feed(0)).collect();
        assert_eq!(back, [false, false, false, true, true], "torn again after up_after_ms");
    }

    fn any_sample() -> impl Strategy<Value = Sample> {
        let age = prop_oneof![0u64..2_000, Just(u64::MAX)];
        let option = proptest::option::of(0u64..8_000);
        (age.clone(), age, option.clone(), option, 0u32..20, prop_oneof![Just(0u16), 0u16..=1_000]).prop_map(
            |(packet_age_ms, pat_age_ms, video_age_ms, audio_age_ms, continuity_errors, scrambled_permille)| Sample {
                packet_age_ms,
                pat_age_ms,
                video_age_ms,
                audio_age_ms,
                continuity_errors,
                scrambled_permille,
            },
        )
    }

    proptest! {
        /// Down only after `leave_after_ms` without a good sample; up only within the stricter limits.
        #[test]
        fn edges_have_their_cause(samples in proptest::collection::vec((any_sample(), 1u64..600), 1..200)) {
            let (rules, mut now) = (SourceRules::default(), 5_000);
            let (mut source, mut before) = (SourceHealth::new(now), Health::Untested);
            // When the faults of this unbroken row of bad samples began.
            let mut began = u64::MAX;
            for (index, (sample, gap)) in samples.into_iter().enumerate() {
                now += gap;
                let interval = if index == 0 { 1_000 } else { gap };
                source.sample(&rules, now, &sample);
                let after = source.candidate((), now).health;
                let lasting = fault(&rules.leave, &sample, interval).map(|(_, lasting)| lasting);
                began = lasting.map_or(u64::MAX, |ms| began.min(now.saturating_sub(ms).max(5_000)));
                if after == Health::Down && before != Health::Down {
                    prop_assert!(began <= now && now - began >= rules.leave_after_ms);
                }
                if after == Health::Good && before == Health::Down {
                    prop_assert!(fault(&rules.back, &sample, interval).is_none());
                }
                before = after;
            }
        }

        #[test]
        fn any_numbers_never_panic(
            times: Vec<u64>, ages: [u64; 4], continuity_errors: u32, scrambled_permille: u16,
        ) {
            let mut source = SourceHealth::new(7);
            let [packet_age_ms, pat_age_ms, video, audio] = ages;
            let (video_age_ms, audio_age_ms) = (Some(video), Some(audio));
            let sample =
                Sample { packet_age_ms, pat_age_ms, video_age_ms, audio_age_ms, continuity_errors, scrambled_permille };
            for now in times {
                source.sample(&SourceRules::default(), now, &sample);
                let _ = source.candidate((), now);
                source.sample(&SourceRules::default(), now, &Sample::GOOD);
            }
        }
    }
}
