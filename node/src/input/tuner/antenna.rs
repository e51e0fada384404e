//! What hangs on a tuner's cable, as the technician describes it: dish and switches, or a rod on the roof.
//!
//! Pure values with their text forms; [`super::sec`] turns them into what is sent up the cable. One [`Antenna`] may be
//! reached by several tuners; what is different for each of them is its [`Outlet`].

use super::lnb::Lnb;
use super::mux::Name;
use super::units::Hertz;

/// A place that multiplexes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Antenna {
    /// What addresses call it.
    pub name: Name,
    /// What it is.
    pub kind: AntennaKind,
}

/// A dish or a rod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AntennaKind {
    /// DVB-T and T2; nothing is sent up the cable.
    Terrestrial,
    /// A satellite position.
    Dish {
        /// Its converter.
        lnb: Lnb,
        /// How it is chosen among others on the cable.
        switch: Switch,
    },
}

/// How a dish is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    /// It is the only one.
    #[default]
    None,
    /// DiSEqC switches, tone burst, or both.
    Diseqc(Diseqc),
    /// One cable for several tuners, each with a user band of its own.
    Unicable {
        /// Which standard the switch speaks.
        standard: UnicableStandard,
        /// Satellite position, 0 to 1 (EN 50494) or 0 to 63 (EN 50607).
        position: u8,
    },
}

/// Switches between tuner and dish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diseqc {
    /// Input of a committed switch (DiSEqC 1.0), 1 to 4.
    pub committed: Option<u8>,
    /// Input of an uncommitted switch (DiSEqC 1.1), 1 to 16.
    pub uncommitted: Option<u8>,
    /// Position of a tone-burst switch ("mini-DiSEqC").
    pub burst: Option<Burst>,
    /// How often the messages are sent again, 0 to 3: a switch behind a switch hears only the repeat.
    pub repeats: u8,
    /// The committed switch is the one next to the tuner.
    pub committed_first: bool,
}

/// Tone burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burst {
    /// Position A: unmodulated.
    A,
    /// Position B: modulated.
    B,
}

/// Which single-cable standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnicableStandard {
    /// EN 50494: 8 user bands, 2 positions.
    En50494,
    /// EN 50607 ("JESS", "Unicable II"): 32 user bands, 64 positions.
    En50607,
}

impl UnicableStandard {
    /// User bands, numbered from 1.
    #[must_use]
    pub fn bands(self) -> u8 {
        match self {
            Self::En50494 => 8,
            Self::En50607 => 32,
        }
    }

    /// Positions, numbered from 0.
    #[must_use]
    pub fn positions(self) -> u8 {
        match self {
            Self::En50494 => 2,
            Self::En50607 => 64,
        }
    }
}

/// A tuner's own end of the cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlet {
    /// Its slot on a single cable.
    pub user_band: Option<UserBand>,
    /// It hangs behind another tuner's loop-through, which does the talking: send nothing.
    pub slave: bool,
    /// About one volt more, for long cables.
    pub high_voltage: bool,
}

/// A slot on a single cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserBand {
    /// From 1.
    pub number: u8,
    /// Centre of the slot, printed on the switch.
    pub centre: Hertz,
    /// Code that keeps neighbours from taking the slot.
    pub pin: Option<u8>,
}
