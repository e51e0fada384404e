//! A node's folder as an enrolment and a controller leave it: identity, signed desired state, sealed day keys.
//!
//! The check holds the controller's secrets. Nothing answers at the addresses of controller and broker: the node plays from
//! its copy.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use headend_access::{Day, Generation, Root, Scope, SessionId, TokenClaims, TokenSigner};
use headend_wire::{
    Desired, DesiredChannel, DesiredSource, Signed, SigningKey, SourcePolicy, desired::TokenKey, dvr::Dvr,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

const SITE: &str = "bench";
const NAME: &str = "node-1";
/// The discard port of loopback: nobody listens.
const NOBODY: &str = "127.0.0.1:9";
const CONTROLLER_SECRET: [u8; 32] = [21; 32];
const TOKEN_SECRET: [u8; 32] = [22; 32];
const ROOT: [u8; 32] = [23; 32];
const STORAGE_KEY: [u8; 32] = [24; 32];
const TOKEN_KEY: u8 = 1;
const GENERATION: u32 = 1;
const DAY_SECS: u64 = 86_400;
const TOKEN_SECS: u64 = 86_400;

/// A channel: its name, and the address of its one source, which is called `air`.
#[derive(Debug, Clone)]
pub struct Channel {
    /// System name.
    pub name: String,
    /// `dvb://…`.
    pub url: String,
    /// What is kept of it, as an operator writes it: `5d`.
    pub keep: Option<String>,
}

/// The folder of a node, and a token that opens all its channels.
pub struct Home {
    folder: PathBuf,
    token: String,
}

impl Home {
    /// Prepares a node below `folder` that plays these channels. `tuners` are the lines of antennas and tuners in its
    /// configuration; a channel leaves its source after `leave_after_ms`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn prepare(folder: &Path, channels: &[Channel], tuners: &str, leave_after_ms: u32) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder.join("identity")).with_context(|| format!("create {}", folder.display()))?;
        write_identity(&folder.join("identity"))?;
        write_keys(folder, channels)?;
        write_desired(folder, channels, leave_after_ms)?;
        let state = folder.display();
        let text = format!(
            "site = \"{SITE}\"\nname = \"{NAME}\"\nstate_dir = \"{state}\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [controller]\nurl = \"https://{NOBODY}\"\n[mqtt]\nurl = \"mqtt://{NOBODY}\"\n{tuners}\n"
        );
        let home = Self { folder: folder.to_owned(), token: token()? };
        fs::write(home.config(), text).context("write the node's configuration")?;
        Ok(home)
    }

    /// The node that an earlier life prepared below `folder`.
    ///
    /// # Errors
    /// When its token cannot be made.
    pub fn again(folder: &Path) -> Result<Self> {
        Ok(Self { folder: folder.to_owned(), token: token()? })
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("node.toml")
    }

    /// Where its log goes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("node.log")
    }

    /// Opens every channel for a day.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

fn signer() -> TokenSigner {
    TokenSigner::new(TOKEN_KEY, TOKEN_SECRET)
}

fn token() -> Result<String> {
    let now = now_secs();
    let (not_before, expires) = (u32::try_from(now - 60)?, u32::try_from(now + TOKEN_SECS)?);
    let claims = TokenClaims { session: SessionId([5; 16]), device: [6; 8], not_before, expires, scope: Scope::All };
    Ok(signer().sign(&claims)?)
}

/// A clock before 1970 fails every check that follows.
fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_identity(folder: &Path) -> Result<()> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(vec![])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "a fleet of one");
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let key = KeyPair::generate()?;
    let mut own = CertificateParams::new(vec![])?;
    own.distinguished_name.push(DnType::CommonName, NAME);
    let certificate = own.signed_by(&key, &Issuer::new(authority, authority_key))?;
    let controller = hex(SigningKey::from_bytes(&CONTROLLER_SECRET).verifying_key().as_bytes());
    let card =
        json!({ "site": SITE, "node": NAME, "controller_key": controller, "mqtt_url": format!("mqtt://{NOBODY}") });
    secret(&folder.join("authority.pem"), authority_pem.as_bytes())?;
    secret(&folder.join("cert.pem"), certificate.pem().as_bytes())?;
    secret(&folder.join("key.pem"), key.serialize_pem().as_bytes())?;
    secret(&folder.join("card.json"), card.to_string().as_bytes())
}

/// Day keys from yesterday to three days ahead, sealed as the node keeps them.
fn write_keys(state: &Path, channels: &[Channel]) -> Result<()> {
    secret(&state.join("storage.key"), &STORAGE_KEY)?;
    let today = u32::try_from(now_secs() / DAY_SECS)?;
    let root = Root::new(Generation(GENERATION), ROOT);
    let entry = |channel: &Channel, day: u32| {
        let iv = [u8::try_from(day % 251).unwrap_or(0); 16];
        let sealed = root.day_key(&channel.name, Day(day)).seal(&STORAGE_KEY, iv);
        json!({ "channel": channel.name, "generation": GENERATION, "day": day, "sealed": hex(&sealed) })
    };
    let entries: Vec<Value> =
        channels.iter().flat_map(|channel| (today - 1..today + 4).map(|day| entry(channel, day))).collect();
    secret(&state.join("day-keys.json"), &serde_json::to_vec(&entries)?)
}

fn write_desired(state: &Path, channels: &[Channel], leave_after_ms: u32) -> Result<()> {
    let (id, public) = signer().public();
    let channel = |channel: &Channel| -> Result<DesiredChannel> {
        Ok(DesiredChannel {
            name: channel.name.parse()?,
            title: channel.name.clone(),
            sources: vec![DesiredSource {
                name: "air".parse()?,
                url: channel.url.clone(),
                service: None,
                remote: false,
            }],
            policy: SourcePolicy { leave_after_ms, return_after_ms: 4_000 },
            segment_secs: 2,
            window_segments: 8,
            key_generation: GENERATION,
            key_period_secs: 300,
            free: false,
            dvr: match &channel.keep {
                Some(keep) => Some(Dvr { keep: keep.parse()?, locks: vec![] }),
                None => None,
            },
        })
    };
    let desired = Desired {
        generation: 1,
        site: SITE.parse()?,
        node: NAME.parse()?,
        channels: channels.iter().map(channel).collect::<Result<_>>()?,
        token_keys: vec![TokenKey { id, public: hex(&public) }],
        key_url: None,
        revoked_sessions: vec![],
    };
    let signed = Signed::new("desired", &desired, &SigningKey::from_bytes(&CONTROLLER_SECRET))?;
    fs::write(state.join("desired.json"), serde_json::to_vec(&signed)?).context("write desired.json")
}

fn secret(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(|| format!("protect {}", path.display()))
}
