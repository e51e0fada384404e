//! The virtual machine from its kernel's first program on: file systems, modules, the serial line, two services.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use headend_hw_tests::{checks::load_modules, power::Span};
use nix::{
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        termios::{BaudRate, SetArg, cfmakeraw, cfsetspeed, tcgetattr, tcsetattr},
    },
};

/// The serial line to the host; the kernel's own messages go to the first one.
const LINE: &str = "/dev/ttyS1";

/// What the host wants done, from the kernel's command line.
pub(crate) struct Orders {
    pub(crate) seconds: u64,
    pub(crate) only: String,
    /// Not the checks, but one life between two power cuts.
    pub(crate) life: Option<Span>,
}

/// Mounts what every Linux has.
pub(crate) fn machine() -> Result<Orders> {
    for (kind, at) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("debugfs", "/sys/kernel/debug"),
        ("tracefs", "/sys/kernel/tracing"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
    ] {
        fs::create_dir_all(at).with_context(|| format!("create {at}"))?;
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>).with_context(|| format!("mount {at}"))?;
    }
    let line = fs::read_to_string("/proc/cmdline").context("read the kernel's command line")?;
    let order = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    Ok(Orders {
        seconds: order("hw.seconds").and_then(|text| text.parse().ok()).unwrap_or(600),
        only: order("hw.only").unwrap_or("").to_owned(),
        life: order("hw.life").map(|word| if word == "last" { Span::All } else { Span::Newest }),
    })
}

/// The serial line, without echo and translation.
pub(crate) fn line() -> Result<(File, File)> {
    let open =
        |write: bool| OpenOptions::new().read(!write).write(write).open(LINE).with_context(|| format!("open {LINE}"));
    let (out, answers) = (open(true)?, open(false)?);
    let mut settings = tcgetattr(&out).context("the serial line's settings")?;
    cfmakeraw(&mut settings);
    cfsetspeed(&mut settings, BaudRate::B115200).context("the serial line's speed")?;
    tcsetattr(&out, SetArg::TCSANOW, &settings).context("the serial line's settings")?;
    Ok((out, answers))
}

/// The kernel's release.
pub(crate) fn release() -> Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").context("read the kernel's release")?;
    Ok(text.trim().to_owned())
}

/// Drivers for what QEMU has, dvb-core, and the pretended card.
pub(crate) fn load() -> Result<()> {
    load_modules(Path::new("/modules/boot"))
}

/// The interface that a node alone talks over.
pub(crate) fn loopback() -> Result<()> {
    start("/bin/busybox", &["ifconfig", "lo", "127.0.0.1", "up"])?.wait().context("loopback").map(drop)
}

/// udev tells pcscd of readers that come and go.
pub(crate) fn services() -> Result<()> {
    start("/usr/lib/systemd/systemd-udevd", &["--resolve-names=never"])?;
    fs::create_dir_all("/run/pcscd").context("create /run/pcscd")?;
    start("/usr/sbin/pcscd", &["--foreground", "--info"])?;
    Ok(())
}

fn start(program: &str, arguments: &[&str]) -> Result<std::process::Child> {
    let log = || OpenOptions::new().append(true).open("/dev/ttyS0").context("open the console");
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log()?)
        .stderr(log()?)
        .spawn()
        .with_context(|| format!("start {program}"))
}

/// The end of the virtual machine.
pub(crate) fn power_off() {
    // Nothing is left to be said, and nobody to say it to.
    let _ = reboot(RebootMode::RB_POWER_OFF);
}
