//! One life of a recording node between two power cuts: what the last one left is read back, then it records on.
//!
//! The disk outlives the machine. Each life mounts it, starts the node on the state it finds, asks for every segment that
//! the archive lists (or the newest, where many lives follow each other), and opens it with its key. Then it tells what
//! is listed, over and over, until the power goes.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use headend_media::{
    crypt::{Key128, decrypt},
    packet::{PACKET_BYTES, SYNC_BYTE},
};
use nix::mount::{MsFlags, mount};

use crate::{
    checks::Desk,
    line::Say,
    node::{Channel, Home, Node},
    wait,
};

/// The row of the table.
pub const ROW: &str = "power-cuts";
/// The figure that says what was read back.
pub const READ_BACK: &str = "read-back";
/// The figure that says that every channel lists more than it did; the power goes at some time after it.
pub const GOES_ON: &str = "goes-on";
/// The figure that says the newest listed segment of each channel.
pub const NEWEST: &str = "newest";
/// The figure that says how many holes the archive tells of.
pub const HOLES: &str = "holes";

const DISK: &str = "/dev/vda";
const AT: &str = "/srv";
const PROGRAM: &str = "/opt/headend/headend-node";
const CHANNELS: [&str; 4] = ["one", "two", "three", "four"];
const CLIP: &str = "/streams/h264-aac.ts";
/// Longer than the wait for the power to go.
const LIFE: Duration = Duration::from_secs(60);
/// From the node's start to its archive's.
const START: Duration = Duration::from_secs(60);
const DAY_SECS: u64 = 80_000;
/// What is read back between two cuts; the last life reads all of it.
const NEWEST_SECS: u64 = 40;

/// How much is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// What the last lives wrote.
    Newest,
    /// The whole archive; then the life ends by itself.
    All,
}

/// A segment as an archive's playlist lists it.
struct Listed {
    number: u64,
    path: String,
    key: String,
}

/// Lives one life.
///
/// # Errors
/// When something listed is missing or wrong, or the node does not start.
pub fn live(desk: &mut Desk, span: Span) -> Result<()> {
    desk.say(&Say::Begin(ROW.into()))?;
    let result = read_back(desk, span).and_then(|node| record(desk, &node, span));
    match result {
        Ok(()) => desk.say(&Say::Pass(ROW.into(), 0)),
        Err(error) => desk.say(&Say::Fail(ROW.into(), 0, format!("{error:#}"))),
    }?;
    desk.say(&Say::Bye)
}

fn figure(desk: &mut Desk, name: &str, value: String) -> Result<()> {
    desk.say(&Say::Figure(ROW.into(), name.into(), value))
}

/// Starts the node on what is there and opens every segment that its archive lists.
fn read_back(desk: &mut Desk, span: Span) -> Result<Viewer> {
    fs::create_dir_all(AT).context("the disk's folder")?;
    mount(Some(DISK), AT, Some("ext4"), MsFlags::empty(), None::<&str>).context("mount the disk")?;
    let folder = Path::new(AT).join("node");
    // The last file that is written when a node is prepared.
    let home = if folder.join("node.toml").exists() { Home::again(&folder)? } else { prepare(&folder)? };
    let node = Node::start(Path::new(PROGRAM), &home)?;
    let viewer = Viewer { node, token: home.token().to_owned() };
    let (mut count, mut bytes, mut holes) = (0, 0, 0);
    for channel in CHANNELS {
        viewer.ready(channel)?;
        let secs = if span == Span::All { DAY_SECS } else { NEWEST_SECS };
        // A node that has just begun has no archive yet.
        let list = viewer.listed(channel, secs)?.unwrap_or_default();
        if let Some(last) = list.last() {
            figure(desk, NEWEST, format!("{channel}={}", last.number))?;
        }
        for listed in list {
            bytes +=
                viewer.open(channel, &listed).with_context(|| format!("segment {} of {channel}", listed.number))?;
            count += 1;
        }
        holes += viewer.holes(channel)?;
    }
    if span == Span::All {
        ensure!(count > 0, "nothing is listed; the log ends with {}", viewer.node.log_tail());
    }
    figure(desk, HOLES, holes.to_string())?;
    figure(desk, READ_BACK, format!("{count} segments, {bytes} bytes"))?;
    Ok(viewer)
}

/// Tells what is listed until the power goes; the last life ends when each channel goes on.
fn record(desk: &mut Desk, viewer: &Viewer, span: Span) -> Result<()> {
    let (mut told, mut on) = (BTreeMap::new(), false);
    let first = viewer.newest()?;
    let ended = wait::until("the power to go", LIFE, || {
        let newest = viewer.newest()?;
        if newest != told {
            let words: Vec<String> = newest.iter().map(|(channel, number)| format!("{channel}={number}")).collect();
            figure(desk, NEWEST, words.join(","))?;
            told.clone_from(&newest);
        }
        let goes_on = CHANNELS.iter().all(|channel| newest.get(channel) > first.get(channel));
        if goes_on && !std::mem::replace(&mut on, true) {
            figure(desk, GOES_ON, viewer.holes(CHANNELS[0])?.to_string())?;
        }
        Ok((span == Span::All && goes_on).then_some(()))
    });
    ended.map(drop)
}

fn prepare(folder: &Path) -> Result<Home> {
    let channel =
        |name: &&str| Channel { name: (*name).to_owned(), url: format!("file:{CLIP}"), keep: Some("1d".to_owned()) };
    let channels: Vec<Channel> = CHANNELS.iter().map(channel).collect();
    let archive = format!("[archive]\npaths = [\"{AT}/archive\"]\n");
    let home = Home::prepare(folder, &channels, &archive, 5_000)?;
    // An enrolment is durable when it says that it is done; what is cut here is recording.
    nix::unistd::sync();
    Ok(home)
}

/// Asks the node as a viewer does.
struct Viewer {
    node: Node,
    token: String,
}

impl Viewer {
    fn get(&self, path: &str) -> Result<(u16, Vec<u8>)> {
        let (status, body, _) = self.node.get(path)?;
        Ok((status, body))
    }

    /// Waits until the node has read the channel's indexes.
    fn ready(&self, channel: &str) -> Result<()> {
        let path = format!("/{channel}/recording_status.json?token={}", self.token);
        let look = || Ok((self.get(&path)?.0 == 200).then_some(()));
        wait::until("the archive to be read", START, look).map(drop).with_context(|| self.node.log_tail())
    }

    /// What the archive lists of the last seconds; none while it has nothing.
    fn listed(&self, channel: &str, secs: u64) -> Result<Option<Vec<Listed>>> {
        let now = std::time::UNIX_EPOCH.elapsed().context("the clock")?.as_secs();
        let path = format!("/{channel}/video-{}-{}.m3u8?token={}", now - secs, secs + 600, self.token);
        let (status, body) = self.get(&path)?;
        if status == 404 {
            return Ok(None);
        }
        let text = String::from_utf8(body).context("a playlist is text")?;
        ensure!(status == 200, "{channel} answers {status}: {text}");
        parse(&text).map(Some)
    }

    /// Bytes of a segment, which must be whole packets under its key.
    fn open(&self, channel: &str, listed: &Listed) -> Result<usize> {
        let (status, key) = self.get(&resolve(channel, &listed.key)?)?;
        let key = <[u8; 16]>::try_from(key).ok().with_context(|| format!("its key is answered with {status}"))?;
        let (status, bytes) = self.get(&resolve(channel, &listed.path)?)?;
        ensure!(status == 200, "it is listed and answered with {status}");
        let count = bytes.len();
        let clear = decrypt(&Key128::new(key), listed.number, bytes)?;
        let (packets, rest) = clear.as_chunks::<PACKET_BYTES>();
        ensure!(rest.is_empty() && packets.iter().all(|packet| packet[0] == SYNC_BYTE), "it is not packets");
        Ok(count)
    }

    fn newest(&self) -> Result<BTreeMap<&'static str, u64>> {
        let mut newest = BTreeMap::new();
        for channel in CHANNELS {
            if let Some(last) = self.listed(channel, NEWEST_SECS)?.and_then(|list| list.last().map(|last| last.number))
            {
                newest.insert(channel, last);
            }
        }
        Ok(newest)
    }

    fn holes(&self, channel: &str) -> Result<usize> {
        let (status, body) = self.get(&format!("/{channel}/recording_status.json?token={}", self.token))?;
        ensure!(status == 200, "recording_status answers {status}");
        let said: serde_json::Value = serde_json::from_slice(&body).context("recording_status is JSON")?;
        Ok(said[0]["gaps"].as_array().map_or(0, Vec::len))
    }
}

/// The segments of a media playlist (RFC 8216 §4.3), with the number that is their IV.
fn parse(text: &str) -> Result<Vec<Listed>> {
    let (mut number, mut key, mut iv, mut list) = (0, None, None, vec![]);
    for line in text.lines() {
        if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            number = first.parse().context("the media sequence number")?;
        } else if let Some(rest) = line.strip_prefix("#EXT-X-KEY:") {
            let between = |start: &str, end: char| rest.split_once(start).and_then(|(_, rest)| rest.split(end).next());
            key = between("URI=\"", '"').map(str::to_owned);
            iv = between("IV=0x", ',').map(|hex| u64::from_str_radix(&hex[hex.len().saturating_sub(16)..], 16));
        } else if !line.is_empty() && !line.starts_with('#') {
            let key = key.clone().context("a segment before its key")?;
            // An IV that is said belongs to the next segment; otherwise the number is it.
            let own = iv.take().transpose().context("an IV")?.unwrap_or(number);
            list.push(Listed { number: own, path: line.to_owned(), key });
            number += 1;
        }
    }
    Ok(list)
}

/// A path of a playlist below a channel, as the request has it.
fn resolve(channel: &str, path: &str) -> Result<String> {
    if path.starts_with('/') {
        return Ok(path.to_owned());
    }
    if path.contains("://") {
        bail!("{path} is on another server");
    }
    Ok(format!("/{channel}/{path}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_playlist_is_read() {
        let text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-KEY:METHOD=AES-128,URI=\"k?x=1\",IV=0x0000000000000000000000000000002A\n\
                    #EXTINF:2,\na.ts\n#EXT-X-KEY:METHOD=AES-128,URI=\"k2\"\n#EXTINF:2,\nb.ts\n#EXTINF:2,\nc.ts\n";
        let list = super::parse(text).unwrap();
        let seen: Vec<_> = list.iter().map(|one| (one.number, one.path.as_str(), one.key.as_str())).collect();
        assert_eq!(seen, [(42, "a.ts", "k?x=1"), (8, "b.ts", "k2"), (9, "c.ts", "k2")]);
    }
}
