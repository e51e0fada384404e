//! One node by itself: presence, what is wrong with its hardware, its cards and tuners as it told them last.
//!
//! Whole without a script; the script of all pages asks for it again twice a second. Figures that are too old say so.

use askama::Template;
use headend_wire::{
    CardHealth, TunerHealth,
    hardware::{TunerLoss, TunerLosses},
};
use jiff::Timestamp;

use super::{
    hardware::{DAYS_BAD, DAYS_WARN, Warning, days_left, tenths, warnings},
    matrix::NodeCard,
    words::{Words, age},
};
use crate::{
    fleet::state::{Elapsed, HEALTH_HOLDS, Hardware, NodeKey, NodeState},
    page::{assets, figures::size, language::Language},
};

/// What the page is made from.
pub(super) struct Shown<'a> {
    pub(super) key: &'a NodeKey,
    pub(super) card: Option<&'a NodeCard>,
    pub(super) state: Option<&'a NodeState>,
    pub(super) now: Elapsed,
}

#[derive(Template)]
#[template(path = "box.html")]
struct BoxPage<'a> {
    w: &'static Words,
    say: Say,
    build: &'static str,
    key: &'a NodeKey,
    card: Option<&'a NodeCard>,
    hardware: &'a Hardware,
    warnings: &'a [Warning],
    told: Option<String>,
    stale: bool,
}

#[derive(Debug, Clone, Copy)]
struct Say {
    language: Language,
    at: Timestamp,
}

impl Say {
    fn lang(&self) -> &'static str {
        self.language.tag()
    }

    fn other_lang(&self) -> &'static str {
        self.language.other().tag()
    }

    fn clock(&self) -> String {
        self.at.strftime("%H:%M:%S").to_string()
    }

    fn since(&self, ms: &i64) -> String {
        age(self.at.as_millisecond().saturating_sub(*ms), self.language)
    }

    fn day(&self, at: &Timestamp) -> String {
        at.strftime("%Y-%m-%d").to_string()
    }

    fn days(&self, until: &Timestamp) -> i64 {
        days_left(*until, self.at)
    }

    fn over(&self, days: &i64) -> bool {
        *days < 0
    }

    fn ending(&self, until: &Timestamp) -> &'static str {
        let days = self.days(until);
        if days < DAYS_BAD {
            "bad"
        } else if days < DAYS_WARN {
            "warn"
        } else {
            ""
        }
    }

    fn decibels(&self, value: &i32, unit: &str) -> String {
        let text = format!("{} {unit}", tenths(*value));
        if self.language == Language::Fr { text.replace('.', ",") } else { text }
    }

    /// What was lost, by cause; causes without a loss say nothing.
    fn losses(&self, tuner: &TunerHealth, w: &Words) -> String {
        let TunerLosses { signal, kernel_ring, transfer, removal, own_queue } = tuner.losses;
        let causes = [
            (w.cause_signal, signal),
            (w.cause_kernel, kernel_ring),
            (w.cause_transfer, transfer),
            (w.cause_removal, removal),
            (w.cause_queue, own_queue),
        ];
        let some = causes.into_iter().filter(|(_, loss)| loss.bytes > 0 || loss.ms > 0);
        let one =
            |(cause, loss): (&str, TunerLoss)| format!("{cause} {} / {} ms", size(loss.bytes, self.language), loss.ms);
        let words: Vec<String> = some.map(one).collect();
        if words.is_empty() { "–".to_owned() } else { words.join(", ") }
    }

    fn card_is_well(&self, card: &CardHealth) -> bool {
        matches!(card.state.as_str(), "ready" | "opening")
    }
}

/// The page, also of a node nobody knows.
pub(super) fn render(shown: &Shown<'_>, at: Timestamp, language: Language) -> String {
    let none = Hardware::default();
    let hardware = shown.state.map_or(&none, NodeState::hardware);
    let old = hardware.heard.map(|heard| shown.now.saturating_sub(heard));
    let told = old.map(|old| age(i64::try_from(old.as_millis()).unwrap_or(i64::MAX), language));
    let warnings = warnings(hardware, at);
    let page = BoxPage {
        w: Words::of(language),
        say: Say { language, at },
        build: assets::build(),
        key: shown.key,
        card: shown.card,
        hardware,
        warnings: &warnings,
        told,
        stale: old.is_some_and(|old| old > HEALTH_HOLDS),
    };
    page.render().expect("a template of plain values renders")
}

#[cfg(test)]
mod tests {
    use headend_wire::{Health, Incarnation, Message};

    use super::*;
    use crate::fleet::state::{FleetState, Report};

    fn check(seconds_later: u64, language: Language, has: &[&str], lacks: &[&str]) {
        let key = NodeKey { site: "caribbean".parse().unwrap(), node: "car-1".parse().unwrap() };
        let card = CardHealth {
            name: "main<script>".to_owned(),
            state: "ready".to_owned(),
            label: "Test".to_owned(),
            atr: String::new(),
            entitlements: 2,
            entitled_until: Some("2026-11-30T12:00:00Z".parse().unwrap()),
            last_error: String::new(),
        };
        let tuner = TunerHealth {
            name: "sat-1".to_owned(),
            doing: "serving".to_owned(),
            state: "receiving".to_owned(),
            margin: Some(8),
            ..TunerHealth::default()
        };
        let body = Health { whole: true, generation: 1, channels: vec![], cards: vec![card], tuners: vec![tuner] };
        let at = "2026-11-21T12:00:00Z".parse().unwrap();
        let mut fleet = FleetState::default();
        let message = Message { v: 1, incarnation: Incarnation(1), seq: 1, at, body };
        fleet.merge(&key, Report::Health(message), Elapsed::ZERO);
        let now = Elapsed::from_secs(seconds_later);
        let html = render(&Shown { key: &key, card: None, state: fleet.node(&key), now }, at, language);
        for words in has {
            assert!(html.contains(words), "{words}: {html}");
        }
        for words in lacks {
            assert!(!html.contains(words), "{words}: {html}");
        }
    }

    #[test]
    fn cards_and_tuners_with_what_is_wrong_and_what_to_do() {
        let has = ["9 days left", "margin 0.8 dB", "entitlement.md", "tuner.md", "main&#60;script&#62;"];
        check(5, Language::En, &has, &["main<script>", "out of date", "style="]);
        check(31, Language::En, &["out of date"], &[]);
        check(5, Language::Fr, &["9 jours restants", "0,8 dB", "Ce qui ne va pas"], &[]);
    }
}
