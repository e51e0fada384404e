//! Sessions on played tuners: shared, lost, found again, mute, hanging, taken away.

use std::sync::Arc;

use headend_rt::SystemClock;
use headend_rt::supervisor::{Fate, Supervisor};
use tokio::time::timeout;

use headend_media::text::TextDefaults;

use super::*;
use crate::input::intake::Intake;
use crate::input::ring::{Start, Step};
use crate::input::tuner::demand::User;
use crate::input::tuner::inventory::tests::inventory;
use crate::input::tuner::replay::ReplayDevice;
use crate::input::tuner::script::{Happening, Situation};
use crate::input::{InputHandle, InputOptions, InputSet, Monotonic};

const DEADLINE: Duration = Duration::from_secs(30);
const MUX: &str = "dvb://astra?system=s2&frequency=11538MHz&polarisation=h&symbol_rate=22000kBd";

/// A node with so many played tuners on one dish.
struct Bench {
    set: InputSet,
    tuners: Tuners,
    supervisor: Supervisor,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/ts/h264-aac.ts");
        let tuner = |index: usize| {
            let path = folder.path().join(format!("{index}.ts"));
            std::os::unix::fs::symlink(clip, &path).unwrap();
            format!(r#"{{"name": "t{index}", "device": "replay:{}", "antennas": ["astra"]}}"#, path.display())
        };
        let tuners: Vec<String> = (0..count).map(tuner).collect();
        let antenna = r#"{"name": "astra", "lnb": "universal", "diseqc": {"committed": 2}}"#;
        let text = format!(r#"{{"antenna": [{antenna}], "tuner": [{}]}}"#, tuners.join(","));
        let tuners = Tuners::new(inventory(&text).unwrap()).unwrap();
        let supervisor = Supervisor::new(Arc::new(SystemClock)).stage("inputs", DEADLINE);
        let timing = (Monotonic::new(), InputOptions { ring_bytes: 4 << 20, ..InputOptions::default() });
        let set = InputSet::with_tuners(supervisor.clone(), Arc::new(SystemClock), timing, Some(tuners.clone()));
        let watched = tuners.clone();
        supervisor.spawn_thread("tuners", Fate::Restart, move |token| watched.run(&token));
        Self { set, tuners, supervisor, _folder: folder }
    }

    fn open(&self, options: &str) -> InputHandle {
        self.set.open(&format!("{MUX}{options}").parse().unwrap())
    }

    fn device(&self, index: usize) -> ReplayDevice {
        self.tuners.replay(index).unwrap()
    }

    async fn stop(self) {
        assert_eq!(self.supervisor.stop(DEADLINE).await, 0);
    }
}

async fn report_when(handle: &InputHandle, done: impl Fn(&TunerReport) -> bool) -> TunerReport {
    let mut samples = handle.samples();
    let wait = async {
        loop {
            if let Some(report) = handle.report().tuner.filter(&done) {
                return report;
            }
            samples.changed().await.unwrap();
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{:?}", handle.report()))
}

async fn state(handle: &InputHandle, state: TunerState) -> TunerReport {
    report_when(handle, |report| report.state == state).await
}

#[tokio::test]
async fn two_channels_of_a_multiplex_share_a_tuner_and_its_packets() {
    let bench = Bench::new(1);
    let (one, two) = (bench.open("&service=1"), bench.open("&priority=7&service=2"));
    assert_eq!(bench.set.reports().len(), 1);
    let report = report_when(&one, |report| report.state == TunerState::Receiving && report.figures.is_some()).await;
    assert_eq!((report.tuner.as_str(), report.ladder), ("t0", LadderCounts::default()));
    let figures = report.figures.unwrap();
    // 14.5 dB where QPSK 3/4 of DVB-S2 needs 4.03 dB.
    assert_eq!(figures.margin.map(|margin| margin.0), Some(10_470));
    let told = bench.device(0).told();
    let voltage = told.iter().any(|line| line.contains("V18"));
    let message =
        told.iter().any(|line| line.contains("Message([224, 16, 56, 246") || line.contains("224, 16, 56, 246"));
    assert!(voltage && message, "{told:?}");
    assert!(told.last().is_some_and(|line| line.starts_with("17=6 ") && line.ends_with(" 1=0")), "{told:?}");
    let mut reader = two.ring().reader_from(Start::Now);
    let mut buffer = vec![];
    assert!(matches!(timeout(DEADLINE, reader.next(&mut buffer)).await, Ok(Step::Packets { .. })));
    drop((one, two));
    assert!(bench.set.reports().is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn a_tuner_that_goes_and_comes_serves_the_same_reader() {
    let bench = Bench::new(1);
    let input = bench.open("");
    let mut reader = input.ring().reader_from(Start::Now);
    state(&input, TunerState::Receiving).await;
    bench.device(0).set(Situation { plugged: false, ..Situation::default() });
    let report = state(&input, TunerState::Absent).await;
    assert_eq!(report.ladder.removals, 1);
    assert!(input.report().last_error.unwrap().contains("is not there"));
    bench.device(0).set(Situation::default());
    state(&input, TunerState::Receiving).await;
    let report = report_when(&input, |report| report.losses.removal.times == 1).await;
    assert!(report.losses.removal.ms > 0);
    assert_eq!((report.losses.signal.times, report.losses.transfer.times), (0, 0));
    let mut buffer = vec![];
    let mut restarts = 0;
    while restarts == 0 {
        match timeout(DEADLINE, reader.next(&mut buffer)).await.unwrap() {
            Step::Restarted => restarts += 1,
            Step::Packets { .. } | Step::Lost { .. } => {}
            Step::Closed => panic!("the ring must stay open"),
        }
    }
    bench.stop().await;
}

#[tokio::test]
async fn lock_without_data_is_told_within_seconds_and_the_ladder_is_climbed() {
    let bench = Bench::new(1);
    let input = bench.open("");
    state(&input, TunerState::Receiving).await;
    bench.device(0).set(Situation { data: false, ..Situation::default() });
    let before = input.samples().borrow().at_ms;
    let report = state(&input, TunerState::LockWithoutData).await;
    assert!(report.since_ms < before + 2_000, "found after {} ms", report.since_ms - before);
    let report = report_when(&input, |report| report.ladder.sec_repeats > 0).await;
    assert_eq!(report.ladder.retunes, 1);
    bench.device(0).set(Situation::default());
    state(&input, TunerState::Receiving).await;
    // The silence is the card's: its lock was there all the while.
    let report = report_when(&input, |report| report.losses.transfer.times > 0).await;
    assert!(report.losses.transfer.ms >= 1_000 && report.losses.signal.times == 0, "{:?}", report.losses);
    bench.stop().await;
}

#[tokio::test]
async fn a_call_that_hangs_delays_nobody_and_is_counted() {
    let bench = Bench::new(2);
    let (hanging, other) = (bench.open(""), bench.open("&stream=1"));
    let tuner = state(&hanging, TunerState::Receiving).await.tuner;
    state(&other, TunerState::Receiving).await;
    let index = usize::from(tuner == "t1");
    let packets = hanging.report().counters.packets;
    bench.device(index).happen(Happening::Hang(Duration::from_secs(4)));
    let report = report_when(&hanging, |report| report.ladder.hangs == 1).await;
    // It is told of after two seconds; packets flow all the while, so nothing is closed.
    assert_eq!((report.state, report.ladder.reopens), (TunerState::Receiving, 0));
    assert_eq!(hanging.report().last_error, Some(format!("the driver of tuner {tuner} hangs; its packets go on")));
    assert!(hanging.report().counters.packets > packets);
    // One that hangs with no packets is left alone with its thread, and had again when the call came back.
    report_when(&hanging, |_| bench.device(index).is_idle()).await;
    bench.device(index).set(Situation { data: false, ..Situation::default() });
    bench.device(index).happen(Happening::Hang(Duration::from_secs(5)));
    report_when(&hanging, |report| report.ladder.hangs == 2 && report.ladder.reopens > 0).await;
    bench.device(index).set(Situation::default());
    state(&hanging, TunerState::Receiving).await;
    assert_eq!(other.report().tuner.unwrap().ladder, LadderCounts::default());
    assert_eq!(other.report().counters.cc_errors, 0);
    bench.stop().await;
}

#[tokio::test]
async fn an_overflow_is_a_loss_of_the_kernels_ring() {
    let bench = Bench::new(1);
    let input = bench.open("");
    state(&input, TunerState::Receiving).await;
    bench.device(0).happen(Happening::Overflow);
    let report = report_when(&input, |report| report.losses.kernel_ring.times == 1).await;
    assert_eq!((report.losses.transfer.times, report.losses.signal.times), (0, 0));
    bench.stop().await;
}

#[tokio::test]
async fn the_more_important_multiplex_takes_the_tuner_and_gives_it_back() {
    let bench = Bench::new(1);
    let low = bench.open("&priority=2");
    state(&low, TunerState::Receiving).await;
    let high = bench.open("&stream=9&priority=8");
    state(&high, TunerState::Receiving).await;
    assert!(low.report().last_error.unwrap().contains("more important"));
    drop(high);
    let mut reader = low.ring().reader_from(Start::Now);
    let mut buffer = vec![];
    while !matches!(timeout(DEADLINE, reader.next(&mut buffer)).await, Ok(Step::Packets { .. })) {}
    // The frontend was kept open between the two, so that the LNB kept its power.
    bench.stop().await;
}

#[tokio::test]
async fn an_antenna_nobody_knows_is_named() {
    let bench = Bench::new(1);
    let input = bench.set.open(&MUX.replace("astra", "hotbird").parse().unwrap());
    let mut samples = input.samples();
    while input.report().last_error.is_none() {
        timeout(DEADLINE, samples.changed()).await.unwrap().unwrap();
    }
    assert_eq!(
        input.report().last_error.as_deref(),
        Some("antenna hotbird is not in this node's file: add it as [[antenna]]")
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_tuner_that_is_taken_back_before_anybody_looked_is_given_up() {
    let bench = Bench::new(1);
    let feed = |options: &str| crate::input::tuner::mux::tests::feed(&format!("{MUX}{options}")).unwrap();
    let demand = |priority| {
        let demand = Demand::default();
        demand.add(User { priority, service: None });
        demand
    };
    let mono = Monotonic::new();
    let (intake, _board) = Intake::new("weak".to_owned(), 1 << 20, TextDefaults::default(), mono.ms());
    let (receiver, tuners) = (Receiver::new(intake, mono), bench.tuners.clone());
    let session = Session { feed: feed("&stream=1"), tuners, demand: demand(2), receiver, proving: None };
    let weak = bench.tuners.claim(&session.feed, &session.demand).unwrap();
    let strong = bench.tuners.claim(&feed("&stream=2"), &demand(8)).unwrap();
    assert_eq!((weak.lease(), strong.lease()), (Lease::Revoked, Lease::Waiting));
    assert_eq!(session.wait_for_tuner(&weak, &CancellationToken::new()), None);
    drop(weak);
    assert_eq!(strong.lease(), Lease::Granted(0));
    bench.stop().await;
}
