//! Real PC/SC on this machine: pcscd with the virtual reader of vsmartcard, a card played by us.
//!
//! pcscd's socket has a fixed place below `/run`, and the virtual reader a fixed port. They get a `/run` and a loopback
//! of their own in namespaces, which needs no privilege and leaves a pcscd of this machine alone; so the checks run in a
//! second process of this program, inside.

use std::{
    fs::{self, File},
    io::stdout,
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use headend_hw_tests::{
    card::{Action, Demo, Slot, vpcd},
    checks::{Desk, EMPTY_SLOT, exchange, no_answer},
    line::Say,
    reader::{Service, Session},
    wait::let_pass,
};
use nix::{
    mount::{MsFlags, mount},
    unistd::getuid,
};

use crate::{bench::hear, table::Table};

/// The argument that says: you are inside.
pub(crate) const INSIDE: &str = "cards-inside";
const FOLDER: &str = "HEADEND_HW_CARDS";
/// In a loopback of its own.
const PORT: u16 = 35963;
const LIBRARY: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";
const READER: &str = "Virtual PCD 00 00";
const DEADLINE: Duration = Duration::from_secs(10);

/// Runs the checks in a namespace of their own.
pub(crate) fn run(work: &Path, only: &str, table: &mut Table) -> Result<()> {
    let folder = work.join("cards");
    fs::create_dir_all(folder.join("reader.conf.d")).context("create the folder of the virtual reader")?;
    let mut command = Command::new("unshare");
    if !getuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let program = std::env::current_exe().context("where hw-host is")?;
    command.args(["--mount", "--net"]).arg(program).args([INSIDE, only]).env(FOLDER, &folder).stdout(Stdio::piped());
    let mut child = command.spawn().context("start unshare")?;
    hear(child.stdout.take().context("the cards' output")?, table)?;
    let status = child.wait().context("wait for the cards' checks")?;
    if !status.success() && status.code() != Some(1) {
        table.broken(&format!("the cards' checks ended with {status}"));
    }
    Ok(())
}

type CardCheck = (&'static str, fn(&Slot, &Service, &mut Desk) -> Result<()>);

const CHECKS: [CardCheck; 4] = [
    ("pcscd-card-answers", answers),
    ("pcscd-card-pulled-in-use", pulled),
    ("pcscd-card-pulled-in-command", pulled_in_command),
    ("pcscd-slow-card", slow),
];

/// The second process: its own `/run`, its own pcscd, the checks.
pub(crate) fn inside() -> Result<bool> {
    let folder = PathBuf::from(std::env::var(FOLDER).context("started by hand?")?);
    let only = std::env::args().nth(2).unwrap_or_default();
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).context("a /run of our own")?;
    fs::create_dir_all("/run/pcscd").context("create /run/pcscd")?;
    let loopback = Command::new("/bin/busybox").args(["ifconfig", "lo", "127.0.0.1", "up"]).status();
    ensure!(loopback.context("start busybox")?.success(), "there is no loopback of our own");
    let _pcscd = Pcscd::start(&folder)?;
    let slot = vpcd(Box::new(Demo::default()), SocketAddr::from(([127, 0, 0, 1], PORT)))?;
    let service = Service::connect(DEADLINE)?;
    let mut desk = Desk::new(Box::new(stdout()), None);
    let mut good = true;
    for (name, check) in CHECKS.into_iter().filter(|(name, _)| name.contains(&only)) {
        desk.begin(name)?;
        let start = Instant::now();
        let result = check(&slot, &service, &mut desk);
        let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        good &= result.is_ok();
        desk.say(&match result {
            Ok(()) => Say::Pass(name.into(), took),
            Err(error) => Say::Fail(name.into(), took, format!("{error:#}")),
        })?;
    }
    Ok(good)
}

/// The service, which ends with us.
struct Pcscd(Child);

impl Pcscd {
    fn start(folder: &Path) -> Result<Self> {
        let configuration = folder.join("reader.conf.d");
        let reader = format!(
            "FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:{PORT:#x}\nLIBPATH {LIBRARY}\nCHANNELID {PORT:#x}\n"
        );
        fs::write(configuration.join("vpcd"), reader).context("write the virtual reader's configuration")?;
        let log = File::create(folder.join("pcscd.log")).context("create pcscd.log")?;
        let mut command = Command::new("/usr/sbin/pcscd");
        command.args(["--foreground", "--info", "--config"]).arg(configuration).stdin(Stdio::null());
        command.stdout(log.try_clone().context("pcscd.log")?).stderr(log).process_group(0);
        Ok(Self(command.spawn().context("start pcscd")?))
    }
}

impl Drop for Pcscd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn inserted(slot: &Slot, service: &Service) -> Result<Session> {
    slot.act(Action::Insert)?;
    service.wait_card(READER, true, DEADLINE)?;
    service.card(READER)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn answers(slot: &Slot, service: &Service, desk: &mut Desk) -> Result<()> {
    let card = inserted(slot, service)?;
    let atr: String = card.atr()?.iter().map(|byte| format!("{byte:02x}")).collect();
    desk.figure("atr", atr)?;
    desk.figure("command", millis(exchange(&card)?))
}

fn pulled(slot: &Slot, service: &Service, desk: &mut Desk) -> Result<()> {
    let card = inserted(slot, service)?;
    exchange(&card)?;
    slot.act(Action::Pull)?;
    desk.figure("missed-after", millis(service.wait_card(READER, false, DEADLINE)?))?;
    desk.figure("answer", no_answer(&card)?)?;
    drop(card);
    let start = Instant::now();
    exchange(&inserted(slot, service)?)?;
    desk.figure("answers-after-insert", millis(start.elapsed()))
}

fn pulled_in_command(slot: &Slot, service: &Service, desk: &mut Desk) -> Result<()> {
    let card = inserted(slot, service)?;
    exchange(&card)?;
    slot.act(Action::PullAtNextCommand)?;
    let start = Instant::now();
    desk.figure("answer", format!("{} after {}", no_answer(&card)?, millis(start.elapsed())))?;
    drop(card);
    let_pass(EMPTY_SLOT);
    service.wait_card(READER, false, DEADLINE)?;
    exchange(&inserted(slot, service)?).map(drop)
}

fn slow(slot: &Slot, service: &Service, desk: &mut Desk) -> Result<()> {
    const DELAY: Duration = Duration::from_millis(700);
    let card = inserted(slot, service)?;
    slot.act(Action::AnswerAfter(DELAY))?;
    let took = exchange(&card);
    slot.act(Action::AnswerAfter(Duration::ZERO))?;
    let took = took?;
    desk.figure("command", millis(took))?;
    ensure!(took >= DELAY, "a card that takes {DELAY:?} answered after {took:?}");
    Ok(())
}
