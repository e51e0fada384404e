//! A node as the operator registered it: where it is, how it is reached, and which
//! certificate is its identity.

use std::fmt;
use std::str::FromStr;

use headend_wire::{NodeName, SiteName};
use serde::{Deserialize, Serialize};

use super::refusal::{Refusal, address};

/// SHA-256 of a certificate in DER form: 64 hexadecimal digits, kept in lower case without colons.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let fix = "use the 64 hexadecimal digits of the certificate's SHA-256, with or without colons";
            return Err(Refusal::new("fingerprint", format!("has {} digits", digits.chars().count()), fix));
        }
        Ok(Self(digits.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A registered node; an origin when it packages channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRecord {
    /// Its name, which its certificate carries; does not change.
    pub name: NodeName,
    /// Where it is.
    pub site: SiteName,
    /// The address players and the other site are sent to: `http:` or `https:`, no slash at its end. None: where
    /// it says it is, which only a broker with permissions makes trustworthy.
    pub base_url: Option<String>,
    /// The certificate it must show; none until it is enrolled.
    pub fingerprint: Option<Fingerprint>,
    /// Whether players may be sent to it.
    pub enabled: bool,
}

impl NodeRecord {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field.
    pub fn check(&self) -> Result<(), Refusal> {
        let Some(base_url) = &self.base_url else { return Ok(()) };
        address("base_url", base_url, &["http", "https"], 200)?;
        if base_url.ends_with('/') || base_url.contains(['?', '#', '@']) {
            let fix = "write it as https://host:port, without a slash at its end, a query or a user";
            return Err(Refusal::new("base_url", "is no plain address of a server", fix));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(base_url: &str, good: bool) {
        let node = NodeRecord {
            name: "car-1".parse().unwrap(),
            site: "caribbean".parse().unwrap(),
            base_url: Some(base_url.to_owned()),
            fingerprint: None,
            enabled: true,
        };
        assert_eq!(node.check().is_ok(), good, "{base_url}");
    }

    #[test]
    fn base_addresses() {
        check("http://127.0.0.1:8081", true);
        check("https://car-1.example.net", true);
        check("http://127.0.0.1:8081/", false);
        check("https://u@host", false);
        check("udp://239.0.0.1:1", false);
        check("https:", false);
    }

    #[test]
    fn fingerprints_are_kept_in_one_form() {
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(colons.parse::<Fingerprint>().unwrap().as_str(), "ab".repeat(32));
        assert!("ab".parse::<Fingerprint>().is_err());
        assert!("é".repeat(32).parse::<Fingerprint>().is_err());
    }
}
