//! Where an import finds the channels there are, and where it writes: a running controller, or the store of one that
//! does not run.
//!
//! Both ways pass the same rules ([`crate::domain::Channel::check`]) and leave the same line in the audit,
//! `channel.put`: under the operator who signed in, or under `import-flussonic`. A channel is written whole, one after
//! another; what was written stays when a later one fails, and importing again goes on.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use headend_rt::{Clock as _, Secret, SystemClock, secret::SecretError};
use headend_wire::ChannelName;
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Exit, fetch, talk};
use crate::{
    api::channels::{put_body, read_view},
    domain::{Channel, Login},
    flussonic::plan::Change,
    installation::{self, InstallationError, store_folder},
    store::{Draft, Engine, IdempotencyKey, StoreError, Table, audit::AuditEntry},
};

/// The most bytes of an answer of the controller.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Who writes, in the audit of a store that no controller runs on.
const WHO: &str = "import-flussonic";

/// Where channels are read and written.
pub(super) enum Desk {
    /// A store of our own.
    Store(Arc<dyn Engine>),
    /// The REST interface of a controller.
    Controller(Box<Signed>),
    /// No store is there yet; nothing will be written.
    Empty,
}

/// A sign-in at a controller.
pub(super) struct Signed {
    client: Client,
    base: Url,
    token: Zeroizing<String>,
}

/// Why channels could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeskError {
    #[error("{folder} holds no store; make one with: headend-controller init --operator LOGIN --password-file FILE")]
    None { folder: String },
    #[error(
        "the store does not open; if the controller runs, write through it: \
         --controller URL --operator LOGIN --password-file FILE"
    )]
    Open(#[source] InstallationError),
    #[error("store")]
    Store(#[from] StoreError),
    #[error("the controller's address is not valid; write http://127.0.0.1:8080")]
    Address,
    #[error("password")]
    Secret(#[source] SecretError),
    #[error("HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
    #[error("the controller does not answer")]
    Silent(#[source] reqwest::Error),
    #[error("the controller refused with {status}: {words}")]
    Refused { status: StatusCode, words: String },
    #[error("the controller answers something else than channels; is it of this release?")]
    Foreign,
}

impl DeskError {
    /// The exit code it ends with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::None { .. } => Exit::NotFound,
            Self::Address | Self::Secret(_) => Exit::Usage,
            Self::Silent(_) => Exit::Unreachable,
            Self::Refused { status, .. } if matches!(status.as_u16(), 401 | 403 | 429) => Exit::NotAuthorised,
            Self::Open(_) | Self::Store(_) | Self::Client(_) | Self::Refused { .. } | Self::Foreign => Exit::Failed,
        }
    }
}

impl Desk {
    /// The store of a state folder. Blocks on the disk.
    pub(super) fn store(state_dir: &Path, dry_run: bool) -> Result<Self, DeskError> {
        if store_folder(state_dir).exists() {
            let engine = installation::open_store(state_dir).map_err(DeskError::Open)?;
            return Ok(Self::Store(Arc::new(engine)));
        }
        let folder = state_dir.display().to_string();
        if dry_run {
            talk(&format!("{folder} holds no store; compared with no channels at all"));
            return Ok(Self::Empty);
        }
        Err(DeskError::None { folder })
    }

    /// A running controller, signed in.
    pub(super) async fn controller(url: &str, login: &Login, password: &Secret) -> Result<Self, DeskError> {
        let base = Url::parse(url).map_err(|_| DeskError::Address)?;
        let plain = base.username().is_empty() && base.password().is_none() && matches!(base.path(), "" | "/");
        if !plain || !matches!(base.scheme(), "http" | "https") {
            return Err(DeskError::Address);
        }
        let client = fetch::client().map_err(DeskError::Client)?;
        let body = json!({ "login": login, "password": password.text().map_err(DeskError::Secret)? });
        let url = base.join("/api/v1/operator/session").map_err(|_| DeskError::Address)?;
        let mut answer = answer(client.post(url).json(&body)).await?;
        let token = match answer.get_mut("token").map(Value::take) {
            Some(Value::String(token)) => Zeroizing::new(token),
            _ => return Err(DeskError::Foreign),
        };
        Ok(Self::Controller(Box::new(Signed { client, base, token })))
    }

    /// The channels there are.
    pub(super) async fn channels(&self) -> Result<BTreeMap<ChannelName, Channel>, DeskError> {
        let found: Vec<Channel> = match self {
            Self::Empty => vec![],
            Self::Store(engine) => {
                let table: Table<Channel> = Table::new(Arc::clone(engine));
                table.all().await?.into_iter().map(|kept| kept.record).collect()
            }
            Self::Controller(signed) => {
                let mut answer = answer(signed.request(Method::GET, "/api/v1/channels")?).await?;
                let Some(Value::Array(list)) = answer.get_mut("channels").map(Value::take) else {
                    return Err(DeskError::Foreign);
                };
                list.into_iter().map(read_view).collect::<Option<_>>().ok_or(DeskError::Foreign)?
            }
        };
        Ok(found.into_iter().map(|channel| (channel.name.clone(), channel)).collect())
    }

    /// Writes one channel; it is durable when this returns.
    pub(super) async fn write(&self, change: &Change) -> Result<(), DeskError> {
        let channel = &change.after;
        match self {
            Self::Empty => Err(DeskError::None { folder: String::new() }),
            Self::Store(engine) => {
                let request = IdempotencyKey::random("import");
                let at_ms = u64::try_from(SystemClock.unix_ms()).unwrap_or(0);
                let mut line = AuditEntry::new(&request, at_ms, WHO, "channel.put", channel.name.as_str());
                line.detail = change.place.to_string();
                Draft::new(request, at_ms).put(&line)?.put(channel)?.commit(&**engine).await?;
                Ok(())
            }
            Self::Controller(signed) => {
                let request = signed.request(Method::PUT, &format!("/api/v1/channels/{}", channel.name))?;
                answer(request.json(&put_body(channel))).await.map(drop)
            }
        }
    }

    /// Signs out. A sign-in that cannot be ended ends by itself.
    pub(super) async fn close(self) {
        if let Self::Controller(signed) = self
            && let Ok(request) = signed.request(Method::DELETE, "/api/v1/operator/session")
        {
            let _ = request.send().await;
        }
    }
}

impl Signed {
    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, DeskError> {
        let url = self.base.join(path).map_err(|_| DeskError::Address)?;
        Ok(self.client.request(method, url).bearer_auth(&*self.token))
    }
}

/// The answer as JSON, or what the controller said instead.
async fn answer(request: RequestBuilder) -> Result<Value, DeskError> {
    let silent = |error: reqwest::Error| DeskError::Silent(error.without_url());
    let mut response = request.send().await.map_err(silent)?;
    let status = response.status();
    let mut body = vec![];
    while let Some(chunk) = response.chunk().await.map_err(silent)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(DeskError::Foreign);
        }
        body.extend_from_slice(&chunk);
    }
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(value);
    }
    let part = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let words =
        if value.is_object() { format!("{}; {}", part("detail"), part("fix")) } else { "no reason given".to_owned() };
    Err(DeskError::Refused { status, words })
}
