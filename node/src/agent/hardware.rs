//! Cards, modules and tuners in the words of the wire, and what of them is worth an event.
//!
//! Pure. A trouble is told once when it begins and once when it is over; a card or module that is put in and taken out all day is
//! told of once a minute. An entitlement is told a fortnight, three days and no day before its end.

use std::collections::BTreeMap;

use headend_wire::{
    CardHealth, EventKind, TunerHealth,
    hardware::{BackupHealth, CARDS_MAX, TUNERS_MAX, TunerLoss, TunerLosses, clip},
};
use jiff::Timestamp;

use crate::{
    cam::{CamState, CamStatus},
    card::{CardState, CardStatus},
    input::{
        report::InputReport,
        tuner::{
            figures::Level,
            lock::TunerState,
            losses::Loss,
            report::{SeatReport, SeatUse, TunerReport, Verdict},
            units::Decibels,
        },
    },
};

/// A card or a module may be in trouble for this long before it is told: one that is opened or reset needs time.
const PATIENCE_MS: u64 = 5_000;
/// One of them is told of so often at most.
const AGAIN_MS: u64 = 60_000;
/// Days before the end of an entitlement at which it is told.
const DAYS_TOLD: [i64; 3] = [0, 3, 14];
/// Failed proofs named in a report.
const FAILED_MAX: usize = 4;

/// Every card for a report.
#[must_use]
pub fn cards(list: &[CardStatus]) -> Vec<CardHealth> {
    let of = |card: &CardStatus| CardHealth {
        name: card.name.clone(),
        state: card.state.word().to_owned(),
        label: clip(&card.label),
        atr: clip(&card.atr.join("; ")),
        entitlements: u32::try_from(card.entitlements.len()).unwrap_or(u32::MAX),
        entitled_until: card.entitlements.iter().filter_map(|right| right.until).min(),
        last_error: clip(card.last_error.as_deref().unwrap_or_default()),
    };
    list.iter().take(CARDS_MAX).map(of).collect()
}

/// Every tuner for a report, those at work with what their input says.
#[must_use]
pub fn tuners(seats: &[SeatReport], inputs: &[InputReport]) -> Vec<TunerHealth> {
    let at_work = |seat: &SeatReport| {
        let mut reports = inputs.iter().filter_map(|input| input.tuner.as_ref());
        // Also one whose device went away under its input.
        let held = matches!(seat.doing, SeatUse::Serving | SeatUse::Absent);
        reports.find(|report| held && report.tuner == seat.tuner)
    };
    seats.iter().take(TUNERS_MAX).map(|seat| tuner(seat, at_work(seat))).collect()
}

fn tuner(seat: &SeatReport, report: Option<&TunerReport>) -> TunerHealth {
    let failed = seat.proofs.iter().filter(|proof| proof.verdict != Verdict::Proven);
    let oldest = seat.proofs.iter().map(|proof| proof.age_ms / 60_000).max();
    let backup = BackupHealth {
        proven: u32::try_from(seat.proofs.len() - failed.clone().count()).unwrap_or(u32::MAX),
        failed: failed.take(FAILED_MAX).map(|proof| format!("{}: {}", proof.mux, verdict(proof.verdict))).collect(),
        oldest_min: oldest.map(|minutes| u32::try_from(minutes).unwrap_or(u32::MAX)),
    };
    let doing = match seat.doing {
        SeatUse::Absent => "absent",
        SeatUse::Idle => "idle",
        SeatUse::Warm => "warm",
        SeatUse::Proving => "proving",
        SeatUse::Serving => "serving",
    };
    let mut health = TunerHealth {
        name: seat.tuner.clone(),
        doing: doing.to_owned(),
        mux: clip(&seat.mux),
        backup,
        ..TunerHealth::default()
    };
    let Some(report) = report else { return health };
    health.state = state(report.state).to_owned();
    (health.rung, health.reboot_asked) = (report.rung, report.reboot_asked);
    let loss = |Loss { bytes, ms, .. }: Loss| TunerLoss { bytes, ms };
    let losses = report.losses;
    health.losses = TunerLosses {
        signal: loss(losses.signal),
        kernel_ring: loss(losses.kernel_ring),
        transfer: loss(losses.transfer),
        removal: loss(losses.removal),
        own_queue: loss(losses.own_queue),
    };
    let Some(figures) = &report.figures else { return health };
    let tenths = |value: Decibels| value.0 / 100;
    let decibels =
        |level: Option<Level>| if let Some(Level::Decibel(value)) = level { Some(tenths(value)) } else { None };
    (health.level, health.quality) = (decibels(figures.strength), decibels(figures.quality));
    health.margin = figures.margin.map(tenths);
    if let Some(Level::Relative(percent)) = figures.quality {
        health.percent = Some(percent);
    }
    health
}

fn state(state: TunerState) -> &'static str {
    match state {
        TunerState::Absent => "absent",
        TunerState::Opening => "opening",
        TunerState::NoLock => "no-lock",
        TunerState::LockWithoutData => "lock-without-data",
        TunerState::Locked => "locked",
        TunerState::Receiving => "receiving",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Proven => "proven",
        Verdict::NoDevice => "device failed",
        Verdict::NoLock => "no lock",
        Verdict::NoData => "lock, but no data",
        Verdict::ServicesMissing => "services missing",
    }
}

/// Whether a change is worth a report before the next whole one: figures move all the time, states do not.
#[must_use]
pub fn differ(old: &[TunerHealth], new: &[TunerHealth]) -> bool {
    let words = |list: &[TunerHealth]| -> Vec<(String, String, String, bool, Vec<String>)> {
        let of = |one: &TunerHealth| {
            // A proof goes through many states and is told by its verdict.
            let doing = if one.doing == "proving" { "warm" } else { &one.doing };
            let mux = if doing == "serving" { one.mux.clone() } else { String::new() };
            (doing.to_owned(), one.state.clone(), mux, one.reboot_asked, one.backup.failed.clone())
        };
        list.iter().map(of).collect()
    };
    words(old) != words(new)
}

/// Those in trouble that were told of, and when each was told of last, by name.
type Told = BTreeMap<String, (bool, u64)>;

/// Whether the trouble of one of them, or its end, is to be told now.
fn turn(told: &mut Told, name: &str, trouble: bool, (since_ms, now_ms): (u64, u64)) -> bool {
    let (was, told_ms) = told.get(name).copied().unwrap_or((false, 0));
    let often = told.contains_key(name) && now_ms < told_ms + AGAIN_MS;
    let lasted_ms = now_ms.saturating_sub(since_ms);
    if trouble == was || (trouble && (lasted_ms < PATIENCE_MS || often)) {
        return false;
    }
    told.insert(name.to_owned(), (trouble, if trouble { now_ms } else { told_ms }));
    true
}

/// What is wrong with a module and since when; none when nothing is. A module that starts says nothing yet.
fn cam_trouble(cam: &CamStatus) -> Option<(String, u64)> {
    if cam.state != CamState::Ready {
        let words = cam.last_error.as_deref().filter(|words| !words.is_empty()).unwrap_or(&cam.advice);
        return Some((clip(words), cam.since_ms));
    }
    let mut dark = cam.services.iter().filter(|service| service.state == "scrambled" && !service.trouble.is_empty());
    dark.next().map(|service| (clip(&format!("{}: {}", service.label, service.trouble)), service.since_ms))
}

/// What was told already.
#[derive(Debug, Default)]
pub struct Notices {
    cards: Told,
    cams: Told,
    /// The last threshold told for each right, by card, product and end.
    rights: BTreeMap<(String, u32, Timestamp), i64>,
    /// Tuners whose question for a reboot was told.
    reboots: Vec<String>,
}

impl Notices {
    /// What is to be told now; `now_ms` is of the clock that reports count by.
    pub fn look(
        &mut self,
        (now_ms, now): (u64, Timestamp),
        (cards, cams): (&[CardStatus], &[CamStatus]),
        inputs: &[InputReport],
    ) -> Vec<EventKind> {
        let mut told = vec![];
        told.extend(cams.iter().filter_map(|cam| self.cam(cam, now_ms)));
        for card in cards {
            told.extend(self.card(card, now_ms));
            self.rights(card, now, &mut told);
        }
        let asking = |input: &&InputReport| input.tuner.as_ref().is_some_and(|tuner| tuner.reboot_asked);
        let asking: Vec<&TunerReport> = inputs.iter().filter(asking).filter_map(|input| input.tuner.as_ref()).collect();
        self.reboots.retain(|name| asking.iter().any(|tuner| tuner.tuner == *name));
        for input in inputs {
            let Some(tuner) = input.tuner.as_ref().filter(|tuner| tuner.reboot_asked) else { continue };
            if !self.reboots.contains(&tuner.tuner) {
                self.reboots.push(tuner.tuner.clone());
                told.push(EventKind::RebootAsked { tuner: tuner.tuner.clone(), mux: clip(&input.feed) });
            }
        }
        told
    }

    fn card(&mut self, card: &CardStatus, now_ms: u64) -> Option<EventKind> {
        let trouble = match card.state {
            CardState::Ready => false,
            CardState::Opening => return None,
            _ => true,
        };
        if !turn(&mut self.cards, &card.name, trouble, (card.since_ms, now_ms)) {
            return None;
        }
        let name = card.name.clone();
        Some(if trouble {
            let words = clip(card.last_error.as_deref().unwrap_or_default());
            EventKind::CardTrouble { card: name, state: card.state.word().to_owned(), trouble: words }
        } else {
            EventKind::CardWell { card: name }
        })
    }

    fn cam(&mut self, cam: &CamStatus, now_ms: u64) -> Option<EventKind> {
        if cam.state == CamState::Starting {
            return None;
        }
        let trouble = cam_trouble(cam);
        let since_ms = trouble.as_ref().map_or(cam.since_ms, |(_, since_ms)| *since_ms);
        if !turn(&mut self.cams, &cam.name, trouble.is_some(), (since_ms, now_ms)) {
            return None;
        }
        let name = cam.name.clone();
        Some(match trouble {
            Some((trouble, _)) => EventKind::CamTrouble { cam: name, trouble },
            None => EventKind::CamWell { cam: name },
        })
    }

    fn rights(&mut self, card: &CardStatus, now: Timestamp, told: &mut Vec<EventKind>) {
        // A card that is out tells nothing; what was told of it stays told.
        if card.state != CardState::Ready {
            return;
        }
        let listed = |(name, product, until): &(String, u32, Timestamp)| {
            *name != card.name
                || card.entitlements.iter().any(|right| (right.product, right.until) == (*product, Some(*until)))
        };
        self.rights.retain(|key, _| listed(key));
        for right in &card.entitlements {
            let Some(until) = right.until else { continue };
            let days = (until.as_second() - now.as_second()).div_euclid(86_400);
            let Some(step) = DAYS_TOLD.into_iter().find(|step| days < *step) else { continue };
            let key = (card.name.clone(), right.product, until);
            if self.rights.get(&key).is_some_and(|last| *last <= step) {
                continue;
            }
            self.rights.insert(key, step);
            let (card, product, label) = (card.name.clone(), right.product, clip(&right.label));
            told.push(EventKind::EntitlementEnding { card, product, label, until, days });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::status::EntitlementStatus;

    fn card(state: CardState, since_ms: u64) -> CardStatus {
        CardStatus { name: "main".to_owned(), state, since_ms, ..CardStatus::default() }
    }

    fn words(kind: &EventKind) -> String {
        match kind {
            EventKind::CardTrouble { state, .. } => format!("trouble {state}"),
            EventKind::CardWell { .. } => "well".to_owned(),
            EventKind::EntitlementEnding { days, .. } => format!("{days} days"),
            EventKind::CamTrouble { trouble, .. } => format!("cam {trouble}"),
            EventKind::CamWell { .. } => "cam well".to_owned(),
            EventKind::RebootAsked { tuner, .. } => format!("reboot {tuner}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_card_is_told_once_when_it_goes_and_once_when_it_is_back() {
        let mut notices = Notices::default();
        let mut check = |at_ms: u64, state, since_ms, want: &[&str]| {
            let told = notices.look((at_ms, Timestamp::UNIX_EPOCH), (&[card(state, since_ms)], &[]), &[]);
            assert_eq!(told.iter().map(words).collect::<Vec<_>>(), want, "at {at_ms}");
        };
        check(0, CardState::Opening, 0, &[]);
        check(1_000, CardState::Ready, 1_000, &[]);
        check(2_000, CardState::Empty, 2_000, &[]);
        check(7_000, CardState::Empty, 2_000, &["trouble empty"]);
        check(8_000, CardState::Mute, 8_000, &[]);
        check(9_000, CardState::Ready, 9_000, &["well"]);
        // Again within the minute: only once it has lasted into the next one.
        check(20_000, CardState::Empty, 10_000, &[]);
        check(67_000, CardState::Empty, 10_000, &["trouble empty"]);
    }

    #[test]
    fn a_module_is_told_by_its_services_too() {
        use crate::cam::status::ServiceStatus;
        let service = |state: &'static str, trouble: &str| ServiceStatus {
            input: "dvb://astra".to_owned(),
            service: 7,
            label: "Film".to_owned(),
            systems: vec![],
            list: "selected",
            state,
            since_ms: 10_000,
            trouble: trouble.to_owned(),
        };
        let cam = |state, services| CamStatus { name: "ci".to_owned(), state, services, ..CamStatus::default() };
        let mut notices = Notices::default();
        let mut check = |at_ms: u64, cam: CamStatus, want: &[&str]| {
            let told = notices.look((at_ms, Timestamp::UNIX_EPOCH), (&[], &[cam]), &[]);
            assert_eq!(told.iter().map(words).collect::<Vec<_>>(), want, "at {at_ms}");
        };
        check(1_000, cam(CamState::Starting, vec![]), &[]);
        check(9_000, cam(CamState::Ready, vec![service("clear", "")]), &[]);
        check(12_000, cam(CamState::Ready, vec![service("scrambled", "no entitlement")]), &[]);
        check(
            16_000,
            cam(CamState::Ready, vec![service("scrambled", "no entitlement")]),
            &["cam Film: no entitlement"],
        );
        check(17_000, cam(CamState::Ready, vec![service("clear", "")]), &["cam well"]);
        check(90_000, cam(CamState::Failed, vec![]), &["cam "]);
    }

    #[test]
    fn an_entitlement_is_told_at_each_threshold() {
        let until: Timestamp = "2026-12-31T00:00:00Z".parse().unwrap();
        let right = EntitlementStatus { product: 5, label: "Base".to_owned(), from: None, until: Some(until) };
        let card = CardStatus { entitlements: vec![right], ..card(CardState::Ready, 0) };
        let mut notices = Notices::default();
        let mut check = |now: &str, want: &[&str]| {
            let told = notices.look((0, now.parse().unwrap()), (std::slice::from_ref(&card), &[]), &[]);
            assert_eq!(told.iter().map(words).collect::<Vec<_>>(), want, "{now}");
        };
        check("2026-12-16T00:00:00Z", &[]);
        check("2026-12-18T00:00:00Z", &["13 days"]);
        check("2026-12-20T00:00:00Z", &[]);
        check("2026-12-29T00:00:00Z", &["2 days"]);
        check("2026-12-30T00:00:00Z", &[]);
        check("2026-12-31T00:00:01Z", &["-1 days"]);
        check("2027-01-31T00:00:01Z", &[]);
    }

    #[test]
    fn a_reboot_is_asked_once_until_it_is_over() {
        let input = |reboot_asked| {
            let tuner = TunerReport { tuner: "t".to_owned(), reboot_asked, ..TunerReport::default() };
            [InputReport { tuner: Some(tuner), ..InputReport::default() }]
        };
        let mut notices = Notices::default();
        let mut told = |asked| notices.look((0, Timestamp::UNIX_EPOCH), (&[], &[]), &input(asked)).len();
        assert_eq!([told(true), told(true), told(false), told(true)], [1, 0, 0, 1]);
    }

    #[test]
    fn figures_alone_are_no_news() {
        let old = TunerHealth { doing: "serving".into(), margin: Some(60), ..TunerHealth::default() };
        let proving = |doing: &str| TunerHealth { doing: doing.into(), mux: doing.into(), ..TunerHealth::default() };
        let one = std::slice::from_ref(&old);
        assert!(!differ(one, &[TunerHealth { margin: Some(50), ..old.clone() }]));
        assert!(differ(one, &[TunerHealth { state: "no-lock".into(), ..old.clone() }]));
        assert!(!differ(&[proving("warm")], &[proving("proving")]));
        assert!(differ(one, &[]));
    }
}
