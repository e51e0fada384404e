//! Modules of the virtual machine, and whether its kernel is still whole.

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use nix::{
    errno::Errno,
    kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module},
    libc::O_NONBLOCK,
};

use super::Desk;
use crate::{bench::Bench, dvb::nodes_of, knobs::Knobs};

const MODULE: &str = "headend_tuner";
/// One to turn knobs at, one that must not notice, one that is dead when another is.
const CARDS: &str = "adapters=3";
/// Out-of-tree and unsigned modules: ours and vidtv.
const TAINT_EXPECTED: u64 = 1 << 12 | 1 << 13;

/// Loads the modules a list names, in its order; those that are there already are passed over.
///
/// # Errors
/// When the list or a module cannot be read, or the kernel refuses one.
pub fn load_modules(list: &Path) -> Result<()> {
    let names = fs::read_to_string(list).with_context(|| format!("read {}", list.display()))?;
    let parameters = |name: &str| if name == MODULE { CARDS } else { "" };
    names.lines().filter(|name| !name.is_empty()).try_for_each(|name| load(name, parameters(name)))
}

fn load(name: &str, parameters: &str) -> Result<()> {
    let path = format!("/modules/{name}.ko");
    let file = File::open(&path).with_context(|| format!("open {path}"))?;
    match finit_module(file, &CString::new(parameters)?, ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("load {name} {parameters}")),
    }
}

pub(super) fn unload(name: &str) -> Result<()> {
    delete_module(&CString::new(name)?, DeleteModuleFlags::O_NONBLOCK).with_context(|| format!("unload {name}"))
}

/// The module comes and goes, and registers as many cards as asked.
pub(super) fn many_adapters(_: &Bench, desk: &mut Desk) -> Result<()> {
    const MANY: u32 = 8;
    unload(MODULE)?;
    load(MODULE, &format!("adapters={MANY}"))?;
    for socket in 0..MANY {
        let knobs = Knobs::of(socket).with_context(|| format!("no knobs of socket {socket}"))?;
        let nodes = nodes_of(&knobs.place(), 1)?.with_context(|| format!("no card at {}", knobs.place()))?;
        ensure!(nodes.adapter == socket, "card {socket} is adapter {}", nodes.adapter);
    }
    desk.figure("adapters", MANY)?;
    unload(MODULE)?;
    load(MODULE, CARDS)
}

/// No oops, no warning, no stuck task in all that was done.
pub(super) fn clean(_: &Bench, desk: &mut Desk) -> Result<()> {
    let taint: u64 = fs::read_to_string("/proc/sys/kernel/tainted").context("read the taint")?.trim().parse()?;
    desk.figure("taint", format!("{taint:#x}"))?;
    let bad: Vec<String> = messages()?
        .lines()
        .filter(|line| {
            ["WARNING:", "BUG:", "Oops", "general protection", "blocked for more than", "UBSAN"]
                .iter()
                .any(|word| line.contains(word))
        })
        .map(str::to_owned)
        .collect();
    ensure!(bad.is_empty(), "the kernel complained: {}", bad.join(" | "));
    ensure!(taint & !TAINT_EXPECTED == 0, "the kernel is tainted: {taint:#x}");
    Ok(())
}

fn messages() -> Result<String> {
    let mut log = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open("/dev/kmsg").context("open /dev/kmsg")?;
    let (mut all, mut record) = (String::new(), vec![0; 8192]);
    loop {
        match log.read(&mut record) {
            Ok(0) => return Ok(all),
            Ok(len) => all.push_str(&String::from_utf8_lossy(&record[..len])),
            Err(error) if error.raw_os_error() == Some(Errno::EAGAIN as i32) => return Ok(all),
            // Records were overwritten while we read: go on with the next.
            Err(error) if error.raw_os_error() == Some(Errno::EPIPE as i32) => {}
            Err(error) => return Err(error).context("read /dev/kmsg"),
        }
    }
}
