//! One viewer: an HTTP connection that is read all the time, on its own thread, and what came over it and when.

use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::http;
use crate::air::{Eye, Seen};

const BLOCK: usize = 128 << 10;
/// So often a silent connection looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// A viewer; it hangs up when dropped.
pub struct Session {
    heard: Arc<Mutex<Heard>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Heard {
    eye: Eye,
    bytes: u64,
    last: Instant,
    gap: Duration,
    /// The first bytes behind the last mark.
    resumed: Option<Instant>,
    marked: bool,
    ended: Option<String>,
}

impl Session {
    /// Asks for a stream and starts to read.
    ///
    /// # Errors
    /// When it is refused.
    pub fn open(address: SocketAddr, path: &str) -> Result<Self> {
        let (status, stream, body) = http::ask(address, path)?;
        ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
        stream.set_read_timeout(Some(LOOK)).context("the connection")?;
        let now = Instant::now();
        let (eye, ended) = (Eye::default(), None);
        let heard = Heard { eye, bytes: 0, last: now, gap: Duration::ZERO, resumed: None, marked: false, ended };
        let (heard, stop) = (Arc::new(Mutex::new(heard)), Arc::new(AtomicBool::new(false)));
        locked(&heard).take(&body);
        let (shared, stopped) = (Arc::clone(&heard), Arc::clone(&stop));
        let body = move || read(stream, &shared, &stopped);
        let thread = std::thread::Builder::new().name("viewer".into()).spawn(body).context("start a viewer")?;
        Ok(Self { heard, stop, thread: Some(thread) })
    }

    /// What was seen since the start or the last [`Self::recount`].
    #[must_use]
    pub fn seen(&self) -> Seen {
        locked(&self.heard).eye.seen().clone()
    }

    /// Bytes since the start.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        locked(&self.heard).bytes
    }

    /// How long nothing has come.
    #[must_use]
    pub fn silent(&self) -> Duration {
        locked(&self.heard).last.elapsed()
    }

    /// The longest silence since the last call, the one that lasts included.
    #[must_use]
    pub fn gap(&self) -> Duration {
        let mut heard = locked(&self.heard);
        let lasting = heard.last.elapsed();
        std::mem::take(&mut heard.gap).max(lasting)
    }

    /// From now on the next bytes are waited for.
    pub fn mark(&self) {
        let mut heard = locked(&self.heard);
        (heard.marked, heard.resumed) = (true, None);
    }

    /// When the first bytes behind the mark came.
    #[must_use]
    pub fn resumed(&self) -> Option<Instant> {
        locked(&self.heard).resumed
    }

    /// What is seen is counted anew, and silences too.
    pub fn recount(&self) {
        let mut heard = locked(&self.heard);
        heard.eye.recount();
        heard.gap = Duration::ZERO;
    }

    /// Fails when the connection has ended.
    ///
    /// # Errors
    /// Why it has.
    pub fn alive(&self) -> Result<()> {
        let heard = locked(&self.heard);
        ensure!(heard.ended.is_none(), "the session ended: {}", heard.ended.clone().unwrap_or_default());
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Heard {
    fn take(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let now = Instant::now();
        self.gap = self.gap.max(now - self.last);
        self.last = now;
        self.bytes += bytes.len() as u64;
        self.eye.look(bytes);
        if std::mem::take(&mut self.marked) {
            self.resumed = Some(now);
        }
    }
}

fn locked(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(mut stream: TcpStream, heard: &Mutex<Heard>, stop: &AtomicBool) {
    let mut block = vec![0; BLOCK];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut block) {
            Ok(0) => return locked(heard).ended = Some("its end".to_owned()),
            Ok(bytes) => locked(heard).take(&block[..bytes]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(error) => return locked(heard).ended = Some(error.to_string()),
        }
    }
}
