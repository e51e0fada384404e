//! `cam`: which common interfaces there are, and whether modules are in their slots.
//!
//! What a module is and what it shows needs a conversation, which the running node has: `/api/node/v1/cams`.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::errno::Errno;
use serde::Serialize;

use super::Exit;
use crate::{
    cam::{
        CamSpec,
        slot::{Found, SlotError, Slots, find},
    },
    config,
    input::tuner::place::SYSFS,
};

/// An interface that was closed looks into its slots when it is opened; a module needs a moment to be seen.
const LOOK: Duration = Duration::from_millis(1_500);
const STEP: Duration = Duration::from_millis(50);

/// Arguments of `cam`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; without one, the names of configured CAMs are not shown.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One slot, as shown.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Shown {
    /// What goes into `device` of `[[cam]]`.
    device: String,
    node: String,
    slot: u8,
    /// `ready`, `starting`, `empty`, `in-use`, `denied` or `failed`.
    state: &'static str,
    /// The configured CAM that belongs here.
    cam: Option<String>,
    trouble: String,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let cams = match arguments.config.exists().then(|| config::load(&arguments.config)) {
        None => vec![],
        Some(Ok(config)) => config.cams,
        Some(Err(error)) => return Exit::ConfigInvalid.say(&error),
    };
    let shown: Vec<Shown> = find(Path::new(SYSFS)).iter().flat_map(|found| look(found, &cams)).collect();
    show(&shown, arguments.json);
    judge(&shown)
}

fn judge(shown: &[Shown]) -> Exit {
    let any = |state: &str| shown.iter().any(|one| one.state == state);
    match shown {
        _ if any("denied") => Exit::NotAuthorised,
        _ if any("failed") => Exit::Degraded,
        _ if shown.iter().all(|one| one.state == "empty") => Exit::HardwareMissing,
        _ => Exit::Done,
    }
}

fn look(found: &Found, cams: &[CamSpec]) -> Vec<Shown> {
    let of = |slot: u8, state, trouble: String| Shown {
        device: found.place.to_string(),
        node: found.node().display().to_string(),
        slot,
        state,
        cam: cams.iter().find(|cam| found.is_at(&cam.device) && cam.slot == slot).map(|cam| cam.name.clone()),
        trouble,
    };
    match Slots::open(found) {
        Ok(slots) => {
            let states = settled(&slots);
            let word = |state: &Result<(bool, bool), SlotError>| match state {
                Ok((_, true)) => ("ready", String::new()),
                Ok((true, false)) => ("starting", String::new()),
                Ok((false, false)) => ("empty", String::new()),
                Err(error) => ("failed", headend_rt::chain(error)),
            };
            let each = states.iter().zip(0..).map(|(state, slot)| (word(state), slot));
            each.map(|((state, trouble), slot)| of(slot, state, trouble)).collect()
        }
        Err(SlotError::Call { errno: Errno::EBUSY, .. }) => {
            let words = "another program has it; if that is the node, see /api/node/v1/cams";
            vec![of(0, "in-use", words.to_owned())]
        }
        Err(error @ SlotError::Call { errno: Errno::EACCES | Errno::EPERM, .. }) => {
            vec![of(0, "denied", headend_rt::chain(&error))]
        }
        Err(error) => vec![of(0, "failed", headend_rt::chain(&error))],
    }
}

/// The states once each slot is ready or enough time has passed.
fn settled(slots: &Slots) -> Vec<Result<(bool, bool), SlotError>> {
    let start = Instant::now();
    loop {
        let states: Vec<_> = (0..slots.count()).map(|slot| slots.state(slot)).collect();
        if start.elapsed() >= LOOK || states.iter().all(|state| matches!(state, Ok((_, true)))) {
            return states;
        }
        std::thread::park_timeout(STEP);
    }
}

#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn show(shown: &[Shown], as_json: bool) {
    if as_json {
        println!("{}", serde_json::to_string_pretty(shown).expect("names and states have a JSON form"));
        return;
    }
    if shown.is_empty() {
        println!("no common interface: no card with one is plugged in, or its driver has none");
    }
    for one in shown {
        let cam = one.cam.as_ref().map_or_else(|| "not configured".to_owned(), |name| format!("cam {name}"));
        println!("{} slot {} ({}, {cam}): {} {}", one.device, one.slot, one.node, one.state, one.trouble);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_says_what_is_missing() {
        let check = |states: &[&'static str], want: Exit| {
            let shown = |state: &&'static str| Shown {
                device: String::new(),
                node: String::new(),
                slot: 0,
                state,
                cam: None,
                trouble: String::new(),
            };
            assert_eq!(judge(&states.iter().map(shown).collect::<Vec<_>>()), want, "{states:?}");
        };
        check(&[], Exit::HardwareMissing);
        check(&["empty"], Exit::HardwareMissing);
        check(&["empty", "ready"], Exit::Done);
        check(&["in-use"], Exit::Done);
        check(&["failed", "ready"], Exit::Degraded);
        check(&["denied", "failed"], Exit::NotAuthorised);
    }
}
