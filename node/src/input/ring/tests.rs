//! Tests of the ring: order of steps, marks, loss told exactly, waiting, and readers against a writer in threads.

use proptest::prelude::*;

use super::*;

/// `count` packets whose bytes spell their number, so that a reader can tell which ones it got.
fn packets(first: u64, count: u64) -> Vec<u8> {
    (first..first + count)
        .flat_map(|number| std::iter::repeat_n(number.to_be_bytes(), 24).flatten().take(PACKET_BYTES))
        .collect()
}

fn number(packet: &[u8]) -> u64 {
    u64::from_be_bytes(packet[..8].try_into().unwrap())
}

/// Reads all there is now: `3..7@20` packets 3 to 6 that arrived at 20, `lost 2` packets, `restart`, `closed`.
fn drain(reader: &mut RingReader) -> String {
    let (mut words, mut buffer) = (Vec::new(), Vec::new());
    while let Some(step) = reader.try_next(&mut buffer) {
        words.push(match step {
            Step::Packets { bytes, arrived_ms } => {
                assert_eq!(bytes, buffer.len());
                let (first, last) = (number(&buffer), number(&buffer[bytes - PACKET_BYTES..]));
                format!("{first}..{}@{arrived_ms}", last + 1)
            }
            Step::Lost { bytes } => format!("lost {}", bytes / PACKET_BYTES_U64),
            Step::Restarted => "restart".to_owned(),
            Step::Closed => "closed".to_owned(),
        });
        if step == Step::Closed {
            break;
        }
    }
    words.join(" ")
}

#[test]
fn chunks_come_with_their_arrival_in_order() {
    let (mut writer, ring) = ring(0);
    let mut early = ring.reader_from(Start::Now);
    writer.publish(&packets(0, 3), 10);
    writer.publish(&packets(3, 4), 20);
    let mut late = ring.reader_from(Start::Now);
    writer.publish(&packets(7, 1), 30);
    assert_eq!(drain(&mut early), "0..3@10 3..7@20 7..8@30");
    assert_eq!(drain(&mut late), "7..8@30");
    drop(writer);
    assert_eq!((drain(&mut early), drain(&mut late)), ("closed".to_owned(), "closed".to_owned()));
}

#[test]
fn a_reader_may_start_in_the_past() {
    let (mut writer, ring) = ring(0);
    let from = |ms| drain(&mut ring.reader_from(Start::Back(Duration::from_millis(ms))));
    assert_eq!(from(50), "");
    for chunk in 0..5 {
        writer.publish(&packets(chunk, 1), 100 * (chunk + 1));
    }
    assert_eq!(from(0), "4..5@500");
    assert_eq!(from(100), "3..4@400 4..5@500");
    assert_eq!(from(199), "3..4@400 4..5@500");
    assert!(from(u64::MAX).starts_with("0..1@100"));
}

#[test]
fn restarts_are_in_order_and_merged() {
    let (mut writer, ring) = ring(0);
    let mut reader = ring.reader_from(Start::Now);
    writer.publish(&packets(0, 1), 1);
    writer.restarted();
    writer.restarted();
    let mut behind = ring.reader_from(Start::Now);
    writer.publish(&packets(1, 1), 2);
    writer.restarted();
    drop(writer);
    assert_eq!(drain(&mut reader), "0..1@1 restart 1..2@2 restart closed");
    assert_eq!(drain(&mut behind), "1..2@2 restart closed");
    assert_eq!(ring.counts(), RingCounts { published_bytes: 2 * 188, lost_bytes: 0, restarts: 2 });
}

#[test]
fn a_slow_reader_loses_and_is_told_how_much() {
    let (mut writer, ring) = ring(0);
    let mut reader = ring.reader_from(Start::Now);
    for chunk in 0..100 {
        writer.publish(&packets(10 * chunk, 10), chunk);
    }
    // 1,000 packets through a ring of 512: the tail is at 488, and the reader rejoins an eighth of the ring behind it.
    assert!(drain(&mut reader).starts_with("lost 552 552..560@55 560..570@56"));
    writer.restarted();
    writer.publish(&packets(1000, 2000), 100);
    assert_eq!(drain(&mut reader), "lost 1552 restart 2552..2740@100 2740..3000@100");
    assert_eq!(ring.counts().lost_bytes, (552 + 1552) * 188);
}

#[test]
fn too_many_restarts_cost_packets_never_a_mark() {
    let (mut writer, ring) = ring(0);
    let mut reader = ring.reader_from(Start::Now);
    for chunk in 0..80 {
        writer.publish(&packets(chunk, 1), chunk);
        writer.restarted();
    }
    let read = drain(&mut reader);
    // Marks are at 1..=80 and 64 are kept: up to the sixteenth everything is lost, none is read across.
    assert!(read.starts_with("lost 80 restart"), "{read}");
}

#[test]
fn small_chunks_share_entries_and_memory_stays() {
    let (mut writer, ring) = ring(0);
    let mut reader = ring.reader_from(Start::Now);
    let entries = |ring: &Ring| {
        let state = ring.shared.lock();
        (state.chunks.len(), state.chunks.capacity())
    };
    let before = entries(&ring).1;
    for chunk in 0..500 {
        writer.publish(&packets(chunk, 1), chunk);
        assert!(entries(&ring).0 <= 2 * (512 / 7) + 2 && entries(&ring).1 == before);
    }
    let mut buffer = Vec::new();
    let mut next = 0;
    while let Some(Step::Packets { bytes, .. }) = reader.try_next(&mut buffer) {
        assert_eq!(number(&buffer), next);
        next += u64::try_from(bytes / PACKET_BYTES).unwrap();
    }
    assert_eq!(next, 500);
}

#[test]
fn a_step_never_crosses_a_restart_inside_a_shared_entry() {
    let (mut writer, ring) = ring(0);
    let mut reader = ring.reader_from(Start::Now);
    for chunk in 0..98 {
        writer.publish(&packets(chunk, 1), chunk);
    }
    writer.restarted();
    writer.publish(&packets(98, 1), 98);
    let read = drain(&mut reader);
    // 73 entries are exact, those behind them hold seven packets and the time of the first.
    assert!(read.contains(" 72..79@72 79..86@79 ") && read.ends_with(" 93..98@93 restart 98..99@93"), "{read}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_missed() {
    let (mut writer, ring) = ring(0);
    let (mut reader, mut buffer) = (ring.reader_from(Start::Now), Vec::new());
    let (read, was_read) = std::sync::mpsc::channel();
    // Each packet waits for the reader of the one before, so a missed wake-up would stop both.
    let thread = std::thread::spawn(move || {
        for chunk in 0..5_000 {
            writer.publish(&packets(chunk, 1), chunk);
            was_read.recv().unwrap();
        }
    });
    for chunk in 0..5_000 {
        let step = tokio::time::timeout(Duration::from_secs(10), reader.next(&mut buffer)).await;
        assert!(matches!(step, Ok(Step::Packets { bytes: PACKET_BYTES, .. })), "{step:?}");
        assert_eq!(number(&buffer), chunk);
        read.send(()).unwrap();
    }
    thread.join().unwrap();
}

#[tokio::test]
async fn asynchronous_readers_all_wake() {
    let (mut writer, ring) = ring(0);
    let readers: Vec<_> = (0..20).map(|_| ring.reader_from(Start::Now)).collect();
    let waits = readers.into_iter().map(|mut reader| async move {
        let mut buffer = Vec::new();
        (reader.next(&mut buffer).await, reader.next(&mut buffer).await)
    });
    let waiting = futures_util::future::join_all(waits);
    let publish = async {
        writer.publish(&packets(0, 1), 1);
        tokio::task::yield_now().await;
        drop(writer);
    };
    let (got, ()) = tokio::join!(waiting, publish);
    assert!(got.iter().all(|steps| *steps == (Step::Packets { bytes: 188, arrived_ms: 1 }, Step::Closed)));
}

/// Follows the ring to its end: every packet number is one up from the last, or from the last plus what was lost.
fn follow(mut reader: RingReader, mut pause: impl FnMut()) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut buffer, mut next, mut lost) = (Vec::new(), 0, 0);
    loop {
        match runtime.block_on(reader.next(&mut buffer)) {
            Step::Packets { .. } => {
                for packet in buffer.chunks(PACKET_BYTES) {
                    assert_eq!(number(packet), next);
                    assert_eq!(packet[184..], next.to_be_bytes()[..4], "no torn packet");
                    next += 1;
                }
            }
            Step::Lost { bytes } => {
                next += bytes / PACKET_BYTES_U64;
                lost += bytes / PACKET_BYTES_U64;
            }
            Step::Restarted => {}
            Step::Closed => return (next, lost),
        }
        pause();
    }
}

#[test]
fn threads_see_every_packet_or_its_loss() {
    const TOTAL: u64 = 200_000;
    let (mut writer, ring) = ring(2048 * PACKET_BYTES);
    let readers: Vec<_> = (0..4_u32)
        .map(|slowness| {
            let reader = ring.reader_from(Start::Now);
            std::thread::spawn(move || follow(reader, || (0..slowness * 50).for_each(|_| std::thread::yield_now())))
        })
        .collect();
    let mut sent = 0;
    while sent < TOTAL {
        let count = (sent % 37 + 1).min(TOTAL - sent);
        writer.publish(&packets(sent, count), sent);
        sent += count;
        if sent % 1000 < count {
            writer.restarted();
        }
    }
    drop(writer);
    let lost: Vec<_> = readers.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(lost.iter().all(|(end, _)| *end == TOTAL), "{lost:?}");
    let sum: u64 = lost.iter().map(|(_, lost)| lost).sum();
    assert_eq!(ring.counts().lost_bytes, sum * PACKET_BYTES_U64);
}

proptest! {
    /// Any mix of publishing, restarting and reading, at any pace, accounts for every packet and every mark.
    #[test]
    fn every_packet_is_read_or_told_lost(
        acts in proptest::collection::vec((0..8_u8, 1..900_u64), 1..80),
        extra in 0..300_usize,
    ) {
        let (mut writer, ring) = ring(RING_BYTES_MIN + extra * PACKET_BYTES);
        let (mut reader, mut buffer) = (ring.reader_from(Start::Now), Vec::new());
        let (mut sent, mut next, mut marks, mut newest_mark) = (0, 0, Vec::new(), None);
        for (act, count) in acts.into_iter().chain([(9, 0)]) {
            match act {
                0..=4 => {
                    writer.publish(&packets(sent, count), sent);
                    sent += count;
                }
                5 => {
                    writer.restarted();
                    // A mark where there already was one, read or not, is the same mark.
                    if newest_mark.replace(sent) != Some(sent) {
                        marks.push(sent);
                    }
                }
                _ => {
                    while let Some(step) = reader.try_next(&mut buffer) {
                        match step {
                            Step::Packets { bytes, .. } => {
                                prop_assert!(bytes <= STEP_BYTES_MAX);
                                for packet in buffer.chunks(PACKET_BYTES) {
                                    prop_assert!(!marks.contains(&next), "read across the mark at {}", next);
                                    prop_assert_eq!(number(packet), next);
                                    next += 1;
                                }
                            }
                            Step::Lost { bytes } => next += bytes / PACKET_BYTES_U64,
                            Step::Restarted => {
                                let before = marks.len();
                                marks.retain(|&mark| mark > next);
                                prop_assert!(marks.len() < before);
                            }
                            Step::Closed => prop_assert!(false, "not closed"),
                        }
                    }
                    prop_assert_eq!((next, marks.len()), (sent, 0));
                }
            }
        }
    }
}

#[tokio::test]
async fn waiting_readers_of_a_gathering_ring_are_woken_for_several_chunks_at_once() {
    use futures_util::FutureExt as _;
    let (writer, ring) = ring(0);
    let (mut writer, mut buffer) = (writer.gathering(80), Vec::new());
    let mut reader = ring.reader_from(Start::Now);
    let mut waiting = Box::pin(reader.next(&mut buffer));
    assert!(waiting.as_mut().now_or_never().is_none());
    writer.publish(&packets(0, 1), 1_000);
    assert!(waiting.as_mut().now_or_never().is_some(), "the first after a silence is told at once");
    drop(waiting);
    assert_eq!(drain(&mut reader), "");
    let mut waiting = Box::pin(reader.next(&mut buffer));
    assert!(waiting.as_mut().now_or_never().is_none());
    for at in [1_020, 1_040, 1_060] {
        writer.publish(&packets(at, 1), at);
        assert!(waiting.as_mut().now_or_never().is_none(), "not yet at {at}");
    }
    writer.tick(1_079);
    assert!(waiting.as_mut().now_or_never().is_none());
    writer.tick(1_080);
    assert!(waiting.as_mut().now_or_never().is_some(), "what was published is told in time without another packet");
    drop(waiting);
    assert_eq!(drain(&mut reader), "1040..1041@1040 1060..1061@1060");
}
