//! 40 Mbit/s through the kernel's DVB core and the node to eight viewers, for as long as the bench says.
//!
//! Each of the eight takes one service with its counted packets, so that together they see the whole multiplex and know of
//! every packet that is missing. Two more watch a channel as it is packaged, one over HTTP-TS, one over HLS. Two more cards
//! are dead all the while ([`super::dead`]).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    dead::{self, Dead},
    figures::Calls,
    stage::{BITRATE, Plan, Stage, number},
};
use crate::{
    air::PACKET,
    bench::Bench,
    checks::Desk,
    mux::SERVICES,
    node::{Effort, Session},
    wait::let_pass,
};

/// Rings, windows and what the allocator keeps between them; the curve is among the figures.
const MEMORY_MAX: u64 = 256 << 20;
const FULL: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_secs(1);

pub(in crate::checks) fn capture(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let mut plan = Plan::default();
    dead::beside(&mut plan);
    let _dead = Dead::plug()?;
    let start = Instant::now();
    let stage = Stage::set(bench, &plan)?;
    let (_, took) = stage.received("sat")?;
    desk.figure("received-after-start", super::super::desk::ms(took))?;
    let eight: Vec<Session> = (1..=SERVICES).map(|id| stage.capture(&format!("s{id}"))).collect::<Result<_>>()?;
    stage.flowing(&eight)?;
    costs(&stage, desk).context("what it costs")?;
    let live = stage.live("s1")?;
    let run = Run::new(&stage, &eight)?;
    let (rss, curve) = run.watch(&stage, Duration::from_secs(bench.seconds), &eight)?;
    stage.flowing(std::slice::from_ref(&live)).context("the packaged channel")?;
    desk.figure("packaged-session", format!("{} continuity errors", live.seen().continuity_errors))?;
    ensure!(live.seen().continuity_errors == 0, "the packaged session has {:?}", live.seen());
    desk.figure("hls", hls(&stage).context("HLS")?)?;
    run.judge(&stage, &eight, desk)?;
    dead::judge(&stage, start.elapsed(), desk)?;
    let [full, end] = rss;
    desk.figure("memory", format!("{} MB after two minutes, {} MB at the end; {curve:?}", full >> 20, end >> 20))?;
    ensure!(end <= MEMORY_MAX, "the node takes {end} bytes");
    Ok(())
}

/// CPU, system calls and wake-ups of the node while eight viewers read 40 Mbit/s.
fn costs(stage: &Stage, desk: &mut Desk) -> Result<()> {
    const TIME: Duration = Duration::from_secs(10);
    let calls = Calls::count()?;
    let (start, before) = (Instant::now(), stage.node.effort()?);
    let_pass(TIME);
    let (after, took) = (stage.node.effort()?, start.elapsed().as_secs_f64());
    let (count, clock, most) = calls.of(stage.node.id())?;
    let Effort { cpu, switches, .. } = before;
    let share = (after.cpu - cpu).as_secs_f64() / took * 100.0;
    desk.figure("cpu-under-emulation", format!("{share:.1} % of a core"))?;
    desk.figure("system-calls", format!("{:.0} a second ({most} in {took:.1} s)", count as f64 / took))?;
    // On a processor with a steady counter these are no calls into the kernel.
    desk.figure("reads-of-the-clock", format!("{:.0} a second", clock as f64 / took))?;
    desk.figure("context-switches", format!("{:.0} a second", (after.switches - switches) as f64 / took))?;
    desk.figure("threads", after.threads)?;
    Ok(())
}

/// The long part: what was there at its start.
struct Run {
    start: Instant,
    bytes: u64,
    input: Value,
    dropped: i64,
    sent: u64,
}

impl Run {
    fn new(stage: &Stage, eight: &[Session]) -> Result<Self> {
        eight.iter().for_each(Session::recount);
        Ok(Self {
            start: Instant::now(),
            bytes: eight.iter().map(Session::bytes).sum(),
            input: stage.node.input("sat")?,
            dropped: stage.knobs.card("packets_dropped")?,
            sent: stage.feeders[0].sent(),
        })
    }

    /// Lets it run; gives the memory when the windows are full and at the end, and each tenth of the time.
    fn watch(&self, stage: &Stage, time: Duration, eight: &[Session]) -> Result<([u64; 2], Vec<u64>)> {
        let (mut full, mut curve) = (None, vec![]);
        while self.start.elapsed() < time {
            let_pass(LOOK);
            eight.iter().try_for_each(Session::alive)?;
            if self.start.elapsed() >= time / 10 * u32::try_from(curve.len() + 1)? {
                curve.push(stage.node.effort()?.rss >> 20);
            }
            if full.is_none() && self.start.elapsed() >= FULL {
                full = Some(stage.node.effort()?.rss);
            }
        }
        let end = stage.node.effort()?.rss;
        Ok(([full.unwrap_or(end), end], curve))
    }

    /// Everything that is missing is accounted for by the node, and nothing else is.
    fn judge(&self, stage: &Stage, eight: &[Session], desk: &mut Desk) -> Result<()> {
        let took = self.start.elapsed();
        let bytes: u64 = eight.iter().map(Session::bytes).sum::<u64>() - self.bytes;
        let seen: Vec<_> = eight.iter().map(Session::seen).collect();
        let missing: u64 = seen.iter().map(|seen| seen.missing).sum();
        let broken: u64 = seen.iter().map(|seen| seen.continuity_errors + seen.sync_bytes_lost).sum();
        let gap = eight.iter().map(Session::gap).max().unwrap_or_default();
        let input = stage.node.input("sat")?;
        let lost = |cause: &str| {
            number(&input["tuner"]["losses"][cause]["bytes"]) - number(&self.input["tuner"]["losses"][cause]["bytes"])
        };
        let causes = ["signal", "kernel_ring", "transfer", "removal", "own_queue"].map(|cause| (cause, lost(cause)));
        let attributed: u64 = causes.iter().map(|(_, bytes)| bytes).sum();
        let dropped = stage.knobs.card("packets_dropped")? - self.dropped;
        let rate = bytes as f64 * 8.0 / took.as_secs_f64() / 1e6;
        let counted: u64 = seen.iter().map(|seen| seen.counted).sum();
        desk.figure("out", format!("{rate:.1} Mbit/s for {:.0} s", took.as_secs_f64()))?;
        desk.figure("sent", stage.feeders[0].sent() - self.sent)?;
        desk.figure("counted-packets", counted)?;
        desk.figure("missing-packets", missing)?;
        desk.figure("attributed", format!("{attributed} bytes ({causes:?})"))?;
        desk.figure("longest-gap-of-a-session", crate::checks::desk::ms(gap))?;
        ensure!(dropped == 0, "the card dropped {dropped} packets: it lost its lock");
        let unattributed = (missing * PACKET as u64).saturating_sub(attributed);
        desk.figure("unattributed", format!("{unattributed} bytes"))?;
        ensure!(unattributed == 0, "{missing} packets are missing, {attributed} bytes are accounted for: {causes:?}");
        ensure!(missing > 0 || (attributed == 0 && broken == 0), "nothing is missing, but {attributed} and {broken}");
        ensure!(rate > BITRATE as f64 / 1e6 * 0.95, "{rate:.1} Mbit/s is too little");
        Ok(())
    }
}

/// The playlist of a channel has its segments, the newest can be fetched, and so can its key.
fn hls(stage: &Stage) -> Result<String> {
    let path = format!("/s1/video.m3u8?token={}", stage.home.token());
    let (code, body, _) = stage.node.get(&path)?;
    let text = String::from_utf8_lossy(&body).into_owned();
    ensure!(code == 200, "the playlist: {code} {text}");
    let segments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let newest = segments.last().context("an empty playlist")?;
    let (code, segment, _) = stage.node.get(&format!("/s1/{newest}"))?;
    ensure!(code == 200 && segment.len() > 50_000, "segment {newest}: {code}, {} bytes", segment.len());
    let key =
        text.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next()).context("a playlist without a key")?;
    Ok(format!("{} segments, the newest {} bytes, key at {}", segments.len(), segment.len(), key.len()))
}
