//! The kernel's DVB devices as a [`Frontend`] and a [`Stream`].
//!
//! Shell. A frontend is opened read-write and stays open while it is assigned, because closing it takes the power off
//! the LNB. The stream is a demux with one filter for the whole multiplex (or one descriptor for each PID) and the dvr
//! behind it, whose ring is sized before anything flows. Reads never wait: a reader that waits is not woken when the
//! device goes away (dmxdev.c sets its flag and wakes nobody), one that comes back on a timer sees ENODEV at once.
//! Standard: `Documentation/userspace-api/media/dvb`, API 5.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use headend_dvb_sys::frontend::{self, property, stats, value};
use headend_dvb_sys::{demux, types as sys};
use headend_media::packet::Pid;
use nix::errno::Errno;
use nix::libc;

use super::antenna::Burst;
use super::figures::Reading;
use super::frontend::{Description, DeviceError, Filter, Frontend, Refusal, Stream, Taken};
use super::place::Found;
use super::sec::{Step, Voltage};
use super::tune::{CLEAR, Property};

/// Events that are drained before a tune: the kernel's queue holds eight.
const EVENTS_MAX: usize = 16;

/// An open frontend of the kernel.
#[derive(Debug)]
pub struct LinuxFrontend {
    file: File,
    device: String,
    found: Found,
    description: Description,
    /// Kernel number of the system tuned last, which says where the code rate is reported.
    system: u32,
}

impl LinuxFrontend {
    /// Opens the frontend that was found, for this program alone.
    ///
    /// # Errors
    /// [`DeviceError`]: `Busy` when another program has it.
    pub fn open(found: &Found) -> Result<Self, DeviceError> {
        let path = found.node("frontend", found.frontend);
        let file = open(&path, true)?;
        let device = path.display().to_string();
        let failed = |call| move |errno| DeviceError { call, device: path.display().to_string(), errno };
        let info = frontend::info(&file).map_err(failed("read its name"))?;
        let mut asked = [property(sys::DTV_API_VERSION, 0), property(sys::DTV_ENUM_DELSYS, 0)];
        let path = found.node("frontend", found.frontend);
        let failed = |call| move |errno| DeviceError { call, device: path.display().to_string(), errno };
        frontend::get_properties(&file, &mut asked).map_err(failed("read what it can"))?;
        let name: Vec<u8> = info.name.iter().map(|byte| byte.to_ne_bytes()[0]).take_while(|byte| *byte != 0).collect();
        let description = Description {
            name: String::from_utf8_lossy(&name).trim().to_owned(),
            systems: frontend::bytes(&asked[1]).into_iter().map(u32::from).collect(),
            api: value(&asked[0]),
        };
        Ok(Self { file, device, found: found.clone(), description, system: sys::SYS_UNDEFINED })
    }

    fn failed(&self, call: &'static str) -> impl Fn(Errno) -> DeviceError + use<> {
        let device = self.device.clone();
        move |errno| DeviceError { call, device: device.clone(), errno }
    }

    fn set(&self, list: &[Property], call: &'static str) -> Result<(), DeviceError> {
        let mut list: Vec<_> = list.iter().map(|one| property(one.command, one.value)).collect();
        frontend::set_properties(&self.file, &mut list).map_err(self.failed(call))
    }

    fn figures(&self, reading: &mut Reading) -> Result<(), DeviceError> {
        const STATS: [u32; 8] = [
            sys::DTV_STAT_SIGNAL_STRENGTH,
            sys::DTV_STAT_CNR,
            sys::DTV_STAT_PRE_ERROR_BIT_COUNT,
            sys::DTV_STAT_PRE_TOTAL_BIT_COUNT,
            sys::DTV_STAT_POST_ERROR_BIT_COUNT,
            sys::DTV_STAT_POST_TOTAL_BIT_COUNT,
            sys::DTV_STAT_ERROR_BLOCK_COUNT,
            sys::DTV_STAT_TOTAL_BLOCK_COUNT,
        ];
        let mut asked = STATS.map(|command| property(command, 0));
        frontend::get_properties(&self.file, &mut asked).map_err(self.failed("read figures"))?;
        let [strength, quality, before_errors, before, behind_errors, behind, block_errors, blocks] =
            asked.each_ref().map(stats);
        (reading.strength, reading.quality) = (strength, quality);
        reading.bits_before = (before_errors, before);
        reading.bits_behind = (behind_errors, behind);
        reading.blocks = (block_errors, blocks);
        if asked.iter().all(|one| stats(one).is_empty()) {
            // Old drivers; what they have not is no error either.
            reading.legacy = frontend::legacy_figures(&self.file).ok().map(|(strength, snr, ..)| (strength, snr));
        }
        if reading.locked() {
            let rate = if self.system == sys::SYS_DVBT { sys::DTV_CODE_RATE_HP } else { sys::DTV_INNER_FEC };
            let mut asked = [property(sys::DTV_MODULATION, 0), property(rate, 0)];
            frontend::get_properties(&self.file, &mut asked).map_err(self.failed("read modulation"))?;
            (reading.modulation, reading.code_rate) = (Some(value(&asked[0])), Some(value(&asked[1])));
        }
        Ok(())
    }
}

impl Frontend for LinuxFrontend {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn control(&mut self, step: &Step) -> Result<(), DeviceError> {
        let file = &self.file;
        match step {
            Step::Wait(_) => Ok(()),
            Step::Tone(on) => {
                let tone = if *on { sys::SEC_TONE_ON } else { sys::SEC_TONE_OFF };
                frontend::set_tone(file, tone).map_err(self.failed("set tone"))
            }
            Step::Voltage(voltage) => {
                let voltage = if *voltage == Voltage::V13 { sys::SEC_VOLTAGE_13 } else { sys::SEC_VOLTAGE_18 };
                frontend::set_voltage(file, voltage).map_err(self.failed("set voltage"))
            }
            Step::HighVoltage(on) => {
                let result = frontend::set_high_voltage(file, *on).map_err(self.failed("raise voltage"));
                // Most cards cannot, and say so with different words.
                result.or_else(|error| if error.refusal() == Refusal::Gone { Err(error) } else { Ok(()) })
            }
            Step::Message(message) => {
                frontend::send_message(file, message.bytes()).map_err(self.failed("send a DiSEqC message"))
            }
            Step::Burst(burst) => {
                let burst = if *burst == Burst::A { sys::SEC_MINI_A } else { sys::SEC_MINI_B };
                frontend::send_burst(file, burst).map_err(self.failed("send a tone burst"))
            }
        }
    }

    fn tune(&mut self, properties: &[Property]) -> Result<(), DeviceError> {
        self.set(&CLEAR, "forget the tune before")?;
        // Events of the tune before would be taken for those of the next. An overflow is one of them.
        for _ in 0..EVENTS_MAX {
            if let Err(errno) = frontend::event(&self.file)
                && errno != Errno::EOVERFLOW
            {
                break;
            }
        }
        self.system = properties.iter().find(|one| one.command == sys::DTV_DELIVERY_SYSTEM).map_or(0, |one| one.value);
        self.set(properties, "tune")
    }

    fn read(&mut self, figures: bool) -> Result<Reading, DeviceError> {
        let status = frontend::read_status(&self.file).map_err(self.failed("read status"))?;
        let mut reading = Reading { status, ..Reading::default() };
        if figures {
            self.figures(&mut reading)?;
        }
        Ok(reading)
    }

    fn stream(&mut self, filter: &Filter, ring_bytes: u32) -> Result<Box<dyn Stream>, DeviceError> {
        let dvr_path = self.found.node("dvr", self.found.demux);
        let dvr = open(&dvr_path, false)?;
        let device = dvr_path.display().to_string();
        demux::set_buffer_bytes(&dvr, ring_bytes).map_err(|errno| DeviceError {
            call: "size the ring",
            device: device.clone(),
            errno,
        })?;
        let demux = self.found.node("demux", self.found.demux).display().to_string();
        let mut stream = LinuxStream { dvr, device, demux, filters: vec![], pids: vec![] };
        match filter {
            Filter::Whole => {
                let whole = stream.filter(demux::ALL_PIDS)?;
                stream.filters.push(whole);
            }
            Filter::Pids(pids) => {
                stream.pids.push((Pid::PAT, stream.filter(Pid::PAT.value())?));
                stream.choose(pids)?;
            }
        }
        Ok(Box::new(stream))
    }
}

/// Demux and dvr of a tuned frontend. The fields are closed in their order: readers first, then the filters.
#[derive(Debug)]
struct LinuxStream {
    dvr: File,
    device: String,
    demux: String,
    filters: Vec<File>,
    /// In PID-filter mode: one descriptor for each, because the kernel joins several PIDs in one filter only for the
    /// other output.
    pids: Vec<(Pid, File)>,
}

impl LinuxStream {
    fn filter(&self, pid: u16) -> Result<File, DeviceError> {
        let file = open(Path::new(&self.demux), true)?;
        let failed = |errno| DeviceError { call: "start the filter", device: self.demux.clone(), errno };
        demux::start_capture(&file, pid).map_err(failed)?;
        Ok(file)
    }
}

impl Stream for LinuxStream {
    fn take(&mut self, buffer: &mut [u8]) -> Result<Taken, DeviceError> {
        match self.dvr.read(buffer) {
            Ok(0) => Ok(Taken::Empty),
            Ok(bytes) => Ok(Taken::Bytes(bytes)),
            Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                Errno::EAGAIN | Errno::EINTR => Ok(Taken::Empty),
                Errno::EOVERFLOW => Ok(Taken::Overflow),
                errno => Err(DeviceError { call: "read", device: self.device.clone(), errno }),
            },
        }
    }

    fn choose(&mut self, pids: &[Pid]) -> Result<(), DeviceError> {
        if !self.filters.is_empty() {
            return Ok(());
        }
        self.pids.retain(|(pid, _)| *pid == Pid::PAT || pids.contains(pid));
        for pid in pids {
            if !self.pids.iter().any(|(known, _)| known == pid) {
                let filter = self.filter(pid.value())?;
                self.pids.push((*pid, filter));
            }
        }
        Ok(())
    }
}

fn open(path: &Path, write: bool) -> Result<File, DeviceError> {
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    OpenOptions::new().read(true).write(write).custom_flags(flags).open(path).map_err(|error| DeviceError {
        call: "open",
        device: path.display().to_string(),
        errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::input::tuner::place::Place;

    #[test]
    fn a_frontend_that_is_not_there_is_gone() {
        let place = Place::Number { adapter: 250, frontend: 0 };
        let found = Found { place, adapter: 250, frontend: 0, demux: 0, device: PathBuf::new(), usb: None };
        let error = LinuxFrontend::open(&found).unwrap_err();
        assert_eq!((error.refusal(), error.call), (Refusal::Gone, "open"));
        assert_eq!(error.to_string(), "open on /dev/dvb/adapter250/frontend0: No such file or directory");
    }

    #[test]
    fn a_stream_reads_what_is_there_and_says_why_not() {
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK).unwrap();
        let mut stream = LinuxStream {
            dvr: File::from(reader),
            device: "dvr".to_owned(),
            demux: "demux".to_owned(),
            filters: vec![],
            pids: vec![],
        };
        let mut buffer = [0; 1000];
        assert_eq!(stream.take(&mut buffer), Ok(Taken::Empty));
        nix::unistd::write(&writer, &[0x47; 188]).unwrap();
        assert_eq!(stream.take(&mut buffer), Ok(Taken::Bytes(188)));
    }
}
