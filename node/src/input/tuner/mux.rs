//! The address of a multiplex, as operators write it in a source's `url`.
//!
//! `dvb://ANTENNA?system=s2&frequency=11538MHz&polarisation=v&symbol_rate=22000kBd&service=6911`: ANTENNA is a name of
//! the node's own file, where the technician says what hangs on which cable; the rest is what the broadcaster publishes.
//!
//! | option | values | for |
//! |---|---|---|
//! | `system` | `s`, `s2`, `t`, `t2` | all |
//! | `frequency` | with unit: `11538MHz`, `474000kHz` | all |
//! | `polarisation` | `h`, `v`, `l`, `r` | satellite |
//! | `symbol_rate` | with unit: `22000kBd` | satellite |
//! | `fec` | `auto` or `3/4` | satellite |
//! | `modulation`, `rolloff` | `qpsk` `8psk` `16apsk` `32apsk`; `auto` `0.35` `0.25` `0.20` | S2 |
//! | `stream`, `gold`, `root` | 0 to 255; PLS code as gold or root number | S2 |
//! | `bandwidth`, `plp` | `1.7MHz` to `10MHz`; 0 to 255 | T, T2; T2 |
//! | `priority` | 0 to 9, default 5: who keeps a tuner when there are too few | all |
//!
//! Pure. Two addresses that differ in `service` or `priority` alone are one multiplex on one tuner. Reads and writes the
//! same text, options that have their default left out.

use std::fmt;

use super::delivery::{
    Bandwidth, Delivery, DeliveryError, Fec, Modulation, Polarisation, Rolloff, Satellite, SatelliteSystem, Scrambling,
    Terrestrial, TerrestrialSystem,
};
use super::units::UnitError;

/// The longest name of an antenna or a tuner.
const NAME_BYTES_MAX: usize = 40;

/// Priority of a multiplex whose address names none.
pub const PRIORITY_DEFAULT: u8 = 5;
/// The highest priority.
pub const PRIORITY_MAX: u8 = 9;

/// Name of an antenna or of a tuner in the node's file: letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name, when it is one.
    ///
    /// # Errors
    /// [`MuxError::Name`].
    pub fn new(text: &str) -> Result<Self, MuxError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(fits) {
            return Err(MuxError::Name(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A multiplex, and how much it matters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DvbFeed {
    /// Where the antenna stands in the node's file.
    pub antenna: Name,
    /// How the multiplex is sent.
    pub delivery: Delivery,
    /// 0 to [`PRIORITY_MAX`]; higher keeps the tuner.
    pub priority: u8,
}

/// Why an address is not that of a multiplex.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MuxError {
    /// Empty, too long, or with a strange character.
    #[error("antenna {0:?} is no name: write that of an [[antenna]] of node.toml, as in dvb://astra?system=s2&...")]
    Name(String),
    /// A needed option is missing.
    #[error("option {0} is missing: it is needed for {1}")]
    Missing(&'static str, &'static str),
    /// An option that this system does not have.
    #[error("option {name:?} is not known here: {known}")]
    Option {
        /// As typed.
        name: String,
        /// What would be right.
        known: &'static str,
    },
    /// Given twice.
    #[error("option {0:?} is given twice")]
    Twice(String),
    /// A value that is none of the option's.
    #[error("{name}={value:?} is not understood: write {known}")]
    Value {
        /// Which option.
        name: &'static str,
        /// As typed.
        value: String,
        /// What would be right.
        known: &'static str,
    },
    /// A quantity without its unit.
    #[error("{0}={1}")]
    Unit(&'static str, UnitError),
    /// `gold` and `root` together.
    #[error("gold and root are two spellings of one thing: keep one")]
    GoldAndRoot,
    /// Values that do not fit each other.
    #[error("{0}")]
    Delivery(#[from] DeliveryError),
}

const COMMON: &str = "frequency, priority and service";

impl DvbFeed {
    /// The multiplex of an antenna's name and options, `service` already taken out.
    ///
    /// # Errors
    /// [`MuxError`], in words for an operator.
    pub fn parse(antenna: &str, options: &[(&str, &str)]) -> Result<Self, MuxError> {
        let antenna = Name::new(antenna)?;
        let mut options = Options { list: options.to_vec() };
        options.refuse_doubles()?;
        let system = options.take("system").ok_or(MuxError::Missing("system", "every multiplex: s, s2, t or t2"))?;
        let delivery = match system.to_ascii_lowercase().as_str() {
            "s" => Delivery::Satellite(satellite(&mut options, SatelliteSystem::S)?),
            "s2" => {
                let system = second_generation(&mut options)?;
                Delivery::Satellite(satellite(&mut options, system)?)
            }
            "t" => Delivery::Terrestrial(terrestrial(&mut options, TerrestrialSystem::T)?),
            "t2" => {
                let plp = options.number("plp", "a number from 0 to 255")?;
                Delivery::Terrestrial(terrestrial(&mut options, TerrestrialSystem::T2 { plp })?)
            }
            _ => return Err(MuxError::Value { name: "system", value: system.to_owned(), known: "s, s2, t or t2" }),
        };
        let known = "a number from 0 to 9";
        let priority = options.number("priority", known)?.unwrap_or(PRIORITY_DEFAULT);
        if priority > PRIORITY_MAX {
            return Err(MuxError::Value { name: "priority", value: priority.to_string(), known });
        }
        options.refuse_rest(&delivery)?;
        Ok(Self { antenna, delivery: delivery.checked()?, priority })
    }

    /// The same multiplex at the default priority: what inputs are shared by.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self { priority: PRIORITY_DEFAULT, ..self.clone() }
    }
}

/// Without `service`.
impl fmt::Display for DvbFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dvb://{}?system=", self.antenna)?;
        match &self.delivery {
            Delivery::Satellite(satellite) => write_satellite(f, satellite)?,
            Delivery::Terrestrial(terrestrial) => {
                let Terrestrial { frequency, bandwidth, system } = terrestrial;
                let word = if *system == TerrestrialSystem::T { "t" } else { "t2" };
                write!(f, "{word}&frequency={frequency}")?;
                if *bandwidth != Bandwidth::default() {
                    write!(f, "&bandwidth={bandwidth}")?;
                }
                if let TerrestrialSystem::T2 { plp: Some(plp) } = system {
                    write!(f, "&plp={plp}")?;
                }
            }
        }
        if self.priority != PRIORITY_DEFAULT {
            write!(f, "&priority={}", self.priority)?;
        }
        Ok(())
    }
}

fn write_satellite(f: &mut fmt::Formatter<'_>, satellite: &Satellite) -> fmt::Result {
    let Satellite { frequency, polarisation, symbol_rate, fec, system } = satellite;
    let word = if *system == SatelliteSystem::S { "s" } else { "s2" };
    write!(f, "{word}&frequency={frequency}&polarisation={polarisation}&symbol_rate={symbol_rate}")?;
    if *fec != Fec::Auto {
        write!(f, "&fec={fec}")?;
    }
    let SatelliteSystem::S2 { modulation, rolloff, stream, scrambling } = system else { return Ok(()) };
    if *modulation != Modulation::default() {
        write!(f, "&modulation={modulation}")?;
    }
    if *rolloff != Rolloff::Auto {
        write!(f, "&rolloff={rolloff}")?;
    }
    if let Some(stream) = stream {
        write!(f, "&stream={stream}")?;
    }
    match scrambling {
        Some(Scrambling::Gold(number)) => write!(f, "&gold={number}"),
        Some(Scrambling::Root(number)) => write!(f, "&root={number}"),
        None => Ok(()),
    }
}

fn satellite(options: &mut Options<'_>, system: SatelliteSystem) -> Result<Satellite, MuxError> {
    Ok(Satellite {
        frequency: options.quantity("frequency", "every multiplex")?,
        polarisation: options
            .word("polarisation", Polarisation::of_word, "h, v, l or r")?
            .ok_or(MuxError::Missing("polarisation", "a satellite"))?,
        symbol_rate: options.quantity("symbol_rate", "a satellite")?,
        fec: options.word("fec", Fec::of_word, "auto or a rate such as 3/4")?.unwrap_or_default(),
        system,
    })
}

fn second_generation(options: &mut Options<'_>) -> Result<SatelliteSystem, MuxError> {
    let number = |value: &str| value.parse::<u32>().ok();
    let gold = options.word("gold", |value| number(value).and_then(Scrambling::gold), "a number from 0 to 262142")?;
    let root = options.word("root", |value| number(value).and_then(Scrambling::root), "a number from 1 to 262143")?;
    if gold.is_some() && root.is_some() {
        return Err(MuxError::GoldAndRoot);
    }
    Ok(SatelliteSystem::S2 {
        modulation: options
            .word("modulation", Modulation::of_word, "qpsk, 8psk, 16apsk or 32apsk")?
            .unwrap_or_default(),
        rolloff: options.word("rolloff", Rolloff::of_word, "auto, 0.35, 0.25 or 0.20")?.unwrap_or_default(),
        stream: options.number("stream", "a number from 0 to 255")?,
        scrambling: gold.or(root),
    })
}

fn terrestrial(options: &mut Options<'_>, system: TerrestrialSystem) -> Result<Terrestrial, MuxError> {
    let known = "1.7MHz, 5MHz, 6MHz, 7MHz, 8MHz or 10MHz";
    Ok(Terrestrial {
        frequency: options.quantity("frequency", "every multiplex")?,
        bandwidth: options.word("bandwidth", Bandwidth::of_word, known)?.unwrap_or_default(),
        system,
    })
}

/// Options not looked at yet.
struct Options<'a> {
    list: Vec<(&'a str, &'a str)>,
}

impl<'a> Options<'a> {
    fn refuse_doubles(&self) -> Result<(), MuxError> {
        let mut names: Vec<_> = self.list.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(MuxError::Twice(pair[0].to_owned())),
            None => Ok(()),
        }
    }

    fn refuse_rest(&self, delivery: &Delivery) -> Result<(), MuxError> {
        let Some((name, _)) = self.list.first() else { return Ok(()) };
        let known = match delivery.system() {
            "DVB-S" => "DVB-S takes polarisation, symbol_rate, fec, frequency, priority and service",
            "DVB-S2" => {
                "DVB-S2 takes polarisation, symbol_rate, fec, modulation, rolloff, stream, gold, root, frequency, \
                 priority and service"
            }
            "DVB-T" => "DVB-T takes bandwidth, frequency, priority and service",
            "DVB-T2" => "DVB-T2 takes bandwidth, plp, frequency, priority and service",
            _ => COMMON,
        };
        Err(MuxError::Option { name: (*name).to_owned(), known })
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        let at = self.list.iter().position(|(known, _)| *known == name)?;
        Some(self.list.remove(at).1)
    }

    fn word<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Option<T>,
        known: &'static str,
    ) -> Result<Option<T>, MuxError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| MuxError::Value { name, value: value.to_owned(), known })
    }

    fn number(&mut self, name: &'static str, known: &'static str) -> Result<Option<u8>, MuxError> {
        let digits =
            |value: &str| value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten();
        self.word(name, digits, known)
    }

    fn quantity<T: std::str::FromStr<Err = UnitError>>(
        &mut self,
        name: &'static str,
        needed_for: &'static str,
    ) -> Result<T, MuxError> {
        let value = self.take(name).ok_or(MuxError::Missing(name, needed_for))?;
        value.parse().map_err(|error| MuxError::Unit(name, error))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A feed from the text of an address.
    pub(crate) fn feed(text: &str) -> Result<DvbFeed, MuxError> {
        let rest = text.strip_prefix("dvb://").unwrap_or(text);
        let (antenna, options) = rest.split_once('?').unwrap_or((rest, ""));
        let pairs = options.split('&').filter(|pair| !pair.is_empty());
        let options: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        DvbFeed::parse(antenna, &options)
    }

    fn check(text: &str, want: &str) {
        let got = feed(text).map_or_else(|error| error.to_string(), |feed| feed.to_string());
        assert_eq!(got, want);
    }

    #[test]
    fn addresses_come_back_in_one_spelling() {
        check(
            "dvb://astra?symbol_rate=22MBd&system=S2&frequency=11.538GHz&polarisation=V&modulation=8psk&fec=auto&stream=5&gold=16416&rolloff=0.20&priority=9",
            "dvb://astra?system=s2&frequency=11538MHz&polarisation=v&symbol_rate=22000kBd&modulation=8psk&rolloff=0.20&stream=5&gold=16416&priority=9",
        );
        check(
            "dvb://roof?system=t2&frequency=474MHz&plp=1&bandwidth=7mhz",
            "dvb://roof?system=t2&frequency=474MHz&bandwidth=7MHz&plp=1",
        );
        check("dvb://roof?system=t&frequency=474166667Hz&bandwidth=8MHz", "dvb://roof?system=t&frequency=474166667Hz");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        check(
            "dvb://?system=t",
            "antenna \"\" is no name: write that of an [[antenna]] of node.toml, as in dvb://astra?system=s2&...",
        );
        check("dvb://a", "option system is missing: it is needed for every multiplex: s, s2, t or t2");
        check("dvb://a?system=c", "system=\"c\" is not understood: write s, s2, t or t2");
        check("dvb://a?system=t&frequency=474", "frequency=\"474\" has no unit: write 11538MHz or 11538500kHz");
        check("dvb://a?system=s&frequency=11GHz", "option polarisation is missing: it is needed for a satellite");
        check(
            "dvb://a?system=t&frequency=474MHz&plp=1",
            "option \"plp\" is not known here: DVB-T takes bandwidth, frequency, priority and service",
        );
        check(
            "dvb://a?system=t2&frequency=474MHz&plp=256",
            "plp=\"256\" is not understood: write a number from 0 to 255",
        );
        check("dvb://a?system=t&frequency=474MHz&frequency=482MHz", "option \"frequency\" is given twice");
        check("dvb://a?system=t&frequency=4MHz", "frequency 4MHz is outside 40MHz to 2000MHz");
        check(
            "dvb://a?system=t&frequency=474MHz&priority=10",
            "priority=\"10\" is not understood: write a number from 0 to 9",
        );
        check(
            "dvb://a?system=s2&frequency=11GHz&polarisation=h&symbol_rate=22MBd&gold=1&root=2",
            "gold and root are two spellings of one thing: keep one",
        );
    }

    prop_compose! {
        fn any_satellite()(
            mhz in 2_000..40_000_u64, wave in 0..4_usize, baud in 100_000..80_000_000_u32, second in any::<bool>(),
            modulation in 0..4_usize, rolloff in 0..4_usize, stream in any::<Option<u8>>(), gold in proptest::option::of(0..=0x3_FFFE_u32),
        ) -> Delivery {
            use super::super::units::{Hertz, SymbolRate};
            let system = if second {
                let (modulation, rolloff) = (Modulation::WORDS[modulation].0, Rolloff::WORDS[rolloff].0);
                SatelliteSystem::S2 { modulation, rolloff, stream, scrambling: gold.map(Scrambling::Gold) }
            } else {
                SatelliteSystem::S
            };
            let (polarisation, symbol_rate) = (Polarisation::WORDS[wave].0, SymbolRate(baud));
            Delivery::Satellite(Satellite { frequency: Hertz::from_mhz(mhz), polarisation, symbol_rate, fec: Fec::Rate(3, 4), system })
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(delivery in any_satellite(), priority in 0..=9_u8) {
            let one = DvbFeed { antenna: Name::new("a-1").unwrap(), delivery, priority };
            prop_assert_eq!(feed(&one.to_string()), Ok(one));
        }

        #[test]
        fn any_options_are_answered(text in "dvb://[a-z]{0,3}\\?(system|frequency|fec|stream|gold|x)=(s2|t|11GHz|[0-9/]{0,7})(&(frequency|symbol_rate|polarisation|root)=(474MHz|h|[0-9kB]{0,6})){0,4}") {
            let _ = feed(&text);
        }
    }
}
