//! Runs the list of checks: as the first program of the virtual machine, or on a bench with `--bench FILE`.

use std::{
    io::{BufReader, stdout},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use headend_hw_tests::{
    bench::Bench,
    checks::{self, Desk},
    line::Say,
    power,
};

mod boot;

fn main() -> ExitCode {
    let result = if std::process::id() == 1 { in_machine() } else { on_bench() };
    let code = match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    };
    if std::process::id() == 1 {
        boot::power_off();
    }
    code
}

#[expect(clippy::print_stderr, reason = "the last word of a program that could not start")]
fn complain(error: &anyhow::Error) {
    eprintln!("hw-guest: {error:#}");
}

fn in_machine() -> Result<bool> {
    let orders = boot::machine()?;
    let (line, answers) = boot::line()?;
    let mut desk = Desk::new(Box::new(line), Some(Box::new(BufReader::new(answers))));
    desk.say(&Say::Hello(boot::release()?))?;
    if let Some(span) = orders.life {
        boot::load().and_then(|()| boot::loopback())?;
        return power::live(&mut desk, span).map(|()| true);
    }
    let ready = boot::load().and_then(|()| boot::loopback()).and_then(|()| boot::services());
    if let Err(error) = &ready {
        desk.say(&Say::Note(format!("the machine is not complete: {error:#}")))?;
    }
    let good = checks::run(&Bench::pretended(orders.seconds), &mut desk, &orders.only)?;
    desk.say(&Say::Bye)?;
    Ok(good && ready.is_ok())
}

fn on_bench() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (file, only) = match &arguments[..] {
        [flag, file] if flag == "--bench" => (file, ""),
        [flag, file, only] if flag == "--bench" => (file, only.as_str()),
        _ => bail!("usage: hw-guest --bench FILE [PART-OF-A-CHECK'S-NAME]"),
    };
    let bench = Bench::read(Path::new(file))?;
    let mut desk = Desk::new(Box::new(stdout()), None);
    desk.say(&Say::Hello(boot::release().context("ask for the kernel's release")?))?;
    let good = checks::run(&bench, &mut desk, only)?;
    desk.say(&Say::Bye)?;
    Ok(good)
}
