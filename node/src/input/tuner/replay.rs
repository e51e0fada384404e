//! A tuner played from a recording, with a script for what happens to it.
//!
//! The other end of the [`Frontend`] seam: tests drive it by hand, technicians name it in `node.toml` as
//! `device = "replay:/srv/clip.ts"` to rehearse a bad evening ([`super::script`]). Packets come at the pace of the
//! recording's own clock, in a loop; a locked tuner gives them, whatever it was tuned to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use headend_dvb_sys::frontend::Stat;
use headend_dvb_sys::types as sys;
use headend_media::packet::{PACKET_BYTES, Pid};
use headend_media::time::Ticks90k;
use nix::errno::Errno;

use super::figures::Reading;
use super::frontend::{Description, DeviceError, Filter, Frontend, Stream, Taken};
use super::script::{Happening, Script, ScriptError, Situation};
use super::sec::Step;
use super::tune::Property;
use crate::input::file::FilePlayer;

/// Packets that wait for a reader at most: two seconds at 30 Mbit/s.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// A device that does not exist. Clones are the same device.
#[derive(Clone, Debug)]
pub struct ReplayDevice {
    path: PathBuf,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    script: Script,
    began: Instant,
    /// Happenings up to here were had.
    played: Duration,
    hang: Option<Duration>,
    /// Calls that hang now.
    hanging: u32,
    overflow: bool,
    /// Set by a test, stronger than the script.
    by_hand: Option<Situation>,
    /// What it was told, for tests: the words of steps and the properties.
    told: Vec<String>,
}

/// Why a recording cannot be a tuner.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The script beside it.
    #[error("read script {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line of it.
    #[error("script {}", path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ScriptError,
    },
}

impl ReplayDevice {
    /// The recording, with the script beside it if there is one. The recording itself is read when it is opened.
    ///
    /// # Errors
    /// [`ReplayError`] for a script that cannot be read.
    pub fn new(path: &Path) -> Result<Self, ReplayError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".script");
        let beside = PathBuf::from(beside);
        let script = match fs::read_to_string(&beside) {
            Ok(text) => Script::parse(&text).map_err(|source| ReplayError::Script { path: beside, source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Script::default(),
            Err(source) => return Err(ReplayError::Read { path: beside, source }),
        };
        let shared = Shared {
            script,
            began: Instant::now(),
            played: Duration::ZERO,
            hang: None,
            hanging: 0,
            overflow: false,
            by_hand: None,
            told: vec![],
        };
        Ok(Self { path: path.to_owned(), shared: Arc::new(Mutex::new(shared)) })
    }

    /// Whether the device is there.
    #[must_use]
    pub fn plugged(&self) -> bool {
        self.look().plugged
    }

    /// Sets how things are, from now on and whatever the script says.
    pub fn set(&self, situation: Situation) {
        self.lock().by_hand = Some(situation);
    }

    /// Makes something happen.
    pub fn happen(&self, happening: Happening) {
        self.lock().note(happening);
    }

    /// Whether no call hangs, or is to hang.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let shared = self.lock();
        shared.hang.is_none() && shared.hanging == 0
    }

    /// What it was told since it was last asked: steps and properties in words.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().told)
    }

    /// Opens it.
    ///
    /// # Errors
    /// `Gone` when it is unplugged, or the recording cannot be played.
    pub fn open(&self) -> Result<ReplayFrontend, DeviceError> {
        self.call("open")?;
        let systems = vec![sys::SYS_DVBS, sys::SYS_DVBS2, sys::SYS_DVBT, sys::SYS_DVBT2];
        let description = Description { name: format!("replay of {}", self.path.display()), systems, api: 0x050B };
        Ok(ReplayFrontend { device: self.clone(), description })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Situation {
        let mut shared = self.lock();
        let since = shared.began.elapsed();
        let once: Vec<Happening> = shared.script.happenings(shared.played, since).collect();
        shared.played = since;
        once.into_iter().for_each(|happening| shared.note(happening));
        shared.by_hand.unwrap_or_else(|| shared.script.at(since))
    }

    fn error(&self, call: &'static str, errno: Errno) -> DeviceError {
        DeviceError { call, device: format!("replay:{}", self.path.display()), errno }
    }

    /// What every call meets: a hang, a removal.
    fn call(&self, call: &'static str) -> Result<Situation, DeviceError> {
        let situation = self.look();
        let hang = self.lock().start_hanging();
        if let Some(hang) = hang {
            let until = Instant::now() + hang;
            while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                thread::park_timeout(left);
            }
            self.lock().hanging -= 1;
        }
        if situation.plugged { Ok(situation) } else { Err(self.error(call, Errno::ENODEV)) }
    }
}

impl Shared {
    fn start_hanging(&mut self) -> Option<Duration> {
        let hang = self.hang.take()?;
        self.hanging += 1;
        Some(hang)
    }

    fn note(&mut self, happening: Happening) {
        match happening {
            Happening::Hang(length) => self.hang = Some(length),
            Happening::Overflow => self.overflow = true,
        }
    }
}

/// The device, open.
#[derive(Debug)]
pub struct ReplayFrontend {
    device: ReplayDevice,
    description: Description,
}

impl Frontend for ReplayFrontend {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn control(&mut self, step: &Step) -> Result<(), DeviceError> {
        self.device.call("control the antenna")?;
        self.device.lock().told.push(format!("{step:?}"));
        Ok(())
    }

    fn tune(&mut self, properties: &[Property]) -> Result<(), DeviceError> {
        self.device.call("tune")?;
        let words: Vec<String> = properties.iter().map(|one| format!("{}={}", one.command, one.value)).collect();
        self.device.lock().told.push(words.join(" "));
        Ok(())
    }

    fn read(&mut self, figures: bool) -> Result<Reading, DeviceError> {
        let now = self.device.call("read status")?;
        let status = if now.locked { 0x1F } else { sys::FE_HAS_SIGNAL };
        if !figures {
            return Ok(Reading { status, ..Reading::default() });
        }
        let decibel = |value: i32| vec![Stat { scale: 1, value: value.into() }];
        let (strength, quality) = (decibel(now.strength.0), decibel(now.quality.0));
        let (modulation, code_rate) = (Some(sys::QPSK), Some(sys::FEC_3_4));
        Ok(Reading { status, strength, quality, modulation, code_rate, ..Reading::default() })
    }

    fn stream(&mut self, _: &Filter, _: u32) -> Result<Box<dyn Stream>, DeviceError> {
        let device = self.device.clone();
        let player = FilePlayer::open(device.path.clone(), None).map_err(|error| {
            // A number cannot say that a recording is too long, or what it lacks.
            let refused = device.error("play", Errno::EIO);
            DeviceError { device: format!("{} ({})", refused.device, headend_rt::chain(&error)), ..refused }
        })?;
        Ok(Box::new(ReplayStream { device, player, began: Instant::now(), waiting: vec![] }))
    }
}

/// Packets of the recording as they become due.
struct ReplayStream {
    device: ReplayDevice,
    player: FilePlayer,
    began: Instant,
    waiting: Vec<u8>,
}

impl Stream for ReplayStream {
    fn take(&mut self, buffer: &mut [u8]) -> Result<Taken, DeviceError> {
        let now = self.device.look();
        if !now.plugged {
            return Err(self.device.error("read", Errno::ENODEV));
        }
        if std::mem::take(&mut self.device.lock().overflow) {
            self.waiting.clear();
            return Ok(Taken::Overflow);
        }
        let due = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(0);
        self.player.due(Ticks90k::from_millis(due), &mut self.waiting);
        if !now.locked || !now.data || self.waiting.len() > WAITING_BYTES_MAX {
            self.waiting.clear();
        }
        let bytes = self.waiting.len().min(buffer.len() / PACKET_BYTES * PACKET_BYTES);
        if bytes == 0 {
            return Ok(Taken::Empty);
        }
        buffer[..bytes].copy_from_slice(&self.waiting[..bytes]);
        self.waiting.drain(..bytes);
        Ok(Taken::Bytes(bytes))
    }

    fn choose(&mut self, _: &[Pid]) -> Result<(), DeviceError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use headend_media::packet::Packet;

    use super::*;
    use crate::input::tuner::frontend::Refusal;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/ts/h264-aac.ts")
    }

    #[test]
    fn a_recording_locks_gives_packets_and_goes_away() {
        let device = ReplayDevice::new(&fixture()).unwrap();
        let mut frontend = device.open().unwrap();
        frontend.tune(&[Property { command: 1, value: 0 }]).unwrap();
        assert_eq!(device.told(), ["1=0"]);
        assert!(frontend.read(true).unwrap().locked());
        let mut stream = frontend.stream(&Filter::Whole, 0).unwrap();
        let mut buffer = vec![0; 1 << 16];
        let bytes = loop {
            if let Taken::Bytes(bytes) = stream.take(&mut buffer).unwrap() {
                break bytes;
            }
            thread::yield_now();
        };
        assert!(buffer[..bytes].chunks(PACKET_BYTES).all(|packet| Packet::from_slice(packet).is_some()));
        device.happen(Happening::Overflow);
        assert_eq!(stream.take(&mut buffer), Ok(Taken::Overflow));
        device.set(Situation { locked: false, ..Situation::default() });
        assert_eq!(stream.take(&mut buffer), Ok(Taken::Empty));
        assert!(!frontend.read(false).unwrap().locked());
        device.set(Situation { plugged: false, ..Situation::default() });
        assert_eq!(stream.take(&mut buffer).unwrap_err().refusal(), Refusal::Gone);
        assert_eq!(frontend.read(false).unwrap_err().refusal(), Refusal::Gone);
        assert!(device.open().is_err() && !device.plugged());
    }
}
