//! Proves spare tuners: tunes one of them to a multiplex that channels want, looks, and writes down what it saw.
//!
//! Shell around [`super::rotation`]. A proof is a session like any other, with three differences: it asks for one tuner at
//! the lowest rank, it ends when that is taken from it, and it resets nothing and asks for no reboot. Packets go into a
//! ring that nobody reads. The frontend is given back as every session gives it back: it stays open when the tuner is to
//! be kept warm, and is closed otherwise.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use headend_media::service::ServiceId;
use headend_media::text::TextDefaults;
use headend_rt::CancellationToken;

use super::demand::{Demand, User};
use super::mux::{DvbFeed, PRIORITY_DEFAULT};
use super::pool::Tuners;
use super::report::Verdict;
use super::rotation::{Ending, Rotation, Watch};
use super::session::Session;
use crate::input::intake::{Board, Intake, Monotonic};
use crate::input::receive::Receiver;

/// How often the rotation is asked, and a proof is looked at.
const STEP: Duration = Duration::from_millis(100);
/// Channels take their tuners first.
const FIRST_AFTER: Duration = Duration::from_secs(10);
/// The smallest ring that takes a turn's packets.
const RING_BYTES: usize = 1 << 20;

/// What a proof found.
struct Found {
    verdict: Verdict,
    margin: Option<f64>,
    missing: Vec<u16>,
}

impl Tuners {
    /// Proves spare tuners, each with each wanted multiplex once in `every`, until the token is cancelled. Blocks.
    pub fn prove(&self, every: Duration, mono: Monotonic, token: &CancellationToken) {
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        // The first round comes soon also where a round is short.
        let from_ms = mono.ms() + ms(FIRST_AFTER.min(every));
        let mut rotation = Rotation::new(ms(every), from_ms);
        while !token.is_cancelled() {
            if let Some((tuner, mux)) = rotation.next(mono.ms(), &self.spares(), &self.wanted()) {
                let found = self.prove_one(tuner, &mux, mono, token);
                let ending = match &found {
                    None => Ending::Interrupted,
                    Some(found) if found.verdict == Verdict::Proven => Ending::Proven,
                    Some(_) => Ending::Failed,
                };
                if let Some(Found { verdict, margin, missing }) = found {
                    self.tell(tuner, &mux, (verdict, margin, missing));
                }
                rotation.done(mono.ms(), (tuner, mux), ending);
            }
            thread::park_timeout(STEP);
        }
    }

    /// What a proof found; nothing when somebody needed the tuner, or the node stops.
    fn prove_one(&self, tuner: usize, mux: &DvbFeed, mono: Monotonic, token: &CancellationToken) -> Option<Found> {
        let services = self.services_of(mux);
        let demand = Demand::default();
        for service in &services {
            demand.add(User { priority: PRIORITY_DEFAULT, service: Some(*service) });
        }
        let (intake, board) = Intake::new(mux.to_string(), RING_BYTES, TextDefaults::default(), mono.ms());
        let receiver = Receiver::new(intake, mono);
        let session = Session { feed: mux.clone(), tuners: self.clone(), demand, receiver, proving: Some(tuner) };
        let stop = token.child_token();
        thread::scope(|scope| {
            let running = thread::Builder::new().name("proof".to_owned()).spawn_scoped(scope, || session.run(&stop));
            // The system gives no thread: nothing is known.
            let running = running.ok()?;
            let mut watch = Watch::new(mono.ms());
            let found = loop {
                if running.is_finished() {
                    break None;
                }
                let missing = missing(&board, &services);
                let report = board.report().tuner.clone().unwrap_or_default();
                if let Some(verdict) = watch.look(mono.ms(), report.state, missing.is_empty()) {
                    let margin = report.figures.and_then(|figures| figures.margin).map(super::units::Decibels::as_f64);
                    let missing = if verdict == Verdict::ServicesMissing { missing } else { vec![] };
                    break Some(Found { verdict, margin, missing });
                }
                thread::park_timeout(STEP);
            };
            stop.cancel();
            found
        })
    }

    fn tell(&self, tuner: usize, mux: &DvbFeed, (verdict, margin, missing): (Verdict, Option<f64>, Vec<u16>)) {
        let name = &self.inventory().tuners[tuner].name;
        let shown = format!("{missing:?}");
        let before = self.proved(tuner, mux, (verdict, margin, missing));
        match (before, verdict) {
            (Some(before), now) if before == now => {}
            (_, Verdict::Proven) => tracing::info!(tuner = %name, %mux, margin, "spare tuner proven"),
            (_, verdict) => tracing::warn!(tuner = %name, %mux, ?verdict, missing = shown, "spare tuner is no backup"),
        }
    }
}

/// Wanted services that the multiplex does not carry, or whose map was not read; one that names none wants any.
fn missing(board: &Arc<Board>, wanted: &[ServiceId]) -> Vec<u16> {
    let sample = board.samples.borrow().clone();
    let there = |wanted: &&ServiceId| !sample.services.iter().any(|seen| seen.service == **wanted && seen.mapped);
    wanted.iter().filter(there).map(|service| service.0).collect()
}

#[cfg(test)]
#[path = "proving_tests.rs"]
mod tests;
