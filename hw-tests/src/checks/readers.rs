//! Smart-card readers through PC/SC: answers, a card pulled while in use, a reader unplugged while in use.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Desk, desk::ms};
use crate::{
    bench::{Bench, Reader, bytes_of},
    card::{AID, SERIAL},
    reader::{Service, Session},
    wait::let_pass,
};

const DEADLINE: Duration = Duration::from_secs(20);
/// How long a slot stays empty. pcscd looks every 0.4 s; a card pulled in a command and put back between two looks is
/// never seen again.
pub const EMPTY_SLOT: Duration = Duration::from_secs(1);

/// Every reader of the bench: the card is powered up and answers.
pub(super) fn answers(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let service = Service::connect(DEADLINE)?;
    for reader in &bench.readers {
        if bench.virtual_machine {
            desk.ask("card insert")?;
        }
        answer(&service, reader, desk).with_context(|| format!("reader {}", reader.name))?;
    }
    Ok(())
}

fn answer(service: &Service, reader: &Reader, desk: &mut Desk) -> Result<()> {
    service.wait_reader(&reader.name, true, DEADLINE)?;
    service.wait_card(&reader.name, true, DEADLINE)?;
    let card = service.card(&reader.name)?;
    desk.figure("atr", hex(&card.atr()?))?;
    let Some(command) = &reader.command else { return Ok(()) };
    let (got, took) = card.command(&bytes_of(command)?).context("send the command")?;
    desk.figure("answer", format!("{} after {}", hex(&got), ms(took)))?;
    let want = bytes_of(reader.status.as_deref().unwrap_or("9000"))?;
    ensure!(got.ends_with(&want), "the card answered {}, not {}", hex(&got), hex(&want));
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Selects the demonstration card's application and reads its number.
///
/// # Errors
/// When the card answers anything else, or not at all.
pub fn exchange(card: &Session) -> Result<Duration> {
    let select = [&[0x00, 0xa4, 0x04, 0x00, 0x08][..], &AID].concat();
    let (answer, _) = card.command(&select).context("SELECT")?;
    ensure!(answer == [0x90, 0x00], "SELECT was answered with {}", hex(&answer));
    let (answer, took) = card.command(&[0x00, 0xca, 0x01, 0x01, 0x08]).context("GET DATA")?;
    ensure!(answer == [&SERIAL[..], &[0x90, 0x00]].concat(), "GET DATA was answered with {}", hex(&answer));
    Ok(took)
}

/// What a card says that is not there any more: an error, or, as some drivers have it, success without a status word.
///
/// # Errors
/// When it answers as if nothing had happened.
pub fn no_answer(card: &Session) -> Result<String> {
    match card.command(&[0x00, 0xca, 0x01, 0x01, 0x08]) {
        Err(error) => Ok(format!("{error:?}")),
        Ok((answer, _)) if answer.len() < 2 => Ok(format!("success with {} bytes", answer.len())),
        Ok((answer, _)) => bail!("a card that was pulled answered {}", hex(&answer)),
    }
}

struct Place<'b> {
    service: Service,
    name: &'b str,
}

impl Place<'_> {
    fn of(bench: &Bench) -> Result<Place<'_>> {
        let name = bench.readers.first().map(|reader| reader.name.as_str()).context("the bench has no reader")?;
        Ok(Place { service: Service::connect(DEADLINE)?, name })
    }

    fn card(&self) -> Result<Session> {
        self.service.wait_reader(self.name, true, DEADLINE)?;
        self.service.wait_card(self.name, true, DEADLINE)?;
        self.service.card(self.name)
    }
}

/// The card is pulled between two commands and put back.
pub(super) fn pulled(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let place = Place::of(bench)?;
    desk.ask("card insert")?;
    let card = place.card()?;
    desk.figure("command", ms(exchange(&card)?))?;
    desk.ask("card pull")?;
    desk.figure("missed-after", ms(place.service.wait_card(place.name, false, DEADLINE)?))?;
    desk.figure("answer", no_answer(&card)?)?;
    drop(card);
    desk.ask("card insert")?;
    let start = Instant::now();
    exchange(&place.card()?)?;
    desk.figure("answers-after-insert", ms(start.elapsed()))
}

/// The card goes between a command and its answer.
pub(super) fn pulled_in_command(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let place = Place::of(bench)?;
    desk.ask("card insert")?;
    let card = place.card()?;
    exchange(&card)?;
    desk.ask("card pull-at-next-command")?;
    let start = Instant::now();
    desk.figure("answer", format!("{} after {}", no_answer(&card)?, ms(start.elapsed())))?;
    drop(card);
    let_pass(EMPTY_SLOT);
    desk.ask("card insert")?;
    let start = Instant::now();
    exchange(&place.card()?)?;
    desk.figure("answers-after-insert", ms(start.elapsed()))
}

/// The whole reader is unplugged while the card is in use, and plugged back.
pub(super) fn unplugged(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let place = Place::of(bench)?;
    desk.ask("card insert")?;
    let card = place.card()?;
    exchange(&card)?;
    desk.ask("reader unplug")?;
    desk.figure("answer", no_answer(&card)?)?;
    desk.figure("reader-gone-after", ms(place.service.wait_reader(place.name, false, DEADLINE)?))?;
    drop(card);
    desk.ask("reader plug")?;
    let start = Instant::now();
    exchange(&place.card()?)?;
    desk.figure("answers-after-plug", ms(start.elapsed()))
}
