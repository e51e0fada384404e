//! Two dead cards beside one that works: one that cannot be opened, one that locks and gives nothing.
//!
//! Each may write five lines, then one a minute, however long they are dead; and the third card must not notice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

use super::stage::{OTHER_AIR, Plan, Stage, TUNERS, channel};
use crate::{
    checks::Desk,
    knobs::{Knobs, Side},
};

/// Names of the tuners: `spare` has nothing on its air.
const TUNERS_DEAD: [&str; 2] = ["spare", "dead"];
const FIRST_LINES: usize = 5;

/// Adds two channels on cards that are going to be dead.
pub(super) fn beside(plan: &mut Plan) {
    plan.tuners = format!(
        "{TUNERS}[[antenna]]\nname = \"third\"\nlnb = \"universal\"\n\
         [[tuner]]\nname = \"dead\"\ndevice = \"platform:headend-tuner.2/0.1\"\nantennas = [\"third\"]\n"
    );
    plan.channels.push(channel("o1", OTHER_AIR));
    plan.channels.push(channel("d1", &OTHER_AIR.replace("other", "third")));
}

/// From the next plug on the third card cannot be opened. It is put right when dropped.
pub(super) struct Dead(Knobs);

impl Dead {
    pub(super) fn plug() -> Result<Self> {
        let knobs = Knobs::of(2).context("no third card")?;
        knobs.reset()?;
        knobs.set_card("plugged", 0)?;
        knobs.set(Side::Satellite, "open_error", Errno::EIO as i64)?;
        knobs.set_card("plugged", 1)?;
        Ok(Self(knobs))
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        // The node is gone by now; a card that stays dead is put right by the next check that uses it.
        let _ = self.0.set_card("plugged", 0).and_then(|()| self.0.reset());
    }
}

/// Counts what was written of them in a node's life of `time`.
pub(super) fn judge(stage: &Stage, time: Duration, desk: &mut Desk) -> Result<()> {
    let log = stage.node.log();
    let minutes = usize::try_from(time.as_secs() / 60)?;
    for tuner in TUNERS_DEAD {
        let lines = log.lines().filter(|line| trouble(line, tuner)).count();
        desk.figure(&format!("lines-of-{tuner}"), format!("{lines} in {} s", time.as_secs()))?;
        ensure!(lines > 0, "nothing is said of {tuner}: {log}");
        ensure!(lines <= FIRST_LINES + minutes, "{lines} lines of {tuner}: {log}");
    }
    desk.figure("lines-in-all", log.lines().count())
}

/// Lines about a tuner, but for the one that says that its device is there.
fn trouble(line: &str, tuner: &str) -> bool {
    let named = format!("tuner={tuner}");
    line.contains("input::tuner") && line.split(' ').any(|word| word == named) && !line.contains("there=true")
}
