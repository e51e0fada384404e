//! A sample vendor's module: the open test card through the interface of docs/vendor-module.md.
//!
//! It shows a vendor how little a module is: read a datagram, ask the card, answer. The card key stands on its command line
//! here, because it protects nothing; a real module keeps its secrets as its vendor sees fit. `--die-after N` makes it end in the
//! middle of the N-th ECM, for tests.

use std::os::fd::AsRawFd as _;

use aes::Aes128;
use anyhow::{Context, Result, bail, ensure};
use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::NoPadding};
use nix::sys::socket::{MsgFlags, recv, send};

const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// One question of the node's.
struct Question {
    kind: u8,
    number: [u8; 2],
    body: Vec<u8>,
}

fn receive() -> Result<Option<Question>> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let length = recv(std::io::stdin().as_raw_fd(), &mut buffer, MsgFlags::empty()).context("receive")?;
    match buffer[..length] {
        [] => Ok(None),
        [1, kind, high, low, ref body @ ..] => Ok(Some(Question { kind, number: [high, low], body: body.to_vec() })),
        _ => bail!("a message of another version"),
    }
}

fn reply(question: &Question, kind: u8, body: &[u8]) -> Result<()> {
    let [high, low] = question.number;
    let bytes = [&[1, kind, high, low][..], body].concat();
    send(std::io::stdin().as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL).context("reply")?;
    Ok(())
}

/// Sends a command to the card and gives its data, or its status word.
fn ask_card(question: &Question, command: &[u8]) -> Result<Result<Vec<u8>, u16>> {
    reply(question, 0x86, command)?;
    let answer = receive()?.filter(|answer| answer.kind == 0x07).context("the node has gone")?.body;
    let (data, status) = answer.split_last_chunk::<2>().context("no status word")?;
    Ok(match u16::from_be_bytes(*status) {
        0x9000 => Ok(data.to_vec()),
        status => Err(status),
    })
}

fn refuse(question: &Question, status: u16) -> Result<()> {
    let reason = match status {
        0x6982 => 1,
        0x6985 => 2,
        0x9300 => 3,
        0x6A82 => 5,
        _ => 0xFF,
    };
    reply(question, 0x87, &[reason])
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let key = arguments.first().context("the card key, 64 digits, is the first argument")?;
    ensure!(key.len() == 64 && key.is_ascii(), "a card key has 64 digits");
    let mut encrypt = [0; 16];
    for (byte, at) in encrypt.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(&key[at..at + 2], 16)?;
    }
    let mut lives: u64 = match arguments.iter().position(|word| word == "--die-after") {
        Some(at) => arguments.get(at + 1).context("--die-after takes a number")?.parse()?,
        None => u64::MAX,
    };
    while let Some(question) = receive()? {
        match question.kind {
            0x01 => reply(&question, 0x81, b"Sample module")?,
            0x02 => match ask_card(&question, b"\0\xA4\x04\0\x09\xF0HEADEND\x01\0")? {
                Ok(_) => reply(&question, 0x82, &[&[1, 0xF4, 0x8D, 4][..], b"0000", &[6], b"Sample"].concat())?,
                Err(status) => refuse(&question, status)?,
            },
            0x04 => {
                lives -= 1;
                if lives == 0 {
                    std::process::exit(3);
                }
                words(&question, &encrypt)?;
            }
            0x05 => reply(&question, 0x84, &[0])?,
            0x06 => reply(&question, 0x85, &[])?,
            _ => {}
        }
    }
    Ok(())
}

fn words(question: &Question, encrypt: &[u8; 16]) -> Result<()> {
    let section = question.body.get(2..).context("no section")?;
    let length = u8::try_from(section.len())?;
    let command = [&[0x80, 0x2A, 0x80, 0x86, length][..], section, &[0]].concat();
    let wrapped = match ask_card(question, &command)? {
        Ok(wrapped) => wrapped,
        Err(status) => return refuse(question, status),
    };
    // Version, algorithm and period (6), iv (16), words (16), MAC (8).
    let (iv, rest) = wrapped.get(6..).and_then(|rest| rest.split_first_chunk::<16>()).context("a short answer")?;
    let mut clear = rest.get(..16).context("a short answer")?.to_vec();
    let opened = cbc::Decryptor::<Aes128>::new(encrypt.into(), iv.into()).decrypt_padded::<NoPadding>(&mut clear);
    ensure!(opened.is_ok(), "no whole blocks");
    reply(question, 0x83, &[&[1, 3][..], &clear].concat())
}
