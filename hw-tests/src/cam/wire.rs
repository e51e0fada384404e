//! The link to the host as the kernel splits it, and tag-length-value objects (EN 50221 annex A.3, §7).
//!
//! A fragment is connection, `more` flag, bytes; each read and each write of the device is one. Objects of all layers have
//! the same kind of length.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result};

const FRAGMENT: usize = 512;
const MORE: u8 = 0x80;

/// What came over the link.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// The slot was reset.
    Reset,
    /// A whole message of the transport layer.
    Message(Vec<u8>),
}

/// The module's end of the link.
#[derive(Debug)]
pub(super) struct Wire {
    device: File,
    partial: Vec<u8>,
}

impl Wire {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let device = OpenOptions::new().read(true).write(true).custom_flags(0).open(path);
        Ok(Self { device: device.with_context(|| format!("open {}", path.display()))?, partial: vec![] })
    }

    /// The next thing that came, if any.
    pub(super) fn take(&mut self) -> Result<Option<Came>> {
        let mut fragment = [0; FRAGMENT];
        loop {
            let bytes = match self.device.read(&mut fragment) {
                Ok(bytes) => &fragment[..bytes],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error).context("read the module's link"),
            };
            match bytes {
                [_event] => {
                    self.partial.clear();
                    return Ok(Some(Came::Reset));
                }
                [_connection, more, rest @ ..] => {
                    self.partial.extend_from_slice(rest);
                    if more & MORE == 0 {
                        return Ok(Some(Came::Message(std::mem::take(&mut self.partial))));
                    }
                }
                [] => return Ok(None),
            }
        }
    }

    /// Sends a message over connection `id`; what the host does not take is lost.
    pub(super) fn send(&mut self, id: u8, message: &[u8]) -> Result<()> {
        let mut pieces = message.chunks(FRAGMENT - 2).peekable();
        while let Some(piece) = pieces.next() {
            let more = if pieces.peek().is_some() { MORE } else { 0 };
            match self.device.write_all(&[&[id, more], piece].concat()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("write the module's link"),
            }
        }
        Ok(())
    }
}

/// A tag of any length, the length and the body.
pub(super) fn tlv(tag: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = tag.to_vec();
    match u8::try_from(body.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => out.extend([0x82, (body.len() >> 8).to_le_bytes()[0], body.len().to_le_bytes()[0]]),
    }
    out.extend_from_slice(body);
    out
}

/// Body and rest behind a tag of `tag` bytes.
pub(super) fn open(tag: usize, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = usize::from(*bytes.get(tag)?);
    let (at, length) = if first < 0x80 {
        (tag + 1, first)
    } else {
        let count = first - 0x80;
        let number = bytes.get(tag + 1..tag + 1 + count)?;
        (tag + 1 + count, number.iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte)))
    };
    let end = at.checked_add(length)?;
    Some((bytes.get(at..end)?, bytes.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_all_lengths() {
        for length in [0, 1, 127, 128, 300] {
            let body = vec![7; length];
            let bytes = [tlv(&[0x9f, 0x80, 0x32], &body), vec![1, 2]].concat();
            assert_eq!(open(3, &bytes), Some((&body[..], &[1, 2][..])), "{length}");
        }
        assert_eq!(open(1, &[0xa0, 0x81]), None);
        assert_eq!(open(1, &[0xa0, 3, 1]), None);
    }
}
