//! A node all by itself: no controller, no broker, its whole state prepared by the test.
//!
//! What an enrolment and a controller would have left behind is written to its folder: certificates, a signed desired
//! state, sealed day keys. The test holds the controller's secrets, so it can mint tokens and sign newer states. Nothing
//! answers at the addresses of controller and broker.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use headend_access::{Day, Generation, Root, Scope, SessionId, TokenClaims, TokenSigner};
use headend_wire::{
    ChannelName, Desired, DesiredChannel, DesiredSource, Signed, SigningKey, SourcePolicy, desired::TokenKey,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use reqwest::Url;
use serde_json::{Value, json};

use crate::{
    client::{Playlist, Viewer, http_client},
    program::Program,
    wait::until,
};

/// The site of every lone node.
pub const SITE: &str = "caribbean";

const CONTROLLER_SECRET: [u8; 32] = [11; 32];
const TOKEN_SECRET: [u8; 32] = [12; 32];
const TOKEN_KEY: u8 = 3;
const ROOT: [u8; 32] = [13; 32];
const STORAGE_KEY: [u8; 32] = [14; 32];
const GENERATION: u32 = 1;
const DAY_SECS: u64 = 86_400;

/// Where nothing listens: the discard port of loopback, which no test is given by the system.
const NOBODY: &str = "127.0.0.1:9";

/// A node with its state.
pub struct Lone {
    folder: PathBuf,
    name: String,
    generation: u64,
    program: Option<Program>,
    /// What to run: a binary's name, or a path.
    pub binary: String,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// A token that opens every channel for an hour, the same for the life of the test.
    pub token: String,
    /// For requests of the test's own.
    pub http: reqwest::Client,
}

/// What a channel is made of: its name and its sources, name and address, preferred first.
#[must_use]
pub fn channel(name: &str, sources: &[(&str, &str)]) -> DesiredChannel {
    let source = |(name, url): &(&str, &str)| DesiredSource {
        name: name.parse().expect("a good source name"),
        url: (*url).to_owned(),
        service: None,
        remote: false,
    };
    DesiredChannel {
        name: name.parse().expect("a good channel name"),
        title: name.to_owned(),
        sources: sources.iter().map(source).collect(),
        policy: SourcePolicy { leave_after_ms: 1_500, return_after_ms: 4_000 },
        segment_secs: 2,
        window_segments: 8,
        key_generation: GENERATION,
        key_period_secs: 300,
        free: false,
        dvr: None,
    }
}

/// A `file:` address.
#[must_use]
pub fn file(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// Unix seconds now.
#[must_use]
pub fn now_secs() -> u64 {
    // A clock before 1970 fails every check that follows.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Lone {
    /// Prepares the state of a node called `name` below `folder`, with these channels and further lines of
    /// `[http]` in its configuration. It does not run yet.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn prepare(folder: &Path, name: &str, http: &str, channels: Vec<DesiredChannel>) -> Result<Self> {
        let state = folder.join(name);
        fs::create_dir_all(state.join("identity"))?;
        write_identity(&state.join("identity"), name)?;
        write_keys(&state, &channels)?;
        let token = token(Scope::All, 0, 3_600)?;
        let (folder, name) = (folder.to_path_buf(), name.to_owned());
        let binary = "headend-node".to_owned();
        let http_client = http_client()?;
        let mut lone =
            Self { folder, name, generation: 0, program: None, binary, environment: vec![], token, http: http_client };
        lone.configure("127.0.0.1:0", http)?;
        lone.desire(channels)?;
        Ok(lone)
    }

    /// Prepares and starts a node.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn start(folder: &Path, name: &str, channels: Vec<DesiredChannel>) -> Result<Self> {
        let mut lone = Self::prepare(folder, name, "", channels)?;
        lone.run().await?;
        Ok(lone)
    }

    /// Writes its configuration.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, listen: &str, http: &str) -> Result<()> {
        let state = self.state().display().to_string();
        let name = &self.name;
        let text = format!(
            "site = \"{SITE}\"\nname = \"{name}\"\nstate_dir = \"{state}\"\n\n[http]\nlisten = \"{listen}\"\n{http}\n\
             [controller]\nurl = \"https://{NOBODY}\"\n\n[mqtt]\nurl = \"mqtt://{NOBODY}\"\n",
        );
        fs::write(self.config(), text).context("write the node's configuration")
    }

    /// Signs a newer desired state, for the next start.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn desire(&mut self, channels: Vec<DesiredChannel>) -> Result<()> {
        self.generation += 1;
        let (id, public) = signer().public();
        let desired = Desired {
            generation: self.generation,
            site: SITE.parse()?,
            node: self.name.parse()?,
            channels,
            token_keys: vec![TokenKey { id, public: hex(&public) }],
            key_url: None,
            revoked_sessions: vec![],
        };
        let signed = Signed::new("desired", &desired, &SigningKey::from_bytes(&CONTROLLER_SECRET))?;
        fs::write(self.state().join("desired.json"), serde_json::to_vec(&signed)?).context("write desired.json")
    }

    /// Starts it on the state it has.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn run(&mut self) -> Result<()> {
        let (config, log) = (self.config().display().to_string(), self.folder.join(format!("{}.log", self.name)));
        self.program =
            Some(Program::start_in(&self.environment, &self.binary, &["run", "--config", &config], &log).await?);
        Ok(())
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        match self.program.take() {
            Some(mut program) => program.kill().await,
            None => Ok(()),
        }
    }

    /// SIGTERM; gives the exit code.
    ///
    /// # Errors
    /// When it does not run, or does not stop.
    pub async fn stop(&mut self) -> Result<i32> {
        self.program.take().context("the node does not run")?.stop().await
    }

    /// The running program.
    ///
    /// # Errors
    /// When it does not run.
    pub fn program(&self) -> Result<&Program> {
        self.program.as_ref().context("the node does not run")
    }

    /// `HOST:PORT` it listens on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn address(&self) -> Result<String> {
        Ok(self.program()?.address("http")?.to_owned())
    }

    /// An address on it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn url(&self, path: &str) -> Result<Url> {
        Ok(format!("http://{}{path}", self.address()?).parse()?)
    }

    /// The master playlist of a channel, with a token that opens every channel.
    ///
    /// # Errors
    /// When it does not run.
    pub fn master(&self, channel: &str) -> Result<Url> {
        self.url(&format!("/{channel}/index.m3u8?token={}", self.token))
    }

    /// Waits for a playlist with at least `count` segments; gives how long that took.
    ///
    /// # Errors
    /// When it does not come; the message ends with the node's log.
    pub async fn playlist(&self, channel: &str, count: usize) -> Result<(Playlist, Duration)> {
        let (viewer, master) = (Viewer::guest()?, self.master(channel)?);
        let look = || async {
            let playlist = viewer.playlist(&master).await?;
            ensure!(playlist.segments.len() >= count, "{} of {count} segments", playlist.segments.len());
            Ok(playlist)
        };
        let what = format!("{count} segments of {channel}");
        until(&what, Duration::from_secs(40), look).await.with_context(|| self.log())
    }

    /// Waits for the media playlist alone, which an earlier life's segments are enough for.
    ///
    /// # Errors
    /// When it does not come; the message ends with the node's log.
    pub async fn media(&self, channel: &str) -> Result<(Playlist, Duration)> {
        let (viewer, url) = (Viewer::guest()?, self.media_url(channel)?);
        let look = || async { viewer.reload(&url).await };
        until("the media playlist", Duration::from_secs(40), look).await.with_context(|| self.log())
    }

    /// The media playlist of a channel, with a token that opens every channel.
    ///
    /// # Errors
    /// When it does not run.
    pub fn media_url(&self, channel: &str) -> Result<Url> {
        self.url(&format!("/{channel}/video.m3u8?token={}", self.token))
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// When it does not answer with JSON.
    pub async fn status(&self) -> Result<Value> {
        let response = self.http.get(self.url("/api/node/v1/status")?).send().await?.error_for_status()?;
        Ok(response.json().await?)
    }

    /// What it says of one channel.
    ///
    /// # Errors
    /// When it says nothing.
    pub async fn channel(&self, name: &str) -> Result<Value> {
        let status = self.status().await?;
        let channels = status["status"]["channels"].as_array().context("status without channels")?;
        channels.iter().find(|channel| channel["channel"] == name).cloned().with_context(|| format!("no {name}"))
    }

    /// The tail of its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.as_ref().map(Program::log_tail).unwrap_or_default()
    }

    /// Its state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join(format!("{}.toml", self.name))
    }
}

/// A token by the key that every lone node trusts, from `from` to `until` seconds after now.
///
/// # Errors
/// When the window is empty or the scope too long.
pub fn token(scope: Scope, from: i64, until: i64) -> Result<String> {
    sign(&signer(), scope, from, until)
}

/// A token by any key.
///
/// # Errors
/// As [`token`].
pub fn sign(signer: &TokenSigner, scope: Scope, from: i64, until: i64) -> Result<String> {
    let at = |offset: i64| u32::try_from(now_secs().saturating_add_signed(offset));
    let (not_before, expires) = (at(from - 5)?, at(until)?);
    let claims = TokenClaims { session: SessionId([5; 16]), device: [6; 8], not_before, expires, scope };
    Ok(signer.sign(&claims)?)
}

/// The id of the trusted key, for forgeries.
#[must_use]
pub fn token_key() -> u8 {
    TOKEN_KEY
}

fn signer() -> TokenSigner {
    TokenSigner::new(TOKEN_KEY, TOKEN_SECRET)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_identity(folder: &Path, name: &str) -> Result<()> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(vec![])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "a fleet of one");
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let key = KeyPair::generate()?;
    let mut own = CertificateParams::new(vec![])?;
    own.distinguished_name.push(DnType::CommonName, name);
    let certificate = own.signed_by(&key, &Issuer::new(authority, authority_key))?;
    let controller = SigningKey::from_bytes(&CONTROLLER_SECRET).verifying_key();
    let card = json!({
        "site": SITE, "node": name, "controller_key": hex(controller.as_bytes()), "mqtt_url": format!("mqtt://{NOBODY}"),
    });
    let files = [
        ("authority.pem", authority_pem),
        ("cert.pem", certificate.pem()),
        ("key.pem", key.serialize_pem()),
        ("card.json", card.to_string()),
    ];
    for (file, text) in files {
        secret(&folder.join(file), text.as_bytes())?;
    }
    Ok(())
}

/// Day keys from yesterday to three days ahead, sealed as the node keeps them.
fn write_keys(state: &Path, channels: &[DesiredChannel]) -> Result<()> {
    secret(&state.join("storage.key"), &STORAGE_KEY)?;
    let today = u32::try_from(now_secs() / DAY_SECS)?;
    let entry = |(generation, day): (u32, u32), channel: &ChannelName| {
        let root = Root::new(Generation(generation), ROOT);
        let iv = [u8::try_from(day % 251).unwrap_or(0); 16];
        let sealed = root.day_key(channel.as_str(), Day(day)).seal(&STORAGE_KEY, iv);
        json!({ "channel": channel, "generation": generation, "day": day, "sealed": hex(&sealed) })
    };
    // The generation after the first too, for tests that change to it.
    let days = (today - 1..today + 4).flat_map(|day| [(GENERATION, day), (GENERATION + 1, day)]);
    let entries: Vec<Value> =
        channels.iter().flat_map(|channel| days.clone().map(|key| entry(key, &channel.name))).collect();
    secret(&state.join("day-keys.json"), &serde_json::to_vec(&entries)?)
}

fn secret(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}
