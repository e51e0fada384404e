//! What every check of the CAM begins with: a card with a slot, a multiplex behind it, a node that plays three channels.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU32},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    bench::Bench,
    cam::{Cable, Module},
    knobs::Knobs,
    node::{Channel, Home, Node},
    wait,
};

const AIR: &str = "dvb://dish?system=s2&frequency=12212MHz&polarisation=h&symbol_rate=27500kBd";
/// Generous, for a machine under emulation.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// The node's lines: a dish, its tuner, and the CAM beside it with shorter pauses than in the field.
const LINES: &str = "\
[[antenna]]\nname = \"dish\"\nlnb = \"universal\"\n\
[[tuner]]\nname = \"sat\"\ndevice = \"platform:headend-tuner.0/0.1\"\nantennas = [\"dish\"]\n\
[[cam]]\nname = \"main\"\ndevice = \"platform:headend-tuner.0\"\nsettle_ms = 1000\nspacing_ms = 1000\nclear_within_secs = 5\n";

/// A running node with a card, a multiplex and a module.
pub(super) struct Stage {
    pub(super) node: Node,
    pub(super) module: Module,
    pub(super) cable: Cable,
    pub(super) knobs: Knobs,
    pub(super) home: Home,
    put_in: Mutex<Instant>,
}

impl Stage {
    /// An empty slot.
    pub(super) fn set(bench: &Bench) -> Result<Self> {
        let program: &Path = bench.node.as_deref().context("the node's program")?;
        let knobs = Knobs::of(0).context("no pretended card")?;
        knobs.reset()?;
        knobs.set_card("cam", 0)?;
        knobs.set_card("cam_hang_ms", 0)?;
        let clear = Arc::new(AtomicU32::new(0));
        let module = Module::start(Path::new("/dev/headend-cam0"), Arc::clone(&clear))?;
        let cable = Cable::start(&knobs.air(), clear)?;
        let channel = |id: u32| Channel { name: format!("s{id}"), url: format!("{AIR}&service={id}"), keep: None };
        let home = Home::prepare(Path::new("/tmp/cam"), &[channel(1), channel(2), channel(3)], LINES, 5_000)?;
        let node = Node::start(program, &home)?;
        node.wait_input("sat", "the multiplex to be received", SOON, |input| input["tuner"]["state"] == "receiving")?;
        Ok(Self { node, module, cable, knobs, home, put_in: Mutex::new(Instant::now()) })
    }

    /// A module that works, and service 1 clear by it.
    pub(super) fn ready(bench: &Bench) -> Result<Self> {
        let stage = Self::set(bench)?;
        stage.insert(true)?;
        stage.wait("the module to be ready", SOON, |cam| cam["state"] == "ready")?;
        stage.clear(1)?;
        Ok(stage)
    }

    /// Starts the node anew on the state it has.
    pub(super) fn start_again(&mut self, bench: &Bench) -> Result<()> {
        self.node = Node::start(bench.node.as_deref().context("the node's program")?, &self.home)?;
        Ok(())
    }

    /// Puts the module in, or pulls it.
    pub(super) fn insert(&self, inserted: bool) -> Result<()> {
        *self.put_in.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.knobs.set_card("cam", i64::from(inserted))
    }

    /// When it was put in.
    fn put_in(&self) -> Instant {
        *self.put_in.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the technician's page sees of the CAM.
    pub(super) fn cam(&self) -> Result<Value> {
        let (code, body, _) = self.node.get("/api/node/v1/cams")?;
        anyhow::ensure!(code == 200, "the CAMs' page answers {code}");
        let answer: Value = serde_json::from_slice(&body).context("the CAMs' page")?;
        Ok(answer["cams"][0].clone())
    }

    /// Waits until the CAM is as `wanted`.
    pub(super) fn wait(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<(Value, Duration)> {
        let mut last = Value::Null;
        let look = || {
            last = self.cam()?;
            Ok(wanted(&last).then(|| last.clone()))
        };
        let waited = wait::until(what, deadline, look);
        let told = || {
            let played = self.module.played();
            format!("the module heard {} commands, lists {:?}, ended {:?}", played.commands, played.lists, played.ended)
        };
        waited.with_context(|| format!("the CAM says {last}; {}; the log ends with {}", told(), self.node.log_tail()))
    }

    /// Waits until a service is clear; how long that took since the module was put in, or now.
    pub(super) fn clear(&self, service: u64) -> Result<Duration> {
        let what = format!("service {service} to be clear");
        self.access(&what, service, "clear").map(|_| self.put_in().elapsed())
    }

    /// Waits until a service is shown as scrambled.
    pub(super) fn scrambled(&self, service: u64) -> Result<Value> {
        self.access(&format!("service {service} to be scrambled"), service, "scrambled")
    }

    fn access(&self, what: &str, service: u64, state: &str) -> Result<Value> {
        let mut last = Value::Null;
        let look = || {
            last = self.node.status()?["access"].clone();
            let list = last.as_array().cloned().unwrap_or_default();
            Ok(list.into_iter().find(|one| one["service"] == service && one["state"] == state))
        };
        let waited = wait::until(what, SOON, look);
        waited
            .map(|(found, _)| found)
            .with_context(|| format!("access is {last}; the log ends with {}", self.node.log_tail()))
    }

    /// An order to the CAM; code and body of the answer.
    pub(super) fn post(&self, order: &str, body: &Value) -> Result<(u16, String)> {
        self.post_as(&format!("main/{order}"), "Content-Type: application/json\r\n", &body.to_string())
    }

    fn post_as(&self, path: &str, headers: &str, body: &str) -> Result<(u16, String)> {
        let address = self.node.address();
        let mut stream = TcpStream::connect(address).context("connect to the node")?;
        stream.set_read_timeout(Some(SOON)).context("the connection")?;
        let length = body.len();
        write!(
            stream,
            "POST /api/node/v1/cams/{path} HTTP/1.0\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .context("ask the node")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).context("read the node's answer")?;
        let code = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).context("no HTTP answer")?;
        Ok((code, answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned()))
    }

    /// Codes for a form, a page of another origin, a CAM and an order that are none.
    pub(super) fn refusals(&self) -> Result<[u16; 4]> {
        let json = "Content-Type: application/json\r\n";
        let foreign = format!("{json}Origin: http://evil.example\r\n");
        Ok([
            self.post_as("main/menu", "Content-Type: application/x-www-form-urlencoded\r\n", "{}")?.0,
            self.post_as("main/menu", &foreign, "{}")?.0,
            self.post_as("other/menu", json, "{}")?.0,
            self.post_as("main/reset", json, "{}")?.0,
        ])
    }

    /// Packets and continuity errors of the multiplex so far.
    pub(super) fn free(&self) -> Result<(u64, u64)> {
        let counters = &self.node.input("sat")?["counters"];
        let number = |name: &str| counters[name].as_u64().with_context(|| format!("no {name} in {counters}"));
        Ok((number("packets")?, number("cc_errors")?))
    }
}

/// The slot is left empty, as it was found.
impl Drop for Stage {
    fn drop(&mut self) {
        // The next check puts the card back as well.
        let _ = self.knobs.set_card("cam", 0);
    }
}
