//! The `dvr` line of a stream as what is kept of a channel.
//!
//! Pure. Flussonic says where, how deep, how full a disk may get and how many bytes, in any mixture, and a stream may
//! refer to a storage of the server that says the rest. Here a depth is always said, within the bounds of
//! [`Retention`], and the nodes say where (`[archive] paths`, docs/archive.md).

use headend_wire::{
    Retention,
    dvr::{DEPTH_SECS_MAX, DEPTH_SECS_MIN, DISK_PERCENT_DEFAULT},
};

use super::{grammar::Word, unit};

/// What is said of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    /// The storage of the server it refers to.
    pub reference: Option<String>,
    /// How deep, milliseconds.
    pub depth_ms: Option<u64>,
    /// How full a disk may get.
    pub percent: Option<u8>,
    /// The most bytes.
    pub bytes: Option<u64>,
    /// What has no counterpart, by name.
    pub without: Vec<&'static str>,
    /// It is switched off.
    pub off: bool,
}

/// Options of a `dvr` line that have no counterpart.
pub(super) const WITHOUT: [&str; 11] = [
    "replicate",
    "replication_port",
    "copy",
    "schedule",
    "no_index",
    "episodes_url",
    "episodes_expiration",
    "redundancy_factor",
    "remotes",
    "index",
    "bw_limit",
];
/// Names of limits, where they are written as options.
const LIMITS: [&str; 3] = ["expiration", "disk_usage_limit", "storage_limit"];
/// For an option nobody knows; its name may be a slip, and its value anything.
pub(super) const UNKNOWN: &str = "an option that is not known here";

impl Archive {
    /// Reads the words behind `dvr`.
    #[must_use]
    pub fn read(words: &[Word]) -> Self {
        let mut found = Self::default();
        for (index, word) in words.iter().enumerate() {
            let text = word.text.as_str();
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            let limit = if LIMITS.contains(&key) { value } else { text };
            if let (0, Some(name)) = (index, text.strip_prefix('@')) {
                found.reference = Some(name.to_owned());
            } else if index == 0 && matches!(text, "off" | "false") {
                found.off = true;
            } else if let Some(known) = WITHOUT.iter().find(|known| **known == key) {
                found.without.push(known);
            } else if !found.limit(limit) && index > 0 {
                found.without.push(UNKNOWN);
            }
        }
        found
    }

    /// Takes a depth, a share or bytes.
    pub fn limit(&mut self, word: &str) -> bool {
        if let Some(percent) = unit::percent(word) {
            self.percent = Some(percent);
        } else if let Some(bytes) = unit::bytes(word) {
            self.bytes = Some(bytes);
        } else if let Some(depth_ms) = unit::duration_ms(word) {
            self.depth_ms = Some(depth_ms);
        } else {
            return false;
        }
        true
    }

    /// With what the storage says where this says nothing.
    #[must_use]
    pub fn over(self, storage: &Self) -> Self {
        Self {
            depth_ms: self.depth_ms.or(storage.depth_ms),
            percent: self.percent.or(storage.percent),
            bytes: self.bytes.or(storage.bytes),
            ..self
        }
    }

    /// The retention, and how it differs.
    #[must_use]
    pub fn retention(&self) -> (Retention, Vec<&'static str>) {
        let mut remarks = vec![];
        let secs = self.depth_ms.map(|ms| u32::try_from(ms / 1_000).unwrap_or(u32::MAX));
        let depth_secs = match secs {
            None => {
                remarks.push("no depth is said there, which keeps all until the disk is full; here 400 days");
                DEPTH_SECS_MAX
            }
            Some(secs) if secs > DEPTH_SECS_MAX => {
                remarks.push("400 days is the deepest archive here");
                DEPTH_SECS_MAX
            }
            Some(secs) if secs < DEPTH_SECS_MIN => {
                remarks.push("60 s is the least depth here");
                DEPTH_SECS_MIN
            }
            Some(secs) => secs,
        };
        let disk_percent = match self.percent {
            None => DISK_PERCENT_DEFAULT,
            Some(percent @ 1..=99) => percent,
            Some(0) => {
                remarks.push("a share of 0 % keeps nothing; here 1 %");
                1
            }
            Some(_) => {
                remarks.push("a disk is filled to 99 % at most here");
                99
            }
        };
        let bytes_max = self.bytes.filter(|bytes| *bytes > 0);
        (Retention { depth_secs, disk_percent, bytes_max }, remarks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flussonic::grammar::parse;

    #[track_caller]
    fn check(line: &str, want: &str) {
        let statements = parse(line).unwrap();
        let archive = Archive::read(statements[0].arguments());
        let (keep, remarks) = archive.retention();
        let mut got = keep.to_string();
        for part in archive.without.into_iter().chain(remarks) {
            got = format!("{got}; {part}");
        }
        assert_eq!(got, want, "{line}");
        // What nodes take.
        assert_eq!(keep.to_string().parse(), Ok(keep), "{line}");
    }

    #[test]
    fn lines_of_archives() {
        check("dvr /data 5d 95%;", "5d 95%");
        check("dvr /data 5d 95% 500G;", "5d 95% 500G");
        check("dvr @main 95% 2h;", "2h 95%");
        check("dvr 5d;", "5d 95%");
        check("dvr /data 7200;", "2h 95%");
        check("dvr /data expiration=3d disk_usage_limit=80%;", "3d 80%");
        check("dvr /data 5d replicate copy=/other;", "5d 95%; replicate; copy");
        check("dvr /data 5d hidden;", "5d 95%; an option that is not known here");
        check("dvr /data;", "400d 95%; no depth is said there, which keeps all until the disk is full; here 400 days");
        check(
            "dvr /data 1000d 100%;",
            "400d 99%; 400 days is the deepest archive here; a disk is filled to 99 % at most here",
        );
        check("dvr /data 5 0%;", "1m 1%; 60 s is the least depth here; a share of 0 % keeps nothing; here 1 %");
    }
}
