//! PES headers, pictures and frames of sound, in pieces of any size.
#![no_main]

use headend_media::{
    es::{AccessUnitScan, AudioCodec, FrameScan, VideoCodec, first_frame, sniff},
    pes::{PesHeader, map_timestamps},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = (usize::from(input.0).max(1), input.1);
    for codec in [VideoCodec::Mpeg2, VideoCodec::H264, VideoCodec::Hevc] {
        let mut scan = AccessUnitScan::new(codec);
        scan.begin();
        bytes.chunks(piece).for_each(|piece| scan.push(piece));
        scan.end();
    }
    use AudioCodec::{AacAdts, AacLatm, Ac3, Eac3, Mpa};
    for codec in [Mpa, AacAdts, AacLatm, Ac3, Eac3] {
        let _ = first_frame(codec, bytes);
        let mut scan = FrameScan::new(codec);
        bytes.chunks(piece).for_each(|piece| drop(scan.push(piece).cloned()));
    }
    let _ = sniff(bytes);
    let mut copy = bytes.to_vec();
    assert_eq!(PesHeader::parse(bytes), map_timestamps(&mut copy, |stamp| stamp));
    if let Ok(header) = PesHeader::parse(bytes) {
        assert!(header.payload(bytes).len() <= bytes.len());
    }
});
