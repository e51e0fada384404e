//! Satellite equipment control: what is sent up the cable before a tuner is tuned, as data.
//!
//! Pure: antenna, outlet, multiplex and attempt in, a [`Plan`] out, which a shell plays step by step. Voltage, tone, tone
//! burst and DiSEqC 1.x follow Eutelsat's Bus Functional Specification 4.2; single cable EN 50494 and EN 50607. The
//! waits are those of real switches: the specification's 15 ms are too short for cascades that power up, and each new
//! attempt waits longer. A slave outlet and a terrestrial antenna have plans without steps.

use std::time::Duration;

use super::antenna::{Antenna, AntennaKind, Burst, Diseqc, Outlet, Switch, UnicableStandard, UserBand};
use super::delivery::{Delivery, Satellite};
use super::lnb::{Converted, LnbError};
use super::units::Hertz;

/// One thing to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Continuous 22 kHz tone.
    Tone(bool),
    /// Supply: 13 V or 18 V.
    Voltage(Voltage),
    /// A volt more or not; a card that cannot is no error.
    HighVoltage(bool),
    /// DiSEqC message.
    Message(Message),
    /// Tone burst.
    Burst(Burst),
    /// Nothing for this long.
    Wait(Duration),
}

/// Supply of the LNB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voltage {
    /// Vertical, right.
    V13,
    /// Horizontal, left.
    V18,
}

/// A DiSEqC message of 3 to 6 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    bytes: [u8; 6],
    len: usize,
}

impl Message {
    fn new(from: &[u8]) -> Self {
        let (mut bytes, len) = ([0; 6], from.len().min(6));
        bytes[..len].copy_from_slice(&from[..len]);
        Self { bytes, len }
    }

    /// What goes over the cable.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What to send, and where to tune then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In order; empty when nothing is to be sent.
    pub steps: Vec<Step>,
    /// What the frontend is tuned to: the channel itself, the intermediate frequency, or the user band.
    pub tune_to: Hertz,
    /// The cable is shared: no other tuner may talk on it meanwhile.
    pub exclusive: bool,
}

impl Plan {
    /// How long the steps wait in all.
    #[must_use]
    pub fn waits(&self) -> Duration {
        self.steps.iter().map(|step| if let Step::Wait(wait) = step { *wait } else { Duration::ZERO }).sum()
    }
}

/// Why nothing can be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecError {
    /// A dish was asked for a terrestrial multiplex, or the other way.
    #[error("{system} does not come from antenna {antenna}: it is a {kind}")]
    WrongAntenna {
        /// The antenna.
        antenna: String,
        /// `dish` or `terrestrial antenna`.
        kind: &'static str,
        /// Of the multiplex.
        system: &'static str,
    },
    /// The converter does not give this frequency.
    #[error(transparent)]
    Lnb(#[from] LnbError),
    /// A single cable without a slot.
    #[error("antenna {0} is a single cable: give the tuner a user_band")]
    NoUserBand(String),
    /// The tuning word has no such value.
    #[error("user band centre {0} does not fit the tuning word of the switch")]
    UserBand(Hertz),
}

/// Waits of one attempt.
struct Timing {
    voltage: Duration,
    message: Duration,
    /// Behind an uncommitted switch, which may have to power the next one up.
    uncommitted: Duration,
    repeats: u8,
}

impl Timing {
    /// The first attempt is quick, the second patient, later ones very patient with one more repeat.
    fn of(attempt: u32) -> Self {
        let timing = |voltage, message, uncommitted, repeats| Self {
            voltage: Duration::from_millis(voltage),
            message: Duration::from_millis(message),
            uncommitted: Duration::from_millis(uncommitted),
            repeats,
        };
        match attempt {
            0 => timing(30, 25, 110, 0),
            1 => timing(150, 60, 150, 1),
            _ => timing(400, 120, 250, 1),
        }
    }
}

const AFTER_BURST: Duration = Duration::from_millis(15);
const UNICABLE_BEFORE: Duration = Duration::from_millis(12);
const UNICABLE_AFTER: Duration = Duration::from_millis(20);

/// What to send so that `antenna` gives `delivery` at this `outlet`. `attempt` counts from 0; `random` spreads the retries of
/// tuners that met on one cable.
///
/// # Errors
/// [`SecError`], in words for a technician.
pub fn plan(
    antenna: &Antenna,
    outlet: &Outlet,
    delivery: &Delivery,
    attempt: u32,
    random: u32,
) -> Result<Plan, SecError> {
    let wrong = |kind| SecError::WrongAntenna { antenna: antenna.name.to_string(), kind, system: delivery.system() };
    match (&antenna.kind, delivery) {
        (AntennaKind::Terrestrial, Delivery::Terrestrial(terrestrial)) => {
            Ok(Plan { steps: vec![], tune_to: terrestrial.frequency, exclusive: false })
        }
        (AntennaKind::Dish { lnb, switch }, Delivery::Satellite(satellite)) => {
            let converted = lnb.convert(satellite.frequency)?;
            if let Switch::Unicable { standard, position } = switch {
                let band = outlet.user_band.ok_or_else(|| SecError::NoUserBand(antenna.name.to_string()))?;
                let unicable = Unicable { standard: *standard, position: *position, band };
                return unicable.plan(satellite, converted, attempt, random);
            }
            let diseqc = if let Switch::Diseqc(diseqc) = switch { *diseqc } else { Diseqc::default() };
            let steps = if outlet.slave { vec![] } else { classic(&diseqc, outlet, satellite, converted, attempt) };
            Ok(Plan { steps, tune_to: converted.intermediate, exclusive: false })
        }
        (AntennaKind::Terrestrial, _) => Err(wrong("terrestrial antenna")),
        (AntennaKind::Dish { .. }, _) => Err(wrong("dish")),
    }
}

fn voltage(satellite: &Satellite) -> Voltage {
    if satellite.polarisation.is_high() { Voltage::V18 } else { Voltage::V13 }
}

fn classic(diseqc: &Diseqc, outlet: &Outlet, satellite: &Satellite, converted: Converted, attempt: u32) -> Vec<Step> {
    let timing = Timing::of(attempt);
    let mut steps = vec![Step::Tone(false)];
    if outlet.high_voltage || attempt >= 2 {
        steps.push(Step::HighVoltage(true));
    }
    steps.extend([Step::Voltage(voltage(satellite)), Step::Wait(timing.voltage)]);
    let messages = messages(diseqc, satellite, converted);
    let rounds = if messages.is_empty() { 0 } else { 1 + diseqc.repeats.max(timing.repeats) };
    for round in 0..rounds {
        for (index, message) in messages.iter().enumerate() {
            // 0xE0: first transmission; 0xE1: repeat.
            let framing = if round == 0 { 0xE0 } else { 0xE1 };
            let bytes = [framing, 0x10, message.0, message.1];
            steps.push(Step::Message(Message::new(&bytes)));
            let last = index + 1 == messages.len() && round + 1 == rounds;
            let powers_up = message.0 == UNCOMMITTED && !last;
            steps.push(Step::Wait(if powers_up { timing.uncommitted } else { timing.message }));
        }
    }
    if let Some(burst) = diseqc.burst {
        steps.extend([Step::Burst(burst), Step::Wait(AFTER_BURST)]);
    }
    if converted.high_band {
        steps.push(Step::Tone(true));
    }
    steps
}

/// Command "Write N0": committed switches.
const COMMITTED: u8 = 0x38;
/// Command "Write N1": uncommitted switches.
const UNCOMMITTED: u8 = 0x39;

/// Commands with their data byte. The high nibble clears all four bits, the low one sets them.
fn messages(diseqc: &Diseqc, satellite: &Satellite, converted: Converted) -> Vec<(u8, u8)> {
    let wave = u8::from(satellite.polarisation.is_high()) << 1 | u8::from(converted.high_band);
    let committed = diseqc.committed.map(|input| (COMMITTED, 0xF0 | (input.saturating_sub(1) & 3) << 2 | wave));
    let uncommitted = diseqc.uncommitted.map(|input| (UNCOMMITTED, 0xF0 | (input.saturating_sub(1) & 0x0F)));
    let (first, second) = if diseqc.committed_first { (committed, uncommitted) } else { (uncommitted, committed) };
    first.into_iter().chain(second).collect()
}

/// A tuner's slot on a single cable.
struct Unicable {
    standard: UnicableStandard,
    position: u8,
    band: UserBand,
}

impl Unicable {
    fn plan(&self, satellite: &Satellite, converted: Converted, attempt: u32, random: u32) -> Result<Plan, SecError> {
        let (message, tune_to) = match self.standard {
            UnicableStandard::En50494 => self.en50494(satellite, converted)?,
            UnicableStandard::En50607 => self.en50607(satellite, converted)?,
        };
        let mut steps = vec![];
        if attempt > 0 {
            // 68 to 118 ms, so that two tuners that talked at once do not do so again (EN 50494 §8).
            steps.push(Step::Wait(Duration::from_millis(68 + u64::from(random % 51))));
        }
        steps.extend([
            Step::Tone(false),
            Step::Voltage(Voltage::V18),
            Step::Wait(UNICABLE_BEFORE),
            Step::Message(message),
            Step::Wait(UNICABLE_AFTER),
            Step::Voltage(Voltage::V13),
        ]);
        Ok(Plan { steps, tune_to, exclusive: true })
    }

    /// ODU_Channel_change (EN 50494 §7.2.2): a tuning word of 10 bits in steps of 4 MHz, from 350 on, over the sum of
    /// intermediate frequency and slot. What the step leaves over, the tuner follows.
    fn en50494(&self, satellite: &Satellite, converted: Converted) -> Result<(Message, Hertz), SecError> {
        const STEP: u64 = 4_000_000;
        let centre = self.band.centre;
        let sum = converted.intermediate.0 + centre.0;
        let steps = (sum + STEP / 2) / STEP;
        let word = steps.checked_sub(350).and_then(|word| u16::try_from(word).ok()).filter(|word| *word < 1 << 10);
        let [high, low] = word.ok_or(SecError::UserBand(centre))?.to_be_bytes();
        let wave = u8::from(satellite.polarisation.is_high()) << 1 | u8::from(converted.high_band);
        let slot = (self.band.number.saturating_sub(1) & 7) << 5;
        let first = slot | (self.position & 1) << 4 | wave << 2 | high;
        let message = match self.band.pin {
            None => Message::new(&[0xE0, 0x10, 0x5A, first, low]),
            Some(pin) => Message::new(&[0xE0, 0x10, 0x5C, first, low, pin]),
        };
        Ok((message, Hertz(steps * STEP - converted.intermediate.0)))
    }

    /// ODU_Channel_change (EN 50607 §8.2.2): a tuning word of 11 bits in steps of 1 MHz, from 100 on, of the
    /// intermediate frequency alone.
    fn en50607(&self, satellite: &Satellite, converted: Converted) -> Result<(Message, Hertz), SecError> {
        const STEP: u64 = 1_000_000;
        let centre = self.band.centre;
        // The word ends at 2147 MHz, the band a little above: there the tuner follows.
        let nearest = (converted.intermediate.0 + STEP / 2) / STEP;
        let steps = if nearest <= 2_151 { nearest.min(2_147) } else { nearest };
        let word = steps.checked_sub(100).and_then(|word| u16::try_from(word).ok()).filter(|word| *word < 1 << 11);
        let [high, low] = word.ok_or(SecError::UserBand(centre))?.to_be_bytes();
        let wave = u8::from(satellite.polarisation.is_high()) << 1 | u8::from(converted.high_band);
        let first = (self.band.number.saturating_sub(1) & 0x1F) << 3 | high;
        let third = (self.position & 0x3F) << 2 | wave;
        let message = match self.band.pin {
            None => Message::new(&[0x70, first, low, third]),
            Some(pin) => Message::new(&[0x71, first, low, third, pin]),
        };
        Ok((message, Hertz(centre.0 + converted.intermediate.0 - steps * STEP)))
    }
}

#[cfg(test)]
#[path = "sec_tests.rs"]
mod tests;
