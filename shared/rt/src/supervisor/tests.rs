//! Fates, order of stopping, deadlines; on paused time wherever no thread is involved.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::*;
use crate::CancellationToken;
use crate::clock::{Clock, SimulatedClock};

/// Mostly of paused time, which costs nothing; a hung thread fails its test within it too.
const PATIENCE: Duration = Duration::from_secs(600);

fn supervisor() -> Supervisor {
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(jiff::Timestamp::UNIX_EPOCH));
    Supervisor::new(clock)
}

/// Waits for a state of the supervisor; paused time runs on meanwhile.
async fn until(what: &str, wanted: impl Fn() -> bool) {
    let waiting = async {
        while !wanted() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "waited for {what}");
}

#[tokio::test(start_paused = true)]
async fn a_failing_task_comes_back_at_growing_intervals() {
    let supervisor = supervisor();
    let starts = Arc::new(Mutex::new(vec![]));
    let noted = Arc::clone(&starts);
    supervisor.stage("inputs", PATIENCE).spawn("tuner", Fate::Restart, move |_| {
        noted.lock().unwrap().push(Instant::now());
        let n = noted.lock().unwrap().len();
        async move {
            assert!(n != 2, "second run");
            if n % 2 == 0 { Ok(()) } else { Err(io::Error::other("no lock")) }
        }
    });
    until("nine starts", || starts.lock().unwrap().len() == 9).await;
    let starts = starts.lock().unwrap().clone();
    let waits: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let nominal = [1, 2, 4, 8, 16, 32, 60, 60];
    for (wait, nominal) in waits.iter().zip(nominal) {
        let nominal = Duration::from_secs(nominal);
        // Timers tick in milliseconds.
        let most = nominal.mul_f64(1.25).min(Duration::from_secs(60)) + Duration::from_millis(2);
        assert!((nominal.mul_f64(0.75)..=most).contains(wait), "{wait:?} for {nominal:?}");
    }
    let [task] = &supervisor.tasks()[..] else { panic!("one task") };
    assert_eq!((&*task.name, task.starts, task.ends_in_a_row), ("inputs/tuner", 9, 9));
    assert_eq!(task.last_end.as_deref(), Some("failed: no lock"));
    let totals = supervisor.totals();
    assert_eq!((totals.started, totals.restarted), (9, 8));
    assert_eq!((totals.panicked, totals.failed, totals.finished), (1, 5, 3));
    let second = supervisor.events().into_iter().filter(|event| matches!(event.what.what, What::Ended(_))).nth(1);
    assert_eq!(second.unwrap().what.what, What::Ended("panicked: second run".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_minute_of_health_forgets_old_failures() {
    let supervisor = supervisor();
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    supervisor.spawn("uplink", Fate::Restart, move |_| {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if n == 5 {
                tokio::time::sleep(Duration::from_secs(61)).await;
            }
        }
    });
    until("the healthy run's end", || runs.load(Ordering::Relaxed) == 7).await;
    assert_eq!(supervisor.tasks()[0].ends_in_a_row, 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_essential_task_ends_the_program() {
    let check = async |end: End, spawn: &dyn Fn(&Supervisor)| {
        let supervisor = supervisor();
        let stopped_in_order = supervisor.stage("serve", PATIENCE).token();
        spawn(&supervisor.stage("store", PATIENCE));
        let stopped = timeout(PATIENCE, supervisor.run()).await.unwrap();
        assert_eq!(stopped.cause, Cause::Lost { task: "store/writer".to_owned(), end });
        assert_eq!((stopped.exit_code(), stopped.cut), (1, 0));
        assert!(stopped_in_order.is_cancelled());
    };
    check(End::Finished, &|s| s.essential("writer", |_| async {})).await;
    check(End::Panicked("bad page".to_owned()), &|s| {
        s.essential("writer", |_| async { assert!(std::hint::black_box(false), "bad page") })
    })
    .await;
    check(End::Panicked("factory 7".to_owned()), &|s| {
        let panics = |_| -> std::future::Ready<()> { panic!("factory {}", 7) };
        s.spawn("writer", Fate::Essential, panics);
    })
    .await;
    let failing = |_| async { Err(io::Error::other("disk gone")) };
    check(End::Failed("disk gone".to_owned()), &|s| s.essential("writer", failing)).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_done_leaves_no_row() {
    let supervisor = supervisor();
    supervisor.once("import", |_| async { Err(io::Error::other("bad line")) });
    supervisor.once("scan", |_| async {});
    until("both ends", || supervisor.tasks().is_empty()).await;
    let totals = supervisor.totals();
    assert_eq!((totals.started, totals.finished, totals.failed, totals.restarted), (2, 1, 1, 0));
    assert!(!supervisor.shutdown_asked().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn stages_stop_in_order_and_the_late_are_cut() {
    let supervisor = supervisor();
    let (began, ends) = (Instant::now(), Arc::new(Mutex::new(vec![])));
    let note = |name: &'static str, takes_secs: u64| {
        let ends = Arc::clone(&ends);
        move |stop: CancellationToken| async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_secs(takes_secs)).await;
            ends.lock().unwrap().push((name, began.elapsed().as_secs()));
        }
    };
    supervisor.essential("root", note("root", 0));
    let serve = supervisor.stage("serve", Duration::from_secs(10));
    let inputs = supervisor.stage("inputs", Duration::from_secs(3));
    supervisor.stage("report", Duration::from_secs(5)).essential("mqtt", note("mqtt", 1));
    inputs.group("tuner0").once("stubborn", note("stubborn", 99));
    inputs.essential("udp", note("udp", 2));
    serve.group("http").essential("accept", note("accept", 4));
    assert_eq!(supervisor.tasks().len(), 5);

    supervisor.shut_down(Cause::Asked("SIGTERM".to_owned()));
    supervisor.shut_down(Cause::Asked("somebody later".to_owned()));
    let stopped = supervisor.run().await;
    assert_eq!(stopped, Stopped { cause: Cause::Asked("SIGTERM".to_owned()), cut: 1 });
    assert_eq!(stopped.exit_code(), 0);
    assert_eq!(*ends.lock().unwrap(), [("accept", 4), ("udp", 6), ("mqtt", 8), ("root", 8)]);
    assert_eq!(supervisor.totals().cut, 1);
    assert!(supervisor.tasks().is_empty());
    let last = supervisor.events().pop().unwrap().what;
    assert_eq!((&*last.task, last.what), ("inputs/tuner0/stubborn", What::Cut));
    inputs.once("too late", |_| async {});
    assert_eq!(supervisor.totals().started, 5, "nothing starts in a stopped group");
}

#[tokio::test(start_paused = true)]
async fn a_group_stops_alone() {
    let supervisor = supervisor();
    let channels = supervisor.stage("channels", PATIENCE);
    let wait = |stop: CancellationToken| async move { stop.cancelled().await };
    let (news, sport) = (channels.group("news"), channels.group("sport"));
    news.essential("segmenter", wait);
    // Waits for its restart when the stop comes, which must not make the stop wait.
    news.spawn("source", Fate::Restart, |_| async {});
    sport.essential("segmenter", wait);
    until("the restart's wait", || supervisor.tasks().iter().any(|task| !task.running)).await;
    assert_eq!(news.stop(Duration::from_millis(1)).await, 0);
    let left = supervisor.tasks();
    assert_eq!(left.iter().map(|task| &*task.name).collect::<Vec<_>>(), ["channels/sport/segmenter"]);
    assert!(!supervisor.shutdown_asked().is_cancelled());
    assert_eq!(channels.stop(PATIENCE).await, 0);
    assert!(supervisor.tasks().is_empty());
}

#[tokio::test]
async fn threads_are_watched_like_tasks() {
    let supervisor = supervisor();
    let inputs = supervisor.stage("inputs", PATIENCE);
    let names = Arc::new(Mutex::new(vec![]));
    let noted = Arc::clone(&names);
    inputs.spawn_thread("demux0", Fate::Essential, move |stop| {
        noted.lock().unwrap().push(std::thread::current().name().map(str::to_owned));
        while !stop.is_cancelled() {
            std::thread::yield_now();
        }
    });
    inputs.spawn_thread("scan", Fate::Once, |_| Err(io::Error::other("no tuner")));
    inputs.spawn_thread("card", Fate::Restart, |_| -> () { panic!("reader gone") });
    until("a start and two ends", || {
        let totals = supervisor.totals();
        !names.lock().unwrap().is_empty() && totals.failed == 1 && totals.panicked >= 1
    })
    .await;
    assert_eq!(*names.lock().unwrap(), [Some("demux0".to_owned())]);
    supervisor.shut_down(Cause::Asked("test".to_owned()));
    assert_eq!(timeout(PATIENCE, supervisor.run()).await.unwrap().cut, 0);

    let supervisor = self::supervisor();
    supervisor.spawn_thread("demux1", Fate::Essential, |_| {});
    assert_eq!(timeout(PATIENCE, supervisor.run()).await.unwrap().exit_code(), 1);
}
