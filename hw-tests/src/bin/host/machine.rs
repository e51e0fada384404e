//! The virtual machine: QEMU by software emulation, its two serial lines, and the conversation with the checks inside.

use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use headend_hw_tests::line::Say;

use crate::{
    Wishes,
    debian::Debian,
    hand::{Hand, Monitor, accept},
    table::Table,
    tell,
};

/// How long one check may be silent, beside the long captures: then its kernel is stuck, and so is all that follows.
const SILENCE: Duration = Duration::from_secs(150);

/// A process that ends with us.
pub(crate) struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots the machine and fills the table with what it says.
pub(crate) fn run(work: &Path, debian: &Debian, image: &Path, wishes: &Wishes, table: &mut Table) -> Result<()> {
    let hand = Hand::new()?;
    let orders = format!("hw.seconds={} hw.only={}", wishes.seconds, wishes.only);
    let start = Instant::now();
    let monitor = TcpListener::bind("127.0.0.1:0").context("listen for QEMU's monitor")?;
    let mut extra = hand.arguments();
    extra.extend(["-qmp".to_owned(), format!("tcp:{}", monitor.local_addr()?)]);
    tell(&format!("starting the virtual machine; its console is in {}", work.join("console.log").display()));
    let (mut qemu, line) = boot(work, debian, image, &orders, &extra)?;
    let mut monitor = Monitor::accept(&monitor)?;
    let silence = SILENCE + Duration::from_secs(wishes.seconds);
    let result = converse(line, silence, table, start, |what| hand.act(&mut monitor, what));
    if let Err(error) = result {
        let state =
            qemu.0.try_wait().ok().flatten().map_or("is running".to_owned(), |status| format!("ended: {status}"));
        table.broken(&format!("{error:#} (QEMU {state}; {})", hint(work)));
    }
    Ok(())
}

/// Starts the machine with orders for its first program; gives its serial line. It ends when the first value is dropped.
pub(crate) fn boot(
    work: &Path,
    debian: &Debian,
    image: &Path,
    orders: &str,
    extra: &[String],
) -> Result<(Qemu, TcpStream)> {
    let line = TcpListener::bind("127.0.0.1:0").context("listen for the serial line")?;
    let console = work.join("console.log");
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536", "-nodefaults", "-no-reboot"])
        .args(["-display", "none", "-kernel"])
        .arg(debian.kernel())
        .arg("-initrd")
        .arg(image)
        .args([
            "-append",
            &format!(
                "console=ttyS0 panic=-1 loglevel=7 hung_task_panic=0 sysctl.kernel.hung_task_timeout_secs=20 {orders}"
            ),
        ])
        .args(["-serial", &format!("file:{}", console.display())])
        .args(["-serial", &format!("tcp:{}", line.local_addr()?)])
        .args(extra)
        .stdin(Stdio::null())
        .stdout(File::create(work.join("qemu.log")).context("create qemu.log")?)
        .stderr(File::options().append(true).open(work.join("qemu.log")).context("open qemu.log")?);
    let qemu = Qemu(command.spawn().context("start qemu-system-x86_64")?);
    let line = accept(&line, "the virtual machine's serial line").with_context(|| hint(work))?;
    Ok((qemu, line))
}

fn hint(work: &Path) -> String {
    format!("see console.log and qemu.log in {}", work.display())
}

/// Hears the checks out; asks are answered, everything else goes to the table.
fn converse(
    line: TcpStream,
    silence: Duration,
    table: &mut Table,
    start: Instant,
    mut act: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    line.set_read_timeout(Some(Duration::from_millis(500))).context("the serial line")?;
    let mut out = line.try_clone().context("the serial line")?;
    let (mut lines, mut text) = (BufReader::new(line), String::new());
    let mut heard = Instant::now();
    while heard.elapsed() < silence {
        match lines.read_line(&mut text) {
            Ok(0) => bail!("the virtual machine went down in the middle"),
            Ok(_) => heard = Instant::now(),
            // What was read of an unfinished line stays in `text`.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error).context("read the serial line"),
        }
        let said = Say::parse(&text);
        text.clear();
        match said {
            Some(Say::Bye) => return Ok(()),
            Some(Say::Ask(what)) => {
                let answer = act(&what).map_or_else(|error| format!("refused {error:#}"), |()| "done".into());
                writeln!(out, "{answer}").context("answer over the serial line")?;
            }
            Some(Say::Hello(release)) => {
                tell(&format!("the virtual machine is up after {:.0} s: {release}", start.elapsed().as_secs_f64()));
            }
            Some(say) => table.hear(&say),
            None => {}
        }
    }
    bail!("the virtual machine said nothing for {} s", silence.as_secs())
}
