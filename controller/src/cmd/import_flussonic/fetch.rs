//! Asks a Flussonic for its streams: `GET /streamer/api/v3/streams`, page after page.
//!
//! Basic or Bearer, from a file. Redirects are not followed, because the credentials would go along. Bounded: pages,
//! bytes of a page and of all, time of a request and of all. Messages hold no address beyond what the operator typed,
//! and none of its query.

use std::{collections::BTreeSet, time::Duration};

use headend_rt::{Secret, secret::SecretError};
use reqwest::{Client, Response, StatusCode, Url, header};

use super::Exit;
use crate::flussonic::{Config, ConfigError, grammar, json};

/// The path of the list.
const PATH: &str = "/streamer/api/v3/streams";
/// The most pages.
const PAGES_MAX: usize = 2_000;
/// The most bytes of all pages.
const ALL_BYTES_MAX: usize = 64 << 20;
/// The longest cursor.
const CURSOR_BYTES_MAX: usize = 4_096;
const CONNECT: Duration = Duration::from_secs(5);
/// The time of one request.
pub(super) const REQUEST: Duration = Duration::from_secs(30);
const ALL: Duration = Duration::from_secs(300);

/// Why the streams could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the address is not valid; write http://HOST:PORT")]
    Address,
    #[error("the address holds a user or password; put USER:PASSWORD into a file and name it with --credentials-file")]
    Credentials,
    #[error("credentials")]
    Secret(#[source] SecretError),
    #[error("the credentials cannot be sent; write USER:PASSWORD or Bearer TOKEN in one line")]
    CredentialsForm,
    #[error("HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
    #[error("{host} does not answer")]
    Silent {
        host: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{host} refused with {status}; give the credentials of edit_auth or view_auth with --credentials-file")]
    Refused { host: String, status: StatusCode },
    #[error("{host} has no streamer API ({status}); import its /etc/flussonic/flussonic.conf instead")]
    NoApi { host: String, status: StatusCode },
    #[error("{host} answered {status}; look into its log, or import its /etc/flussonic/flussonic.conf")]
    Status { host: String, status: StatusCode },
    #[error("{host} sends elsewhere ({status}); give the address it sends to")]
    Redirect { host: String, status: StatusCode },
    #[error("the answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("its pages do not end; import its /etc/flussonic/flussonic.conf instead")]
    Endless,
    #[error("it took longer than {} s", ALL.as_secs())]
    TooLong,
    #[error("page {page} of the streams")]
    Page {
        page: usize,
        #[source]
        source: ConfigError,
    },
}

impl FetchError {
    /// The exit code it ends with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Address | Self::Credentials | Self::Secret(_) | Self::CredentialsForm => Exit::Usage,
            Self::Refused { .. } => Exit::NotAuthorised,
            Self::Silent { .. } | Self::TooLong => Exit::Unreachable,
            Self::NoApi { .. } => Exit::NotFound,
            Self::Page { .. } => Exit::ConfigInvalid,
            Self::Client(_) | Self::Status { .. } | Self::Redirect { .. } | Self::TooLarge { .. } | Self::Endless => {
                Exit::Failed
            }
        }
    }
}

/// A client that follows nobody elsewhere.
pub(super) fn client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .tls_backend_preconfigured(headend_rt::tls::public_client_config())
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .no_proxy()
        .user_agent(concat!("headend-controller/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The streams of the server at `address`: its own, or that of the list with a filter.
pub(super) async fn streams(address: &str, credentials: Option<&Secret>) -> Result<Config, FetchError> {
    let mut url = Url::parse(address).map_err(|_| FetchError::Address)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Credentials);
    }
    if matches!(url.path(), "" | "/") {
        url.set_path(PATH);
    }
    url.set_fragment(None);
    let authorization = credentials.map(authorization).transpose()?;
    let client = client().map_err(FetchError::Client)?;
    let all = pages(&client, url, authorization.as_ref());
    tokio::time::timeout(ALL, all).await.unwrap_or(Err(FetchError::TooLong))
}

/// `USER:PASSWORD` as Basic (RFC 7617), `Bearer TOKEN` as it stands.
fn authorization(credentials: &Secret) -> Result<header::HeaderValue, FetchError> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = zeroize::Zeroizing::new(credentials.text().map_err(FetchError::Secret)?.trim().to_owned());
    let form = || FetchError::CredentialsForm;
    let line = match text.split_once(' ') {
        Some(("Bearer", token)) if !token.is_empty() => text.to_string(),
        _ if text.contains(':') && !text.contains('\n') => format!("Basic {}", STANDARD.encode(text.as_bytes())),
        _ => return Err(form()),
    };
    let mut value = header::HeaderValue::from_str(&line).map_err(|_| form())?;
    value.set_sensitive(true);
    Ok(value)
}

async fn pages(client: &Client, url: Url, authorization: Option<&header::HeaderValue>) -> Result<Config, FetchError> {
    let (mut streams, mut others) = (vec![], BTreeSet::new());
    let (mut cursor, mut seen, mut left) = (None::<String>, BTreeSet::new(), ALL_BYTES_MAX);
    for page in 1..=PAGES_MAX {
        let mut asked = url.clone();
        if let Some(cursor) = &cursor {
            asked.query_pairs_mut().append_pair("cursor", cursor);
        }
        let bytes = get(client, asked, authorization, left.min(grammar::BYTES_MAX)).await?;
        left -= bytes.len();
        let failed = |source| FetchError::Page { page, source };
        let text = grammar::text(&bytes).map_err(|error| failed(error.into()))?;
        let found = json::page(text).map_err(failed)?;
        streams.extend(found.streams);
        others.extend(found.others);
        match found.next {
            None => {
                let others: Vec<String> = others.into_iter().collect();
                return json::config(streams, &others).map_err(failed);
            }
            Some(next) if next.len() <= CURSOR_BYTES_MAX && seen.insert(next.clone()) => cursor = Some(next),
            Some(_) => return Err(FetchError::Endless),
        }
    }
    Err(FetchError::Endless)
}

async fn get(
    client: &Client,
    url: Url,
    authorization: Option<&header::HeaderValue>,
    limit: usize,
) -> Result<Vec<u8>, FetchError> {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = format!("{}{port}", url.host_str().unwrap_or_default());
    let mut request = client.get(url);
    if let Some(value) = authorization {
        request = request.header(header::AUTHORIZATION, value.clone());
    }
    let response = request.send().await.map_err(|error| silent(&host, error))?;
    match response.status() {
        status if status.is_success() => read(response, limit, &host).await,
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(FetchError::Refused { host, status }),
        status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => Err(FetchError::NoApi { host, status }),
        status if status.is_redirection() => Err(FetchError::Redirect { host, status }),
        status => Err(FetchError::Status { host, status }),
    }
}

/// An address may hold a token in its query; errors of the client would repeat it.
fn silent(host: &str, error: reqwest::Error) -> FetchError {
    FetchError::Silent { host: host.to_owned(), source: error.without_url() }
}

/// Reads a body up to a limit, whatever length it claims.
async fn read(mut response: Response, limit: usize, host: &str) -> Result<Vec<u8>, FetchError> {
    let mut body = vec![];
    while let Some(chunk) = response.chunk().await.map_err(|error| silent(host, error))? {
        if body.len() + chunk.len() > limit {
            return Err(FetchError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
