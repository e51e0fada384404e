//! What every check of the node begins with: cards as after loading, something on the air, a node, viewers.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    bench::Bench,
    dvb::nodes_of,
    feeder::{Feeder, Programme},
    knobs::{Knobs, Side},
    mux::SERVICES,
    node::{Channel, Home, Node, Session},
    wait,
};

/// The multiplex of the first dish: 1.612 GHz behind a universal LNB, high band, horizontal.
pub(super) const AIR: &str = "dvb://dish?system=s2&frequency=12212MHz&polarisation=h&symbol_rate=27500kBd";
/// The same on the dish of the second card.
pub(super) const OTHER_AIR: &str = "dvb://other?system=s2&frequency=12212MHz&polarisation=h&symbol_rate=27500kBd";
/// What the multiplexes run at, bits a second.
pub(super) const BITRATE: u64 = 40_000_000;
/// Behind a card's lock a multiplex must be received within this; generous, for a machine under emulation.
pub(super) const RECEIVED: Duration = Duration::from_secs(15);

const CLIP: &str = "/streams/h264-aac.ts";

/// Antennas and tuners of the node's file: each card's satellite frontend on a dish of its own.
pub(super) const TUNERS: &str = "\
[[antenna]]\nname = \"dish\"\nlnb = \"universal\"\n\
[[antenna]]\nname = \"other\"\nlnb = \"universal\"\n\
[[tuner]]\nname = \"sat\"\ndevice = \"platform:headend-tuner.0/0.1\"\nantennas = [\"dish\"]\n\
[[tuner]]\nname = \"spare\"\ndevice = \"platform:headend-tuner.1/0.1\"\nantennas = [\"other\"]\n";

/// What a node is to do.
pub(super) struct Plan {
    pub(super) channels: Vec<Channel>,
    pub(super) tuners: String,
    /// How long a channel bears with its source.
    pub(super) leave_after_ms: u32,
    /// Rate of what is on the air of each card; 0: nothing.
    pub(super) bitrates: [u64; 2],
}

impl Default for Plan {
    /// The eight services of the first card's multiplex, as channels `s1` to `s8`.
    fn default() -> Self {
        let channels = (1..=SERVICES).map(|id| channel(&format!("s{id}"), &format!("{AIR}&service={id}"))).collect();
        Self { channels, tuners: TUNERS.to_owned(), leave_after_ms: 5_000, bitrates: [BITRATE, 0] }
    }
}

/// A channel by name and address.
pub(super) fn channel(name: &str, url: &str) -> Channel {
    Channel { name: name.to_owned(), url: url.to_owned(), keep: None }
}

/// A node that runs on the pretended cards.
pub(super) struct Stage {
    pub(super) node: Node,
    pub(super) home: Home,
    pub(super) knobs: Knobs,
    pub(super) feeders: Vec<Feeder>,
}

impl Stage {
    /// Puts the cards back, starts the feeders and then the node.
    pub(super) fn set(bench: &Bench, plan: &Plan) -> Result<Self> {
        Self::set_with(bench, plan, |_, _| Ok(()))
    }

    /// The same, with knobs turned before the node starts.
    pub(super) fn set_with(
        bench: &Bench,
        plan: &Plan,
        turn: impl FnOnce(&Knobs, &Knobs) -> Result<()>,
    ) -> Result<Self> {
        let (program, home, [knobs, other]) = prepare(bench, plan)?;
        turn(&knobs, &other)?;
        let mut feeders = vec![];
        for (knobs, bitrate) in [&knobs, &other].into_iter().zip(plan.bitrates) {
            if bitrate > 0 {
                feeders.push(Feeder::start(&knobs.air(), &Programme::Multiplex(CLIP.into()), bitrate)?);
            }
        }
        let node = Node::start(&program, &home)?;
        Ok(Self { node, home, knobs, feeders })
    }

    /// Waits until a tuner receives.
    pub(super) fn received(&self, tuner: &str) -> Result<(Value, Duration)> {
        self.node
            .wait_input(tuner, "the multiplex to be received", RECEIVED, |input| input["tuner"]["state"] == "receiving")
    }

    /// A viewer of what a channel's source gives, untouched.
    pub(super) fn capture(&self, channel: &str) -> Result<Session> {
        Session::open(self.node.address(), &format!("/{channel}/mpegts?source=air"))
    }

    /// A viewer of the channel.
    pub(super) fn live(&self, channel: &str) -> Result<Session> {
        Session::open(self.node.address(), &format!("/{channel}/mpegts?token={}", self.home.token()))
    }

    /// Waits until bytes come to each of these.
    pub(super) fn flowing(&self, sessions: &[Session]) -> Result<Duration> {
        for session in sessions {
            session.mark();
        }
        let all = || {
            sessions.iter().try_for_each(Session::alive)?;
            Ok(sessions.iter().all(|session| session.resumed().is_some()).then_some(()))
        };
        let waited = wait::until("bytes on every session", RECEIVED, all);
        waited.map(|((), took)| took).with_context(|| format!("the node's log ends with {}", self.node.log_tail()))
    }

    /// Sets a knob of the first card's satellite frontend.
    pub(super) fn turn(&self, knob: &str, value: i64) -> Result<()> {
        self.knobs.set(Side::Satellite, knob, value)
    }
}

/// Cards as after loading, and a node's folder; nothing runs.
pub(super) fn prepare(bench: &Bench, plan: &Plan) -> Result<(PathBuf, Home, [Knobs; 2])> {
    let program: &Path = bench.node.as_deref().context("the node's program")?;
    let knobs = |socket: u32| -> Result<Knobs> {
        let knobs = Knobs::of(socket).with_context(|| format!("no card {socket}"))?;
        knobs.reset()?;
        let there = || nodes_of(&knobs.place(), 1);
        wait::until("the card's device nodes", Duration::from_secs(10), there)?;
        Ok(knobs)
    };
    let both = [knobs(0)?, knobs(1)?];
    let home = Home::prepare(Path::new("/tmp/node"), &plan.channels, &plan.tuners, plan.leave_after_ms)?;
    Ok((program.to_owned(), home, both))
}

/// A number of a status page, 0 while it is not there.
pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Nothing of a counted stream is missing.
pub(super) fn whole(session: &Session) -> Result<()> {
    session.alive()?;
    let seen = session.seen();
    ensure!(seen.missing == 0 && seen.continuity_errors == 0 && seen.sync_bytes_lost == 0, "{seen:?}");
    ensure!(seen.packets > 0, "no packet came");
    Ok(())
}
