//! `frontendN`: tune, SEC, status, events, figures.

use std::{
    fs::{File, OpenOptions},
    os::fd::AsFd,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{errno::Errno, libc::O_NONBLOCK};

use super::raw::{self, Property, RawEvent, Stat};
use crate::wait;

/// All five status bits up to `FE_HAS_LOCK`.
pub const LOCK: u32 = 0x1f;

/// How a device is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Read only: may look, may not tune.
    Look,
    /// Read and write: the one that tunes.
    Tune,
}

/// A status change the kernel queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// `fe_status`.
    pub status: u32,
}

/// A figure and which it is.
pub type Figure = (u32, Stat);

/// An open frontend.
#[derive(Debug)]
pub struct Frontend {
    file: File,
}

impl Frontend {
    /// Opens without blocking.
    ///
    /// # Errors
    /// What the kernel says, as an `Errno` in the chain.
    pub fn open(path: &Path, hold: Hold) -> nix::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(hold == Hold::Tune)
            .custom_flags(O_NONBLOCK)
            .open(path)
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
        Ok(Self { file })
    }

    /// The driver's name for it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn name(&self) -> nix::Result<String> {
        let info = raw::fe_get_info(self.file.as_fd())?;
        let len = info.name.iter().position(|&byte| byte == 0).unwrap_or(info.name.len());
        Ok(String::from_utf8_lossy(&info.name[..len]).into_owned())
    }

    /// API version and delivery systems.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn systems(&self) -> nix::Result<(u32, Vec<u8>)> {
        let mut list = [Property::new(raw::DTV_API_VERSION, 0), Property::new(raw::DTV_ENUM_DELSYS, 0)];
        raw::fe_get_property(self.file.as_fd(), &mut list)?;
        Ok((list[0].value(), list[1].bytes()))
    }

    /// `DTV_CLEAR` alone, then the properties in one call; the caller ends them with `DTV_TUNE`.
    ///
    /// # Errors
    /// What the kernel says to either call.
    pub fn tune(&self, properties: &[(u32, u32)]) -> nix::Result<()> {
        raw::fe_set_property(self.file.as_fd(), &mut [Property::new(raw::DTV_CLEAR, 0)])?;
        let mut list: Vec<Property> = properties.iter().map(|&(cmd, value)| Property::new(cmd, value)).collect();
        raw::fe_set_property(self.file.as_fd(), &mut list)
    }

    /// `FE_READ_STATUS`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn status(&self) -> nix::Result<u32> {
        let mut status = 0;
        raw::fe_read_status(self.file.as_fd(), &mut status).map(|()| status)
    }

    /// `FE_READ_SIGNAL_STRENGTH`, the call from before the figures had scales.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn old_strength(&self) -> nix::Result<u16> {
        let mut strength = 0;
        raw::fe_read_strength(self.file.as_fd(), &mut strength).map(|()| strength)
    }

    /// The eight figures in one call.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn figures(&self) -> nix::Result<Vec<Figure>> {
        let mut list = raw::STATS.map(|cmd| Property::new(cmd, 0));
        raw::fe_get_property(self.file.as_fd(), &mut list)?;
        Ok(list.iter().map(|property| (property.cmd, property.stat())).collect())
    }

    /// The next queued status change, or `EWOULDBLOCK`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn event(&self) -> nix::Result<Event> {
        let mut event = RawEvent::default();
        raw::fe_get_event(self.file.as_fd(), &mut event).map(|()| Event { status: event.status })
    }

    /// Waits for lock by asking for the status, and tells how long that took.
    ///
    /// # Errors
    /// When there is no lock by the deadline, or the kernel refuses to tell.
    pub fn wait_lock(&self, deadline: Duration) -> Result<Duration> {
        let start = Instant::now();
        wait::until("lock", deadline, || {
            let status = self.status().context("status while waiting for lock")?;
            Ok((status & LOCK == LOCK).then_some(()))
        })?;
        Ok(start.elapsed())
    }

    /// 13 or 18 V, or off.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn voltage(&self, volts: Option<u8>) -> nix::Result<()> {
        let voltage = match volts {
            Some(13) => 0,
            Some(_) => 1,
            None => 2,
        };
        raw::fe_set_voltage(self.file.as_fd(), voltage)
    }

    /// The 22 kHz tone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn tone(&self, on: bool) -> nix::Result<()> {
        raw::fe_set_tone(self.file.as_fd(), i32::from(!on))
    }

    /// A DiSEqC command of three to six bytes.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn master(&self, message: &[u8]) -> nix::Result<()> {
        raw::fe_send_master(self.file.as_fd(), message)
    }

    /// The tone burst: satellite A or B.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn burst(&self, second: bool) -> nix::Result<()> {
        raw::fe_send_burst(self.file.as_fd(), i32::from(second))
    }
}
