//! Scripts of tuners that lock, lose, lie, hang and vanish, stepped in simulated time.

use proptest::prelude::*;

use super::*;

/// A tuner played by the test.
#[derive(Clone, Copy)]
struct World {
    locked: bool,
    data: bool,
    hangs: bool,
    opens: bool,
    limits: Limits,
}

const GOOD: World = World { locked: true, data: true, hangs: false, opens: true, limits: FREE };
const FREE: Limits = Limits { may_reset: true, usb: true };

/// Runs in steps of 20 ms up to `to_ms`; gives what was done except looking, with the second it was done in.
fn run(keeper: &mut Keeper, world: World, from_ms: u64, to_ms: u64) -> Vec<String> {
    let (mut log, mut now) = (vec![], from_ms);
    while now < to_ms {
        if world.data && world.locked && keeper.state(now) != TunerState::Opening && now.is_multiple_of(100) {
            keeper.pat(now);
        }
        while let Some(action) = keeper.next(now, world.limits) {
            if action != Action::Look {
                log.push(format!("{}.{} {}", now / 1000, now % 1000 / 100, word(action)));
            }
            let outcome = match action {
                _ if world.hangs => Outcome::Hung,
                Action::Look => Outcome::Status { locked: world.locked },
                Action::Open if !world.opens => Outcome::Failed,
                _ => Outcome::Done,
            };
            keeper.done(now, outcome);
        }
        now += 20;
    }
    log
}

fn word(action: Action) -> String {
    match action {
        Action::Tune { sec_attempt: Some(attempt) } => format!("sec{attempt}+tune"),
        Action::Tune { sec_attempt: None } => "tune".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[test]
fn a_good_tuner_is_opened_tuned_and_left_alone() {
    let mut keeper = Keeper::new(0);
    assert_eq!(run(&mut keeper, GOOD, 0, 60_000), ["0.0 open", "0.0 sec0+tune"]);
    assert_eq!(keeper.state(60_000), TunerState::Receiving);
    assert_eq!(keeper.counts(), LadderCounts::default());
}

#[test]
fn without_signal_gentle_rungs_repeat_and_the_device_is_reset_once_an_hour() {
    let mut keeper = Keeper::new(0);
    let dark = World { locked: false, data: false, ..GOOD };
    let log = run(&mut keeper, dark, 0, 26_000);
    assert_eq!(
        log,
        [
            "0.0 open",
            "0.0 sec0+tune",
            "3.0 tune",
            "6.0 sec1+tune",
            "10.0 sec2+tune",
            "15.0 reopen",
            "15.0 open",
            "15.0 sec0+tune",
            "20.0 rebind",
            "20.0 open",
            "20.0 sec0+tune",
        ]
    );
    run(&mut keeper, dark, 26_000, 3_600_000);
    let counts = keeper.counts();
    assert_eq!((counts.rebinds, counts.reauthorisations, counts.reboots_asked), (1, 0, 0));
    assert!((100..600).contains(&counts.retunes), "{counts:?}");
    // The signal comes back while nothing is being done: the kernel locks by itself, and nobody disturbs it.
    let log = run(&mut keeper, GOOD, 3_600_000, 3_601_000);
    assert!(log.len() <= 1, "{log:?}");
    assert_eq!(keeper.state(3_601_000), TunerState::Receiving);
}

#[test]
fn lock_without_data_is_found_in_a_second_and_goes_to_the_top() {
    let mut keeper = Keeper::new(0);
    let mute = World { data: false, ..GOOD };
    run(&mut keeper, mute, 0, 900);
    assert_eq!(keeper.state(899), TunerState::Locked);
    let mut log = run(&mut keeper, mute, 900, 1_100);
    assert_eq!(log, ["0.9 tune"]);
    log = run(&mut keeper, mute, 1_100, 60_000);
    let rungs: Vec<_> = log.iter().map(|line| line.split_once(' ').unwrap().1).collect();
    let device = ["open", "sec0+tune"];
    let want: Vec<_> = ["sec1+tune", "sec2+tune", "reopen"]
        .into_iter()
        .chain(device)
        .chain(["rebind"])
        .chain(device)
        .chain(["reauthorise"])
        .chain(device)
        .chain(["askreboot"])
        .collect();
    assert_eq!(rungs[..want.len()], want);
    assert!(log[want.len() - 1].as_str() < "30", "{log:?}");
    assert_eq!(keeper.counts().reboots_asked, 1);
}

#[test]
fn a_program_that_stood_still_does_not_blame_the_tuner() {
    let mut keeper = Keeper::new(0);
    run(&mut keeper, GOOD, 0, 20_000);
    keeper.excuse(8_000);
    assert_eq!(keeper.state(28_000), TunerState::Receiving);
    assert_eq!(run(&mut keeper, GOOD, 28_000, 30_000), [""; 0]);
}

#[test]
fn data_that_stop_are_noticed_in_a_second() {
    let mut keeper = Keeper::new(0);
    run(&mut keeper, GOOD, 0, 20_000);
    run(&mut keeper, World { data: false, ..GOOD }, 20_000, 20_820);
    // The last PAT came at 19.9 s.
    assert_eq!(keeper.state(20_780), TunerState::Receiving);
    assert_eq!(keeper.state(20_800), TunerState::LockWithoutData);
}

#[test]
fn a_lock_that_goes_is_found_before_the_data_are_missed() {
    // Wherever in the second between two looks it goes: no tune of ours may hide whose fault the silence is.
    for last in (20_000..21_000).step_by(100) {
        let mut keeper = Keeper::new(0);
        run(&mut keeper, GOOD, 0, last);
        let log = run(&mut keeper, World { locked: false, data: false, ..GOOD }, last, last + 2_500);
        assert_eq!((log, keeper.state(last + 2_500)), (vec![], TunerState::NoLock), "{last}");
    }
}

#[test]
fn a_busy_neighbour_is_not_reset() {
    let mut keeper = Keeper::new(0);
    let mute = World { data: false, limits: Limits { may_reset: false, usb: true }, ..GOOD };
    run(&mut keeper, mute, 0, 600_000);
    let counts = keeper.counts();
    assert_eq!((counts.rebinds, counts.reauthorisations, counts.reboots_asked), (0, 0, 1));
}

#[test]
fn a_hang_is_counted_and_climbs() {
    let mut keeper = Keeper::new(0);
    run(&mut keeper, GOOD, 0, 20_000);
    keeper.pat(20_990);
    assert_eq!(keeper.next(21_000, FREE), Some(Action::Look));
    keeper.done(23_000, Outcome::Hung);
    assert_eq!((keeper.state(23_000), keeper.counts().hangs), (TunerState::Opening, 1));
    // It is well again: opened once, and at its foot again after ten good seconds.
    let log = run(&mut keeper, GOOD, 23_000, 40_000);
    assert_eq!(log, ["23.0 reopen", "23.0 open", "23.0 sec0+tune"]);
    // One that hangs for ever ends with the question for a reboot, once.
    let log = run(&mut keeper, World { hangs: true, ..GOOD }, 40_000, 100_000);
    assert_eq!(keeper.counts().reboots_asked, 1, "{log:?}");
    assert!(log.len() < 40, "{log:?}");
}

#[test]
fn a_device_that_cannot_be_opened_is_reset() {
    let mut keeper = Keeper::new(0);
    let log = run(&mut keeper, World { opens: false, ..GOOD }, 0, 12_000);
    assert_eq!(log.iter().filter(|line| line.ends_with("open")).count(), 14, "{log:?}");
    assert_eq!((keeper.counts().rebinds, keeper.counts().reauthorisations), (1, 1));
}

#[test]
fn a_device_that_is_not_at_fault_is_not_reset() {
    let mut keeper = Keeper::new(0);
    for second in 0..600 {
        assert_eq!(keeper.next(second * 1000, FREE), Some(Action::Open));
        keeper.done(second * 1000, Outcome::Refused);
    }
    assert_eq!(keeper.counts(), LadderCounts::default());
    // Values out of range are tried again after a pause, and nothing else is done about them.
    let (mut keeper, mut tunes) = (Keeper::new(0), 0);
    for now in (0..600_000).step_by(20) {
        while let Some(action) = keeper.next(now, FREE) {
            tunes += u32::from(matches!(action, Action::Tune { .. }));
            keeper.done(now, if action == Action::Open { Outcome::Done } else { Outcome::Refused });
        }
    }
    assert!((40..=50).contains(&tunes), "{tunes}");
    assert_eq!((keeper.counts().reopens, keeper.counts().rebinds), (0, 0));
}

#[test]
fn a_device_that_goes_and_comes_is_tuned_at_once() {
    let mut keeper = Keeper::new(0);
    run(&mut keeper, GOOD, 0, 20_000);
    keeper.gone(20_000);
    keeper.gone(20_010);
    assert_eq!((keeper.state(20_020), keeper.counts().removals), (TunerState::Absent, 1));
    assert_eq!(keeper.next(25_000, FREE), None);
    keeper.appeared(30_000);
    assert_eq!(run(&mut keeper, GOOD, 30_000, 31_000), ["30.0 open", "30.0 sec0+tune"]);
    assert_eq!(keeper.state(31_000), TunerState::Receiving);
}

proptest! {
    #[test]
    fn any_history_keeps_the_machine_alive(
        history in proptest::collection::vec((0..8_u8, 1..5_000_u64), 1..200),
    ) {
        let (mut keeper, mut now) = (Keeper::new(0), 0);
        for (what, step) in history {
            now += step;
            match what {
                0 => keeper.pat(now),
                1 => keeper.gone(now),
                2 => keeper.appeared(now),
                3 => keeper.done(now, Outcome::Hung),
                4 => keeper.done(now, if step % 2 == 0 { Outcome::Failed } else { Outcome::Refused }),
                5 => keeper.done(now, Outcome::Status { locked: step % 2 == 0 }),
                6 => keeper.done(now, Outcome::Gone),
                _ => {
                    let first = keeper.next(now, FREE);
                    prop_assert!(first.is_none() || keeper.next(now, FREE).is_none(), "two in flight");
                }
            }
        }
        // Whatever happened: a good device is received again within two minutes.
        keeper.done(now, Outcome::Done);
        keeper.appeared(now);
        run(&mut keeper, GOOD, now.next_multiple_of(20), now + 120_000);
        prop_assert_eq!(keeper.state((now + 120_000).next_multiple_of(20) - 20), TunerState::Receiving);
    }
}
