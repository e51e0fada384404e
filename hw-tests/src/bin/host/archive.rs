//! The archive that a Linux kernel unpacks into its first file system: cpio, format `newc`
//! (kernel documentation, `driver-api/early-userspace/buffer-format`).

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::{Context, Result};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
const DEVICE: u32 = 0o020_600;

/// An archive that is being written.
pub(crate) struct Archive {
    out: BufWriter<File>,
    written: usize,
    entries: u32,
    names: BTreeSet<String>,
}

impl Archive {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { out: BufWriter::new(file), written: 0, entries: 0, names: BTreeSet::new() })
    }

    /// A file with its content, and the folders above it. A name that is there already is passed over.
    pub(crate) fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.folders_above(name)?;
        self.entry(name, PROGRAM, (0, 0), content)
    }

    pub(crate) fn folder(&mut self, name: &str) -> Result<()> {
        self.folders_above(name)?;
        self.entry(name, FOLDER, (0, 0), &[])
    }

    pub(crate) fn link(&mut self, name: &str, target: &str) -> Result<()> {
        self.folders_above(name)?;
        self.entry(name, LINK, (0, 0), target.as_bytes())
    }

    /// A character device, which needs no privilege to be written down.
    pub(crate) fn device(&mut self, name: &str, major: u32, minor: u32) -> Result<()> {
        self.folders_above(name)?;
        self.entry(name, DEVICE, (major, minor), &[])
    }

    /// Whether the name is in it.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.names.contains(name.trim_start_matches('/'))
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush().context("write the archive")
    }

    fn folders_above(&mut self, name: &str) -> Result<()> {
        let name = name.trim_start_matches('/');
        for (at, _) in name.match_indices('/') {
            self.entry(&name[..at], FOLDER, (0, 0), &[])?;
        }
        Ok(())
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        let name = name.trim_start_matches('/');
        if !self.names.insert(name.to_owned()) {
            return Ok(());
        }
        self.entries += 1;
        let size = u32::try_from(content.len()).context("a file too big for the archive")?;
        let name_size = u32::try_from(name.len() + 1).context("a name too long for the archive")?;
        // Number, mode, owner, group, links, time, size, device of the file (2), device it is (2), name, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0];
        let header: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        self.put(format!("070701{header}{name}\0").as_bytes())?;
        self.put(content)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let padding = (4 - (self.written + bytes.len()) % 4) % 4;
        self.out.write_all(bytes).and_then(|()| self.out.write_all(&[0; 3][..padding])).context("write the archive")?;
        self.written += bytes.len() + padding;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_folders_come_first() {
        let path = std::env::temp_dir().join(format!("headend-archive-{}", std::process::id()));
        let mut archive = Archive::create(&path).unwrap();
        archive.file("a/b/c", b"12345").unwrap();
        archive.file("a/b/c", b"again").unwrap();
        assert!(archive.holds("/a/b"));
        archive.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let starts: Vec<usize> = (0..bytes.len() - 6).filter(|at| &bytes[*at..at + 6] == b"070701").collect();
        assert_eq!(starts.len(), 4, "a, a/b, a/b/c and the trailer");
        assert!(starts.iter().all(|at| at % 4 == 0));
    }
}
