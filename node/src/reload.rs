//! SIGHUP: reads the configuration again and puts in force what can change while viewers watch.
//!
//! Peers and the listener's certificate change at once. What else differs is named, and counts from the next start: the
//! running process goes on with what it has. A file that is wrong, or a certificate that cannot be read, changes nothing.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use headend_rt::{
    config::{ConfigError, Network},
    tls::{self, TlsError, TlsHandle},
};

use crate::config::{self, Config};

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// The file.
    #[error("read the configuration again")]
    Config(#[from] ConfigError),
    /// The certificate it names.
    #[error("use the certificate of http.tls")]
    Tls(#[from] TlsError),
}

/// What a reload can change.
pub(crate) struct Reloader {
    /// The file.
    pub(crate) path: PathBuf,
    /// What the process was started with.
    pub(crate) started: Config,
    /// Peers that may take clear streams.
    pub(crate) clear_peers: Arc<ArcSwap<Vec<IpAddr>>>,
    /// Networks that see the page.
    pub(crate) technicians: Arc<ArcSwap<Vec<Network>>>,
    /// The listener's certificate; none without TLS.
    pub(crate) tls: Option<TlsHandle>,
}

impl Reloader {
    /// Reads the file and applies it; gives the keys that need a restart.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing was changed then.
    pub(crate) fn apply(&self) -> Result<Vec<&'static str>, ReloadError> {
        let new = config::load(&self.path)?;
        if let (Some(handle), Some((cert, key))) = (&self.tls, &new.http.tls) {
            let identity = tls::Identity { cert: cert.clone(), key: key.clone() };
            handle.replace(tls::server_config(&identity, None)?);
        }
        let later = needs_restart(&self.started, &new);
        self.clear_peers.store(Arc::new(new.http.clear_peers));
        self.technicians.store(Arc::new(new.http.technicians));
        Ok(later)
    }
}

/// Keys that differ and were read at the start only.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let keys = [
        ("site", old.site != new.site),
        ("name", old.name != new.name),
        ("state_dir", old.state_dir != new.state_dir),
        ("http.listen", old.http.listen != new.http.listen),
        ("http.public_url", old.http.public_url != new.http.public_url),
        ("http.clients_max", old.http.clients_max != new.http.clients_max),
        ("http.clients_per_address_max", old.http.clients_per_address_max != new.http.clients_per_address_max),
        ("http.tls", old.http.tls.is_some() != new.http.tls.is_some()),
        ("controller.url", old.controller_url != new.controller_url),
        ("mqtt.url", old.mqtt_url != new.mqtt_url),
        ("input.ring_bytes", old.ring_bytes != new.ring_bytes),
        ("input.prove_every_s", old.prove_every != new.prove_every),
        ("archive", old.archive != new.archive),
        ("cards", old.cards != new.cards),
        ("biss", old.biss != new.biss),
        ("cam", old.cams != new.cams),
        ("viewing", old.viewing != new.viewing),
        ("tuners and muxes", old.inventory != new.inventory),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "site = \"caribbean\"\nname = \"car-1\"\n[controller]\nurl = \"https://c:8443\"\n";

    #[test]
    fn peers_change_at_once_and_the_rest_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, FIRST).unwrap();
        let clear_peers = Arc::new(ArcSwap::default());
        let started = config::load(&path).unwrap();
        let (peers, technicians) = (Arc::clone(&clear_peers), Arc::<ArcSwap<Vec<Network>>>::default());
        let sitting = Arc::clone(&technicians);
        let reloader = Reloader { path: path.clone(), started, clear_peers: peers, technicians: sitting, tls: None };
        assert_eq!(reloader.apply().unwrap(), [""; 0]);

        std::fs::write(
            &path,
            format!("{FIRST}[http]\nclear_peers = [\"10.9.0.2\"]\ntechnicians = [\"10.8.0.0/16\"]\nclients_max = 7\n"),
        )
        .unwrap();
        assert_eq!(reloader.apply().unwrap(), ["http.clients_max"]);
        assert_eq!(**clear_peers.load(), ["10.9.0.2".parse::<IpAddr>().unwrap()]);
        assert!(technicians.load()[0].contains("10.8.3.4".parse().unwrap()));

        std::fs::write(&path, format!("{FIRST}[http]\nclear_peer = []\n")).unwrap();
        let error = headend_rt::chain(&reloader.apply().unwrap_err());
        assert!(error.contains("node.toml:6") && error.contains("clear_peers"), "{error}");
        assert_eq!(clear_peers.load().len(), 1, "the old peers stay");
    }
}
