//! The loops that keep an input open: receive into the [`Intake`], and on failure say why, wait and open again.
//!
//! Shell. UDP and RTP run on a plain thread, HTTP and files as tasks; [`super::set`] starts them under the supervisor,
//! which catches panics only, because a source that is away is normal operation: this is the one level that retries.
//! Each loop ends when its token is cancelled, within a tenth of a second, and ticks the intake all the while.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headend_media::time::Ticks90k;
use headend_rt::{CancellationToken, Clock, chain};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::address::{HttpFeed, UdpFeed};
use super::backoff::Backoff;
use super::file::{FilePlayer, Played};
use super::http_ts::{HttpBody, HttpDeadlines, HttpTs, HttpTsError};
use super::intake::{Intake, Monotonic};
use super::udp::{Piece, UdpError, UdpReceiver};

/// How often a waiting loop looks at its token and ticks.
const LOOK: Duration = Duration::from_millis(100);
/// After a wake-up the kernel gathers this long before a batch is taken: the bill is per wake-up.
const GATHER: Duration = Duration::from_millis(4);
/// Silence this long is said in words, and a group is joined again: the interface or a switch may have forgotten us.
const SILENT_AFTER_MS: u64 = 10_000;
/// How often a file gives out what is due.
const FILE_STEP: Duration = Duration::from_millis(10);

/// What every receiver needs; clones are the same input.
#[derive(Clone)]
pub(crate) struct Receiver {
    intake: Arc<Mutex<Intake>>,
    pub(crate) mono: Monotonic,
}

impl Receiver {
    pub(crate) fn new(intake: Intake, mono: Monotonic) -> Self {
        Self { intake: Arc::new(Mutex::new(intake)), mono }
    }

    /// A panic of the run before leaves an intake that [`Intake::begin`] puts right.
    pub(crate) fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn failed(&self, words: String) {
        let now_ms = self.mono.ms();
        let board = Arc::clone(self.intake().board());
        board.failed(words, now_ms);
    }

    /// Notes an error that was logged elsewhere.
    pub(crate) fn note(&self, words: String, now_ms: u64) {
        let board = Arc::clone(self.intake().board());
        board.note(words, now_ms);
    }

    fn tick(&self) {
        let now_ms = self.mono.ms();
        self.intake().tick(now_ms);
    }

    /// Waits with ticks on a plain thread.
    pub(crate) fn pause(&self, wait: Duration, token: &CancellationToken) {
        let until = Instant::now() + wait;
        while !token.is_cancelled() && Instant::now() < until {
            std::thread::park_timeout(LOOK.min(until.saturating_duration_since(Instant::now())));
            self.tick();
        }
    }

    /// Runs `work` with ticks until it is done; `None` when the token came first.
    async fn ticking<T>(&self, token: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return None,
                done = &mut work => return Some(done),
                _ = ticks.tick() => self.tick(),
            }
        }
    }
}

/// Receives datagrams until the token is cancelled.
pub(crate) fn udp(feed: &UdpFeed, buffer_bytes: usize, receiver: &Receiver, token: &CancellationToken) {
    let mut backoff = Backoff::default();
    while !token.is_cancelled() {
        receiver.intake().begin();
        let opened = Instant::now();
        let end =
            UdpReceiver::open(feed, buffer_bytes).and_then(|mut socket| listen(feed, &mut socket, receiver, token));
        if let Err(error) = end {
            receiver.failed(chain(&error));
            receiver.pause(backoff.wait(opened.elapsed(), random()), token);
        }
    }
}

/// One socket's life: to its error, to the token, or to the time to join again.
fn listen(
    feed: &UdpFeed,
    socket: &mut UdpReceiver,
    receiver: &Receiver,
    token: &CancellationToken,
) -> Result<(), UdpError> {
    let mut heard_ms = receiver.mono.ms();
    let mut datagrams = 0;
    while !token.is_cancelled() {
        if socket.wait(LOOK)? {
            std::thread::park_timeout(GATHER);
        }
        let now_ms = receiver.mono.ms();
        let mut intake = receiver.intake();
        socket.receive(now_ms, &mut |piece| match piece {
            Piece::Bytes(bytes) => intake.push(bytes, now_ms),
            // Continuity counters tell the readers; the sum goes to the report below.
            Piece::Lost(_) => {}
            Piece::Restarted => intake.restarted(),
        })?;
        intake.flush(now_ms);
        intake.note_udp(socket);
        intake.tick(now_ms);
        drop(intake);
        let received = socket.counts().datagrams;
        if received > datagrams {
            (datagrams, heard_ms) = (received, now_ms);
        }
        if now_ms.saturating_sub(heard_ms) >= SILENT_AFTER_MS {
            receiver.failed(format!("no datagram for {} s on {feed}", SILENT_AFTER_MS / 1000));
            if feed.address.is_multicast() {
                return Ok(());
            }
            heard_ms = now_ms;
        }
    }
    Ok(())
}

/// Pulls an HTTP source until the token is cancelled.
pub(crate) async fn http(feed: HttpFeed, deadlines: HttpDeadlines, receiver: Receiver, token: CancellationToken) {
    let mut backoff = Backoff::default();
    while !token.is_cancelled() {
        receiver.intake().begin();
        let mut delivered = Duration::ZERO;
        let once = async {
            let mut body = HttpTs::new(&feed, deadlines)?.connect().await?;
            let began = Instant::now();
            let end = pump(&mut body, &receiver).await;
            delivered = began.elapsed();
            Err::<(), _>(end)
        };
        let Some(end) = receiver.ticking(&token, once).await else { return };
        if let Err(error) = end {
            receiver.failed(chain(&error));
        }
        let wait = backoff.wait(delivered, random());
        receiver.ticking(&token, sleep(wait)).await;
    }
}

async fn pump(body: &mut HttpBody, receiver: &Receiver) -> HttpTsError {
    loop {
        let bytes = match body.next().await {
            Ok(bytes) => bytes,
            Err(error) => return error,
        };
        let now_ms = receiver.mono.ms();
        let mut intake = receiver.intake();
        intake.push(&bytes, now_ms);
        intake.flush(now_ms);
    }
}

/// Plays a file until the token is cancelled.
pub(crate) async fn file(
    path: PathBuf,
    service: Option<u16>,
    clock: Arc<dyn Clock>,
    receiver: Receiver,
    token: CancellationToken,
) {
    let mut backoff = Backoff::default();
    while !token.is_cancelled() {
        let path = path.clone();
        let open = tokio::task::spawn_blocking(move || FilePlayer::open(path, service));
        let Some(opened) = receiver.ticking(&token, open).await else { return };
        let words = match opened {
            Ok(Ok(player)) => return play(player, &*clock, &receiver, &token).await,
            Ok(Err(error)) => chain(&error),
            Err(error) => format!("reading the file was cut short: {error}"),
        };
        receiver.failed(words);
        receiver.ticking(&token, sleep(backoff.wait(Duration::ZERO, random()))).await;
    }
}

async fn play(mut player: FilePlayer, clock: &dyn Clock, receiver: &Receiver, token: &CancellationToken) {
    let mut steps = interval(FILE_STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut packets = Vec::new();
    while !token.is_cancelled() {
        steps.tick().await;
        packets.clear();
        let played = player.due(Ticks90k(clock.unix_ms() * 90), &mut packets);
        let now_ms = receiver.mono.ms();
        let mut intake = receiver.intake();
        if played == Played::Anew {
            intake.begin();
        }
        if !packets.is_empty() {
            intake.push(&packets, now_ms);
            intake.flush(now_ms);
        }
        intake.tick(now_ms);
    }
}

/// Spread for waits; a machine without randomness waits without jitter.
fn random() -> u32 {
    getrandom::u32().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use headend_media::text::TextDefaults;

    use super::*;
    use crate::input::ring::{Start, Step};

    #[test]
    fn a_panic_leaves_an_input_that_can_go_on() {
        let packets = [0x47, 0x1F, 0xFF, 0x10].into_iter().chain([0xFF; 184]).collect::<Vec<u8>>().repeat(10);
        let (intake, board) = Intake::new("test".to_owned(), 0, TextDefaults::default(), 0);
        let receiver = Receiver::new(intake, Monotonic::new());
        let mut reader = board.ring.reader_from(Start::Now);
        let other = receiver.clone();
        let bytes = packets.clone();
        let thread = std::thread::spawn(move || {
            let mut intake = other.intake();
            intake.push(&bytes, 1);
            intake.flush(1);
            intake.push(&bytes[..100], 1);
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        let mut intake = receiver.intake();
        intake.begin();
        intake.push(&packets, 2);
        intake.flush(2);
        intake.tick(2);
        drop(intake);
        let mut buffer = vec![];
        let mut steps = vec![];
        while let Some(step) = reader.try_next(&mut buffer) {
            steps.push(step);
        }
        let chunk = |arrived_ms| Step::Packets { bytes: 1880, arrived_ms };
        assert_eq!(steps, [chunk(1), Step::Restarted, chunk(2)]);
        assert_eq!(board.report().counters.packets, 20);
    }
}
