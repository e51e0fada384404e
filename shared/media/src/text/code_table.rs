//! The code tables of DVB text, the selectors that name them, and whose default is which (annex A.2).
//!
//! Names are those operators write in configuration: `iso6937`, `iso8859-15`, `utf-8`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A way to read bytes as characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CodeTable {
    /// Table 00, figure A.1: ISO/IEC 6937 with the euro sign at 0xA4.
    #[default]
    Iso6937,
    /// ISO/IEC 8859-n, n from 1 to 16 without the never finished 12.
    Iso8859(u8),
    /// ISO/IEC 10646 basic multilingual plane, two bytes big endian.
    Ucs2,
    /// Korean, KS X 1001 in its eight-bit form.
    KsX1001,
    /// Simplified Chinese, GB 2312 in its eight-bit form.
    Gb2312,
    /// Traditional Chinese.
    Big5,
    /// UTF-8.
    Utf8,
}

/// A name that is none of the code tables'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no code table is called {name:?} (say iso6937, iso8859-15, utf-8, ucs2, ksx1001, gb2312 or big5)")]
pub struct UnknownCodeTable {
    /// What was asked for.
    pub name: String,
}

impl CodeTable {
    /// ISO/IEC 8859-`part`, if there is such a part.
    pub const fn iso8859(part: u8) -> Option<Self> {
        match part {
            1..=11 | 13..=16 => Some(Self::Iso8859(part)),
            _ => None,
        }
    }
}

/// What the first bytes of a text say about its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selector {
    /// The text starts with a character; the default applies.
    Absent,
    /// A table.
    Table(CodeTable),
    /// A selector nobody has given a meaning.
    Reserved(u8),
}

impl Selector {
    /// Splits the selector from the text behind it (tables A.3 and A.4).
    pub(super) fn split(bytes: &[u8]) -> (Self, &[u8]) {
        let (table, rest) = match *bytes {
            [part @ 0x01..=0x0B, ref rest @ ..] => (CodeTable::iso8859(part + 4), rest),
            [0x10, 0x00, part, ref rest @ ..] => (CodeTable::iso8859(part), rest),
            [0x11, ref rest @ ..] => (Some(CodeTable::Ucs2), rest),
            [0x12, ref rest @ ..] => (Some(CodeTable::KsX1001), rest),
            [0x13, ref rest @ ..] => (Some(CodeTable::Gb2312), rest),
            [0x14, ref rest @ ..] => (Some(CodeTable::Big5), rest),
            [0x15, ref rest @ ..] => (Some(CodeTable::Utf8), rest),
            // 0x1F is followed by an encoding_type_id, of which none is public; 0x10 by two bytes.
            [0x1F, _, ref rest @ ..] | [0x10, _, _, ref rest @ ..] => (None, rest),
            [0x00..=0x1F, ref rest @ ..] => (None, rest),
            _ => return (Self::Absent, bytes),
        };
        (table.map_or(Self::Reserved(bytes[0]), Self::Table), rest)
    }
}

impl fmt::Display for CodeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iso6937 => f.write_str("iso6937"),
            Self::Iso8859(part) => write!(f, "iso8859-{part}"),
            Self::Ucs2 => f.write_str("ucs2"),
            Self::KsX1001 => f.write_str("ksx1001"),
            Self::Gb2312 => f.write_str("gb2312"),
            Self::Big5 => f.write_str("big5"),
            Self::Utf8 => f.write_str("utf-8"),
        }
    }
}

impl FromStr for CodeTable {
    type Err = UnknownCodeTable;

    fn from_str(name: &str) -> Result<Self, UnknownCodeTable> {
        let plain = match name {
            "iso6937" => Some(Self::Iso6937),
            "ucs2" => Some(Self::Ucs2),
            "ksx1001" => Some(Self::KsX1001),
            "gb2312" => Some(Self::Gb2312),
            "big5" => Some(Self::Big5),
            "utf-8" => Some(Self::Utf8),
            _ => name.strip_prefix("iso8859-").and_then(|part| Self::iso8859(part.parse().ok()?)),
        };
        plain.ok_or_else(|| UnknownCodeTable { name: name.into() })
    }
}

impl TryFrom<String> for CodeTable {
    type Error = UnknownCodeTable;

    fn try_from(name: String) -> Result<Self, UnknownCodeTable> {
        name.parse()
    }
}

impl From<CodeTable> for String {
    fn from(table: CodeTable) -> Self {
        table.to_string()
    }
}

/// Which table a text without a selector is in, as an operator knows it: per service, else per network, else one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextDefaults {
    anywhere: CodeTable,
    networks: BTreeMap<u16, CodeTable>,
    services: BTreeMap<(u16, u16), CodeTable>,
}

impl TextDefaults {
    /// `anywhere` for all networks and services that have no table of their own.
    pub fn new(anywhere: CodeTable) -> Self {
        Self { anywhere, ..Self::default() }
    }

    /// Sets the default of a whole network, by its `original_network_id`.
    pub fn set_network(&mut self, network: u16, table: CodeTable) {
        self.networks.insert(network, table);
    }

    /// Sets the default of one service of a network.
    pub fn set_service(&mut self, network: u16, service: u16, table: CodeTable) {
        self.services.insert((network, service), table);
    }

    /// The default for a text about `service` of `network`, or about the network itself.
    pub fn table(&self, network: u16, service: Option<u16>) -> CodeTable {
        let of_service = service.and_then(|service| self.services.get(&(network, service)));
        *of_service.or_else(|| self.networks.get(&network)).unwrap_or(&self.anywhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        let check = |bytes: &[u8], want: Result<Option<&str>, u8>, rest: &[u8]| {
            let want = match want {
                Ok(None) => Selector::Absent,
                Ok(Some(name)) => Selector::Table(name.parse().unwrap()),
                Err(selector) => Selector::Reserved(selector),
            };
            assert_eq!(Selector::split(bytes), (want, rest), "{bytes:02x?}");
        };
        check(b"Rai", Ok(None), b"Rai");
        check(b"", Ok(None), b"");
        check(b"\x01a", Ok(Some("iso8859-5")), b"a");
        check(b"\x05a", Ok(Some("iso8859-9")), b"a");
        check(b"\x0Ba", Ok(Some("iso8859-15")), b"a");
        check(b"\x08a", Err(8), b"a");
        check(b"\x0Ca", Err(12), b"a");
        check(b"\x10\x00\x02a", Ok(Some("iso8859-2")), b"a");
        check(b"\x10\x00\x0Ca", Err(16), b"a");
        check(b"\x10\x01\x02a", Err(16), b"a");
        check(b"\x10\x00", Err(16), b"\x00");
        check(b"\x11\x00a", Ok(Some("ucs2")), b"\x00a");
        check(b"\x12a", Ok(Some("ksx1001")), b"a");
        check(b"\x13a", Ok(Some("gb2312")), b"a");
        check(b"\x14a", Ok(Some("big5")), b"a");
        check(b"\x15a", Ok(Some("utf-8")), b"a");
        check(b"\x1F\x01a", Err(0x1F), b"a");
        check(b"\x1F", Err(0x1F), b"");
    }

    #[test]
    fn names_there_and_back() {
        let parts = (1..=16).filter_map(CodeTable::iso8859);
        let others = ["iso6937", "ucs2", "ksx1001", "gb2312", "big5", "utf-8"].map(|name| name.parse().unwrap());
        for table in parts.chain(others) {
            assert_eq!(table.to_string().parse(), Ok(table));
        }
        assert!("iso8859-12".parse::<CodeTable>().is_err());
        assert!("latin".parse::<CodeTable>().is_err());
        let table: CodeTable = serde_json::from_str("\"iso8859-15\"").unwrap();
        assert_eq!(serde_json::to_string(&table).unwrap(), "\"iso8859-15\"");
    }

    #[test]
    fn the_nearest_default_wins() {
        let latin9 = CodeTable::Iso8859(15);
        let mut defaults = TextDefaults::default();
        defaults.set_network(1, latin9);
        defaults.set_service(1, 257, CodeTable::Utf8);
        assert_eq!(defaults.table(1, None), latin9);
        assert_eq!(defaults.table(1, Some(8)), latin9);
        assert_eq!(defaults.table(1, Some(257)), CodeTable::Utf8);
        assert_eq!(defaults.table(2, Some(257)), CodeTable::Iso6937);
    }
}
