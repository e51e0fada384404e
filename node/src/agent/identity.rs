//! Who this node is: its key, its certificate, and whom it obeys.
//!
//! `headend-node enrol` makes a key that never leaves the box, trades a one-time code for a certificate, and
//! writes what a node needs to know below `state_dir/identity`. Nothing here is part of an image: a cloned disk
//! that enrols again gets another certificate.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use headend_rt::atomic_file;
use headend_wire::{
    NodeName, SiteName, VerifyingKey,
    fleet::{EnrolAnswer, EnrolRequest},
};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde::{Deserialize, Serialize};

const ENROL_TIMEOUT: Duration = Duration::from_secs(15);

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// This node was never enrolled.
    #[error("this node is not enrolled: {path} is missing; run `headend-node enrol --code CODE`")]
    NotEnrolled {
        /// The file that is missing.
        path: PathBuf,
    },
    /// A file of the identity is there and wrong.
    #[error("identity file {path} is damaged; remove the folder and enrol again")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("identity file {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The identity is another box's.
    #[error("this box was enrolled as {enrolled}, the configuration says {configured}; correct one of them")]
    OtherNode {
        /// `site/name` of the certificate.
        enrolled: String,
        /// `site/name` of the configuration.
        configured: String,
    },
    /// A key or a certificate request could not be made.
    #[error("make a key and a certificate request")]
    Request(#[source] rcgen::Error),
    /// The controller was not reached.
    #[error("reach the controller at {url}")]
    Unreachable {
        /// Its fleet address.
        url: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// The controller said no.
    #[error("the controller refused the code: it is used up, too old, mistyped, or for another node ({status})")]
    Refused {
        /// Its HTTP status.
        status: u16,
    },
}

/// What an enrolled node knows of itself and its controller.
#[derive(Debug, Clone)]
pub struct Identity {
    /// File with the node's private key.
    pub key_path: PathBuf,
    /// The key that signs what this node obeys.
    pub controller_key: VerifyingKey,
    /// The site's broker, as named at enrolment.
    pub mqtt_url: String,
}

#[derive(Serialize, Deserialize)]
struct Card {
    site: SiteName,
    node: NodeName,
    controller_key: String,
    mqtt_url: String,
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("identity")
}

/// Where the fleet's authority lies.
#[must_use]
pub fn authority_path(state_dir: &Path) -> PathBuf {
    folder(state_dir).join("authority.pem")
}

/// Where the node's certificate lies.
#[must_use]
pub fn certificate_path(state_dir: &Path) -> PathBuf {
    folder(state_dir).join("cert.pem")
}

/// Reads the identity and checks that it is this node's.
///
/// # Errors
/// [`IdentityError`] names the file and the way out.
pub fn load(state_dir: &Path, site: &SiteName, name: &NodeName) -> Result<Identity, IdentityError> {
    let folder = folder(state_dir);
    let read = |file: &str| {
        let path = folder.join(file);
        fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => IdentityError::NotEnrolled { path: path.clone() },
            _ => IdentityError::File { path: path.clone(), source },
        })
    };
    let damaged = || IdentityError::Damaged { path: folder.join("card.json") };
    let card: Card = serde_json::from_str(&read("card.json")?).map_err(|_| damaged())?;
    if (&card.site, &card.node) != (site, name) {
        let (enrolled, configured) = (format!("{}/{}", card.site, card.node), format!("{site}/{name}"));
        return Err(IdentityError::OtherNode { enrolled, configured });
    }
    for file in ["cert.pem", "authority.pem"] {
        read(file)?;
    }
    Ok(Identity {
        key_path: folder.join("key.pem"),
        controller_key: parse_key(&card.controller_key).ok_or_else(damaged)?,
        mqtt_url: card.mqtt_url,
    })
}

/// An Ed25519 public key from 64 hexadecimal digits.
pub(crate) fn parse_key(text: &str) -> Option<VerifyingKey> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    VerifyingKey::from_bytes(&bytes).ok()
}

/// Enrols this box: makes a key, has it certified, and writes the identity.
///
/// # Errors
/// [`IdentityError`]; nothing is written unless the controller agreed.
pub async fn enrol(
    state_dir: &Path,
    name: &NodeName,
    controller_url: &str,
    code: &str,
    client: &reqwest::Client,
) -> Result<EnrolAnswer, IdentityError> {
    let key = KeyPair::generate().map_err(IdentityError::Request)?;
    let mut params = CertificateParams::new(vec![]).map_err(IdentityError::Request)?;
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    let request = params.serialize_request(&key).map_err(IdentityError::Request)?;
    let csr_pem = request.pem().map_err(IdentityError::Request)?;

    let url = format!("{controller_url}/fleet/v1/enrol");
    let unreachable = |source| IdentityError::Unreachable { url: url.clone(), source };
    let body = EnrolRequest { code: code.trim().to_owned(), csr_pem };
    let response = client.post(&url).timeout(ENROL_TIMEOUT).json(&body).send().await.map_err(unreachable)?;
    if !response.status().is_success() {
        return Err(IdentityError::Refused { status: response.status().as_u16() });
    }
    let answer: EnrolAnswer = response.json().await.map_err(unreachable)?;

    let folder = folder(state_dir);
    fs::create_dir_all(&folder).map_err(|source| IdentityError::File { path: folder.clone(), source })?;
    let write = |file: &str, text: &str| {
        let path = folder.join(file);
        atomic_file::write(&path, text.as_bytes(), 0o600)
            .map_err(|source| IdentityError::File { path, source: io::Error::other(source) })
    };
    write("key.pem", &key.serialize_pem())?;
    write("cert.pem", &answer.certificate_pem)?;
    write("authority.pem", &answer.authority_pem)?;
    let card = Card {
        site: answer.site.clone(),
        node: answer.node.clone(),
        controller_key: answer.controller_key.clone(),
        mqtt_url: answer.mqtt_url.clone(),
    };
    // The card comes last: an identity without it counts as not enrolled.
    write("card.json", &serde_json::to_string_pretty(&card).expect("names have a JSON form"))?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_that_was_never_enrolled_says_how() {
        let folder = tempfile::tempdir().expect("folder");
        let (site, name) = ("france".parse().expect("site"), "fr-1".parse().expect("name"));
        let text = load(folder.path(), &site, &name).expect_err("nothing there").to_string();
        assert!(text.ends_with("card.json is missing; run `headend-node enrol --code CODE`"), "{text}");
    }

    #[test]
    fn a_card_of_another_box_is_refused() {
        let state = tempfile::tempdir().expect("folder");
        let folder = folder(state.path());
        fs::create_dir(&folder).expect("made");
        let card = r#"{"site":"france","node":"fr-2","controller_key":"","mqtt_url":"mqtt://b:1883"}"#;
        fs::write(folder.join("card.json"), card).expect("written");
        let (site, name) = ("france".parse().expect("site"), "fr-1".parse().expect("name"));
        let text = load(state.path(), &site, &name).expect_err("other box").to_string();
        assert_eq!(
            text,
            "this box was enrolled as france/fr-2, the configuration says france/fr-1; correct one of them"
        );
    }
}
