//! A status call that hangs for five seconds: nobody but its own thread waits.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{
    figures::spread,
    stage::{AIR, BITRATE, OTHER_AIR, Plan, Stage, channel, number, whole},
};
use crate::{
    bench::Bench,
    checks::{Desk, desk::ms},
    node::Session,
    wait::{Pace, let_pass},
};

const HANG: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_millis(50);

pub(in crate::checks) fn status(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let channels = vec![channel("s1", &format!("{AIR}&service=1")), channel("o1", &format!("{OTHER_AIR}&service=1"))];
    // A quarter of the rate: what is measured is who waits, not how busy an emulated processor is.
    let plan = Plan { channels, bitrates: [BITRATE / 4, BITRATE / 4], ..Plan::default() };
    let stage = Stage::set(bench, &plan)?;
    stage.received("sat")?;
    stage.received("spare")?;
    let (own, other) = (stage.capture("s1")?, stage.capture("o1")?);
    stage.flowing(&[stage.capture("s1")?, stage.capture("o1")?])?;
    let_pass(Duration::from_millis(500));
    let calm = ask(&stage, Duration::from_secs(2))?;
    desk.figure("answers-before", spread(&calm).0)?;
    for session in [&own, &other] {
        session.recount();
    }
    stage.turn("hang_ms", i64::try_from(HANG.as_millis())?)?;
    let answers = ask(&stage, HANG * 2)?;
    stage.turn("hang_ms", 0)?;
    let (words, _) = spread(&answers);
    let longest = answers.iter().max().copied().unwrap_or_default();
    desk.figure("answers-while-it-hangs", format!("{words} of {}", answers.len()))?;
    let gap = |session: &Session| session.gap();
    desk.figure("longest-gap", format!("hanging card {}, other card {}", ms(gap(&own)), ms(gap(&other))))?;
    let input = stage.node.input("sat")?;
    desk.figure("state", format!("{} with {} hangs", input["tuner"]["state"], input["tuner"]["ladder"]["hangs"]))?;
    whole(&other)?;
    whole(&own)?;
    ensure!(number(&input["tuner"]["ladder"]["hangs"]) > 0, "the hang was not counted: {input}");
    ensure!(
        input["last_error"].as_str().is_some_and(|words| words.contains("hangs")),
        "it says {}",
        input["last_error"]
    );
    let late = answers.iter().filter(|answer| **answer >= ANSWER_MAX).count();
    desk.figure("answers-over-50-ms", late)?;
    // An emulated processor is taken away now and then, with a card that hangs or without: one answer in a hundred.
    ensure!(late * 100 <= answers.len(), "{late} of {} answers took over {ANSWER_MAX:?}", answers.len());
    ensure!(longest < ANSWER_MAX * 4, "an answer took {longest:?}");
    Ok(())
}

/// How long answers take, asked ten times a second, the two addresses in turn.
fn ask(stage: &Stage, time: Duration) -> Result<Vec<Duration>> {
    let (start, mut pace, mut answers) = (Instant::now(), Pace::every(Duration::from_millis(50)), vec![]);
    while start.elapsed() < time {
        for path in ["/api/node/v1/status", "/healthz"] {
            pace.beat();
            let (code, _, took) = stage.node.get(path)?;
            ensure!(code == 200, "{path} answers {code}");
            answers.push(took);
        }
    }
    Ok(answers)
}
