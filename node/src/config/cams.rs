//! `[[cam]]`: which module sits in which card, what goes through it, how it is paced.
//!
//! As typed and as checked. A module is found by its card's port, as tuners are; whose packets go through it follows from
//! that unless it is said.

use std::sync::Arc;

use serde::Deserialize;

use crate::{
    cam::{CamSpec, list::Pacing},
    input::tuner::{
        inventory::{Inventory, Tuner},
        mux::Name,
        place::Place,
    },
};

/// The most CAMs of one node.
const CAMS_MAX: usize = 32;
/// The last slot of a device; cards have one or two.
const SLOT_MAX: u8 = 7;
/// Services of one module.
const SERVICES_MAX: usize = 64;
/// The longest wait that makes sense, milliseconds.
const WAIT_MS_MAX: u64 = 120_000;
/// A module that hears more often than this is not paced.
const SPACING_MS_MIN: u64 = 100;

/// One entry as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CamFile {
    name: String,
    device: String,
    #[serde(default)]
    slot: u8,
    tuners: Option<Vec<String>>,
    #[serde(default)]
    systems: Vec<String>,
    #[serde(default = "services_max")]
    services_max: usize,
    #[serde(default = "settle_ms")]
    settle_ms: u64,
    #[serde(default = "spacing_ms")]
    spacing_ms: u64,
    #[serde(default = "clear_within_secs")]
    clear_within_secs: u64,
    #[serde(default = "yes")]
    may_reset: bool,
}

fn services_max() -> usize {
    Pacing::default().services_max
}

fn settle_ms() -> u64 {
    Pacing::default().settle_ms
}

fn spacing_ms() -> u64 {
    Pacing::default().spacing_ms
}

fn clear_within_secs() -> u64 {
    Pacing::default().clear_within_ms / 1_000
}

fn yes() -> bool {
    true
}

/// Checks all entries; an error names its key.
pub(super) fn check(files: &[CamFile], inventory: &Inventory) -> Result<Vec<CamSpec>, (String, String)> {
    if files.len() > CAMS_MAX {
        return Err(("cam".to_owned(), format!("is given {} times, at most {CAMS_MAX}", files.len())));
    }
    let mut cams: Vec<CamSpec> = vec![];
    for (index, file) in files.iter().enumerate() {
        let wrong = |(key, text): (&str, String)| (format!("cam#{}.{key}", index + 1), text);
        let cam = file.check(inventory).map_err(wrong)?;
        if cams.iter().any(|other| other.name == cam.name) {
            return Err(wrong(("name", format!("is {:?} for the second time", cam.name))));
        }
        if let Some(other) = cams.iter().find(|other| (&other.device, other.slot) == (&cam.device, cam.slot)) {
            return Err(wrong(("device", format!("and its slot are those of cam {} already", other.name))));
        }
        cams.push(cam);
    }
    Ok(cams)
}

impl CamFile {
    fn check(&self, inventory: &Inventory) -> Result<CamSpec, (&'static str, String)> {
        let name = Name::new(&self.name)
            .map_err(|_| ("name", format!("is {:?}; write 1 to 40 letters, digits, -, _ or .", self.name)))?;
        let device: Place = self.device.parse().map_err(|error| ("device", format!("is wrong: {error}")))?;
        if matches!(device, Place::Replay(_)) {
            return Err(("device", "is a recording, which has no slot".to_owned()));
        }
        if self.slot > SLOT_MAX {
            return Err(("slot", format!("is {}; slots count from 0, at most {SLOT_MAX}", self.slot)));
        }
        let tuners = match &self.tuners {
            Some(named) => self.named(named, inventory)?,
            None => {
                let beside = inventory.tuners.iter().filter(|tuner| is_beside(&device, tuner));
                beside.map(|tuner| tuner.name.as_str().into()).collect()
            }
        };
        if tuners.is_empty() {
            let text =
                "no [[tuner]] is on this device; give `tuners = [...]`, the names of those whose packets go through it";
            return Err(("device", format!("is {device}, but {text}")));
        }
        let system = |text: &String| {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            u16::from_str_radix(digits, 16)
                .map_err(|_| ("systems", format!("has {text:?}; write CA_system_IDs in hexadecimal: \"0500\"")))
        };
        let systems = self.systems.iter().map(system).collect::<Result<_, _>>()?;
        let within = |key, value: u64, least, most| {
            let wrong = (key, format!("is {value}; from {least} to {most}"));
            if (least..=most).contains(&value) { Ok(value) } else { Err(wrong) }
        };
        within("services_max", self.services_max as u64, 1, SERVICES_MAX as u64)?;
        let pacing = Pacing {
            settle_ms: within("settle_ms", self.settle_ms, 0, WAIT_MS_MAX)?,
            spacing_ms: within("spacing_ms", self.spacing_ms, SPACING_MS_MIN, WAIT_MS_MAX)?,
            clear_within_ms: within("clear_within_secs", self.clear_within_secs, 2, WAIT_MS_MAX / 1_000)? * 1_000,
            services_max: self.services_max,
        };
        let (name, slot, may_reset) = (name.to_string(), self.slot, self.may_reset);
        Ok(CamSpec { name, device, slot, tuners, systems, pacing, may_reset })
    }

    fn named(&self, named: &[String], inventory: &Inventory) -> Result<Vec<Arc<str>>, (&'static str, String)> {
        let known = |name: &String| inventory.tuners.iter().any(|tuner| tuner.name.as_str() == name);
        match named.iter().find(|name| !known(name)) {
            Some(stranger) => Err(("tuners", format!("has {stranger:?}, which is no [[tuner]] of this file"))),
            None => Ok(named.iter().map(|name| name.as_str().into()).collect()),
        }
    }
}

/// Whether a tuner is on the adapter of an interface.
fn is_beside(device: &Place, tuner: &Tuner) -> bool {
    match (device, &tuner.device) {
        (Place::Port { port, adapter, .. }, Place::Port { port: other, adapter: at, .. }) => {
            (port, adapter) == (other, at)
        }
        (Place::Number { adapter, .. }, Place::Number { adapter: at, .. }) => adapter == at,
        _ => false,
    }
}
