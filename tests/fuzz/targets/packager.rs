//! The packager on packets of any content: numbers only rise, segments are whole packets, memory has its bound.
#![no_main]

use std::sync::{Arc, LazyLock};

use headend_media::{
    package::{Event, Packager, Profile, Slate, SourceStart},
    time::Ticks90k,
};
use libfuzzer_sys::fuzz_target;

static SLATE: LazyLock<Arc<Slate>> =
    LazyLock::new(|| Arc::new(Slate::from_ts(include_bytes!("../../../shared/media/assets/slate.ts")).expect("ours")));

/// Whether every PID has a multiple of sixteen packets with payload, so that any segment may follow any other.
fn counters_close(segment: &[u8]) -> bool {
    let mut counts = vec![0_u32; 0x2000];
    for packet in segment.chunks_exact(188) {
        let pid = usize::from(u16::from_be_bytes([packet[1] & 0x1F, packet[2]]));
        counts[pid] += u32::from(packet[3] & 0x10 != 0);
    }
    segment.len() % 188 == 0 && counts.iter().all(|count| count % 16 == 0)
}

fuzz_target!(|bytes: &[u8]| {
    let profile = Profile { running: true, ..Profile::standard() };
    let mut packager = Packager::new(profile, None, Arc::clone(&SLATE));
    let (mut last, mut now) = (None, 1_800_000_000_i64);
    let mut check = |event: Event| match event {
        Event::Segment(segment) => {
            assert!(last.is_none_or(|last| segment.number > last), "numbers never step back");
            assert!(counters_close(&segment.bytes), "counters begin and end at zero");
            last = Some(segment.number);
        }
        Event::Packets(packets) => assert_eq!(packets.len() % 188, 0),
        _ => {}
    };
    packager.change_source(SourceStart { service: None, anchor: None }, &mut check);
    // A packet's first byte is not free: it says what happens besides, so that the fuzzer finds more than lost sync.
    for packet in bytes.chunks_exact(188) {
        let mut whole = packet.to_vec();
        whole[0] = 0x47;
        match packet[0] {
            0 => packager.change_source(SourceStart { service: None, anchor: None }, &mut check),
            1 => packager.source_lost(&mut check),
            2 => packager.fill_slate(Ticks90k::from_secs(now), &mut check),
            pause @ 3..8 => now += i64::from(pause),
            _ => {}
        }
        packager.push(&whole, Ticks90k::from_secs(now), &mut check);
    }
});
