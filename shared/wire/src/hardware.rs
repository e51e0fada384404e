//! What a node says of its hardware: cards and tuners, as part of health.
//!
//! Bounded: texts are cut to [`TEXT_CHARS_MAX`], lists to [`CARDS_MAX`] and [`TUNERS_MAX`]. A node sends hardware each 10 s in a
//! message of its own, and once more within five seconds of a change, so that the largest box with everything flapping stays
//! under 16 kB/s, and one with eight tuners and two cards that are calm under 0.6 kB/s.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest text of a report, characters.
pub const TEXT_CHARS_MAX: usize = 200;
/// The most cards of a node.
pub const CARDS_MAX: usize = 16;
/// The most tuners of a node.
pub const TUNERS_MAX: usize = 64;

/// A text as it may be sent and kept.
#[must_use]
pub fn clip(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

/// A smart card of a node, without anything secret: no key, no card number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardHealth {
    /// Its name in the node's configuration.
    pub name: String,
    /// `no-reader`, `empty`, `mute`, `in-use`, `opening`, `ready` or `failed`.
    pub state: String,
    /// What the card is called; empty while none is open.
    #[serde(default)]
    pub label: String,
    /// Its answer to reset in words; empty without a card.
    #[serde(default)]
    pub atr: String,
    /// How many entitlements it lists.
    #[serde(default)]
    pub entitlements: u32,
    /// When the first of them runs out; none where the card does not tell.
    #[serde(default)]
    pub entitled_until: Option<Timestamp>,
    /// The last trouble in words; empty when there never was one.
    #[serde(default)]
    pub last_error: String,
}

/// A tuner of a node. Figures are tenths of a decibel, as people compare them, so that noise makes no news.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunerHealth {
    /// Its name in the node's configuration.
    pub name: String,
    /// `absent`, `idle`, `warm`, `proving` or `serving`.
    pub doing: String,
    /// While it serves: `absent`, `opening`, `no-lock`, `lock-without-data`, `locked` or `receiving`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// The multiplex it is on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mux: String,
    /// Level, tenths of a dBm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<i32>,
    /// Carrier to noise, tenths of a dB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<i32>,
    /// What is left above the threshold of the modulation and code rate received, tenths of a dB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<i32>,
    /// Quality on a scale only the driver knows, per cent, where it gives no dB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// The rung of the ladder it stands on, 0 to 7.
    #[serde(default)]
    pub rung: u8,
    /// No rung helped: drain and reboot the box.
    #[serde(default)]
    pub reboot_asked: bool,
    /// Losses by cause.
    #[serde(default)]
    pub losses: TunerLosses,
    /// How it did as a backup.
    #[serde(default)]
    pub backup: BackupHealth,
}

/// Losses of a tuner since its input was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunerLosses {
    /// Dish, cable, weather.
    #[serde(default)]
    pub signal: TunerLoss,
    /// The kernel's ring ran over: the box was too slow.
    #[serde(default)]
    pub kernel_ring: TunerLoss,
    /// USB, PCIe, driver.
    #[serde(default)]
    pub transfer: TunerLoss,
    /// The device was away.
    #[serde(default)]
    pub removal: TunerLoss,
    /// Readers of ours came too late.
    #[serde(default)]
    pub own_queue: TunerLoss,
}

/// Losses of one cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunerLoss {
    /// Bytes, at least.
    pub bytes: u64,
    /// Milliseconds with losses.
    pub ms: u64,
}

/// How a tuner did when it was tried with what channels want.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHealth {
    /// Multiplexes it was proven for.
    #[serde(default)]
    pub proven: u32,
    /// Multiplexes it failed on, and how: at most four, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// Minutes since the oldest of these proofs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_min: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_node_leaves_out_is_nothing() {
        let tuner: TunerHealth = serde_json::from_str(r#"{"name":"sat-1","doing":"idle"}"#).expect("reads");
        assert_eq!(tuner, TunerHealth { name: "sat-1".into(), doing: "idle".into(), ..TunerHealth::default() });
    }

    #[test]
    fn a_full_box_keeps_its_bound() {
        let long = clip(&"é".repeat(5_000));
        assert_eq!(long.chars().count(), TEXT_CHARS_MAX);
        let text = "dvb://astra?system=s2&frequency=11538MHz&polarisation=v&symbol_rate=22000kBd".to_owned();
        let tuner = TunerHealth {
            name: "satellite-12".into(),
            doing: "serving".into(),
            state: "lock-without-data".into(),
            mux: text.clone(),
            level: Some(-520),
            quality: Some(145),
            margin: Some(66),
            losses: TunerLosses { signal: TunerLoss { bytes: 1 << 40, ms: 1 << 30 }, ..TunerLosses::default() },
            ..TunerHealth::default()
        };
        let card = CardHealth {
            name: "main".into(),
            state: "failed".into(),
            label: "x".repeat(64),
            atr: "a".repeat(TEXT_CHARS_MAX),
            entitlements: 256,
            entitled_until: None,
            last_error: "e".repeat(TEXT_CHARS_MAX),
        };
        let bytes = |value: &str| value.len();
        let tuner = bytes(&serde_json::to_string(&tuner).expect("writes"));
        let card = bytes(&serde_json::to_string(&card).expect("writes"));
        println!("{tuner} bytes a tuner, {card} bytes a card");
        // Every five seconds at most.
        assert!((TUNERS_MAX * tuner + CARDS_MAX * card) / 5 < 16_000, "{tuner} {card}");
        assert!((8 * tuner + 2 * card) / 10 < 800, "{tuner} {card}");
    }
}
