//! The heavy rungs: the driver off and on, the USB device off and on.
//!
//! Shell over sysfs files, run on a worker, because the kernel waits in them for the driver. All descriptors of the device
//! are closed before. Needs root or a udev rule; a refusal is told in words and costs nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::frontend::DeviceError;
use super::place::Found;

/// Between off and on: hubs and firmware need their time.
const BETWEEN: Duration = Duration::from_millis(500);

/// Takes the driver off the device, and puts it on again.
///
/// # Errors
/// [`DeviceError`] names the file that could not be written.
pub fn rebind(found: &Found) -> Result<(), DeviceError> {
    let bound = bound(&found.device);
    if bound.is_empty() {
        return Err(DeviceError {
            call: "find the driver",
            device: found.device.display().to_string(),
            errno: Errno::ENOENT,
        });
    }
    for (driver, name) in &bound {
        write(&driver.join("unbind"), name, "unbind the driver")?;
    }
    pause();
    for (driver, name) in &bound {
        write(&driver.join("bind"), name, "bind the driver")?;
    }
    Ok(())
}

/// Takes the device off the USB, and puts it on again.
///
/// # Errors
/// As [`rebind`].
pub fn reauthorise(found: &Found) -> Result<(), DeviceError> {
    let device = found.usb.as_ref().unwrap_or(&found.device);
    write(&device.join("authorized"), "0", "take the device off the USB")?;
    pause();
    write(&device.join("authorized"), "1", "put the device on the USB")
}

/// Drivers of a device with the names they know it by. Drivers of a USB tuner sit on the interfaces below its device;
/// the device itself has one for all, which is left alone.
fn bound(device: &Path) -> Vec<(PathBuf, String)> {
    let of = |place: &Path| {
        let driver = fs::canonicalize(place.join("driver")).ok()?;
        Some((driver, place.file_name()?.to_str()?.to_owned()))
    };
    let below = fs::read_dir(device).into_iter().flatten().flatten().map(|entry| entry.path());
    let interfaces: Vec<_> = below
        .filter(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains("-") && name.contains(':'))
        })
        .filter_map(|path| of(&path))
        .collect();
    if interfaces.is_empty() { of(device).into_iter().collect() } else { interfaces }
}

fn write(path: &Path, text: &str, call: &'static str) -> Result<(), DeviceError> {
    fs::write(path, text).map_err(|error| DeviceError {
        call,
        device: path.display().to_string(),
        errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
    })
}

fn pause() {
    let until = Instant::now() + BETWEEN;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::input::tuner::place::Place;

    #[test]
    fn interfaces_are_unbound_and_the_device_is_switched() {
        let root = tempfile::tempdir().unwrap();
        let (device, driver) = (root.path().join("1-1.2"), root.path().join("drivers/tbs"));
        let interface = device.join("1-1.2:1.0");
        fs::create_dir_all(&interface).unwrap();
        fs::create_dir_all(&driver).unwrap();
        symlink(&driver, interface.join("driver")).unwrap();
        let place: Place = "usb:1-1.2".parse().unwrap();
        let usb = Some(device.clone());
        let found = Found { place, adapter: 0, frontend: 0, demux: 0, device: device.clone(), usb };
        rebind(&found).unwrap();
        assert_eq!(fs::read_to_string(driver.join("unbind")).unwrap(), "1-1.2:1.0");
        assert_eq!(fs::read_to_string(driver.join("bind")).unwrap(), "1-1.2:1.0");
        reauthorise(&found).unwrap();
        assert_eq!(fs::read_to_string(device.join("authorized")).unwrap(), "1");
        fs::remove_dir_all(&device).unwrap();
        let words = rebind(&found).unwrap_err().to_string();
        assert!(words.starts_with("find the driver on "), "{words}");
    }
}
