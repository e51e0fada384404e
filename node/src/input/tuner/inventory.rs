//! Tuners and antennas of the node's file: as typed, and checked.
//!
//! Pure. `[[antenna]]` says where multiplexes come from, `[[tuner]]` which device hangs on which of them. An error names
//! the key of the file ([`Wrong`]); [`crate::config`] puts file and line to it.

use serde::Deserialize;

use super::antenna::{Antenna, AntennaKind, Burst, Diseqc, Outlet, Switch, UnicableStandard, UserBand};
use super::mux::Name;
use super::place::Place;

/// The most tuners of one node.
pub const TUNERS_MAX: usize = 64;

/// One `[[antenna]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AntennaFile {
    name: String,
    #[serde(default)]
    terrestrial: bool,
    lnb: Option<String>,
    diseqc: Option<DiseqcFile>,
    unicable: Option<UnicableFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiseqcFile {
    committed: Option<u8>,
    uncommitted: Option<u8>,
    burst: Option<BurstWord>,
    #[serde(default)]
    repeats: u8,
    #[serde(default)]
    committed_first: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BurstWord {
    A,
    B,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnicableFile {
    standard: StandardWord,
    #[serde(default)]
    position: u8,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StandardWord {
    En50494,
    En50607,
}

/// One `[[tuner]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TunerFile {
    name: String,
    device: String,
    antennas: Vec<String>,
    user_band: Option<UserBandFile>,
    slave_of: Option<String>,
    #[serde(default)]
    high_voltage: bool,
    #[serde(default = "yes")]
    keep_warm: bool,
    #[serde(default)]
    capture: Capture,
    #[serde(default = "yes")]
    may_reset: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserBandFile {
    number: u8,
    centre: String,
    pin: Option<u8>,
}

/// How packets are taken off a tuner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capture {
    /// The whole multiplex with one filter; services are chosen by us.
    #[default]
    Whole,
    /// Only the PIDs of wanted services, for links that cannot carry a whole multiplex.
    Pids,
}

/// One tuner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuner {
    /// What reports call it.
    pub name: Name,
    /// Where it is.
    pub device: Place,
    /// What hangs on it, as indices into [`Inventory::antennas`].
    pub antennas: Vec<usize>,
    /// Its own end of the cable.
    pub outlet: Outlet,
    /// The tuner behind whose loop-through it hangs, as an index into [`Inventory::tuners`].
    pub slave_of: Option<usize>,
    /// Keep the frontend open, and its LNB powered, when nobody uses it.
    pub keep_warm: bool,
    /// How packets are taken.
    pub capture: Capture,
    /// Its driver may be taken off and its USB device switched off and on when all else failed.
    pub may_reset: bool,
}

/// What a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// In the order of the file.
    pub antennas: Vec<Antenna>,
    /// In the order of the file.
    pub tuners: Vec<Tuner>,
}

/// A key with what is wrong about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// As `tuner#2.device`.
    pub(crate) key: String,
    /// A sentence that goes on behind the key.
    pub(crate) text: String,
}

impl Inventory {
    /// Checks what was typed.
    pub(crate) fn check(antennas: &[AntennaFile], tuners: &[TunerFile]) -> Result<Self, Wrong> {
        let mut inventory = Self::default();
        for (index, file) in antennas.iter().enumerate() {
            let wrong = |key: &str, text: String| Wrong { key: format!("antenna#{}.{key}", index + 1), text };
            let antenna = file.check().map_err(|(key, text)| wrong(key, text))?;
            if inventory.antennas.iter().any(|known| known.name == antenna.name) {
                return Err(wrong("name", format!("is {:?} for the second time", antenna.name.as_str())));
            }
            inventory.antennas.push(antenna);
        }
        if tuners.len() > TUNERS_MAX {
            return Err(Wrong {
                key: "tuner".to_owned(),
                text: format!("is given {} times, at most {TUNERS_MAX}", tuners.len()),
            });
        }
        for (index, file) in tuners.iter().enumerate() {
            let wrong = |(key, text): (&str, String)| Wrong { key: format!("tuner#{}.{key}", index + 1), text };
            let tuner = inventory.check_tuner(file, tuners).map_err(wrong)?;
            inventory.tuners.push(tuner);
        }
        Ok(inventory)
    }

    /// The antenna of a name.
    #[must_use]
    pub fn antenna(&self, name: &Name) -> Option<usize> {
        self.antennas.iter().position(|antenna| antenna.name == *name)
    }

    fn check_tuner(&self, file: &TunerFile, all: &[TunerFile]) -> Result<Tuner, (&'static str, String)> {
        let name = name(&file.name)?;
        let device: Place = file.device.parse().map_err(|error| ("device", format!("is wrong: {error}")))?;
        if let Some(other) = self.tuners.iter().find(|other| other.name == name || other.device == device) {
            let key = if other.name == name { "name" } else { "device" };
            return Err((key, format!("is that of tuner {} already", other.name)));
        }
        let mut antennas = vec![];
        for wanted in &file.antennas {
            let found = self.antennas.iter().position(|antenna| antenna.name.as_str() == wanted);
            antennas.push(
                found.ok_or_else(|| ("antennas", format!("has {wanted:?}, which is no [[antenna]] of this file")))?,
            );
        }
        if antennas.is_empty() {
            return Err(("antennas", "is empty: name what hangs on the tuner".to_owned()));
        }
        let slave_of =
            match &file.slave_of {
                None => None,
                Some(master) => {
                    let found = all.iter().position(|other| other.name == *master && other.name != file.name);
                    Some(found.ok_or_else(|| {
                        ("slave_of", format!("is {master:?}, which is no other [[tuner]] of this file"))
                    })?)
                }
            };
        let user_band = file.user_band.as_ref().map(UserBandFile::check).transpose()?;
        for antenna in &antennas {
            self.check_band(*antenna, user_band)?;
        }
        let outlet = Outlet { user_band, slave: slave_of.is_some(), high_voltage: file.high_voltage };
        let (keep_warm, capture, may_reset) = (file.keep_warm, file.capture, file.may_reset);
        Ok(Tuner { name, device, antennas, outlet, slave_of, keep_warm, capture, may_reset })
    }

    fn check_band(&self, antenna: usize, band: Option<UserBand>) -> Result<(), (&'static str, String)> {
        let AntennaKind::Dish { switch: Switch::Unicable { standard, .. }, .. } = &self.antennas[antenna].kind else {
            return Ok(());
        };
        match band {
            None => {
                Err(("user_band", format!("is missing: antenna {} is a single cable", self.antennas[antenna].name)))
            }
            Some(band) if band.number == 0 || band.number > standard.bands() => {
                Err(("user_band.number", format!("is {}; the switch has 1 to {}", band.number, standard.bands())))
            }
            Some(_) => Ok(()),
        }
    }
}

impl AntennaFile {
    fn check(&self) -> Result<Antenna, (&'static str, String)> {
        let name = name(&self.name)?;
        let kind = match (&self.lnb, self.terrestrial) {
            (None, true) if self.diseqc.is_none() && self.unicable.is_none() => AntennaKind::Terrestrial,
            (None, true) => return Err(("terrestrial", "is true: a rod has no switches".to_owned())),
            (Some(_), true) => {
                return Err(("lnb", "is given for a terrestrial antenna: keep one of the two".to_owned()));
            }
            (None, false) => {
                return Err(("lnb", "is missing: write lnb = \"universal\", or terrestrial = true".to_owned()));
            }
            (Some(lnb), false) => {
                let lnb = lnb.parse().map_err(|error| ("lnb", format!("is wrong: {}", headend_rt::chain(&error))))?;
                AntennaKind::Dish { lnb, switch: self.switch()? }
            }
        };
        Ok(Antenna { name, kind })
    }

    fn switch(&self) -> Result<Switch, (&'static str, String)> {
        match (&self.diseqc, &self.unicable) {
            (None, None) => Ok(Switch::None),
            (Some(_), Some(_)) => Err(("unicable", "is given beside diseqc: keep one of the two".to_owned())),
            (Some(file), None) => {
                let within = |key, value: Option<u8>, max: u8| match value {
                    Some(value) if value == 0 || value > max => {
                        Err((key, format!("is {value}; inputs are 1 to {max}")))
                    }
                    _ => Ok(value),
                };
                if file.repeats > 3 {
                    return Err(("diseqc.repeats", format!("is {}; at most 3", file.repeats)));
                }
                Ok(Switch::Diseqc(Diseqc {
                    committed: within("diseqc.committed", file.committed, 4)?,
                    uncommitted: within("diseqc.uncommitted", file.uncommitted, 16)?,
                    burst: file.burst.map(|burst| if matches!(burst, BurstWord::A) { Burst::A } else { Burst::B }),
                    repeats: file.repeats,
                    committed_first: file.committed_first,
                }))
            }
            (None, Some(file)) => {
                let standard = match file.standard {
                    StandardWord::En50494 => UnicableStandard::En50494,
                    StandardWord::En50607 => UnicableStandard::En50607,
                };
                if file.position >= standard.positions() {
                    let last = standard.positions() - 1;
                    return Err(("unicable.position", format!("is {}; the switch has 0 to {last}", file.position)));
                }
                Ok(Switch::Unicable { standard, position: file.position })
            }
        }
    }
}

impl UserBandFile {
    fn check(&self) -> Result<UserBand, (&'static str, String)> {
        let centre = self.centre.parse().map_err(|error| ("user_band.centre", format!("is wrong: {error}")))?;
        Ok(UserBand { number: self.number, centre, pin: self.pin })
    }
}

fn name(text: &str) -> Result<Name, (&'static str, String)> {
    let wrong = format!("is {text:?}; use up to 40 letters, digits, -, _ and .");
    Name::new(text).map_err(|_| ("name", wrong))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        antenna: Vec<AntennaFile>,
        #[serde(default)]
        tuner: Vec<TunerFile>,
    }

    /// The inventory of a file's text.
    pub(crate) fn inventory(text: &str) -> Result<Inventory, Wrong> {
        let file: File = serde_json::from_str(text).unwrap();
        Inventory::check(&file.antenna, &file.tuner)
    }

    fn check(text: &str, want: &str) {
        let got = inventory(text).map_or_else(
            |wrong| format!("{} {}", wrong.key, wrong.text),
            |fine| format!("{} tuners", fine.tuners.len()),
        );
        assert_eq!(got, want);
    }

    const ASTRA: &str = r#""antenna": [{"name": "astra", "lnb": "universal", "diseqc": {"committed": 1}}]"#;

    #[test]
    fn a_box_with_two_tuners() {
        let text = format!(
            r#"{{{ASTRA}, "tuner": [{{"name": "a", "device": "usb:1-1.2", "antennas": ["astra"]}},
                {{"name": "b", "device": "usb:1-1.3", "antennas": ["astra"], "slave_of": "a", "capture": "pids"}}]}}"#
        );
        check(&text, "2 tuners");
        let inventory = inventory(&text).unwrap();
        assert!(inventory.tuners[0].keep_warm && inventory.tuners[1].outlet.slave);
        assert_eq!((inventory.tuners[1].slave_of, inventory.tuners[1].capture), (Some(0), Capture::Pids));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        let tuner = |rest: &str| format!(r#"{{{ASTRA}, "tuner": [{{"name": "a", {rest}}}]}}"#);
        check(
            &tuner(r#""device": "dvb0", "antennas": ["astra"]"#),
            "tuner#1.device is wrong: device \"dvb0\" is not understood: write what `headend-node femon --list` prints, such as usb:1-1.2/0.0, or adapter:0.0, or replay:/path/file.ts",
        );
        check(
            &tuner(r#""device": "usb:1-1", "antennas": ["x"]"#),
            "tuner#1.antennas has \"x\", which is no [[antenna]] of this file",
        );
        check(
            &tuner(r#""device": "usb:1-1", "antennas": []"#),
            "tuner#1.antennas is empty: name what hangs on the tuner",
        );
        check(
            &tuner(r#""device": "usb:1-1", "antennas": ["astra"], "slave_of": "a""#),
            "tuner#1.slave_of is \"a\", which is no other [[tuner]] of this file",
        );
        let antenna = |rest: &str| {
            format!(
                r#"{{"antenna": [{{"name": "a", {rest}}}], "tuner": [{{"name": "t", "device": "usb:1-1", "antennas": ["a"]}}]}}"#
            )
        };
        check(
            &antenna(r#""lnb": "quad""#),
            "antenna#1.lnb is wrong: LNB \"quad\" is not known: write universal, wideband, 10750MHz, or 9750MHz/10600MHz/11700MHz",
        );
        check(
            &antenna(r#""terrestrial": false"#),
            "antenna#1.lnb is missing: write lnb = \"universal\", or terrestrial = true",
        );
        check(
            &antenna(r#""lnb": "universal", "diseqc": {"committed": 5}"#),
            "antenna#1.diseqc.committed is 5; inputs are 1 to 4",
        );
        check(
            &antenna(r#""lnb": "universal", "unicable": {"standard": "en50494"}"#),
            "tuner#1.user_band is missing: antenna a is a single cable",
        );
    }
}
