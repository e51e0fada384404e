//! A pcscd of the test's own, with virtual readers (vsmartcard's vpcd), and the test card in one of them.
//!
//! pcscd takes its socket from whoever starts it (sd_listen_fds(3)), so it needs no systemd, and its clients find it by
//! `PCSCLITE_CSOCK_NAME`: any number of tests run side by side, and the machine's own pcscd is left alone. vpcd listens for
//! the card on a port and the next one: a connection is a card put in, its end is the card pulled. It listens on every
//! address, not on loopback alone; in its other direction it aborts when a card is pulled (seen with 3.3).

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};

use crate::{
    lone::now_secs,
    test_card::{ATR, TestCard},
    wait::until,
};

/// The first reader's name as pcscd gives it.
pub const READER: &str = "Headend Test 00 00";

const DRIVER: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";

/// A running pcscd.
pub struct Pcscd {
    /// Where its clients find it.
    pub socket: PathBuf,
    port: u16,
    child: Child,
    folder: PathBuf,
}

impl Pcscd {
    /// Starts it with its files in `folder`.
    ///
    /// # Errors
    /// When it is not installed, or its readers do not come.
    pub async fn start(folder: &Path) -> Result<Self> {
        let folder = folder.join("pcscd");
        fs::create_dir_all(folder.join("readers"))?;
        let port = free_ports()?;
        let reader =
            format!("FRIENDLYNAME \"Headend Test\"\nDEVICENAME /dev/null:{port}\nLIBPATH {DRIVER}\nCHANNELID {port}\n");
        fs::write(folder.join("readers/vpcd"), reader)?;
        let socket = folder.join("comm");
        let child = spawn(&folder, &socket)?;
        let pcscd = Self { socket, port, child, folder };
        let look = || async {
            drop(TcpStream::connect(pcscd.address()).context("vpcd does not listen")?);
            Ok(())
        };
        until("pcscd's readers", Duration::from_secs(10), look).await.with_context(|| pcscd.log())?;
        Ok(pcscd)
    }

    /// The variable by which clients find it.
    #[must_use]
    pub fn variable(&self) -> (String, String) {
        ("PCSCLITE_CSOCK_NAME".to_owned(), self.socket.display().to_string())
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Starts it again on the same socket.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn again(&mut self) -> Result<()> {
        self.child = spawn(&self.folder, &self.socket)?;
        Ok(())
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

fn spawn(folder: &Path, socket: &Path) -> Result<Child> {
    let _ = fs::remove_file(socket);
    let listener = OwnedFd::from(UnixListener::bind(socket)?);
    let log = fs::File::options().create(true).append(true).open(folder.join("log"))?;
    // The shell moves the socket to where sd_listen_fds(3) has it; its process number is pcscd's after exec.
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec /usr/sbin/pcscd --foreground --config \"$0\"";
    let readers = folder.join("readers");
    Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .arg(readers)
        .stdin(Stdio::from(listener))
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("start pcscd")
}

/// Two ports in a row that nobody has now.
fn free_ports() -> Result<u16> {
    for _ in 0..100 {
        let first = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let port = first.local_addr()?.port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port + 1)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no two free ports in a row")
}

/// The test card, in the reader or out of it.
pub struct Seat {
    address: SocketAddr,
    card: Arc<Mutex<TestCard>>,
    inside: Option<(TcpStream, JoinHandle<()>)>,
}

impl Seat {
    /// A card that is not in the reader yet.
    #[must_use]
    pub fn new(pcscd: &Pcscd, card: TestCard) -> Self {
        Self { address: pcscd.address(), card: Arc::new(Mutex::new(card)), inside: None }
    }

    /// Puts it in.
    ///
    /// # Errors
    /// When it is in already, or vpcd does not take it.
    pub fn insert(&mut self) -> Result<()> {
        ensure!(self.inside.is_none(), "the card is in the reader");
        let stream = TcpStream::connect(self.address).context("connect to vpcd")?;
        stream.set_nodelay(true)?;
        let (ours, card) = (stream.try_clone()?, Arc::clone(&self.card));
        let thread = std::thread::Builder::new().name("card".to_owned()).spawn(move || play(ours, &card))?;
        self.inside = Some((stream, thread));
        Ok(())
    }

    /// Pulls it, whatever it is doing.
    pub fn pull(&mut self) {
        if let Some((stream, thread)) = self.inside.take() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            let _ = thread.join();
        }
    }

    /// The card, to look at it or to change its mood.
    pub fn card(&self) -> MutexGuard<'_, TestCard> {
        self.card.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pull();
    }
}

/// vpcd's language: two bytes of length, then a control byte (0 off, 1 on, 2 reset, 4 answer to reset) or a command.
fn play(mut stream: TcpStream, card: &Mutex<TestCard>) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut message).is_err() {
            return;
        }
        let mut card = card.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match message[..] {
            [0..=2] => {
                card.reset();
                continue;
            }
            [4] => ATR.to_vec(),
            _ => card.answer(&message, u32::try_from(now_secs()).unwrap_or(u32::MAX)),
        };
        drop(card);
        let length = u16::try_from(answer.len()).unwrap_or(0).to_be_bytes();
        if stream.write_all(&[&length[..], &answer].concat()).is_err() {
            return;
        }
    }
}
