//! `card`: which readers and cards there are, the answer to reset explained, and what configured cards may watch.

use std::{fmt::Write as _, path::PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::Exit;
use crate::{
    card::{
        atr::Atr,
        desk::{ProfileSpec, examine},
        open_card::OpenCard,
        pcsc::{PcscReader, Seen, fits, survey},
        profile::{Outcome, Trouble},
        reader::{CardReader as _, Presence, ReaderError},
        vendor::Vendor,
    },
    config::{self, CardConfig},
    start::card_spec,
};

/// An end that is nearer than this is written so that nobody misses it.
const DAYS_TOLD: i64 = 14;

/// Arguments of `card`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; without one, cards are shown but not opened.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One reader, as shown.
#[derive(Debug, Default, Serialize)]
struct Shown {
    reader: String,
    /// `empty`, `mute`, `in-use` or `card`.
    state: &'static str,
    atr: Vec<String>,
    /// The configured card that belongs here.
    card: Option<String>,
    label: String,
    number_tail: String,
    systems: Vec<String>,
    entitlements: Vec<Right>,
    trouble: String,
    #[serde(skip)]
    refused: bool,
}

#[derive(Debug, Serialize)]
struct Right {
    product: u32,
    label: String,
    until: Option<Timestamp>,
    in_force: bool,
    /// Whole days until it ends, negative when it has.
    days_left: Option<i64>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let cards = match arguments.config.exists().then(|| config::load(&arguments.config)) {
        None => vec![],
        Some(Ok(config)) => config.cards,
        Some(Err(error)) => return Exit::ConfigInvalid.say(&error),
    };
    let seen = match survey() {
        Ok(seen) => seen,
        Err(error @ ReaderError::Service { .. }) if error.to_string().contains("ccess") => {
            return Exit::NotAuthorised.say(&error);
        }
        Err(error) => return Exit::HardwareMissing.say(&error),
    };
    let now = Timestamp::now();
    let shown: Vec<Shown> = seen.iter().map(|seen| look(seen, &cards, now)).collect();
    show(&shown, arguments.json);
    judge(&shown)
}

/// The code that says most: a card that is none of ours to watch with comes before one that is not there.
fn judge(shown: &[Shown]) -> Exit {
    match shown {
        _ if shown.iter().any(|one| one.refused) => Exit::NotAuthorised,
        _ if shown.iter().any(|one| !one.trouble.is_empty() || one.state == "mute") => Exit::Degraded,
        _ if shown.iter().all(|one| one.state == "empty") => Exit::HardwareMissing,
        _ => Exit::Done,
    }
}

fn look(seen: &Seen, cards: &[CardConfig], now: Timestamp) -> Shown {
    let mut shown = Shown { reader: seen.reader.clone(), ..Shown::default() };
    let Presence::Card(atr) = &seen.presence else {
        shown.state = if seen.presence == Presence::Mute { "mute" } else { "empty" };
        return shown;
    };
    shown.state = "card";
    shown.atr = Atr::parse(atr).map_or_else(|error| vec![error.to_string()], |atr| atr.explain());
    let Some(card) = cards.iter().find(|card| fits(&card.reader, &seen.reader)) else { return shown };
    shown.card = Some(card.name.clone());
    let mut reader = PcscReader::new(&seen.reader);
    match reader.presence() {
        Presence::Card(atr) => match open(card, &mut reader, &atr) {
            Ok((identity, rights)) => shown.opened(identity, rights, now),
            Err(words) => shown.trouble = words,
        },
        // The running node has it, most likely: then its status tells the rest.
        Presence::InUse => shown.state = "in-use",
        _ => shown.trouble = "the card could not be connected to".to_owned(),
    }
    shown
}

fn open(card: &CardConfig, reader: &mut PcscReader, atr: &[u8]) -> Result<(Outcome, Outcome), String> {
    use crate::card::profile::CardProfile as _;
    let say = |trouble: Trouble| headend_rt::chain(&trouble);
    match card_spec(card).map_err(|error| headend_rt::chain(&error))?.profile {
        ProfileSpec::OpenTestCard(key) => {
            let mut profile = OpenCard::new(key);
            profile.inserted(atr);
            examine(reader, &mut profile).map_err(say)
        }
        ProfileSpec::Vendor(spec) => {
            let mut profile = Vendor::new(spec);
            profile.inserted(atr);
            examine(reader, &mut profile).map_err(say)
        }
    }
}

impl Shown {
    fn opened(&mut self, identity: Outcome, rights: Outcome, now: Timestamp) {
        if let Outcome::Opened(identity) = identity {
            self.systems = identity.systems.iter().map(|system| format!("{system:04X}")).collect();
            (self.label, self.number_tail) = (identity.label, identity.number_tail);
        }
        if let Outcome::Entitlements(list) = rights {
            let right = |one: crate::card::profile::Entitlement| Right {
                in_force: one.until.is_none_or(|until| until > now) && one.from.is_none_or(|from| from <= now),
                product: one.product,
                label: one.label,
                until: one.until,
                days_left: one.until.map(|until| (until.as_second() - now.as_second()).div_euclid(86_400)),
            };
            self.entitlements = list.into_iter().map(right).collect();
            self.refused = self.entitlements.iter().all(|right| !right.in_force);
        }
    }
}

#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn show(shown: &[Shown], json: bool) {
    if json {
        println!("{}", serde_json::to_string_pretty(shown).expect("words have a JSON form"));
    } else {
        print!("{}", describe(shown));
    }
}

/// What a technician reads.
fn describe(shown: &[Shown]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if shown.is_empty() {
        let _ = writeln!(text, "no card reader; plug one in, and see that pcscd runs");
    }
    for one in shown {
        let _ = writeln!(text, "{}: {}", one.reader, one.state);
        for line in &one.atr {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(card) = &one.card {
            let _ = writeln!(text, "  configured as {card}");
        }
        if one.state == "in-use" {
            let _ = writeln!(text, "  another program has it; if that is the node, /api/node/v1/status tells the rest");
        }
        if !one.systems.is_empty() {
            let (label, systems) = (&one.label, one.systems.join(", "));
            let _ = writeln!(text, "  {label}, number ending in {}, CA systems {systems}", one.number_tail);
        }
        for right in &one.entitlements {
            let until = right.until.map_or_else(|| "no end told".to_owned(), |until| format!("until {until}"));
            let over = match right.days_left {
                _ if !right.in_force => ", NOT IN FORCE".to_owned(),
                Some(days) if days < DAYS_TOLD => format!(", ENDS IN {days} DAYS"),
                Some(days) => format!(", {days} days left"),
                None => String::new(),
            };
            let _ = writeln!(text, "  product {} {}: {until}{over}", right.product, right.label);
        }
        if !one.trouble.is_empty() {
            let _ = writeln!(text, "  {}", one.trouble);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shown: &[Shown], want: Exit) {
        assert_eq!(judge(shown), want, "{shown:?}");
    }

    #[test]
    fn codes() {
        let of = |state| Shown { state, ..Shown::default() };
        check(&[], Exit::HardwareMissing);
        check(&[of("empty")], Exit::HardwareMissing);
        check(&[of("empty"), of("card")], Exit::Done);
        check(&[of("in-use")], Exit::Done);
        check(&[of("mute")], Exit::Degraded);
        check(&[Shown { trouble: "x".to_owned(), ..of("card") }], Exit::Degraded);
        check(&[Shown { refused: true, ..of("card") }], Exit::NotAuthorised);
    }

    #[test]
    fn a_card_in_words() {
        let until = Some("2027-01-01T00:00:00Z".parse().unwrap());
        let right = |days| Right { product: 5, label: "Base".to_owned(), until, in_force: true, days_left: Some(days) };
        let shown = Shown {
            reader: "Reader 00".to_owned(),
            state: "card",
            atr: vec!["direct convention, T=1".to_owned()],
            card: Some("main".to_owned()),
            label: "Test".to_owned(),
            number_tail: "5678".to_owned(),
            systems: vec!["F48D".to_owned()],
            entitlements: vec![right(41), right(13)],
            ..Shown::default()
        };
        let want = "Reader 00: card\n  direct convention, T=1\n  configured as main\n  Test, number ending in 5678, CA \
                    systems F48D\n  product 5 Base: until 2027-01-01T00:00:00Z, 41 days left\n  product 5 Base: until \
                    2027-01-01T00:00:00Z, ENDS IN 13 DAYS\n";
        assert_eq!(describe(&[shown]), want);
    }
}
