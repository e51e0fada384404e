//! Spare tuners on recordings: proven, found wanting, and taken away in the middle.

use std::sync::Arc;

use headend_rt::SystemClock;
use headend_rt::supervisor::{Fate, Supervisor};
use tokio::time::{Instant, interval};

use super::*;
use crate::input::tuner::inventory::tests::inventory;
use crate::input::tuner::lock::TunerState;
use crate::input::tuner::report::{SeatReport, SeatUse};
use crate::input::{InputHandle, InputOptions, InputSet};

const DEADLINE: Duration = Duration::from_secs(30);

struct Bench {
    set: InputSet,
    tuners: Tuners,
    supervisor: Supervisor,
    _folder: tempfile::TempDir,
}

/// Two played tuners on one antenna, with proofs of what channels want every second.
fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/ts/rai1.ts");
    let tuner = |index: usize| {
        let path = folder.path().join(format!("{index}.ts"));
        std::os::unix::fs::symlink(clip, &path).unwrap();
        format!(r#"{{"name": "t{index}", "device": "replay:{}", "antennas": ["roof"]}}"#, path.display())
    };
    let list: Vec<String> = (0..2).map(tuner).collect();
    let text = format!(r#"{{"antenna": [{{"name": "roof", "terrestrial": true}}], "tuner": [{}]}}"#, list.join(","));
    let tuners = Tuners::new(inventory(&text).unwrap()).unwrap();
    let supervisor = Supervisor::new(Arc::new(SystemClock)).stage("inputs", DEADLINE);
    let mono = Monotonic::new();
    let timing = (mono, InputOptions { ring_bytes: 4 << 20, ..InputOptions::default() });
    let set = InputSet::with_tuners(supervisor.clone(), Arc::new(SystemClock), timing, Some(tuners.clone()));
    let proved = tuners.clone();
    supervisor.spawn_thread("proofs", Fate::Restart, move |token| {
        proved.prove(Duration::from_secs(1), mono, &token);
    });
    Bench { set, tuners, supervisor, _folder: folder }
}

impl Bench {
    fn open(&self, mhz: u32, service: u16) -> InputHandle {
        self.set.open(&format!("dvb://roof?system=t&frequency={mhz}MHz&service={service}").parse().unwrap())
    }

    /// Waits until the spare tuner is like this.
    async fn spare(&self, done: impl Fn(&SeatReport) -> bool) -> SeatReport {
        let (mut looks, until) = (interval(Duration::from_millis(5)), Instant::now() + DEADLINE);
        loop {
            looks.tick().await;
            let seat = self.tuners.seats().swap_remove(1);
            if done(&seat) {
                return seat;
            }
            assert!(Instant::now() < until, "{seat:?}");
        }
    }

    async fn stop(self) {
        assert_eq!(self.supervisor.stop(DEADLINE).await, 0);
    }
}

#[tokio::test]
async fn a_spare_tuner_is_proven_with_its_margin_and_stays_warm() {
    let bench = bench();
    let _channel = bench.open(474, 3401);
    let seat = bench.spare(|seat| !seat.proofs.is_empty()).await;
    assert_eq!((seat.proofs[0].verdict, seat.proofs[0].missing.len()), (Verdict::Proven, 0));
    // 14.5 dB where DVB-T QPSK 3/4 needs 6.3 dB.
    assert_eq!(
        (seat.proofs[0].margin, seat.proofs[0].mux.as_str()),
        (Some(8.2), "dvb://roof?system=t&frequency=474MHz")
    );
    bench.spare(|seat| seat.doing == SeatUse::Warm).await;
    assert!(bench.tuners.seats()[0].proofs.is_empty(), "a tuner at work is not proved");
    bench.stop().await;
}

#[tokio::test]
async fn a_multiplex_without_the_wanted_service_proves_nothing() {
    let bench = bench();
    let _channel = bench.open(474, 9999);
    let seat = bench.spare(|seat| !seat.proofs.is_empty()).await;
    assert_eq!((seat.proofs[0].verdict, &seat.proofs[0].missing[..]), (Verdict::ServicesMissing, &[9999][..]));
    assert_eq!(seat.proofs[0].proven_age_ms, None);
    bench.stop().await;
}

#[tokio::test]
async fn a_channel_takes_the_tuner_in_the_middle_of_a_proof() {
    let bench = bench();
    // This proof lasts five seconds, because a service is missing.
    let _channel = bench.open(474, 9999);
    bench.spare(|seat| seat.doing == SeatUse::Proving).await;
    let (other, began) = (bench.open(482, 3402), Instant::now());
    let seat = bench.spare(|seat| seat.doing == SeatUse::Serving).await;
    let took = began.elapsed();
    println!("the proof gave way after {took:.1?}");
    assert!(took < Duration::from_millis(500) && seat.proofs.is_empty(), "{took:?} {seat:?}");
    bench.spare(|_| other.report().tuner.is_some_and(|tuner| tuner.state == TunerState::Receiving)).await;
    bench.stop().await;
}
