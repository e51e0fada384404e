//! The technician's verbs on the pretended card: list, live signal, scan by the network's own list, self-test.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::{AIR, BITRATE, Plan, prepare};
use crate::{
    bench::Bench,
    checks::Desk,
    feeder::{Feeder, Programme},
    knobs::{Knobs, Side},
    mux::SERVICES,
    node::{Home, Node},
};

pub(in crate::checks) fn verbs(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let (program, home, [knobs, _]) = prepare(bench, &Plan { channels: vec![], ..Plan::default() })?;
    let verb = |verb: &str, arguments: &[&str]| Node::verb(&program, &home, verb, arguments);
    let list = said(&verb("femon", &["--list"])?, 0)?;
    ensure!(list.contains("platform:headend-tuner.0/0.1") && list.contains("sat"), "femon --list says {list}");
    // The second carrier of the network's list is not there.
    knobs.carriers(Side::Satellite, &[1_612_000])?;
    let _feeder = Feeder::start(&knobs.air(), &Programme::Multiplex("/streams/h264-aac.ts".into()), BITRATE)?;
    femon(&verb("femon", &[AIR, "--json", "--once", "--tuner", "sat"])?, desk).context("femon")?;
    let dark = format!("{}&priority=1", AIR.replace("12212", "12252"));
    let none = verb("femon", &[&dark, "--json", "--once", "--seconds", "3", "--tuner", "sat"])?;
    ensure!(none.status.code() == Some(4), "no signal, and femon ends with {}", none.status);
    scan(&verb("scan", &[AIR, "--json", "--tuner", "sat"])?, desk).context("scan")?;
    selftest(&verb("selftest", &[AIR, "--json", "--seconds", "5", "--tuner", "sat"])?, desk).context("selftest")?;
    gone(&program, &home, &knobs)
}

fn said(output: &Output, code: i32) -> Result<String> {
    let (out, talk) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.code() == Some(code), "{} instead of {code}: {out} {talk}", output.status);
    Ok(out.into_owned())
}

fn json(output: &Output) -> Result<Value> {
    let text = said(output, 0)?;
    serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
}

/// The figures that the card gives, in their units.
fn femon(output: &Output, desk: &mut Desk) -> Result<()> {
    let line = json(output)?;
    desk.figure("femon", format!("{} {} bit/s {}", line["state"], line["bitrate"], line["figures"]))?;
    ensure!(line["state"] == "receiving" && line["driver"] == "Headend test DVB-S/S2", "{line}");
    let figures = &line["figures"];
    let level = |name: &str| (figures[name]["scale"].clone(), figures[name]["value"].as_f64());
    ensure!(level("strength") == ("decibel".into(), Some(-45.0)), "strength {figures}");
    ensure!(level("quality") == ("decibel".into(), Some(14.5)), "quality {figures}");
    Ok(())
}

/// Eight services with their names on one carrier, and one carrier that is not there.
fn scan(output: &Output, desk: &mut Desk) -> Result<()> {
    let found = json(output)?;
    let visited = found["visited"].as_array().context("nothing was visited")?;
    let services = |visited: &Value| visited["services"].as_array().map_or(0, Vec::len);
    let counts: Vec<usize> = visited.iter().map(services).collect();
    desk.figure("scan", format!("{} carriers with {counts:?} services", visited.len()))?;
    ensure!(counts == [usize::from(SERVICES), 0], "{counts:?} services were found: {found}");
    let named = &visited[0]["services"][0];
    ensure!(named["name"] == "B1" && visited[0]["tsid"] == 1, "{}", visited[0]);
    ensure!(visited[1]["received"] == false && visited[1]["reason"].is_string(), "{}", visited[1]);
    Ok(())
}

fn selftest(output: &Output, desk: &mut Desk) -> Result<()> {
    let record = json(output)?;
    let tested = &record["tuners"][0];
    desk.figure(
        "selftest",
        format!("{}, lock {} ms, {} packets", tested["verdict"], tested["lock_ms"], tested["packets"]),
    )?;
    ensure!(tested["verdict"] == "good" && tested["faults"] == 0, "{record}");
    Ok(())
}

/// Without the card every verb says so, with the code for missing hardware.
fn gone(program: &std::path::Path, home: &Home, knobs: &Knobs) -> Result<()> {
    knobs.set_card("plugged", 0)?;
    for (verb, arguments) in [
        ("femon", &[AIR, "--once", "--seconds", "1", "--tuner", "sat"][..]),
        ("scan", &[AIR, "--tuner", "sat"][..]),
        ("selftest", &["--tuner", "sat"][..]),
    ] {
        let output = Node::verb(program, home, verb, arguments)?;
        ensure!(output.status.code() == Some(7), "{verb} without a card ends with {}", output.status);
    }
    Ok(())
}
