//! Endless HTTP bodies with a transport stream: another node's `/NAME/mpegts`, a Flussonic, a TVHeadend.
//!
//! Shell. [`HttpTs::connect`] is one attempt: redirects bounded, every wait with a deadline, and the answer looked at
//! before a byte is passed on, so that an error page or a playlist is named in words and never demuxed. It does not
//! retry (the task in [`super::set`] does, paced by [`super::backoff`]) and does not align packets. Memory is bounded
//! by hyper's read buffer (HTTP/1.1 only) and the 1,128 bytes looked at first. RFC 9110, RFC 9112; RFC 6750 for bearer
//! tokens; `video/mp2t` is RFC 3555 §4.2.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headend_rt::{SecretFile, tls};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, redirect};
use tokio::time::timeout;

use super::address::HttpFeed;

const REDIRECTS_MAX: usize = 5;
/// Bytes looked at before the body is believed: six packets.
const LOOK_BYTES: usize = 6 * 188;
const SYNC_BYTE: u8 = 0x47;

/// Deadlines of an HTTP source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDeadlines {
    /// To connect, TLS included.
    pub connect: Duration,
    /// From sending the request, redirects included, to the head of the answer.
    pub answer: Duration,
    /// Between bytes of the body; longer silence is a lost source.
    pub silence: Duration,
}

impl Default for HttpDeadlines {
    /// 5 s each, 10 s for the answer: a cold Flussonic stream starts within that.
    fn default() -> Self {
        let five = Duration::from_secs(5);
        Self { connect: five, answer: 2 * five, silence: five }
    }
}

/// Why an HTTP source gives no transport stream (any more). Never holds the URL's query.
#[derive(Debug, thiserror::Error)]
pub enum HttpTsError {
    /// The client could not be made.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The CA file is not usable.
    #[error("cannot use the certificate authorities given for this source")]
    Authority(#[source] tls::TlsError),
    /// The token file is not usable.
    #[error("cannot read the token of this source")]
    Token(#[source] headend_rt::secret::SecretError),
    /// The token cannot be sent in a header.
    #[error("the token of this source holds characters that no HTTP header can carry")]
    TokenCharacters,
    /// Nobody there, name unknown, TLS refused.
    #[error("cannot connect to {host}")]
    Connect {
        /// Host asked.
        host: String,
        /// The reason.
        #[source]
        source: reqwest::Error,
    },
    /// More redirects than allowed, or a loop.
    #[error("{host} redirects more than {REDIRECTS_MAX} times: check the address")]
    Redirects {
        /// Host asked.
        host: String,
    },
    /// No answer in time.
    #[error("{host} did not answer within {within:?}")]
    NoAnswer {
        /// Host asked.
        host: String,
        /// The deadline.
        within: Duration,
    },
    /// Not 200.
    #[error("answered {status}: {advice}")]
    Status {
        /// Number and reason.
        status: String,
        /// What to check.
        advice: &'static str,
    },
    /// A page, a document, a picture.
    #[error("answered {what}, not a transport stream: check the address")]
    NotTransportStream {
        /// The content type, or what the bytes look like.
        what: String,
    },
    /// An HLS playlist.
    #[error("answered an HLS playlist, not a transport stream: use the source's HTTP-TS address, often …/mpegts")]
    Playlist,
    /// No byte for the deadline.
    #[error("no byte for {silence:?}")]
    Silent {
        /// The deadline.
        silence: Duration,
    },
    /// The server closed in an orderly way.
    #[error("the server ended the stream")]
    Ended,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
}

/// A client for one source.
pub struct HttpTs {
    client: Client,
    feed: HttpFeed,
    deadlines: HttpDeadlines,
}

/// An answer that is a transport stream, as far as its first bytes tell.
#[derive(Debug)]
pub struct HttpBody {
    response: Response,
    first: Bytes,
    silence: Duration,
}

impl HttpTs {
    /// Prepares the client. Reads the CA file; the token file is read at each attempt, so that it can be replaced.
    ///
    /// # Errors
    /// [`HttpTsError::Client`] and [`HttpTsError::Authority`].
    pub fn new(feed: &HttpFeed, deadlines: HttpDeadlines) -> Result<Self, HttpTsError> {
        let tls = match &feed.ca_file {
            Some(authority) => tls::client_config(Path::new(authority), None)
                .map(Arc::unwrap_or_clone)
                .map_err(HttpTsError::Authority)?,
            None => tls::public_client_config(),
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("headend-node/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            // A source is reached as the operator wrote it; proxy variables of a shell do not count.
            .no_proxy()
            .referer(false)
            .redirect(redirect::Policy::limited(REDIRECTS_MAX))
            .pool_max_idle_per_host(0)
            .connect_timeout(deadlines.connect)
            .build()
            .map_err(HttpTsError::Client)?;
        Ok(Self { client, feed: feed.clone(), deadlines })
    }

    /// One attempt: request, redirects, and a look at the first bytes.
    ///
    /// # Errors
    /// Every [`HttpTsError`] but [`HttpTsError::Broken`] after the first bytes.
    pub async fn connect(&self) -> Result<HttpBody, HttpTsError> {
        let mut url = self.feed.url.clone();
        let mut authorization = None;
        if let Some(file) = &self.feed.token_file {
            let secret = SecretFile::at(Path::new(file)).read().map_err(HttpTsError::Token)?;
            url.query_pairs_mut().append_pair("token", secret.text().map_err(HttpTsError::Token)?);
        }
        if let Some(file) = &self.feed.bearer_file {
            let secret = SecretFile::at(Path::new(file)).read().map_err(HttpTsError::Token)?;
            let text = format!("Bearer {}", secret.text().map_err(HttpTsError::Token)?);
            let mut value = HeaderValue::from_str(&text).map_err(|_| HttpTsError::TokenCharacters)?;
            value.set_sensitive(true);
            authorization = Some(value);
        }
        let mut request = self.client.get(url).header(ACCEPT, "video/mp2t, application/octet-stream;q=0.9, */*;q=0.1");
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let within = self.deadlines.answer;
        let response = match timeout(within, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.refused(error)),
            Err(_) => return Err(HttpTsError::NoAnswer { host: self.host(), within }),
        };
        if response.status() != reqwest::StatusCode::OK {
            return Err(bad_status(response.status()));
        }
        HttpBody::look(response, self.deadlines.silence).await
    }

    fn host(&self) -> String {
        let host = self.feed.url.host_str().unwrap_or_default().to_owned();
        self.feed.url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }

    /// The URL goes from the error: its query may hold a token.
    fn refused(&self, error: reqwest::Error) -> HttpTsError {
        if error.is_redirect() {
            return HttpTsError::Redirects { host: self.host() };
        }
        HttpTsError::Connect { host: self.host(), source: error.without_url() }
    }
}

impl HttpBody {
    /// The next bytes; [`HttpTsError::Ended`] at the end. Cancelling the wait loses nothing.
    ///
    /// # Errors
    /// [`HttpTsError::Ended`], [`HttpTsError::Silent`] and [`HttpTsError::Broken`]; the body is over then.
    pub async fn next(&mut self) -> Result<Bytes, HttpTsError> {
        if !self.first.is_empty() {
            return Ok(std::mem::take(&mut self.first));
        }
        self.read().await?.ok_or(HttpTsError::Ended)
    }

    async fn look(response: Response, silence: Duration) -> Result<Self, HttpTsError> {
        let header = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let content_type = header.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        let mut body = Self { response, first: Bytes::new(), silence };
        let mut first = Vec::with_capacity(LOOK_BYTES);
        while first.len() < LOOK_BYTES {
            let Some(bytes) = body.read().await? else { break };
            first.extend_from_slice(&bytes);
        }
        judge(&content_type, &first)?;
        body.first = first.into();
        Ok(body)
    }

    async fn read(&mut self) -> Result<Option<Bytes>, HttpTsError> {
        match timeout(self.silence, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(HttpTsError::Broken(error.without_url())),
            Err(_) => Err(HttpTsError::Silent { silence: self.silence }),
        }
    }
}

/// Whether an answer is a transport stream, by its bytes first: servers label streams in many wrong ways.
fn judge(content_type: &str, first: &[u8]) -> Result<(), HttpTsError> {
    if looks_synced(first) {
        return Ok(());
    }
    let text = first.trim_ascii_start();
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let starts =
        |prefix: &str| text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()));
    if starts("#EXTM3U") || content_type.ends_with("mpegurl") {
        return Err(HttpTsError::Playlist);
    }
    let what = match content_type {
        "" | "application/octet-stream" | "video/mp2t" | "video/mpeg" if first.is_empty() => "an empty body",
        "" | "application/octet-stream" | "video/mp2t" | "video/mpeg" => match text {
            _ if starts("<!doctype html") || starts("<html") => "text/html",
            [b'<', ..] => "a markup document",
            [b'{' | b'[', ..] => "a JSON document",
            // A stream may begin amid garbage; the resync decides.
            _ => return Ok(()),
        },
        named => named,
    };
    Err(HttpTsError::NotTransportStream { what: what.to_owned() })
}

/// Three sync bytes in a row at a packet distance of 188, 192 or 204 bytes, from any offset within the first packet.
fn looks_synced(first: &[u8]) -> bool {
    let synced = |at: usize| first.get(at) == Some(&SYNC_BYTE);
    [188, 192, 204].into_iter().any(|step| (0..step).any(|at| (0..3).all(|n| synced(at + n * step))))
}

fn bad_status(status: reqwest::StatusCode) -> HttpTsError {
    let advice = match status.as_u16() {
        401 | 403 => "check the token and whether this machine's address is allowed",
        404 | 410 => "check the stream's name in the address",
        429 | 503 => "the server is full or the stream is not running there",
        500..=599 => "the server has a fault",
        _ => "check the address",
    };
    HttpTsError::Status { status: status.to_string(), advice }
}

#[cfg(test)]
mod tests;
