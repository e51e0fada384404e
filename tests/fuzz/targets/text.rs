//! DVB text in every code table: never longer than its bytes allow, no control characters in what people read.
#![no_main]

use headend_media::text::{CodeTable, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let tables = [
        CodeTable::Iso6937,
        CodeTable::iso8859(input.0 % 17).unwrap_or_default(),
        CodeTable::Ucs2,
        CodeTable::KsX1001,
        CodeTable::Gb2312,
        CodeTable::Big5,
        CodeTable::Utf8,
    ];
    for table in tables {
        let text = decode(input.1, table);
        assert!(text.text.len() <= input.1.len() * 4 + 4, "{} bytes of {}", text.text.len(), input.1.len());
        assert!(text.text.chars().all(|letter| !letter.is_control() || letter == '\n'), "{:?}", text.text);
    }
});
