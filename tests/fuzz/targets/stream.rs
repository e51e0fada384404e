//! A whole stream as it comes from a feed: framing, sections, tables, services, guide. Any bytes, cut anywhere.
#![no_main]

use headend_media::{inspect::Inspector, text::TextDefaults};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (piece, bytes) = (usize::from(input.0).max(1), input.1);
    let mut inspector = Inspector::new(TextDefaults::default());
    bytes.chunks(piece).for_each(|piece| inspector.push(piece));
    inspector.finish();
    let report = inspector.report();
    assert!(report.packets <= bytes.len() as u64 / 188 + 1);
    serde_json::to_string(&report).expect("a report is always JSON");
});
