//! The node's HTTP calls to its controller: enrolment, day keys, and whether the key server answers.

use std::{path::Path, sync::Arc, time::Duration};

use headend_access::{Day, Generation};
use headend_media::playlist::KeyBase;
use headend_rt::{
    CancellationToken, Clock,
    tls::{self, TlsError},
};
use headend_wire::{
    ChannelName,
    fleet::{DayKeysAnswer, DayKeysRequest, KeyScope},
};
use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};

use crate::output::keys::KeyStore;

const REQUEST: Duration = Duration::from_secs(10);

/// With keys missing, the controller is asked this often.
const KEYS_MISSING: Duration = Duration::from_secs(2);

/// With all keys here, it is asked this often for the next day's.
const KEYS_COMPLETE: Duration = Duration::from_secs(1_800);

/// Keys are complete when they reach this many days ahead.
const DAYS_AHEAD: u32 = 3;

/// How often the key server is asked whether it lives.
const KEY_SERVER_CHECK: Duration = Duration::from_secs(3);

/// A key server that did not answer this long is not named for new key periods.
const KEY_SERVER_DEAD: Duration = Duration::from_secs(10);

/// Why the controller cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The identity's files cannot be used.
    #[error("identity of this node")]
    Tls(#[source] TlsError),
    /// The client cannot be built.
    #[error("build the HTTP client")]
    Build(#[source] reqwest::Error),
    /// No answer, or not the one expected.
    #[error("ask the controller for day keys")]
    Ask(#[source] reqwest::Error),
    /// The controller says no.
    #[error("the controller refused day keys with {status}: is this node known to it?")]
    Refused {
        /// HTTP status.
        status: u16,
    },
}

/// An HTTP client that trusts the fleet's authority alone, with this node's certificate when there is one.
///
/// # Errors
/// [`ControllerError::Tls`], [`ControllerError::Build`].
pub fn client(authority: &Path, identity: Option<&tls::Identity>) -> Result<reqwest::Client, ControllerError> {
    let config = tls::client_config(authority, identity).map_err(ControllerError::Tls)?;
    reqwest::Client::builder()
        .tls_backend_preconfigured(Arc::unwrap_or_clone(config))
        .timeout(REQUEST)
        .no_proxy()
        .build()
        .map_err(ControllerError::Build)
}

/// An HTTP client for public addresses: the key server as viewers reach it.
///
/// # Errors
/// [`ControllerError::Build`].
pub fn plain_client() -> Result<reqwest::Client, ControllerError> {
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls::public_client_config());
    builder.timeout(REQUEST).no_proxy().build().map_err(ControllerError::Build)
}

/// Keeps the key store filled for the channels that `wanted` names, until `stop`.
pub async fn keep_keys(
    client: reqwest::Client,
    url: String,
    keys: Arc<KeyStore>,
    mut wanted: watch::Receiver<Vec<(ChannelName, Generation)>>,
    (clock, stop): (Arc<dyn Clock>, CancellationToken),
) {
    let mut failing = false;
    loop {
        let scopes = wanted.borrow_and_update().clone();
        let today = Day::of_unix_ms(u64::try_from(clock.unix_ms()).unwrap_or(0));
        let complete =
            scopes.is_empty() || keys.complete_until(&scopes, today).is_some_and(|d| d.0 >= today.0 + DAYS_AHEAD);
        if !complete {
            match fetch(&client, &url, &scopes).await {
                Ok(answer) => {
                    let count = answer.keys.len();
                    match keys.take(&answer.keys, today) {
                        Ok(()) => info!(count, "day keys arrived"),
                        Err(error) => warn!(error = headend_rt::chain(&error), "day keys not kept"),
                    }
                    failing = false;
                }
                Err(error) if !failing => {
                    warn!(error = headend_rt::chain(&error), "no day keys from the controller; trying again");
                    failing = true;
                }
                Err(_) => {}
            }
        }
        let complete = keys.complete_until(&scopes, today).is_some_and(|day| day.0 >= today.0 + DAYS_AHEAD - 1);
        let pause = if complete || scopes.is_empty() { KEYS_COMPLETE } else { KEYS_MISSING };
        tokio::select! {
            () = stop.cancelled() => return,
            changed = wanted.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn fetch(
    client: &reqwest::Client,
    url: &str,
    scopes: &[(ChannelName, Generation)],
) -> Result<DayKeysAnswer, ControllerError> {
    let scope = |(channel, generation): &(ChannelName, Generation)| KeyScope {
        channel: channel.clone(),
        generation: generation.0,
    };
    let request = DayKeysRequest { channels: scopes.iter().map(scope).collect() };
    let response = client.post(format!("{url}/fleet/v1/day-keys")).json(&request).send().await;
    let response = response.map_err(ControllerError::Ask)?;
    if !response.status().is_success() {
        return Err(ControllerError::Refused { status: response.status().as_u16() });
    }
    response.json().await.map_err(ControllerError::Ask)
}

/// Tells which server new key periods name: the one the desired state names while it answers, this node otherwise.
pub async fn watch_key_server(
    client: reqwest::Client,
    mut named: watch::Receiver<Option<String>>,
    base: watch::Sender<KeyBase>,
    stop: CancellationToken,
) {
    let mut answered = Instant::now();
    loop {
        let url = named.borrow_and_update().clone();
        let good = match &url {
            Some(url) => client
                .get(format!("{url}/healthz"))
                .timeout(KEY_SERVER_CHECK)
                .send()
                .await
                .is_ok_and(|response| response.status().is_success()),
            None => false,
        };
        if good {
            answered = Instant::now();
        }
        let live = url.filter(|_| answered.elapsed() < KEY_SERVER_DEAD);
        let next = live.and_then(|url| KeyBase::new(format!("{url}/k/")).ok()).unwrap_or_default();
        base.send_if_modified(|old| {
            let changed = *old != next;
            if changed {
                info!(from = old.as_str(), to = next.as_str(), "key server of the next key periods changed");
                *old = next;
            }
            changed
        });
        tokio::select! {
            () = stop.cancelled() => return,
            changed = named.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(KEY_SERVER_CHECK) => {}
        }
    }
}
