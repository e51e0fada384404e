//! `femon --attach`: the tuners of the node that runs on this box, as it tells them on loopback.

use std::{
    io::IsTerminal as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use headend_rt::tls;
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{super::Exit, Arguments, STEP, end_line, receiving, show};
use crate::{config, input::report::InputReport};

/// A node answers its page in milliseconds, whatever its tuners do.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct Answer {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    inputs: Vec<InputReport>,
}

#[derive(Debug, thiserror::Error)]
enum AttachError {
    #[error("the node listens with TLS only; open its page instead, or give it a plain listener on loopback")]
    Tls,
    #[error("no node answers at {address}; is it running?")]
    Silent {
        address: SocketAddr,
        #[source]
        source: reqwest::Error,
    },
    #[error("no tuner of the node is at work{}", name.as_ref().map(|name| format!(" that is called {name}")).unwrap_or_default())]
    Idle { name: Option<String> },
}

impl AttachError {
    fn say(&self) -> Exit {
        match self {
            Self::Tls => Exit::Usage.say(self),
            Self::Silent { .. } => Exit::HardwareMissing.say(self),
            Self::Idle { .. } => Exit::NotFound.say(self),
        }
    }
}

pub(super) async fn run(arguments: &Arguments) -> Exit {
    let http = match config::load(&arguments.config) {
        Ok(config) => config.http,
        Err(error) => return Exit::ConfigInvalid.say(&error),
    };
    if http.tls.is_some() {
        return AttachError::Tls.say();
    }
    let mut address = http.listen;
    if address.ip().is_unspecified() {
        let loopback =
            if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
        address.set_ip(loopback);
    }
    match watch(arguments, address).await {
        Ok(exit) => exit,
        Err(error) => error.say(),
    }
}

async fn watch(arguments: &Arguments, address: SocketAddr) -> Result<Exit, AttachError> {
    let until = arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let live = std::io::stdout().is_terminal() && !arguments.json;
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        steps.tick().await;
        let reports = ask(address, arguments.tuner.as_deref()).await?;
        // One line is rewritten; of several tuners each has its own.
        reports.iter().for_each(|report| show(report, arguments.json, live && reports.len() == 1));
        if arguments.once || until.is_some_and(|until| Instant::now() >= until) {
            if live && !arguments.once {
                end_line();
            }
            return Ok(if reports.iter().all(receiving) { Exit::Done } else { Exit::Degraded });
        }
    }
}

/// The inputs whose tuners are at work, or that of one tuner.
async fn ask(address: SocketAddr, name: Option<&str>) -> Result<Vec<InputReport>, AttachError> {
    let silent = |source| AttachError::Silent { address, source };
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::public_client_config())
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .map_err(silent)?;
    let request = client.get(format!("http://{address}/api/node/v1/status"));
    let response = request.send().await.and_then(reqwest::Response::error_for_status).map_err(silent)?;
    let Answer { status } = response.json().await.map_err(silent)?;
    let wanted = |report: &InputReport| {
        let tuner = report.tuner.as_ref().map(|tuner| tuner.tuner.as_str()).filter(|tuner| !tuner.is_empty());
        tuner.is_some_and(|tuner| name.is_none_or(|name| name == tuner))
    };
    let reports: Vec<InputReport> = status.inputs.into_iter().filter(wanted).collect();
    match reports.is_empty() {
        true => Err(AttachError::Idle { name: name.map(str::to_owned) }),
        false => Ok(reports),
    }
}
