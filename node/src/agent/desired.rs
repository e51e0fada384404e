//! The desired state as this node keeps it: checked, newest wins, durable.
//!
//! A node takes a desired state only when its controller signed it, it is meant for this node, and its
//! generation is newer than the one on disk. The disk copy is what runs when nobody answers.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use headend_rt::atomic_file;
use headend_wire::{Desired, NodeName, Signed, SignedError, SiteName, VerifyingKey};

/// The purpose that is part of the signature.
pub const PURPOSE: &str = "desired";

/// The most channels one node takes.
pub const CHANNELS_MAX: usize = 300;

/// Why a desired state was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DesiredError {
    /// Signature or shape.
    #[error("desired state")]
    Signed(#[source] SignedError),
    /// For another node.
    #[error("desired state is for {site}/{node}, not for this node")]
    OtherNode {
        /// Its site.
        site: SiteName,
        /// Its node.
        node: NodeName,
    },
    /// Older than what runs.
    #[error("desired state has generation {offered}, this node runs {running}: an older one is refused")]
    Older {
        /// As offered.
        offered: u64,
        /// As run.
        running: u64,
    },
    /// Over [`CHANNELS_MAX`].
    #[error("desired state has {count} channels, the limit of one node is {CHANNELS_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// The disk copy cannot be written.
    #[error("write {path}")]
    Write {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Keeps the newest desired state.
pub struct DesiredStore {
    path: PathBuf,
    site: SiteName,
    node: NodeName,
    key: VerifyingKey,
    running: Option<Desired>,
}

impl DesiredStore {
    /// Opens the disk copy. A copy that is damaged or not signed by `key` is left aside: the retained message
    /// brings it again.
    #[must_use]
    pub fn open(state_dir: &Path, site: SiteName, node: NodeName, key: VerifyingKey) -> Self {
        let path = state_dir.join("desired.json");
        let running = fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice::<Signed>(&text).ok())
            .and_then(|signed| signed.open::<Desired>(PURPOSE, &key).ok())
            .filter(|desired| desired.site == site && desired.node == node);
        Self { path, site, node, key, running }
    }

    /// What runs.
    #[must_use]
    pub fn running(&self) -> Option<&Desired> {
        self.running.as_ref()
    }

    /// Takes an offered state; `Ok(None)` when it is the one that runs already.
    ///
    /// # Errors
    /// [`DesiredError`]; what ran goes on running.
    pub fn offer(&mut self, signed: &Signed) -> Result<Option<&Desired>, DesiredError> {
        let offered: Desired = signed.open(PURPOSE, &self.key).map_err(DesiredError::Signed)?;
        if offered.site != self.site || offered.node != self.node {
            return Err(DesiredError::OtherNode { site: offered.site, node: offered.node });
        }
        if offered.channels.len() > CHANNELS_MAX {
            return Err(DesiredError::TooMany { count: offered.channels.len() });
        }
        match self.running.as_ref().map(|running| running.generation) {
            Some(running) if offered.generation < running => {
                return Err(DesiredError::Older { offered: offered.generation, running });
            }
            Some(running) if offered.generation == running => return Ok(None),
            _ => {}
        }
        let text = serde_json::to_vec(signed).expect("two strings have a JSON form");
        atomic_file::write(&self.path, &text, 0o600)
            .map_err(|source| DesiredError::Write { path: self.path.clone(), source: io::Error::other(source) })?;
        Ok(Some(self.running.insert(offered)))
    }
}

#[cfg(test)]
mod tests {
    use headend_wire::SigningKey;

    use super::*;

    fn signed(generation: u64, node: &str, key: &SigningKey) -> Signed {
        let desired = Desired {
            generation,
            site: "france".parse().expect("site"),
            node: node.parse().expect("node"),
            channels: vec![],
            token_keys: vec![],
            key_url: None,
            revoked_sessions: vec![],
        };
        Signed::new(PURPOSE, &desired, key).expect("signs")
    }

    /// Offers generations to a node that restarts before each, and tells what it said.
    fn check(offers: &[(u64, &str, u8)], want: &[&str]) {
        let state = tempfile::tempdir().expect("folder");
        let controller = SigningKey::from_bytes(&[1; 32]);
        let mut got = vec![];
        for (generation, node, secret) in offers {
            let (site, name) = ("france".parse().expect("site"), "fr-1".parse().expect("name"));
            let mut store = DesiredStore::open(state.path(), site, name, controller.verifying_key());
            let key = SigningKey::from_bytes(&[*secret; 32]);
            got.push(match store.offer(&signed(*generation, node, &key)) {
                Ok(Some(desired)) => format!("runs {}", desired.generation),
                Ok(None) => "runs already".to_owned(),
                Err(error) => headend_rt::chain(&error),
            });
        }
        assert_eq!(got, want);
    }

    #[test]
    fn newest_wins_over_restarts() {
        check(
            &[(4, "fr-1", 1), (4, "fr-1", 1), (3, "fr-1", 1), (5, "fr-1", 1)],
            &[
                "runs 4",
                "runs already",
                "desired state has generation 3, this node runs 4: an older one is refused",
                "runs 5",
            ],
        );
    }

    #[test]
    fn strangers_are_refused() {
        check(
            &[(9, "fr-2", 1), (9, "fr-1", 2)],
            &[
                "desired state is for france/fr-2, not for this node",
                "desired state: signature does not match: not by this site's controller, or altered on the way",
            ],
        );
    }
}
