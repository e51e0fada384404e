//! Files an operator puts up: loops and slates are read or refused in words, and what is read can be played.
#![no_main]

use bytes::Bytes;
use headend_media::{package::Slate, splice::LoopFile, time::Ticks90k};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Option<u16>, &[u8])| {
    let mut packets = input.1.to_vec();
    packets.chunks_mut(188).for_each(|packet| packet[0] = 0x47);
    let _ = Slate::from_ts(&packets);
    let Ok(file) = LoopFile::parse(Bytes::from(packets), input.0) else { return };
    let start = Ticks90k::from_secs(1_800_000_000);
    let (mut cursor, mut out) = (file.seek(start), vec![]);
    let length = file.length().0.min(90_000 * 60);
    file.read_until(&mut cursor, start + Ticks90k(length), &mut out);
    assert_eq!(out.len() % 188, 0);
});
