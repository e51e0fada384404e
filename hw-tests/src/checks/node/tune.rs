//! What the node's file and the channel's address say reaches the driver; two frontends of one card; PID filters.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::stage::{AIR, BITRATE, Plan, RECEIVED, Stage, TUNERS, channel, whole};
use crate::{
    bench::Bench,
    checks::Desk,
    knobs::{Knobs, Side, value},
    wait,
};

/// DVB-S2 with ISI and gold code behind a cascade of an uncommitted and a committed switch.
pub(in crate::checks) fn satellite(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let url = format!("{AIR}&modulation=8psk&fec=3/4&rolloff=0.20&stream=5&gold=131070&service=1");
    let tuners = TUNERS.replacen(
        "lnb = \"universal\"\n",
        "lnb = \"universal\"\ndiseqc = { committed = 2, uncommitted = 3, repeats = 1 }\n",
        1,
    );
    let plan = Plan { channels: vec![channel("s1", &url)], tuners, ..Plan::default() };
    let stage = Stage::set_with(bench, &plan, |knobs, _| knobs.forget())?;
    stage.received("sat")?;
    let asked = asked(&stage.knobs, Side::Satellite)?;
    let order: Vec<&str> = asked.iter().map(|(_, what)| what.split(" delivery").next().unwrap_or("")).collect();
    // Uncommitted input 3, then committed input 2 with horizontal and high band; the repeat for the switch behind.
    let want = [
        "tone off",
        "voltage 18",
        "master e0 10 39 f2",
        "master e0 10 38 f7",
        "master e1 10 39 f2",
        "master e1 10 38 f7",
        "tone on",
        "tune",
    ];
    ensure!(order == want, "the driver was asked for {order:?}, not {want:?}");
    // A cascaded switch has to power up: 100 ms behind the uncommitted message; 15 ms everywhere else.
    for (pair, least) in asked[1..7].windows(2).zip([15, 100, 15, 100, 15]) {
        let gap = pair[1].0.saturating_sub(pair[0].0);
        ensure!(gap >= Duration::from_millis(least), "{} came {gap:?} after {}", pair[1].1, pair[0].1);
    }
    let tune = stage.knobs.last_tune(Side::Satellite)?;
    desk.figure("request", &tune)?;
    let wanted = [
        ("delivery", "6"),
        ("frequency", "1612000"),
        ("symbol_rate", "27500000"),
        ("fec", "3"),
        ("modulation", "9"),
        ("rolloff", "1"),
        ("pilot", "2"),
        ("inversion", "2"),
        ("stream_id", "5"),
        ("scrambling_sequence", "131070"),
        ("voltage", "18"),
        ("tone", "on"),
    ];
    for (name, want) in wanted {
        let got = value(&tune, name)?;
        ensure!(got == want, "{name}: asked for {want}, the driver got {got}");
    }
    Ok(())
}

/// What was noted of a frontend up to its first tune request: when, and what.
fn asked(knobs: &Knobs, side: Side) -> Result<Vec<(Duration, String)>> {
    let own = format!("{side} ");
    let mut list = vec![];
    for entry in knobs.journal()? {
        let Some(what) = entry.what.strip_prefix(&own).filter(|what| *what != "init") else { continue };
        list.push((entry.at, what.to_owned()));
        if what.starts_with("tune ") {
            return Ok(list);
        }
    }
    anyhow::bail!("no tune request reached the driver: {list:?}")
}

/// Both frontends of one card are wanted, and share one demux: the higher priority has it, the other is told so and gets its
/// turn; on the other card both work at once with the first.
pub(in crate::checks) fn two_frontends(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let tuners = format!(
        "{TUNERS}[[antenna]]\nname = \"roof\"\nterrestrial = true\n\
         [[tuner]]\nname = \"ground\"\ndevice = \"platform:headend-tuner.0/0.0\"\nantennas = [\"roof\"]\n"
    );
    let channels = vec![
        channel("low", &format!("{AIR}&priority=2&service=1")),
        channel("high", "dvb://roof?system=t2&frequency=474MHz&plp=1&priority=8&service=2"),
    ];
    let plan = Plan { channels, tuners, ..Plan::default() };
    let stage = Stage::set(bench, &plan)?;
    let (_, took) = stage.received("ground")?;
    desk.figure("received-after-start", super::super::desk::ms(took))?;
    let session = stage.capture("high")?;
    stage.flowing(std::slice::from_ref(&session))?;
    whole(&session)?;
    let status = stage.node.status()?;
    let inputs = status["inputs"].as_array().context("inputs")?;
    let low = inputs.iter().find(|input| input["feed"].as_str().is_some_and(|feed| feed.starts_with("dvb://dish")));
    let words = low.and_then(|low| low["last_error"].as_str()).unwrap_or_default();
    ensure!(words.contains("more important"), "the weaker multiplex says {words:?}");
    let tune = stage.knobs.last_tune(Side::Terrestrial)?;
    ensure!(value(&tune, "stream_id")? == "1" && value(&tune, "frequency")? == "474000000", "{tune}");
    ensure!(stage.node.open_files("frontend1").is_empty(), "the other frontend of the card is open");
    Ok(())
}

/// Only the PIDs of wanted services are asked for, and they come whole.
pub(in crate::checks) fn pids(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let tuners = TUNERS.replacen("antennas = [\"dish\"]\n", "antennas = [\"dish\"]\ncapture = \"pids\"\n", 1);
    let plan = Plan { channels: vec![channel("s3", &format!("{AIR}&service=3"))], tuners, ..Plan::default() };
    let stage = Stage::set(bench, &plan)?;
    let (_, took) = stage.received("sat")?;
    desk.figure("received-after-start", super::super::desk::ms(took))?;
    // PAT, CAT, NIT, SDT, EIT, TDT, eight maps, three streams of the service.
    let feeds = || Ok((stage.knobs.card("feeds")? == 17).then_some(()));
    wait::until("the service's filters", RECEIVED, feeds)
        .with_context(|| format!("{:?} filters", stage.knobs.card("feeds")))?;
    let session = stage.capture("s3")?;
    stage.flowing(std::slice::from_ref(&session))?;
    session.recount();
    let before = session.bytes();
    wait::let_pass(Duration::from_secs(3));
    whole(&session)?;
    ensure!(session.seen().counted > 0, "the counted stream of the service does not come");
    let input = stage.node.input("sat")?;
    let bytes = super::stage::number(&input["counters"]["bytes"]);
    desk.figure("filters", stage.knobs.card("feeds")?)?;
    desk.figure(
        "session",
        format!("{:.1} Mbit/s of {}", (session.bytes() - before) as f64 * 8.0 / 3e6, BITRATE / 1_000_000),
    )?;
    desk.figure("taken-in", format!("{bytes} bytes since the start"))?;
    Ok(())
}
