//! A viewer's client: signs in, lists, follows the redirect, reads playlists, fetches keys, decrypts.
//!
//! It knows HLS as RFC 8216 has it and nothing of how Headend makes it. Decryption goes through the openssl
//! program, so that nobody marks their own homework.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{StatusCode, Url, header::LOCATION};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

const REQUEST: Duration = Duration::from_secs(5);

/// A signed-in subscriber.
pub struct Viewer {
    http: reqwest::Client,
    controller: String,
    token: String,
}

/// One entry of the channel list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// System name.
    pub name: String,
    /// Title.
    pub title: String,
    /// The address to play, on the controller.
    pub play: String,
}

/// One segment of a media playlist.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Media sequence number.
    pub number: u64,
    /// Where it is.
    pub url: Url,
    /// Seconds.
    pub duration: f64,
    /// Key address and IV in force, when encrypted.
    pub key: Option<(Url, u128)>,
    /// A discontinuity lies before it.
    pub discontinuity: bool,
}

/// A media playlist as a player sees it.
#[derive(Debug, Clone)]
pub struct Playlist {
    /// Where it was found in the end.
    pub url: Url,
    /// EXT-X-TARGETDURATION.
    pub target: u64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity_sequence: u64,
    /// In order.
    pub segments: Vec<Segment>,
    /// As served.
    pub text: String,
}

/// A client that follows no redirect, so that each step is seen.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http_client() -> Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let policy = reqwest::redirect::Policy::none();
    // Viewers here speak plain HTTP; the machine's certificates do not matter.
    let roots = rustls::RootCertStore::empty();
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).redirect(policy);
    builder.timeout(REQUEST).no_proxy().build().context("build the HTTP client")
}

impl Viewer {
    /// Signs in.
    ///
    /// # Errors
    /// When the controller refuses or does not answer.
    pub async fn sign_in(controller: &str, login: &str, password: &str) -> Result<Self> {
        let http = http_client()?;
        let body = json!({ "login": login, "password": password, "device": "check" });
        let response = http.post(format!("{controller}/api/v1/session")).json(&body).send().await?;
        let status = response.status();
        let answer: Value = response.json().await.context("sign in: the answer is not JSON")?;
        ensure!(status.is_success(), "sign in: {status} {answer}");
        let token = answer["token"].as_str().context("sign in: no token")?.to_owned();
        Ok(Self { http, controller: controller.to_owned(), token })
    }

    /// Somebody with no account, who was given an origin's addresses with a token in them.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn guest() -> Result<Self> {
        Ok(Self { http: http_client()?, controller: String::new(), token: String::new() })
    }

    /// The channels of the subscriber's tariffs.
    ///
    /// # Errors
    /// When the controller refuses or answers something else.
    pub async fn channels(&self) -> Result<Vec<Listed>> {
        let url = format!("{}/api/v1/my/channels", self.controller);
        let answer: Value =
            self.http.get(url).bearer_auth(&self.token).send().await?.error_for_status()?.json().await?;
        let list = answer["channels"].as_array().context("list: no channels")?;
        list.iter()
            .map(|entry| {
                let text =
                    |key: &str| entry[key].as_str().map(str::to_owned).with_context(|| format!("list: no {key}"));
                let play = text("play")?;
                let play = if play.starts_with('/') { format!("{}{play}", self.controller) } else { play };
                Ok(Listed { name: text("name")?, title: text("title")?, play })
            })
            .collect()
    }

    /// Asks to play and gives where the viewer is sent, without going there.
    ///
    /// # Errors
    /// When the answer is not a redirect.
    pub async fn redirect(&self, channel: &Listed) -> Result<Url> {
        let response = self.http.get(&channel.play).send().await?;
        let status = response.status();
        ensure!(status == StatusCode::FOUND, "play {}: {status} instead of 302", channel.name);
        let location = response.headers().get(LOCATION).context("302 without Location")?.to_str()?;
        Ok(response.url().join(location)?)
    }

    /// Reads the master at `url` and then its first media playlist.
    ///
    /// # Errors
    /// When either is refused or malformed.
    pub async fn playlist(&self, master: &Url) -> Result<Playlist> {
        let (url, text) = self.text(master).await?;
        ensure!(text.starts_with("#EXTM3U"), "{url} is no playlist: {}", text.chars().take(80).collect::<String>());
        if !text.contains("#EXT-X-STREAM-INF") {
            return read_playlist(url, text);
        }
        let child = text.lines().find(|line| !line.is_empty() && !line.starts_with('#')).context("empty master")?;
        let (url, text) = self.text(&url.join(child)?).await?;
        read_playlist(url, text)
    }

    /// Reads a media playlist again.
    ///
    /// # Errors
    /// When it is refused or malformed.
    pub async fn reload(&self, playlist: &Url) -> Result<Playlist> {
        let (url, text) = self.text(playlist).await?;
        read_playlist(url, text)
    }

    /// Fetches and decrypts a segment.
    ///
    /// # Errors
    /// When segment or key is refused, or openssl finds the padding wrong.
    pub async fn segment(&self, segment: &Segment) -> Result<Vec<u8>> {
        let bytes = self.bytes(&segment.url).await?;
        let Some((key, iv)) = &segment.key else { return Ok(bytes) };
        let key = self.bytes(key).await?;
        ensure!(key.len() == 16, "the key has {} bytes", key.len());
        decrypt(&bytes, &key, *iv).await
    }

    /// Any address, redirects followed by hand.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn bytes(&self, url: &Url) -> Result<Vec<u8>> {
        let (_, response) = self.get(url).await?;
        Ok(response.bytes().await?.to_vec())
    }

    async fn text(&self, url: &Url) -> Result<(Url, String)> {
        let (url, response) = self.get(url).await?;
        Ok((url, response.text().await?))
    }

    async fn get(&self, url: &Url) -> Result<(Url, reqwest::Response)> {
        let mut url = url.clone();
        for _ in 0..5 {
            let response = self.http.get(url.clone()).send().await?;
            if response.status().is_redirection() {
                let location = response.headers().get(LOCATION).context("redirect without Location")?.to_str()?;
                url = url.join(location)?;
                continue;
            }
            let status = response.status();
            ensure!(status.is_success(), "{}: {status}", url.path());
            return Ok((url, response));
        }
        bail!("{}: more than five redirects", url.path())
    }
}

/// Reads a media playlist (RFC 8216 §4.3).
///
/// # Errors
/// When a tag we need is missing or malformed.
pub fn read_playlist(url: Url, text: String) -> Result<Playlist> {
    ensure!(text.starts_with("#EXTM3U\n"), "{url} does not begin with #EXTM3U");
    let tag = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let number = |name: &str| tag(name).map(|value| value.trim().parse::<u64>()).transpose();
    let target = number("#EXT-X-TARGETDURATION:")?.context("no TARGETDURATION")?;
    let sequence = number("#EXT-X-MEDIA-SEQUENCE:")?.unwrap_or(0);
    let discontinuity_sequence = number("#EXT-X-DISCONTINUITY-SEQUENCE:")?.unwrap_or(0);
    let (mut segments, mut duration, mut key, mut discontinuity) = (vec![], None, None, false);
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("#EXTINF:") {
            duration = Some(value.split(',').next().unwrap_or_default().parse::<f64>()?);
        } else if let Some(attributes) = line.strip_prefix("#EXT-X-KEY:") {
            key = read_key(&url, attributes)?;
        } else if line == "#EXT-X-DISCONTINUITY" {
            discontinuity = true;
        } else if !line.is_empty() && !line.starts_with('#') {
            let number = sequence + segments.len() as u64;
            let duration = duration.take().context("segment without EXTINF")?;
            let key = key.clone().map(|(address, iv): (Url, Option<u128>)| (address, iv.unwrap_or(u128::from(number))));
            segments.push(Segment { number, url: url.join(line)?, duration, key, discontinuity });
            discontinuity = false;
        }
    }
    Ok(Playlist { url, target, sequence, discontinuity_sequence, segments, text })
}

fn read_key(base: &Url, attributes: &str) -> Result<Option<(Url, Option<u128>)>> {
    if attributes.contains("METHOD=NONE") {
        return Ok(None);
    }
    ensure!(attributes.contains("METHOD=AES-128"), "unknown encryption: {attributes}");
    let address =
        attributes.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next()).context("KEY without URI")?;
    let iv = attributes.split("IV=0x").nth(1).map(|rest| rest.split(',').next().unwrap_or_default());
    let iv = iv.map(|digits| u128::from_str_radix(digits, 16)).transpose()?;
    Ok(Some((base.join(address)?, iv)))
}

/// AES-128-CBC with PKCS #7 padding, by the openssl program.
///
/// # Errors
/// When openssl refuses, for example because the key is wrong.
pub async fn decrypt(bytes: &[u8], key: &[u8], iv: u128) -> Result<Vec<u8>> {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut child = Command::new("openssl")
        .args(["enc", "-d", "-aes-128-cbc", "-K", &hex, "-iv", &format!("{iv:032x}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start openssl")?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    let input = bytes.to_vec();
    let (output, fed) = tokio::join!(child.wait_with_output(), async move { stdin.write_all(&input).await });
    let output = output?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    fed?;
    Ok(output.stdout)
}
