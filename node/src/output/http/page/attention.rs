//! What a technician should look at first: every trouble of the box in one list, the worst on top. Pure.

use super::{
    NodeStatus,
    say::{Level, Say},
    words::Words,
};
use crate::{
    card::CardState,
    input::{
        report::{InputReport, InputState},
        tuner::{
            lock::TunerState,
            report::{SeatUse, Verdict},
        },
    },
};

/// One line: where to look, what is there, and how bad it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attention {
    pub(super) level: Level,
    /// The element's id on the page.
    pub(super) place: String,
    /// What it is called.
    pub(super) name: String,
    /// What is wrong with it.
    pub(super) what: String,
    /// Words of the program's own, in English.
    pub(super) detail: String,
}

/// Everything that is not as it should be.
pub(super) fn attention(status: &NodeStatus, say: &Say) -> Vec<Attention> {
    let w = Words::of(say.language);
    let mut found = vec![];
    let mut note = |level: Level, place: String, name: &str, what: String, detail: &str| {
        if matches!(level, Level::Bad | Level::Warn) {
            found.push(Attention { level, place, name: name.to_owned(), what, detail: detail.to_owned() });
        }
    };
    for channel in &status.channels {
        let name = channel.channel.as_str();
        note(say.channel(channel), format!("c-{name}"), name, w.channel(&channel.state).to_owned(), &channel.reason);
    }
    for input in &status.inputs {
        let (level, what, detail) = of_input(input, say, w);
        note(level, format!("i-{}", input.feed), &input.feed, what, &detail);
    }
    for seat in &status.tuners {
        let place = || format!("t-{}", seat.tuner);
        if seat.doing == SeatUse::Absent {
            note(Level::Warn, place(), &seat.tuner, w.seat(&seat.doing).to_owned(), &seat.device);
        }
        for proof in seat.proofs.iter().filter(|proof| proof.verdict != Verdict::Proven) {
            let what = format!("{} {}: {}", w.backup_bad, proof.mux, w.verdict(&proof.verdict));
            note(Level::Warn, place(), &seat.tuner, what, "");
        }
    }
    for card in &status.cards {
        let place = || format!("k-{}", card.name);
        let error = card.last_error.as_deref().filter(|_| card.state == CardState::Failed).unwrap_or_default();
        note(say.card(&card.state), place(), &card.name, w.card_state(&card.state).to_owned(), error);
        for right in &card.entitlements {
            let Some(until) = &right.until else { continue };
            let days = say.days_left(until);
            let left = if days < 0 { w.ended.to_owned() } else { format!("{days} {}", w.days_left) };
            let product = if right.label.is_empty() { right.product.to_string() } else { right.label.clone() };
            note(say.entitlement(Some(until)), place(), &card.name, format!("{product}: {left}"), "");
        }
    }
    for access in &status.access {
        let name = format!("{} {}", w.service, access.service);
        let place = format!("s-{}-{}", access.input, access.service);
        note(say.access(access.state), place, &name, w.access(access.state).to_owned(), &access.trouble);
    }
    if !status.controller_connected {
        note(Level::Warn, "box".to_owned(), w.controller, w.not_connected.to_owned(), "");
    }
    let today = u32::try_from(say.at.as_second() / 86_400).unwrap_or(0);
    if let Some(day) = status.keys_until_day.filter(|day| *day <= today) {
        let level = if day < today { Level::Bad } else { Level::Warn };
        note(level, "box".to_owned(), w.keys_end, say.unix_day(&day), "");
    }
    // A stable sort: within a level the order of the page stays.
    found.sort_by_key(|attention| attention.level);
    found
}

/// The most that can be said of an input: of a tuner more than of a socket.
fn of_input(input: &InputReport, say: &Say, w: &Words) -> (Level, String, String) {
    let error = input.last_error.clone().unwrap_or_default();
    let Some(tuner) = &input.tuner else {
        return (say.input(input), w.input(&input.state).to_owned(), error);
    };
    if tuner.reboot_asked {
        return (Level::Bad, w.reboot_wanted.to_owned(), String::new());
    }
    if tuner.state != TunerState::Receiving {
        let level = if input.state == InputState::Good { Level::Warn } else { say.tuner(tuner) };
        return (level, w.tuner_state(&tuner.state).to_owned(), error);
    }
    let weak = tuner.figures.as_ref().filter(|figures| say.margin(figures) < Level::Off);
    if let Some((figures, margin)) = weak.and_then(|figures| Some((figures, figures.margin?))) {
        return (say.margin(figures), format!("{} {}", w.weak, say.decibels(&margin)), String::new());
    }
    (say.input(input), w.input(&input.state).to_owned(), error)
}

#[cfg(test)]
mod tests {
    use headend_rt::{page::language::Language, serve::Counts};

    use super::*;
    use crate::{
        card::{CardStatus, status::EntitlementStatus},
        input::tuner::{
            figures::Figures,
            report::{ProofReport, SeatReport, TunerReport},
            units::Decibels,
        },
        stream::access::AccessStatus,
    };

    pub(crate) fn calm() -> NodeStatus {
        NodeStatus {
            version: "1",
            generation: Some(1),
            controller_connected: true,
            events_pending: 0,
            keys_until_day: Some(30_000),
            now_ms: 0,
            channels: vec![],
            feeds: super::super::super::Feeds::new(),
            inputs: vec![],
            tuners: vec![],
            cards: vec![],
            cams: vec![],
            access: vec![],
            http: Counts::default(),
        }
    }

    fn check(change: impl FnOnce(&mut NodeStatus), want: &[&str]) {
        let say = Say { language: Language::En, at: "2026-11-21T12:00:00Z".parse().unwrap(), now_ms: 0 };
        let mut status = calm();
        change(&mut status);
        let found = attention(&status, &say);
        let shown = |one: &Attention| {
            let text = format!("{} #{} {}: {} {}", one.level.tag(), one.place, one.name, one.what, one.detail);
            text.trim_end().to_owned()
        };
        assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), want);
    }

    fn dvb(state: TunerState, margin: i32) -> InputReport {
        let figures = Figures { locked: true, margin: Some(Decibels(margin)), ..Figures::default() };
        let tuner = TunerReport { state, figures: Some(figures), ..TunerReport::default() };
        InputReport {
            feed: "dvb://a".to_owned(),
            state: InputState::Good,
            tuner: Some(tuner),
            ..InputReport::default()
        }
    }

    #[test]
    fn a_calm_box_asks_for_nothing() {
        check(|_| {}, &[]);
        check(|status| status.inputs = vec![dvb(TunerState::Receiving, 6_000)], &[]);
    }

    #[test]
    fn the_worst_comes_first_and_links_to_its_place() {
        let until = Some("2026-11-30T12:00:00Z".parse().unwrap());
        let right = EntitlementStatus { product: 5, label: "Base".to_owned(), from: None, until };
        let card = CardStatus {
            name: "main".to_owned(),
            state: CardState::Ready,
            entitlements: vec![right],
            ..CardStatus::default()
        };
        let (input, trouble) = ("udp://x".to_owned(), "no card answers for its CA systems".to_owned());
        let access = AccessStatus {
            input,
            service: 7,
            systems: vec![],
            state: "scrambled",
            card: None,
            trouble,
            ecms: 0,
            cam: None,
        };
        check(
            |status| (status.cards, status.access, status.controller_connected) = (vec![card], vec![access], false),
            &[
                "bad #s-udp://x-7 Service 7: SCRAMBLED no card answers for its CA systems",
                "warn #k-main main: Base: 9 days left",
                "warn #box Controller: not connected; channels go on with what was last wanted",
            ],
        );
    }

    #[test]
    fn tuners_say_why() {
        check(
            |status| status.inputs = vec![dvb(TunerState::Receiving, 2_500)],
            &["warn #i-dvb://a dvb://a: weak signal, margin 2.5 dB"],
        );
        check(
            |status| status.inputs = vec![dvb(TunerState::Receiving, 200)],
            &["bad #i-dvb://a dvb://a: weak signal, margin 0.2 dB"],
        );
        let mut lost = dvb(TunerState::NoLock, 6_000);
        lost.state = InputState::Offline;
        check(|status| status.inputs = vec![lost], &["bad #i-dvb://a dvb://a: no lock"]);
        let proof = ProofReport {
            mux: "dvb://a".to_owned(),
            verdict: Verdict::NoLock,
            age_ms: 5,
            proven_age_ms: None,
            margin: None,
            missing: vec![],
        };
        let seat =
            SeatReport { tuner: "t2".to_owned(), doing: SeatUse::Warm, proofs: vec![proof], ..SeatReport::default() };
        check(|status| status.tuners = vec![seat], &["warn #t-t2 t2: spare tuner is no backup for dvb://a: no lock"]);
    }

    #[test]
    fn keys_that_end_are_told_before_they_do() {
        check(|status| status.keys_until_day = Some(20_778), &["warn #box content keys end: 2026-11-21"]);
        check(|status| status.keys_until_day = Some(20_777), &["bad #box content keys end: 2026-11-20"]);
    }
}
