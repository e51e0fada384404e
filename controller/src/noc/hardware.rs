//! What is wrong with a node's cards and tuners, and whose runbook it is. Pure: time is an argument.

use headend_wire::{CardHealth, TunerHealth};
use jiff::Timestamp;
use serde::Serialize;

use crate::fleet::state::Hardware;

/// An entitlement that ends within so many days is a warning.
pub const DAYS_WARN: i64 = 14;
/// And within so many trouble.
pub const DAYS_BAD: i64 = 3;
/// Under this margin, tenths of a dB, a cloud is enough.
const MARGIN_WARN: i32 = 30;
/// Under this one it is a matter of minutes.
const MARGIN_BAD: i32 = 10;

/// How bad it is; the order is the order of pain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Someone must do something.
    Bad,
    /// Someone should look.
    Warn,
}

impl Level {
    /// The word in styles and JSON.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warn => "warn",
        }
    }
}

/// The kinds of trouble; each has a page in `docs/runbooks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A tuner asks for a drained reboot of its box.
    RebootAsked,
    /// A tuner at work does not receive, or its signal is weak.
    Tuner,
    /// A spare tuner failed as a backup.
    Backup,
    /// A card does not serve.
    Card,
    /// A right to watch ends.
    Entitlement,
}

impl Kind {
    /// The page that says what to do.
    #[must_use]
    pub fn runbook(self) -> &'static str {
        match self {
            Self::RebootAsked => "reboot-asked.md",
            Self::Tuner => "tuner.md",
            Self::Backup => "spare-tuner.md",
            Self::Card => "card.md",
            Self::Entitlement => "entitlement.md",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// How bad it is.
    pub level: Level,
    /// What kind of trouble.
    pub kind: Kind,
    /// The card or tuner.
    pub name: String,
    /// The word of its state, or the figure, as it is on the wire.
    pub what: String,
    /// Whole days left, for an entitlement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<i64>,
    /// Which page of `docs/runbooks` says what to do.
    pub runbook: &'static str,
}

/// Everything that is wrong with a node's hardware at `now`, the worst first.
#[must_use]
pub fn warnings(hardware: &Hardware, now: Timestamp) -> Vec<Warning> {
    let mut found: Vec<Warning> = hardware.cards.iter().flat_map(|card| of_card(card, now)).collect();
    found.extend(hardware.tuners.iter().flat_map(of_tuner));
    found.sort_by_key(|warning| warning.level);
    found
}

fn warning(level: Level, kind: Kind, name: &str, what: String) -> Warning {
    Warning { level, kind, name: name.to_owned(), what, days: None, runbook: kind.runbook() }
}

fn of_card(card: &CardHealth, now: Timestamp) -> Vec<Warning> {
    if !matches!(card.state.as_str(), "ready" | "opening") {
        return vec![warning(Level::Bad, Kind::Card, &card.name, card.state.clone())];
    }
    let Some((until, days)) = card.entitled_until.map(|until| (until, days_left(until, now))) else { return vec![] };
    if days >= DAYS_WARN {
        return vec![];
    }
    let level = if days < DAYS_BAD { Level::Bad } else { Level::Warn };
    let what = until.strftime("%Y-%m-%d").to_string();
    vec![Warning { days: Some(days), ..warning(level, Kind::Entitlement, &card.name, what) }]
}

fn of_tuner(tuner: &TunerHealth) -> Vec<Warning> {
    let name = &tuner.name;
    let mut found = vec![];
    if tuner.reboot_asked {
        found.push(warning(Level::Bad, Kind::RebootAsked, name, tuner.mux.clone()));
    } else if tuner.doing == "serving" && !matches!(tuner.state.as_str(), "receiving" | "locked" | "opening") {
        found.push(warning(Level::Bad, Kind::Tuner, name, tuner.state.clone()));
    } else if tuner.doing == "absent" {
        // With a state it is wanted, and an input waits for it.
        let level = if tuner.state.is_empty() { Level::Warn } else { Level::Bad };
        found.push(warning(level, Kind::Tuner, name, tuner.doing.clone()));
    } else if let Some(margin) = tuner.margin.filter(|margin| *margin < MARGIN_WARN) {
        let level = if margin < MARGIN_BAD { Level::Bad } else { Level::Warn };
        found.push(warning(level, Kind::Tuner, name, format!("margin {} dB", tenths(margin))));
    }
    let failed = tuner.backup.failed.iter();
    found.extend(failed.map(|words| warning(Level::Warn, Kind::Backup, name, words.clone())));
    found
}

/// Whole days until a moment; negative when it has passed.
#[must_use]
pub fn days_left(until: Timestamp, now: Timestamp) -> i64 {
    (until.as_second() - now.as_second()).div_euclid(86_400)
}

/// Tenths as people write them.
#[must_use]
pub fn tenths(value: i32) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{}", value.unsigned_abs() / 10, value.unsigned_abs() % 10)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn card(state: &str, until: Option<&str>) -> CardHealth {
        CardHealth {
            name: "main".to_owned(),
            state: state.to_owned(),
            label: String::new(),
            atr: String::new(),
            entitlements: 1,
            entitled_until: until.map(|until| until.parse().unwrap()),
            last_error: String::new(),
        }
    }

    fn check(cards: Vec<CardHealth>, tuners: Vec<TunerHealth>, want: &[&str]) {
        let hardware = Hardware { cards, tuners, heard: None };
        let found = warnings(&hardware, now());
        let shown =
            |one: &Warning| format!("{} {:?} {} {} {:?}", one.level.tag(), one.kind, one.name, one.what, one.days);
        assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), want);
    }

    #[test]
    fn entitlements_are_yellow_a_fortnight_ahead_and_red_three_days() {
        check(vec![card("ready", None), card("ready", Some("2026-12-05T12:00:00Z"))], vec![], &[]);
        check(
            vec![card("ready", Some("2026-12-05T11:00:00Z"))],
            vec![],
            &["warn Entitlement main 2026-12-05 Some(13)"],
        );
        check(vec![card("ready", Some("2026-11-24T11:00:00Z"))], vec![], &["bad Entitlement main 2026-11-24 Some(2)"]);
        check(vec![card("ready", Some("2026-11-20T11:00:00Z"))], vec![], &["bad Entitlement main 2026-11-20 Some(-2)"]);
        check(vec![card("empty", Some("2026-11-20T11:00:00Z"))], vec![], &["bad Card main empty None"]);
    }

    #[test]
    fn tuners_hurt_where_they_work_and_warn_where_they_wait() {
        let tuner = |doing: &str, state: &str, margin| TunerHealth {
            name: "t".to_owned(),
            doing: doing.to_owned(),
            state: state.to_owned(),
            margin,
            ..TunerHealth::default()
        };
        check(vec![], vec![tuner("serving", "receiving", Some(60)), tuner("warm", "", None)], &[]);
        check(
            vec![],
            vec![tuner("absent", "", None), tuner("serving", "no-lock", None)],
            &["bad Tuner t no-lock None", "warn Tuner t absent None"],
        );
        check(vec![], vec![tuner("absent", "absent", None)], &["bad Tuner t absent None"]);
        check(vec![], vec![tuner("serving", "receiving", Some(29))], &["warn Tuner t margin 2.9 dB None"]);
        check(vec![], vec![tuner("serving", "receiving", Some(-4))], &["bad Tuner t margin -0.4 dB None"]);
        let mut spare = tuner("warm", "", None);
        spare.backup.failed = vec!["dvb://a: no lock".to_owned()];
        check(vec![], vec![spare], &["warn Backup t dvb://a: no lock None"]);
        let asking = TunerHealth { reboot_asked: true, ..tuner("serving", "lock-without-data", None) };
        check(vec![], vec![asking], &["bad RebootAsked t  None"]);
    }

    #[test]
    fn every_kind_has_its_runbook() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks");
        let list = std::fs::read_to_string(folder.join("README.md")).unwrap();
        for kind in [Kind::RebootAsked, Kind::Tuner, Kind::Backup, Kind::Card, Kind::Entitlement] {
            assert!(folder.join(kind.runbook()).exists() && list.contains(kind.runbook()), "{kind:?}");
        }
        assert!(folder.join("cam.md").exists() && list.contains("cam.md"));
    }
}
