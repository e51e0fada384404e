//! `replay`: plays a file to UDP at its own pace, or packages it into a folder as fast as the machine can.
//!
//! The second form runs the very packager and cipher of `run`, without clock or network: what it writes is a function of
//! file, profile, anchor and key. It is the bench's subject, and how two boxes are compared byte by byte.

use std::{
    fs,
    io::{self, Read as _},
    net::UdpSocket,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use headend_csa::aes_cbc::LANES;
use headend_media::{
    crypt::Key128,
    package::{Event, Packager, Profile, Segment, Slate, SlateError, SourceStart},
    playlist::SegmentGrid,
    resync::Resync,
    time::Ticks90k,
    timeline::Anchor,
};
use headend_rt::{Clock, SystemClock};
use tokio::time::MissedTickBehavior;

use super::Exit;
use crate::{
    input::{
        address::{AddressError, Feed, SourceAddress},
        file::{FileError, FilePlayer},
    },
    output::sealing::{Plain, seal},
};

/// Seven packets a datagram, as every receiver expects.
const DATAGRAM_BYTES: usize = 7 * 188;

/// How often packets that are due are sent.
const PACE: Duration = Duration::from_millis(5);

const SLATE: &[u8] = include_bytes!("../../../shared/media/assets/slate.ts");

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The transport stream to play.
    file: PathBuf,
    /// Play it for ever, at its own pace and looped without a seam, to this udp:// address.
    #[arg(long, conflicts_with = "segments", required_unless_present = "segments")]
    to: Option<String>,
    /// Package it once, as fast as possible, into this folder.
    #[arg(long)]
    segments: Option<PathBuf>,
    /// 16 bytes: encrypt the segments with this key. Without it they are written in the clear.
    #[arg(long, requires = "segments")]
    key_file: Option<PathBuf>,
    /// The service in a multiplex; the first one without this.
    #[arg(long)]
    service: Option<u16>,
    /// Length of a segment in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    segment_secs: u32,
    /// UTC of the file's first picture, Unix seconds.
    #[arg(long, default_value_t = 1_700_000_000)]
    at: i64,
    /// Bytes handed to the packager at a time; the segments do not depend on it.
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u64).range(1..=16_777_216))]
    chunk_bytes: u64,
}

/// Why a file could not be played or packaged.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("address {text:?}")]
    Address {
        text: String,
        #[source]
        source: AddressError,
    },
    #[error("address {text:?} is none to send to; write udp://HOST:PORT")]
    NotUdp { text: String },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("send to {text}")]
    Send {
        text: String,
        #[source]
        source: io::Error,
    },
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("key file {path} holds {bytes} bytes, an AES-128 key has 16")]
    Key { path: PathBuf, bytes: usize },
    #[error("built-in slate")]
    Slate(#[source] SlateError),
}

pub(super) async fn run(arguments: Arguments) -> Exit {
    let done = match (&arguments.to, &arguments.segments) {
        (Some(address), _) => play(&arguments, address).await,
        (None, Some(folder)) => package(&arguments, folder),
        (None, None) => Ok(()),
    };
    match done {
        Ok(()) => Exit::Done,
        Err(error @ (ReplayError::Address { .. } | ReplayError::NotUdp { .. } | ReplayError::Key { .. })) => {
            Exit::Usage.say(&error)
        }
        Err(error @ ReplayError::Read { .. }) => Exit::NotFound.say(&error),
        Err(error) => Exit::Failed.say(&error),
    }
}

async fn play(arguments: &Arguments, text: &str) -> Result<(), ReplayError> {
    let address: SourceAddress =
        text.parse().map_err(|source| ReplayError::Address { text: text.to_owned(), source })?;
    let Feed::Udp(udp) = address.feed else { return Err(ReplayError::NotUdp { text: text.to_owned() }) };
    let failed = |source| ReplayError::Send { text: text.to_owned(), source };
    let bind = if udp.address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(bind).and_then(|socket| socket.connect((udp.address, udp.port)).map(|()| socket));
    let socket = socket.map_err(failed)?;
    let mut player = FilePlayer::open(arguments.file.clone(), arguments.service)?;
    let (mut ticks, mut due) = (tokio::time::interval(PACE), Vec::new());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        player.due(Ticks90k::from_millis(SystemClock.unix_ms()), &mut due);
        // Whole datagrams only; the rest goes with the next ones.
        let whole = due.len() / DATAGRAM_BYTES * DATAGRAM_BYTES;
        for datagram in due[..whole].chunks(DATAGRAM_BYTES) {
            match socket.send(datagram) {
                // Nobody listens yet; a feed does not care.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                sent => drop(sent.map_err(failed)?),
            }
        }
        due.drain(..whole);
    }
}

fn package(arguments: &Arguments, folder: &Path) -> Result<(), ReplayError> {
    let key = arguments.key_file.as_deref().map(read_key).transpose()?;
    fs::create_dir_all(folder).map_err(|source| ReplayError::Write { path: folder.to_path_buf(), source })?;
    let slate = Arc::new(Slate::from_ts(SLATE).map_err(ReplayError::Slate)?);
    let at = Ticks90k::from_secs(arguments.at);
    let profile = Profile { segment: Ticks90k::from_secs(arguments.segment_secs.into()), ..Profile::standard() };
    let mut packager = Packager::new(profile, None, slate);
    let mut events = vec![];
    let start = SourceStart { service: arguments.service, anchor: None::<Anchor> };
    packager.change_source(start, &mut |event| events.push(event));

    let failed = |source| ReplayError::Read { path: arguments.file.clone(), source };
    let mut file = fs::OpenOptions::new().read(true).open(&arguments.file).map_err(failed)?;
    let chunk = usize::try_from(arguments.chunk_bytes).unwrap_or(65_536);
    let mut waiting = vec![];
    let (mut piece, mut packets, mut resync) = (vec![0; chunk], Vec::with_capacity(chunk + 188), Resync::default());
    loop {
        let count = file.read(&mut piece).map_err(failed)?;
        packets.clear();
        match count {
            0 => resync.finish(&mut |packet| packets.extend_from_slice(packet.bytes())),
            _ => resync.push(&piece[..count], &mut |packet| packets.extend_from_slice(packet.bytes())),
        }
        packager.push(&packets, at, &mut |event| events.push(event));
        if count == 0 {
            packager.source_lost(&mut |event| events.push(event));
        }
        waiting.extend(
            events.drain(..).filter_map(|event| if let Event::Segment(segment) = event { Some(segment) } else { None }),
        );
        if count == 0 || waiting.len() >= LANES {
            write_all(arguments, folder, key.as_ref(), &mut waiting)?;
        }
        if count == 0 {
            return Ok(());
        }
    }
}

fn read_key(path: &Path) -> Result<Key128, ReplayError> {
    let bytes = fs::read(path).map_err(|source| ReplayError::Read { path: path.to_path_buf(), source })?;
    let count = bytes.len();
    let key = <[u8; 16]>::try_from(bytes).map_err(|_| ReplayError::Key { path: path.to_path_buf(), bytes: count })?;
    Ok(Key128::new(key))
}

/// Encrypts what waits together, and writes it.
fn write_all(
    arguments: &Arguments,
    folder: &Path,
    key: Option<&Key128>,
    waiting: &mut Vec<Segment>,
) -> Result<(), ReplayError> {
    let numbers: Vec<u64> = waiting.iter().map(|segment| segment.number).collect();
    let clear = waiting.drain(..).map(|segment| (segment.number, segment.bytes));
    let written: Vec<Vec<u8>> = match key {
        Some(key) => seal(clear.map(|(number, segment)| Plain { key: key.clone(), number, segment }).collect()),
        None => clear.map(|(_, bytes)| bytes).collect(),
    };
    let grid = SegmentGrid::new(arguments.segment_secs * 1000);
    for (number, bytes) in numbers.into_iter().zip(written) {
        let name = grid.and_then(|grid| grid.name(number)).unwrap_or_else(|| format!("{number}.ts"));
        let path = folder.join(name.replace('/', "-"));
        fs::write(&path, bytes).map_err(|source| ReplayError::Write { path, source })?;
    }
    Ok(())
}
