//! A licensed vendor's card system: a module in a process of its own, spoken to over a socket.
//!
//! Shell. The module is a program of the vendor's, started in a sandbox with nothing but a SEQPACKET socket as its standard
//! input: no network, no files of ours, no environment. It is given sections and the card's answers and gives commands and
//! words; [`message`] is the language, docs/vendor-module.md its specification. One question is open at a time, each reply
//! has a deadline, and a module that dies, hangs, floods or babbles is killed: the session above rests, then a new one is
//! started. Words it gives stay in this process.

pub mod message;

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::PathBuf,
    process::{Child, Command as Program, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair},
};
use zeroize::Zeroizing;

use self::message::{Asking, MESSAGE_BYTES_MAX, Reply};
use super::{
    apdu::Command,
    profile::{CardProfile, Outcome, Step, Task, Trouble},
};

/// The longest a module may take over one reply.
const REPLY_MAX: Duration = Duration::from_secs(2);

/// Messages nobody asked for, while one reply is waited for.
const STRAY_MAX: usize = 32;

/// How the sandbox is put around a module unless the configuration says otherwise: no new privileges, an own user, network
/// and IPC namespace, bounded memory, few descriptors, no core files.
pub const SANDBOX: [&str; 13] = [
    "/usr/bin/setpriv",
    "--no-new-privs",
    "--",
    "/usr/bin/unshare",
    "--user",
    "--net",
    "--ipc",
    "--",
    "/usr/bin/prlimit",
    "--as=536870912",
    "--nofile=32",
    "--core=0",
    "--",
];

/// Which module, and how it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorSpec {
    /// The module's program.
    pub module: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What is put before the program; see [`SANDBOX`].
    pub sandbox: Vec<String>,
}

/// A vendor's card system.
pub struct Vendor {
    spec: VendorSpec,
    running: Option<Module>,
    atr: Vec<u8>,
    number: u16,
    reply_max: Duration,
}

struct Module {
    child: Child,
    socket: OwnedFd,
}

impl Drop for Module {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Vendor {
    /// A system whose module is started when the first card is put in.
    #[must_use]
    pub fn new(spec: VendorSpec) -> Self {
        Self { spec, running: None, atr: vec![], number: 0, reply_max: REPLY_MAX }
    }

    /// Starts the module if none runs, and greets it.
    fn start(&mut self) -> Result<(), &'static str> {
        if self.running.is_some() {
            return Ok(());
        }
        self.running = Some(spawn(&self.spec).map_err(|error| {
            tracing::warn!(module = %self.spec.module.display(), error = %error, "vendor module cannot be started");
            "cannot be started"
        })?);
        match self.question(Asking::Hello, &[]) {
            Ok(Reply::Welcome(name)) => {
                tracing::info!(module = %self.spec.module.display(), name, "vendor module started");
                Ok(())
            }
            Ok(_) => Err("did not greet"),
            Err(words) => Err(words),
        }
    }

    /// Says something and waits for the reply to it. After an error the module is gone.
    fn question(&mut self, asking: Asking, parts: &[&[u8]]) -> Result<Reply, &'static str> {
        self.number = self.number.wrapping_add(1);
        self.say(asking, parts)
    }

    fn say(&mut self, asking: Asking, parts: &[&[u8]]) -> Result<Reply, &'static str> {
        let bytes = message::compose(asking, self.number, parts);
        let result = match &self.running {
            None => Err("does not run"),
            Some(module) => module.post(&bytes).and_then(|()| module.reply(self.number, self.reply_max)),
        };
        if result.is_err() {
            self.running = None;
        }
        result
    }
}

/// What a reply comes to.
fn step(said: Result<Reply, &'static str>) -> Step {
    Step::Done(match said {
        Ok(Reply::Transmit(bytes)) => match Command::carried(&bytes) {
            Ok(command) => return Step::Transmit(command),
            Err(error) => Err(Trouble::Apdu(error)),
        },
        Ok(Reply::Ready(identity)) => Ok(Outcome::Opened(identity)),
        Ok(Reply::Words(words)) => Ok(Outcome::Words(words)),
        Ok(Reply::Emm(taken)) => Ok(Outcome::Emm { taken }),
        Ok(Reply::Entitlements(list)) => Ok(Outcome::Entitlements(list)),
        Ok(Reply::Refused(trouble)) => Err(trouble),
        Ok(Reply::Welcome(_)) => Err(Trouble::Module("greeted again")),
        Err(words) => Err(Trouble::Module(words)),
    })
}

impl CardProfile for Vendor {
    fn inserted(&mut self, atr: &[u8]) {
        self.atr = atr.to_vec();
    }

    fn removed(&mut self) {
        if let Some(module) = &self.running
            && module.post(&message::compose(Asking::Removed, 0, &[])).is_err()
        {
            self.running = None;
        }
    }

    fn begin(&mut self, task: &Task) -> Step {
        if let Err(words) = self.start() {
            self.running = None;
            return step(Err(words));
        }
        let atr = self.atr.clone();
        let said = match task {
            Task::Open => self.question(Asking::Inserted, &[&atr]),
            Task::Entitlements => self.question(Asking::Entitlements, &[]),
            Task::Ecm { system, section } => self.question(Asking::Ecm, &[&system.to_be_bytes(), section]),
            Task::Emm { system, section } => self.question(Asking::Emm, &[&system.to_be_bytes(), section]),
        };
        step(said)
    }

    fn answer(&mut self, bytes: &[u8]) -> Step {
        let said = self.say(Asking::Answer, &[bytes]);
        step(said)
    }
}

impl Module {
    fn post(&self, bytes: &[u8]) -> Result<(), &'static str> {
        match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(Errno::EAGAIN) => Err("does not read what it is sent"),
            Err(_) => Err("ended"),
        }
    }

    fn reply(&self, number: u16, reply_max: Duration) -> Result<Reply, &'static str> {
        let deadline = Instant::now() + reply_max;
        let mut buffer = Zeroizing::new(vec![0; MESSAGE_BYTES_MAX + 1]);
        for _ in 0..=STRAY_MAX {
            self.wait(deadline)?;
            let length = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Err("ended"),
                Ok(length) => length,
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(_) => return Err("ended"),
            };
            let (to, reply) = message::read(&buffer[..length]).map_err(message::Defect::words)?;
            if to == number {
                return Ok(reply);
            }
        }
        Err("floods")
    }

    fn wait(&self, deadline: Instant) -> Result<(), &'static str> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) => return Err("hangs"),
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(_) => return Err("cannot be listened to"),
            }
        }
    }
}

fn spawn(spec: &VendorSpec) -> io::Result<Module> {
    // Every descriptor of ours is closed at exec; the module's end becomes its standard input.
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let mut words = spec.sandbox.iter().map(AsRef::as_ref).chain([spec.module.as_os_str()]);
    let first = words.next().unwrap_or(spec.module.as_os_str());
    let child = Program::new(first)
        .args(words)
        .args(&spec.arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Module { child, socket: ours })
}

#[cfg(test)]
mod tests;
