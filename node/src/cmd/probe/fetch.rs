//! Fetches for the probe: one address at a time, redirects followed by hand, everything bounded.
//!
//! Shell. What goes wrong is a value with words and a way out, and never holds the query of an address, where tokens
//! travel. 5 s to connect, 10 s for an answer to begin and between its bytes; bodies up to what the caller allows.

use std::{path::Path, sync::Arc, time::Duration};

use headend_media::lint::Headers;
use headend_rt::tls;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED, LOCATION},
    redirect,
};
use tokio::time::timeout;

const REDIRECTS_MAX: usize = 5;
const CONNECT: Duration = Duration::from_secs(5);
/// For an answer to begin, and between its bytes.
const SILENCE: Duration = Duration::from_secs(10);

/// Why an address gave nothing to judge.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The client could not be made.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The CA file is not usable.
    #[error("cannot use the certificate authorities given")]
    Authority(#[source] tls::TlsError),
    /// Not a success.
    #[error("answered {status}: {}", advice(*.status))]
    Status {
        /// Number and reason.
        status: StatusCode,
    },
    /// More redirects than players follow.
    #[error("redirects more than {REDIRECTS_MAX} times: look at the rules of redirection for a loop")]
    Redirects,
    /// A redirect to nowhere.
    #[error("redirects without an address to go to: look at the Location it sends")]
    Location,
    /// Nobody there, name unknown, TLS refused.
    #[error("cannot connect: look at name, port, certificate and firewall")]
    Connect(#[source] reqwest::Error),
    /// No answer in time, or a silence within it.
    #[error("no byte for {SILENCE:?}: the server hangs, or the way to it loses packets")]
    Silent,
    /// Larger than is read.
    #[error("more than {limit} bytes: that is more than players hold in memory; make it smaller")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The connection broke within the answer.
    #[error("the connection broke within the answer: the server stopped, or wrote another length than it said")]
    Broken(#[source] reqwest::Error),
}

impl FetchError {
    /// The status answered, if one was.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status } => Some(*status),
            _ => None,
        }
    }
}

fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => "the token is missing, has ended, or is for something else; take a fresh address",
        404 | 410 => "nothing is there; look at the name, and whether it was recorded",
        429 => "too many requests; ask more slowly",
        500..=599 => "the server cannot now; try again, then look at its log",
        _ => "look at what the server means by it",
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Where it was found in the end.
    pub(super) url: Url,
    /// What matters of its head.
    pub(super) headers: Headers,
    /// The whole of it.
    pub(super) body: Vec<u8>,
}

/// The probe's HTTP client.
pub(super) struct Fetcher {
    client: Client,
}

impl Fetcher {
    /// `authority` replaces the machine's certificate authorities.
    pub(super) fn new(authority: Option<&Path>) -> Result<Self, FetchError> {
        let tls = match authority {
            Some(file) => tls::client_config(file, None).map(Arc::unwrap_or_clone).map_err(FetchError::Authority)?,
            None => tls::public_client_config(),
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("headend-probe/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .build()
            .map_err(FetchError::Client)?;
        Ok(Self { client })
    }

    /// Fetches a whole answer of at most `limit` bytes.
    pub(super) async fn get(&self, url: &Url, limit: usize) -> Result<Fetched, FetchError> {
        let mut response = self.head(url).await?;
        let headers = headers(response.headers());
        let url = response.url().clone();
        if response.content_length().is_some_and(|bytes| bytes > limit as u64) {
            return Err(FetchError::TooLarge { limit });
        }
        let mut body = vec![];
        loop {
            let chunk = timeout(SILENCE, response.chunk()).await.map_err(|_| FetchError::Silent)?;
            match chunk.map_err(|error| FetchError::Broken(error.without_url()))? {
                Some(chunk) if body.len() + chunk.len() > limit => return Err(FetchError::TooLarge { limit }),
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(Fetched { url, headers, body }),
            }
        }
    }

    /// Asks for an address and looks at the head of the answer alone.
    pub(super) async fn head(&self, url: &Url) -> Result<Response, FetchError> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let sent = timeout(SILENCE, self.client.get(url).send()).await.map_err(|_| FetchError::Silent)?;
            let response = sent.map_err(|error| FetchError::Connect(error.without_url()))?;
            if response.status().is_redirection() {
                let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                url = location.and_then(|to| response.url().join(to).ok()).ok_or(FetchError::Location)?;
                continue;
            }
            let status = response.status();
            return if status.is_success() { Ok(response) } else { Err(FetchError::Status { status }) };
        }
        Err(FetchError::Redirects)
    }
}

fn headers(map: &HeaderMap) -> Headers {
    let text = |name: HeaderName| map.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Headers {
        content_type: text(CONTENT_TYPE),
        cache_control: text(CACHE_CONTROL),
        validator: map.contains_key(ETAG) || map.contains_key(LAST_MODIFIED),
    }
}
