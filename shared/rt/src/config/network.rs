//! Networks as an operator writes them: `192.168.7.0/24`, `fd00::/8`, or one address.
//!
//! Pure. Classless notation of RFC 4632 §3.1. Bits behind the prefix must be zero: who writes `192.168.7.9/24` means
//! something else than what would be let in.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::Deserialize;

/// A network, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not an address, or no number behind the slash.
    #[error("{0:?} is no network; write 192.168.7.0/24 or one address")]
    Shape(String),
    /// Bits behind the prefix.
    #[error("{text:?} has bits behind its prefix; write {right}, or one address without a slash")]
    Bits {
        /// As written.
        text: String,
        /// The network it lies in.
        right: Network,
    },
}

impl Network {
    /// Whether an address lies in it; an IPv4 address in IPv6 form counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix);
                own.to_bits().checked_shr(shift) == other.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix);
                own.to_bits().checked_shr(shift) == other.to_bits().checked_shr(shift)
            }
            _ => false,
        }
    }
}

fn cut(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(own) => {
            let shift = 32 - u32::from(prefix);
            IpAddr::V4(own.to_bits().checked_shr(shift).and_then(|bits| bits.checked_shl(shift)).unwrap_or(0).into())
        }
        IpAddr::V6(own) => {
            let shift = 128 - u32::from(prefix);
            IpAddr::V6(own.to_bits().checked_shr(shift).and_then(|bits| bits.checked_shl(shift)).unwrap_or(0).into())
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let shape = || NetworkError::Shape(text.chars().take(60).collect());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| shape())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |prefix| prefix.parse::<u8>().map_err(|_| shape()))?;
        if prefix > longest {
            return Err(shape());
        }
        let right = Self { address: cut(address, prefix), prefix };
        if right.address != address {
            return Err(NetworkError::Bits { text: text.to_owned(), right });
        }
        Ok(right)
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, inside: &[&str], outside: &[&str]) {
        let network: Network = text.parse().unwrap();
        for (list, want) in [(inside, true), (outside, false)] {
            for address in list {
                assert_eq!(network.contains(address.parse().unwrap()), want, "{address} in {text}");
            }
        }
    }

    #[test]
    fn addresses_inside_and_outside() {
        check("192.168.7.0/24", &["192.168.7.1", "::ffff:192.168.7.255"], &["192.168.8.1", "::1"]);
        check("10.0.0.5", &["10.0.0.5"], &["10.0.0.4"]);
        check("0.0.0.0/0", &["1.2.3.4"], &["fd00::1"]);
        check("fd00::/8", &["fd12::1"], &["fe80::1", "10.0.0.1"]);
        check("::/0", &["fe80::1"], &["10.0.0.1"]);
    }

    #[test]
    fn what_is_no_network_is_told() {
        let wrong = |text: &str| text.parse::<Network>().unwrap_err().to_string();
        assert_eq!(
            wrong("192.168.7.9/24"),
            "\"192.168.7.9/24\" has bits behind its prefix; write 192.168.7.0/24, or one address without a slash"
        );
        for text in ["", "lan", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "::/129"] {
            assert!(wrong(text).contains("is no network"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_network_holds_its_own_address_and_reads_back(bits in any::<u32>(), prefix in 0..=32_u8) {
            let address = IpAddr::V4(bits.into());
            let network = Network { address: cut(address, prefix), prefix };
            prop_assert!(network.contains(address));
            prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,30}|[0-9./:]{0,30}") {
            let _ = text.parse::<Network>();
        }
    }
}
