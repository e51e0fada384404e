//! Where every node last said it is, kept over restarts.
//!
//! A controller that forgot would, for the seconds until nodes speak again, want them to do without each other's captures,
//! and every channel would start anew twice. The file is no truth of its own: a node's newest word replaces it.

use std::path::PathBuf;

use headend_rt::atomic_file;
use tracing::warn;

use crate::{fleet::state::NodeKey, policy::line_up::Addresses};

/// 200 nodes of 300 bytes, with room.
const FILE_BYTES_MAX: u64 = 1 << 18;

/// Addresses by node; the file is written when one changed.
pub struct Origins {
    path: Option<PathBuf>,
    known: Addresses,
}

impl Origins {
    /// What an earlier life knew. A file that cannot be read counts as empty.
    #[must_use]
    pub fn open(path: PathBuf) -> Self {
        let bytes = atomic_file::read(&path, FILE_BYTES_MAX).ok().flatten().unwrap_or_default();
        let list: Vec<(NodeKey, String)> = serde_json::from_slice(&bytes).unwrap_or_default();
        Self { path: Some(path), known: list.into_iter().collect() }
    }

    /// Nothing known and nothing kept, for tests.
    #[must_use]
    pub fn forgetful() -> Self {
        Self { path: None, known: Addresses::new() }
    }

    /// Takes what nodes say now; gives the newest word of each, also of those that are silent.
    pub fn hear(&mut self, said: &Addresses) -> Addresses {
        let before = self.known.clone();
        self.known.extend(said.iter().map(|(node, url)| (node.clone(), url.clone())));
        if let Some(path) = self.path.as_ref().filter(|_| self.known != before) {
            let list: Vec<(&NodeKey, &String)> = self.known.iter().collect();
            let text = serde_json::to_vec(&list).expect("names and addresses have a JSON form");
            if let Err(error) = atomic_file::write(path, &text, 0o600) {
                warn!(error = headend_rt::chain(&error), "addresses of nodes not kept on the disk");
            }
        }
        self.known.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(url: &str) -> Addresses {
        let node = NodeKey { site: "france".parse().expect("site"), node: "fr-1".parse().expect("node") };
        Addresses::from([(node, url.to_owned())])
    }

    #[test]
    fn a_silent_node_is_where_it_last_said() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("origins.json");
        assert_eq!(Origins::open(path.clone()).hear(&addresses("http://a")), addresses("http://a"));
        assert_eq!(Origins::open(path.clone()).hear(&Addresses::new()), addresses("http://a"));
        assert_eq!(Origins::open(path.clone()).hear(&addresses("http://b")), addresses("http://b"));
        std::fs::write(&path, b"{]").expect("written");
        assert_eq!(Origins::open(path).hear(&Addresses::new()), Addresses::new());
    }
}
