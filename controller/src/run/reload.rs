//! SIGHUP: reads the configuration again and puts in force what can change while boxes are served.
//!
//! The listener's certificate changes at once, so that a renewed one needs no restart. What else differs is named, and
//! counts from the next start. A file that is wrong, or a certificate that cannot be read, changes nothing.

use std::path::PathBuf;

use headend_rt::{
    config::ConfigError,
    tls::{self, TlsError, TlsHandle},
};

use crate::config::{self, Config};

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    /// The file.
    #[error("read the configuration again")]
    Config(#[from] ConfigError),
    /// The certificate it names.
    #[error("use the certificate of http.tls")]
    Tls(#[from] TlsError),
}

/// What a reload can change.
pub(super) struct Reloader {
    /// The file.
    pub(super) path: PathBuf,
    /// What the process was started with.
    pub(super) started: Config,
    /// The certificate of the listener of boxes; none without TLS.
    pub(super) tls: Option<TlsHandle>,
}

impl Reloader {
    /// Reads the file and applies it; gives the keys that need a restart.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing was changed then.
    pub(super) fn apply(&self) -> Result<Vec<&'static str>, ReloadError> {
        let new = config::load(&self.path)?.config;
        if let (Some(handle), Some(identity)) = (&self.tls, &new.http.tls) {
            handle.replace(tls::server_config(identity, None)?);
        }
        Ok(needs_restart(&self.started, &new))
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
        ("fleet", old.fleet != new.fleet),
        ("mqtt", old.mqtt != new.mqtt),
        ("probes", old.probe_rules != new.probe_rules),
        ("lookout", old.lookout != new.lookout),
        ("audiences", old.audiences != new.audiences),
        ("flussonic", old.flussonic_servers != new.flussonic_servers),
        ("keys", (&old.key_server, &old.key_url) != (&new.key_server, &new.key_url)),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_renewed_certificate_is_used_and_the_rest_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (path, cert, key) =
            (folder.path().join("c.toml"), folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let renew = || {
            let pair = rcgen::generate_simple_self_signed(["tv.example".to_owned()]).unwrap();
            std::fs::write(&cert, pair.cert.pem()).unwrap();
            std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        let text = format!(
            "site = \"caribbean\"\n[http]\ntls = {{ cert = {:?}, key = {:?} }}\n",
            cert.display().to_string(),
            key.display().to_string()
        );
        std::fs::write(&path, &text).unwrap();
        renew();
        let started = config::load(&path).unwrap().config;
        let first = tls::server_config(started.http.tls.as_ref().unwrap(), None).unwrap();
        let handle = TlsHandle::new(std::sync::Arc::clone(&first));
        let reloader = Reloader { path: path.clone(), started, tls: Some(handle.clone()) };

        renew();
        assert_eq!(reloader.apply().unwrap(), [""; 0]);
        let second = handle.current();
        assert!(!std::sync::Arc::ptr_eq(&first, &second));

        std::fs::write(&path, text.replace("caribbean", "france")).unwrap();
        assert_eq!(reloader.apply().unwrap(), ["site"]);

        let second = handle.current();
        std::fs::write(&cert, "no certificate").unwrap();
        assert!(matches!(reloader.apply(), Err(ReloadError::Tls(_))));
        assert!(std::sync::Arc::ptr_eq(&second, &handle.current()), "the old one stays");
    }
}
