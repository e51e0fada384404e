//! The list of checks, in the order they run, and what each needs.
//!
//! A check takes the bench and a desk, and fails with a reason a technician can act on. It leaves the bench as found:
//! the list puts the pretended card's knobs back before each one.

mod cam;
mod capture;
mod desk;
mod faults;
mod figures;
mod kernel;
mod node;
mod readers;
mod rules;
mod stream;
mod tune;
mod vidtv;

pub use capture::{Capture, prepare};
pub use desk::Desk;
pub use kernel::load_modules;
pub use readers::{EMPTY_SLOT, exchange, no_answer};

use std::time::Instant;

use anyhow::Result;

use crate::{
    bench::{Bench, Tuner},
    knobs::Knobs,
    line::Say,
};

/// What must be there for a check to mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A tuner with a signal, pretended or real.
    Tuner,
    /// The pretended card's knobs.
    Knobs,
    /// A card that can be unplugged by writing to a file.
    Plug,
    /// A reader with a card.
    Reader,
    /// The virtual machine: its modules, its spare reader, its host's hand.
    VirtualMachine,
    /// The node's program.
    Node,
    /// The node's program and three pretended cards.
    NodeOnCards,
    /// The node's program and the pretended card.
    NodeOnKnobs,
}

/// One check.
pub struct Check {
    /// Its name in the table, without blanks.
    pub name: &'static str,
    /// What it needs.
    pub need: Need,
    /// The check.
    pub run: fn(&Bench, &mut Desk) -> Result<()>,
}

const fn check(name: &'static str, need: Need, run: fn(&Bench, &mut Desk) -> Result<()>) -> Check {
    Check { name, need, run }
}

/// The kernel's own interfaces and PC/SC; those of the node ([`node`]) and of its CAMs ([`cam`]) follow.
const CHECKS: &[Check] = &[
    check("device-rules", Need::Tuner, rules::device),
    check("reopen-at-once", Need::Tuner, rules::reopen),
    check("two-frontends-one-demux", Need::Knobs, rules::two_frontends),
    check("out-of-range", Need::Knobs, rules::out_of_range),
    check("satellite-request-reaches-driver", Need::Knobs, tune::satellite),
    check("ground-request-reaches-driver", Need::Knobs, tune::ground),
    check("diseqc-cascade-and-unicable", Need::Knobs, tune::cascade),
    check("sec-refused", Need::Knobs, tune::sec_refused),
    check("lock-delay-and-events", Need::Knobs, tune::events),
    check("tune-fails-then-locks", Need::Knobs, tune::fails),
    check("locks-at-carriers-only", Need::Knobs, tune::carriers),
    check("lock", Need::Tuner, tune::lock),
    check("figures-and-scales", Need::Knobs, figures::scales),
    check("figures", Need::Tuner, figures::plausible),
    check("overflow-empties-the-ring", Need::Knobs, stream::overflow),
    check("one-pid-of-many", Need::Knobs, stream::one_pid),
    check("lock-without-data", Need::Knobs, stream::no_data),
    check("lock-lost-and-back", Need::Knobs, stream::lock_lost),
    check("status-hangs-data-flows", Need::Knobs, faults::status_hang),
    check("unplug-under-reader", Need::Plug, faults::unplug),
    check("unplug-waits-for-holder", Need::Knobs, faults::held),
    check("unplug-storm", Need::Plug, faults::storm),
    check("many-adapters", Need::VirtualMachine, kernel::many_adapters),
    check("vidtv", Need::VirtualMachine, vidtv::layout),
    check("capture", Need::Tuner, stream::capture),
    check("card-answers", Need::Reader, readers::answers),
    check("card-pulled-in-use", Need::VirtualMachine, readers::pulled),
    check("card-pulled-in-command", Need::VirtualMachine, readers::pulled_in_command),
    check("reader-unplugged-in-use", Need::VirtualMachine, readers::unplugged),
];

/// The last of all: it looks at what the others did to the kernel.
const CLEAN: Check = check("kernel-clean", Need::VirtualMachine, kernel::clean);

/// Runs the checks whose name contains `only`, and tells whether none failed.
///
/// # Errors
/// When the desk cannot be written to.
pub fn run(bench: &Bench, desk: &mut Desk, only: &str) -> Result<bool> {
    let mut good = true;
    let wanted = CHECKS.iter().chain(&node::CHECKS).chain(&cam::CHECKS).filter(|check| check.name.contains(only));
    for check in wanted.chain([&CLEAN]) {
        if let Some(why) = missing(bench, check.need) {
            desk.say(&Say::Skip(check.name.into(), why.into()))?;
            continue;
        }
        desk.begin(check.name)?;
        let start = Instant::now();
        let result = put_back(bench).and_then(|()| (check.run)(bench, desk));
        let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        match result {
            Ok(()) => desk.say(&Say::Pass(check.name.into(), took))?,
            Err(error) => {
                good = false;
                desk.say(&Say::Fail(check.name.into(), took, format!("{error:#}")))?;
            }
        }
    }
    Ok(good)
}

fn missing(bench: &Bench, need: Need) -> Option<&'static str> {
    let (there, why) = match need {
        Need::Tuner => (!bench.tuners.is_empty(), "the bench has no tuner"),
        Need::Knobs => (bench.tuners.iter().any(|tuner| tuner.knobs.is_some()), "only the pretended card can do this"),
        Need::Plug => (bench.tuners.iter().any(|tuner| tuner.plug.is_some()), "no tuner has a plug file"),
        Need::Reader => (!bench.readers.is_empty(), "the bench has no reader"),
        Need::VirtualMachine => (bench.virtual_machine, "only in the virtual machine"),
        Need::Node => (bench.node.is_some(), "no headend-node was built"),
        Need::NodeOnCards => {
            (bench.node.is_some() && Knobs::of(2).is_some(), "needs headend-node and three pretended cards")
        }
        Need::NodeOnKnobs => {
            (bench.node.is_some() && Knobs::of(0).is_some(), "needs headend-node and the pretended card")
        }
    };
    (!there).then_some(why)
}

fn put_back(bench: &Bench) -> Result<()> {
    for tuner in &bench.tuners {
        if let Some(knobs) = &tuner.knobs {
            knobs.reset()?;
        }
    }
    for tuner in &bench.tuners {
        tuner.wait_nodes()?;
    }
    Ok(())
}

/// The first tuner for which `wanted` holds; the list has made sure there is one.
fn tuner_with(bench: &Bench, wanted: impl Fn(&Tuner) -> bool) -> Result<&Tuner> {
    bench.tuners.iter().find(|tuner| wanted(tuner)).ok_or_else(|| anyhow::anyhow!("the bench has no such tuner"))
}
