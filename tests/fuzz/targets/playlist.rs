//! Paths that viewers ask for: understood or not, and what is understood is written the same way again.
#![no_main]

use headend_media::playlist::{LivePath, SegmentGrid};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    if let Some(path) = LivePath::parse(path) {
        drop(format!("{path:?}"));
    }
    if let Some((grid, number)) = SegmentGrid::parse(path) {
        let name = grid.name(number).expect("what was read has a name");
        assert_eq!(SegmentGrid::parse(&name), Some((grid, number)));
    }
});
