//! Finding a card's device nodes by where it is plugged, never by adapter number.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The device nodes of one frontend of one card, as they are numbered now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// The number the kernel gave the adapter this time.
    pub adapter: u32,
    /// `/dev/dvb/adapterN/frontendM`.
    pub frontend: PathBuf,
    /// The demux of the frontend: of the same index, else the first.
    pub demux: PathBuf,
    /// The dvr, likewise.
    pub dvr: PathBuf,
}

/// The nodes of the card whose place in sysfs contains `place` (`usb1/1-1.2`, `headend-tuner.0`), if it is there.
///
/// # Errors
/// When `/sys/class/dvb` cannot be read.
pub fn nodes_of(place: &str, frontend: u32) -> Result<Option<Nodes>> {
    let class = Path::new("/sys/class/dvb");
    if !class.exists() {
        return Ok(None);
    }
    for entry in fs::read_dir(class).context("list /sys/class/dvb")? {
        let entry = entry.context("list /sys/class/dvb")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((adapter, node)) = name.strip_prefix("dvb").and_then(|rest| rest.split_once('.')) else { continue };
        // A node that goes away between listing and looking is a card that is being unplugged.
        let Ok(device) = fs::canonicalize(entry.path()) else { continue };
        let (Ok(adapter), true) = (adapter.parse(), at(&device, place)) else { continue };
        if node == format!("frontend{frontend}") {
            return Ok(Some(nodes(adapter, frontend)));
        }
    }
    Ok(None)
}

/// Whether one of the path's parts, or several in a row, are the place.
fn at(device: &Path, place: &str) -> bool {
    format!("{}/", device.display()).contains(&format!("/{}/", place.trim_matches('/')))
}

fn nodes(adapter: u32, frontend: u32) -> Nodes {
    let dir = PathBuf::from(format!("/dev/dvb/adapter{adapter}"));
    let same = dir.join(format!("demux{frontend}")).exists();
    let index = if same { frontend } else { 0 };
    Nodes {
        adapter,
        frontend: dir.join(format!("frontend{frontend}")),
        demux: dir.join(format!("demux{index}")),
        dvr: dir.join(format!("dvr{index}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_whole_parts_of_the_path() {
        let device = Path::new("/sys/devices/pci0/usb1/1-1.2/dvb/dvb0.frontend1");
        for (place, found) in [("1-1.2", true), ("usb1/1-1.2", true), ("1-1", false), ("1.2", false)] {
            assert_eq!(at(device, place), found, "{place}");
        }
    }
}
