//! Pulls what a probe judges: liveness, a playlist, its newest segment. The shell of [`super::verdict`].
//!
//! As a viewer: a playback token in the query, redirects followed, 1.5 s for all of it. The content key is
//! derived here from the root, so that a probe measures the origin and not the key server. Each probe has its
//! own connection: a killed process then answers with a refusal, not with a broken keep-alive.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use headend_access::{Generation, PeriodKeyId, Root, Schedule, Scope, SessionId, TokenClaims, TokenSigner};
use headend_failover::ProbeFault;
use headend_media::crypt::{Key128, decrypt};
use headend_wire::ChannelName;
use reqwest::{Client, Response, Url};

use super::verdict::{self, PLAYLIST_BYTES_MAX, SEGMENT_BYTES_MAX};

/// The time a probe has.
pub const PROBE_TIME_MAX: Duration = Duration::from_millis(1_500);
const TOKEN_SECS: u32 = 3_600;
const HEALTHZ_BYTES_MAX: usize = 4_096;

/// Why a prober could not be made.
#[derive(Debug, thiserror::Error)]
#[error("HTTP client for probes cannot be made")]
pub struct FetcherError(#[source] reqwest::Error);

/// What a probe needs to look like a viewer and to decrypt.
pub struct ProbeKeys {
    /// Signs the probe's playback token.
    pub signer: TokenSigner,
    /// Every root, by generation.
    pub roots: BTreeMap<Generation, Root>,
}

/// Pulls. Share it with `Arc`.
pub struct Fetcher {
    client: Client,
    keys: ProbeKeys,
    session: SessionId,
    token: Mutex<Option<(String, u64)>>,
}

impl Fetcher {
    /// A prober with a session of its own.
    ///
    /// # Errors
    /// [`FetcherError`] when TLS cannot be set up.
    pub fn new(keys: ProbeKeys) -> Result<Self, FetcherError> {
        let client = Client::builder()
            .tls_backend_preconfigured(headend_rt::tls::public_client_config())
            .pool_max_idle_per_host(0)
            .connect_timeout(PROBE_TIME_MAX)
            .redirect(reqwest::redirect::Policy::limited(3))
            .no_proxy()
            .user_agent("headend-probe")
            .build()
            .map_err(FetcherError)?;
        let mut session = [0; 16];
        // Without randomness the session is a constant, which harms nobody: it opens only what is watched.
        let _ = getrandom::fill(&mut session);
        Ok(Self { client, keys, session: SessionId(session), token: Mutex::new(None) })
    }

    /// Asks an origin whether it lives. `origin` is its address without a trailing slash.
    ///
    /// # Errors
    /// What went wrong, as health rules know it.
    pub async fn alive(&self, origin: &str) -> Result<(), ProbeFault> {
        in_time(async {
            let url = parse(&format!("{origin}/healthz"))?;
            let response = self.get(url).await?;
            read(response, HEALTHZ_BYTES_MAX).await.map(drop)
        })
        .await
    }

    /// Pulls the newest segment of a channel and judges it. Gives its number and the target duration.
    ///
    /// # Errors
    /// What went wrong, as health rules know it.
    pub async fn channel(&self, origin: &str, channel: &ChannelName, at: &Asked) -> Result<(u64, u32), ProbeFault> {
        in_time(async {
            let token = self.token(at.unix_secs).ok_or(ProbeFault::Unreadable)?;
            let url = parse(&format!("{origin}/{channel}/video.m3u8?token={token}"))?;
            let response = self.get(url).await?;
            let base = response.url().clone();
            let text =
                String::from_utf8(read(response, PLAYLIST_BYTES_MAX).await?).map_err(|_| ProbeFault::Unreadable)?;
            let newest = verdict::newest(&text)?;
            let url = base.join(&newest.uri).map_err(|_| ProbeFault::Unreadable)?;
            let segment = read(self.get(url).await?, SEGMENT_BYTES_MAX).await?;
            let key =
                newest.key.map(|id| self.key(channel, id, at.period_ms).ok_or(ProbeFault::Unreadable)).transpose()?;
            let (number, target_secs) = (newest.number, newest.target_secs);
            // Megabytes of cipher and packets: not on the threads that answer boxes.
            let judged = tokio::task::spawn_blocking(move || {
                let clear = match key {
                    Some(key) => decrypt(&key, number, segment).map_err(|_| ProbeFault::Unreadable)?,
                    None => segment,
                };
                verdict::segment(&clear, target_secs)
            });
            judged.await.map_err(|_| ProbeFault::Unreadable)??;
            Ok((number, target_secs))
        })
        .await
    }

    async fn get(&self, url: Url) -> Result<Response, ProbeFault> {
        let response = self.client.get(url).send().await.map_err(|error| fault(&error))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(ProbeFault::Status { status: status.as_u16() }),
        }
    }

    /// The content key, derived; none when its root is not ours or the period is none.
    fn key(&self, channel: &ChannelName, id: PeriodKeyId, period_ms: u64) -> Option<Key128> {
        let root = self.keys.roots.get(&id.generation)?;
        let schedule = Schedule::new(channel.as_str(), period_ms).ok()?;
        let day_key = root.day_key(channel.as_str(), schedule.day_of(id.period));
        Some(Key128::new(*day_key.period_key(id.period).bytes()))
    }

    /// A token for every channel, made anew at half its life.
    fn token(&self, now: u64) -> Option<String> {
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, until)) = kept.as_ref()
            && now < *until
        {
            return Some(token.clone());
        }
        let seconds = u32::try_from(now).ok()?;
        let claims = TokenClaims {
            session: self.session,
            device: *b"probe\0\0\0",
            not_before: seconds.saturating_sub(60),
            expires: seconds.checked_add(TOKEN_SECS)?,
            scope: Scope::All,
        };
        let token = self.keys.signer.sign(&claims).ok()?;
        *kept = Some((token.clone(), now + u64::from(TOKEN_SECS) / 2));
        Some(token)
    }
}

/// What a pull depends on besides its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Wall time, Unix seconds, for the token.
    pub unix_secs: u64,
    /// Period of the channel's content keys, milliseconds.
    pub period_ms: u64,
}

async fn in_time<T>(work: impl Future<Output = Result<T, ProbeFault>>) -> Result<T, ProbeFault> {
    tokio::time::timeout(PROBE_TIME_MAX, work).await.unwrap_or(Err(ProbeFault::TimedOut))
}

fn parse(address: &str) -> Result<Url, ProbeFault> {
    Url::parse(address).map_err(|_| ProbeFault::Unreadable)
}

/// Reads a body up to a limit, whatever length it claims.
async fn read(mut response: Response, limit_bytes: usize) -> Result<Vec<u8>, ProbeFault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| fault(&error))? {
        if body.len() + chunk.len() > limit_bytes {
            return Err(ProbeFault::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What an HTTP error means for the path.
fn fault(error: &reqwest::Error) -> ProbeFault {
    if error.is_timeout() {
        return ProbeFault::TimedOut;
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => return ProbeFault::Refused,
                std::io::ErrorKind::TimedOut => return ProbeFault::TimedOut,
                _ => {}
            }
        }
        source = cause.source();
    }
    if error.is_connect() { ProbeFault::Unreachable } else { ProbeFault::Unreadable }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use axum::{Router, http::StatusCode, routing::get};
    use headend_media::crypt::encrypt;
    use headend_rt::{
        CancellationToken,
        serve::{Limits, Server},
    };

    use super::*;

    const NOW: u64 = 1_790_000_000;
    const ASKED: Asked = Asked { unix_secs: NOW, period_ms: 300_000 };

    fn root() -> Root {
        Root::new(Generation(1), [9; 32])
    }

    fn fetcher() -> Fetcher {
        let roots = BTreeMap::from([(Generation(1), root())]);
        Fetcher::new(ProbeKeys { signer: TokenSigner::new(1, [7; 32]), roots }).unwrap()
    }

    /// Serves until the test ends.
    fn serve(router: Router) -> String {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default(), None).unwrap();
        let origin = format!("http://{}", server.address());
        #[expect(clippy::disallowed_methods, reason = "a test owns its tasks: they end with its runtime")]
        drop(tokio::spawn(server.run(router, CancellationToken::new())));
        origin
    }

    fn recording() -> Vec<u8> {
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/ts/h264-aac.ts")).unwrap()
    }

    /// An origin of channel `fr/a` whose newest segment is 895,000,001.
    fn origin(segment: Vec<u8>, id: &str) -> String {
        let playlist = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:895000001\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"/k/fr/a/{id}?s=x&e=1&h=y\"\n#EXTINF:2.0,\n2026/09/21/14/13/22-02000.ts\n"
        );
        let playlist = move |query: axum::extract::RawQuery| async move {
            let signed = query.0.is_some_and(|query| query.starts_with("token=") && query.len() > 60);
            if signed { (StatusCode::OK, playlist) } else { (StatusCode::FORBIDDEN, String::new()) }
        };
        let segment = move || async move { segment };
        let router = Router::new().route("/healthz", get(|| async { "ok" }));
        serve(router.route("/fr/a/video.m3u8", get(playlist)).route("/fr/a/2026/09/21/14/13/22-02000.ts", get(segment)))
    }

    fn sealed(id: &PeriodKeyId) -> Vec<u8> {
        let schedule = Schedule::new("fr/a", 300_000).unwrap();
        let key = root().day_key("fr/a", schedule.day_of(id.period)).period_key(id.period);
        encrypt(&Key128::new(*key.bytes()), 895_000_001, recording())
    }

    async fn check(origin: &str, want: Result<(u64, u32), ProbeFault>) {
        assert_eq!(fetcher().channel(origin, &"fr/a".parse().unwrap(), &ASKED).await, want);
    }

    #[tokio::test]
    async fn a_good_channel_is_pulled_decrypted_and_judged() {
        let id: PeriodKeyId = "1-5966666".parse().unwrap();
        let good = origin(sealed(&id), &id.to_string());
        assert_eq!(fetcher().alive(&good).await, Ok(()));
        check(&good, Ok((895_000_001, 4))).await;
    }

    #[tokio::test]
    async fn a_wrong_key_and_a_missing_channel_are_told_apart() {
        let id: PeriodKeyId = "1-5966666".parse().unwrap();
        check(&origin(sealed(&id), "1-5966667"), Err(ProbeFault::Unreadable)).await;
        check(&origin(sealed(&id), "2-5966666"), Err(ProbeFault::Unreadable)).await;
        let empty = serve(Router::new());
        check(&empty, Err(ProbeFault::Status { status: 404 })).await;
    }

    #[tokio::test]
    async fn nobody_there_is_a_refusal_and_silence_is_a_time_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        assert_eq!(fetcher().alive(&address).await, Err(ProbeFault::TimedOut));
        drop(listener);
        assert_eq!(fetcher().alive(&address).await, Err(ProbeFault::Refused));
    }

    #[tokio::test]
    async fn an_endless_body_is_cut() {
        let body = || async { vec![b'x'; PLAYLIST_BYTES_MAX + 1] };
        let endless = serve(Router::new().route("/fr/a/video.m3u8", get(body)));
        check(&endless, Err(ProbeFault::Unreadable)).await;
    }
}
