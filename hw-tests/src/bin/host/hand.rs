//! The host's hand in the virtual machine: the card in the USB reader's slot, and the reader's plug.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use headend_hw_tests::{
    card::{Action, Demo, Slot, vsc},
    wait,
};

/// QEMU's monitor (QMP): a line of JSON to it, lines of JSON from it.
pub(crate) struct Monitor {
    out: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Monitor {
    /// Takes QEMU's connection.
    pub(crate) fn accept(listener: &TcpListener) -> Result<Self> {
        let out = accept(listener, "QEMU's monitor")?;
        let lines = BufReader::new(out.try_clone().context("QEMU's monitor")?);
        let mut monitor = Self { out, lines };
        monitor.command(r#"{"execute":"qmp_capabilities"}"#)?;
        Ok(monitor)
    }

    /// Sends a command and waits for its answer; events that come between are passed over.
    fn command(&mut self, json: &str) -> Result<()> {
        writeln!(self.out, "{json}").context("talk to QEMU's monitor")?;
        loop {
            let mut line = String::new();
            let len = self.lines.read_line(&mut line).context("read QEMU's monitor")?;
            if len == 0 {
                bail!("QEMU's monitor is closed");
            }
            if line.contains("\"error\"") {
                bail!("QEMU refused {json}: {}", line.trim());
            }
            if line.contains("\"return\"") {
                return Ok(());
            }
        }
    }

    /// Waits for an event that names a device.
    fn event(&mut self, event: &str, device: &str) -> Result<()> {
        loop {
            let mut line = String::new();
            let len = self.lines.read_line(&mut line).context("read QEMU's monitor")?;
            if len == 0 {
                bail!("QEMU's monitor is closed");
            }
            if line.contains(event) && line.contains(&format!("\"{device}\"")) {
                return Ok(());
            }
        }
    }
}

/// Waits for one connection.
pub(crate) fn accept(listener: &TcpListener, what: &str) -> Result<TcpStream> {
    listener.set_nonblocking(true).with_context(|| format!("wait for {what}"))?;
    let (stream, _) =
        wait::until(what, Duration::from_secs(20), || Ok(listener.accept().ok().map(|(stream, _)| stream)))?;
    stream.set_nonblocking(false).with_context(|| format!("wait for {what}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).with_context(|| format!("wait for {what}"))?;
    Ok(stream)
}

/// What can be done from outside.
pub(crate) struct Hand {
    slot: Slot,
    address: SocketAddr,
}

impl Hand {
    /// Holds the demonstration card at an empty slot.
    pub(crate) fn new() -> Result<Self> {
        let (slot, address) = vsc(Box::new(Demo::default()))?;
        Ok(Self { slot, address })
    }

    /// What QEMU is started with to have the reader.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let chardev = format!("socket,id=card,host={},port={}", self.address.ip(), self.address.port());
        ["-device", "qemu-xhci,id=usb", "-chardev", &chardev, "-device", READER, "-device", CARD]
            .map(str::to_owned)
            .into()
    }

    /// Does what a check asked for.
    pub(crate) fn act(&self, monitor: &mut Monitor, what: &str) -> Result<()> {
        match what {
            "card insert" => self.slot.act(Action::Insert),
            "card pull" => self.slot.act(Action::Pull),
            "card pull-at-next-command" => self.slot.act(Action::PullAtNextCommand),
            "reader unplug" => {
                monitor.command(r#"{"execute":"device_del","arguments":{"id":"reader"}}"#)?;
                monitor.event("DEVICE_DELETED", "reader")
            }
            "reader plug" => {
                let (reader, card) = (add(READER), add(CARD));
                monitor.command(&reader)?;
                monitor.command(&card)?;
                self.slot.act(Action::Insert)
            }
            other => bail!("nobody here knows how to {other}"),
        }
    }
}

const READER: &str = "usb-ccid,id=reader,bus=usb.0";
const CARD: &str = "ccid-card-passthru,id=slot,chardev=card,bus=reader.0";

/// The monitor's command for a device that the command line would name so.
fn add(device: &str) -> String {
    let mut parts = device.split(',');
    let driver = parts.next().unwrap_or_default();
    let rest: String =
        parts.filter_map(|part| part.split_once('=')).map(|(key, value)| format!(r#","{key}":"{value}""#)).collect();
    format!(r#"{{"execute":"device_add","arguments":{{"driver":"{driver}"{rest}}}}}"#)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_device_is_added_as_the_command_line_names_it() {
        let want = r#"{"execute":"device_add","arguments":{"driver":"usb-ccid","id":"reader","bus":"usb.0"}}"#;
        assert_eq!(super::add(super::READER), want);
    }
}
