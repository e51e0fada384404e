//! `descramble`: takes a known key off a recorded stream. A tool of the bench; `run` never takes a key from outside.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
};

use headend_csa::{ControlWord, Descrambler, Kernel, Parity, Verdict, WordError};
use headend_media::{
    cissa::{self, Cissa},
    crypt::Key128,
    packet::{PACKET_BYTES, Packet, Pid},
    resync::Resync,
    service::{ServiceId, ServiceWatch, StreamKind},
    text::TextDefaults,
};
use headend_rt::{SecretFile, secret::SecretError};
use zeroize::Zeroize;

use super::Exit;

/// Read at a time; about 1,400 packets, more than any kernel's batch.
const PIECE_BYTES: usize = 1400 * PACKET_BYTES;

/// Arguments of `descramble`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("key").required(true))]
pub(super) struct Arguments {
    /// BISS-1 session word, 12 hexadecimal digits, or @FILE that holds them. Every user of the machine can read a command
    /// line: give digits on the bench only.
    #[arg(long, group = "key", value_name = "12HEX|@FILE")]
    biss: Option<String>,
    /// DVB-CSA control word for even and odd packets, 16 hexadecimal digits, or @FILE.
    #[arg(long, group = "key", value_name = "16HEX|@FILE")]
    cw: Option<String>,
    /// DVB-CISSA key for even and odd packets, 32 hexadecimal digits, or @FILE.
    #[arg(long, group = "key", value_name = "32HEX|@FILE")]
    cissa: Option<String>,
    /// Only the streams of this service; all scrambled packets without it.
    #[arg(long)]
    service: Option<u16>,
    /// The recorded transport stream.
    input: PathBuf,
    /// Where the clear one goes.
    output: PathBuf,
}

/// Why nothing was descrambled. Never holds what was typed as a key.
#[derive(Debug, thiserror::Error)]
enum DescrambleError {
    #[error("key")]
    Word(#[source] WordError),
    #[error("a CISSA key is 32 hexadecimal digits")]
    Key,
    #[error("key file")]
    Secret(#[source] SecretError),
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
    #[error("service {service} is not in {path}")]
    NoService { service: u16, path: PathBuf },
}

enum Tool {
    Csa(Box<Descrambler>),
    Cissa(Box<Cissa>, Box<[bool]>),
}

/// What became of the packets.
#[derive(Debug, Default)]
struct Tally {
    packets: u64,
    descrambled: u64,
    left: u64,
    starts: u64,
    starts_right: u64,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match work(arguments) {
        Ok(tally) => say(&tally),
        Err(error @ (DescrambleError::Word(_) | DescrambleError::Key | DescrambleError::Secret(_))) => {
            Exit::Usage.say(&error)
        }
        Err(error @ (DescrambleError::Read { .. } | DescrambleError::NoService { .. })) => Exit::NotFound.say(&error),
        Err(error @ DescrambleError::Write { .. }) => Exit::Failed.say(&error),
    }
}

#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn say(tally: &Tally) -> Exit {
    let Tally { packets, descrambled, left, starts, starts_right } = tally;
    println!("{packets} packets, {descrambled} descrambled, {left} left scrambled");
    println!("{starts_right} of {starts} picture and sound packets start as they must");
    // A wrong key leaves noise: it is told from the starts of PES packets alone.
    if *starts > 0 && starts_right * 2 < *starts { Exit::Degraded } else { Exit::Done }
}

fn work(arguments: &Arguments) -> Result<Tally, DescrambleError> {
    let (pids, pes) = streams(&arguments.input, arguments.service)?;
    let mut tool = tool(arguments, &pids)?;
    let failed = |source| DescrambleError::Write { path: arguments.output.clone(), source };
    let mut output = BufWriter::new(File::create(&arguments.output).map_err(failed)?);
    let (mut tally, mut verdicts) = (Tally::default(), vec![]);
    pieces(&arguments.input, &mut |packets| {
        tool.descramble(packets, &mut verdicts);
        tally.count(packets, &verdicts, &pes);
        output.write_all(packets).map_err(failed)
    })?;
    output.flush().map_err(failed)?;
    Ok(tally)
}

/// Aligned packets of a file, piece by piece.
fn pieces(path: &Path, each: &mut dyn FnMut(&mut [u8]) -> Result<(), DescrambleError>) -> Result<(), DescrambleError> {
    let failed = |source| DescrambleError::Read { path: path.to_owned(), source };
    let mut file = std::fs::OpenOptions::new().read(true).open(path).map_err(failed)?;
    let (mut resync, mut bytes, mut packets) = (Resync::default(), vec![0; PIECE_BYTES], vec![]);
    loop {
        let count = file.read(&mut bytes).map_err(failed)?;
        packets.clear();
        if count == 0 {
            resync.finish(&mut |packet| packets.extend_from_slice(packet.bytes()));
            return each(&mut packets);
        }
        resync.push(&bytes[..count], &mut |packet| packets.extend_from_slice(packet.bytes()));
        each(&mut packets)?;
    }
}

/// The PIDs to descramble, and those whose packets start as PES does.
fn streams(path: &Path, service: Option<u16>) -> Result<(BTreeSet<Pid>, BTreeSet<Pid>), DescrambleError> {
    let mut watch = ServiceWatch::new(TextDefaults::default());
    pieces(path, &mut |packets| {
        for packet in packets.as_chunks::<PACKET_BYTES>().0.iter().filter_map(Packet::new) {
            watch.push(&packet, &mut |_| {});
        }
        Ok(())
    })?;
    let list = &watch.services().list;
    if let Some(service) = service.filter(|service| !list.contains_key(&ServiceId(*service))) {
        return Err(DescrambleError::NoService { service, path: path.to_owned() });
    }
    let chosen = list.iter().filter(|(id, _)| service.is_none_or(|service| id.0 == service));
    let streams: Vec<_> = chosen.flat_map(|(_, service)| &service.streams).collect();
    let pes = streams.iter().filter(|stream| stream.kind() != StreamKind::Data).map(|stream| stream.pid).collect();
    let pids = match service {
        Some(_) => streams.iter().map(|stream| stream.pid).collect(),
        None => (0..=0x1FFF).map(Pid::new).collect(),
    };
    Ok((pids, pes))
}

fn tool(arguments: &Arguments, pids: &BTreeSet<Pid>) -> Result<Tool, DescrambleError> {
    let word = match (&arguments.biss, &arguments.cw, &arguments.cissa) {
        (Some(text), _, _) => {
            typed(text, |digits| ControlWord::from_session_word(digits).map_err(DescrambleError::Word))?
        }
        (_, Some(text), _) => typed(text, |digits| ControlWord::from_hex(digits).map_err(DescrambleError::Word))?,
        (_, _, text) => {
            let key = typed(text.as_deref().unwrap_or_default(), key)?;
            let mut cissa = Cissa::new();
            cissa.set(cissa::Parity::Even, &key);
            cissa.set(cissa::Parity::Odd, &key);
            let mut ours = vec![false; Pid::COUNT];
            pids.iter().for_each(|pid| ours[pid.index()] = true);
            return Ok(Tool::Cissa(Box::new(cissa), ours.into_boxed_slice()));
        }
    };
    let mut descrambler = Descrambler::new(Kernel::best());
    if let Some(slot) = descrambler.keys.add() {
        descrambler.keys.set(&slot, Parity::Even, &word);
        descrambler.keys.set(&slot, Parity::Odd, &word);
        pids.iter().for_each(|pid| descrambler.keys.assign(pid.value(), &slot));
    }
    Ok(Tool::Csa(Box::new(descrambler)))
}

/// Reads digits from the text itself or from `@FILE`.
fn typed<T>(text: &str, read: impl Fn(&str) -> Result<T, DescrambleError>) -> Result<T, DescrambleError> {
    match text.strip_prefix('@') {
        None => read(text),
        Some(path) => {
            let secret = SecretFile::at(&Path::new(".").join(path)).read().map_err(DescrambleError::Secret)?;
            read(secret.text().map_err(DescrambleError::Secret)?)
        }
    }
}

fn key(digits: &str) -> Result<Key128, DescrambleError> {
    let mut bytes = [0; 16];
    if digits.len() != 32 || !digits.is_ascii() {
        return Err(DescrambleError::Key);
    }
    for (byte, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| DescrambleError::Key)?;
    }
    let key = Key128::new(bytes);
    bytes.zeroize();
    Ok(key)
}

impl Tool {
    fn descramble(&mut self, packets: &mut [u8], verdicts: &mut Vec<Verdict>) {
        match self {
            Self::Csa(descrambler) => descrambler.descramble(packets, verdicts),
            Self::Cissa(cissa, ours) => {
                verdicts.clear();
                for packet in packets.as_chunks_mut::<PACKET_BYTES>().0 {
                    let pid = Packet::new(packet).map(|packet| packet.pid());
                    let ours = pid.is_some_and(|pid| ours[pid.index()]);
                    verdicts.push(match ours.then(|| cissa.descramble(packet)) {
                        Some(cissa::Outcome::Descrambled) => Verdict::Descrambled,
                        Some(cissa::Outcome::Clear) => Verdict::Clear,
                        Some(cissa::Outcome::Damaged) => Verdict::Damaged,
                        Some(cissa::Outcome::NoKey) | None => Verdict::NoKey,
                    });
                }
            }
        }
    }
}

impl Tally {
    fn count(&mut self, packets: &[u8], verdicts: &[Verdict], pes: &BTreeSet<Pid>) {
        for (bytes, verdict) in packets.as_chunks::<PACKET_BYTES>().0.iter().zip(verdicts) {
            self.packets += 1;
            let Some(packet) = Packet::new(bytes) else { continue };
            let scrambled = packet.scrambling() != headend_media::packet::Scrambling::Clear;
            self.left += u64::from(*verdict != Verdict::Descrambled && scrambled);
            if *verdict != Verdict::Descrambled {
                continue;
            }
            self.descrambled += 1;
            if packet.unit_start() && pes.contains(&packet.pid()) {
                self.starts += 1;
                self.starts_right += u64::from(packet.payload().starts_with(&[0, 0, 1]));
            }
        }
    }
}
