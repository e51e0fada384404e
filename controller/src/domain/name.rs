//! Names that stay inside the controller, each its own type. Those that also cross to the
//! nodes (sites, nodes, channels, sources) are `headend_wire`'s.
//!
//! A name is checked where it comes in; afterwards it is safe in a key of the store, in a
//! URL path and in a log line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// Checks `text` and gives the form that is kept.
fn word(field: &'static str, text: &str, bytes_max: usize, also: &str) -> Result<String, Refusal> {
    if text.is_empty() || text.len() > bytes_max {
        let fix = format!("use 1 to {bytes_max} characters");
        return Err(Refusal::new(field, format!("has {} bytes", text.len()), fix));
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !also.contains(*c)) {
        Some(c) => {
            let also: Vec<String> = also.chars().map(String::from).collect();
            let fix = format!("use letters, digits and {}", also.join(" "));
            Err(Refusal::new(field, format!("has {c:?}"), fix))
        }
        None if text.chars().all(|c| c == '.') => Err(Refusal::new(field, "is only dots", "add a letter or a digit")),
        None => Ok(text.to_owned()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $field:literal, $max:literal, $also:literal, $kept:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = Refusal;
            fn from_str(text: &str) -> Result<Self, Refusal> {
                let kept: fn(String) -> String = $kept;
                word($field, text, $max, $also).map(kept).map(Self)
            }
        }
        impl TryFrom<String> for $type {
            type Error = Refusal;
            fn try_from(text: String) -> Result<Self, Refusal> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Who signs in, subscriber or operator: a contract number, a mail address, a word.
    /// Kept in lower case, so that a television's keyboard does not lock anybody out.
    Login, "login", 64, "._-@+", |text| text.to_ascii_lowercase()
);
name!(
    /// A tariff's id in URLs and at the billing system.
    TariffId, "tariff", 64, "._-+", |text| text
);
name!(
    /// A tag that ties channels to tariffs. Kept in lower case.
    Tag, "tag", 32, "._-+", |text| text.to_ascii_lowercase()
);
name!(
    /// A group of viewers with zone, language and preferred origins.
    AudienceName, "audience", 64, "._-", |text| text
);
name!(
    /// What a device calls itself: a MAC address, a serial number, a random id. It is an
    /// identifier, never a secret.
    DeviceId, "device", 64, "._-:", |text| text.to_ascii_lowercase()
);
name!(
    /// A setting of the controller.
    SettingName, "setting", 64, "._-", |text| text
);
name!(
    /// A policy: failover, rollout or another, by the name it is referred to.
    PolicyName, "policy", 64, "._-", |text| text
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        let got = text.parse::<Login>().map_or_else(|refusal| refusal.to_string(), String::from);
        assert_eq!(got, expected);
    }

    #[test]
    fn logins() {
        check("demo", "demo");
        check("Anna.M@example.org", "anna.m@example.org");
        check("", "login has 0 bytes; use 1 to 64 characters");
        check(&"x".repeat(65), "login has 65 bytes; use 1 to 64 characters");
        check("a/b", "login has '/'; use letters, digits and . _ - @ +");
        check("Zoé", "login has 'é'; use letters, digits and . _ - @ +");
        check("..", "login is only dots; add a letter or a digit");
        assert_eq!("00:1A:79:AB:CD:EF".parse::<DeviceId>().unwrap().as_str(), "00:1a:79:ab:cd:ef");
    }

    #[test]
    fn a_kept_name_is_checked_when_it_is_read() {
        assert!(serde_json::from_str::<Login>("\"a b\"").is_err());
        assert_eq!(serde_json::from_str::<Tag>("\"Sport\"").unwrap().as_str(), "sport");
    }

    proptest! {
        #[test]
        fn an_accepted_name_stays_as_it_is(text in ".{0,70}") {
            if let Ok(name) = text.parse::<Login>() {
                prop_assert_eq!(name.as_str().parse::<Login>(), Ok(name.clone()));
                prop_assert!(!name.as_str().contains(['/', '%', '?', '#', ' ']));
            }
        }
    }
}
